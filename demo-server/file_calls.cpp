// SPDX-License-Identifier: MIT
#include "file_calls.hpp"

#include <fcntl.h>
#include <sys/syscall.h>

#include <array>

#include "flexsc/fiber.hpp"
#include "flexsc/posix.hpp"

namespace flexsc::http {

namespace {

/// One attempt.
long open_singly(int root, const std::string& path, struct stat& status) {
  const long fd =
      with_errno(flexsc::syscall(SYS_openat2, root, reinterpret_cast<long>(path.c_str()),
                                 reinterpret_cast<long>(&beneath()), sizeof(open_how)));
  if (fd < 0) return fd;
  const long told = with_errno(flexsc::fstat(static_cast<int>(fd), &status));
  if (told == 0) return fd;
  (void)flexsc::close(static_cast<int>(fd));
  return told;
}

/// One attempt, as one chain.
long open_chained(Chain& chain, int root, const std::string& path, struct stat& status) {
  chain.clear();
  const auto file = chain.add(SYS_openat2, root, path.c_str(), &beneath(), sizeof(open_how));
  chain.add(SYS_fstat, file.result(), &status);
  std::array<long, 2> results{};
  (void)run_chain(chain, results);
  const auto [fd, told] = results;
  if (fd < 0 || told == 0) return fd;
  (void)flexsc::close(static_cast<int>(fd));
  return told;
}

}  // namespace

const open_how& beneath() noexcept {
  // Non-blocking, because opening a FIFO would otherwise wait for a writer.
  static constexpr open_how kHow{.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                                 .mode = 0,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  return kHow;
}

long open_with_status(Chain* chain, int root, const std::string& path, struct stat& status) {
  for (int attempt = 0;; ++attempt) {
    const long fd = chain != nullptr ? open_chained(*chain, root, path, status)
                                     : open_singly(root, path, status);
    // EAGAIN: something was renamed meanwhile, so that the kernel could not be sure
    // that the path stays below the root.
    if ((fd != -EAGAIN && fd != -EINTR) || attempt == 8) return fd;
  }
}

}  // namespace flexsc::http
