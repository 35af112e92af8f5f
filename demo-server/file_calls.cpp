// SPDX-License-Identifier: MIT
#include "file_calls.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>

#include "flexsc/fiber.hpp"
#include "flexsc/posix.hpp"

namespace flexsc::http {

namespace {

/// Non-blocking, because opening a FIFO would otherwise wait for a writer.
open_how beneath() {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return how;
}

long with_errno(long result) {
  return result < 0 ? -errno : result;
}

/// One attempt.
long open_singly(int root, const std::string& path, struct stat& status) {
  open_how how = beneath();
  const long fd =
      with_errno(flexsc::syscall(SYS_openat2, root, reinterpret_cast<long>(path.c_str()),
                                 reinterpret_cast<long>(&how), sizeof how));
  if (fd < 0) return fd;
  const long told = with_errno(flexsc::fstat(static_cast<int>(fd), &status));
  if (told == 0) return fd;
  (void)flexsc::close(static_cast<int>(fd));
  return told;
}

/// One attempt, as one chain.
long open_chained(Chain& chain, int root, const std::string& path, struct stat& status) {
  open_how how = beneath();
  chain.clear();
  const auto file = chain.add(SYS_openat2, root, path.c_str(), &how, sizeof how);
  chain.add(SYS_fstat, file.result(), &status);
  std::array<long, 2> results{};
  (void)run_chain(chain, results);
  const auto [fd, told] = results;
  if (fd < 0 || told == 0) return fd;
  (void)flexsc::close(static_cast<int>(fd));
  return told;
}

}  // namespace

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
