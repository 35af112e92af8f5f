// SPDX-License-Identifier: MIT
#include "cell.hpp"

#include <fcntl.h>
#include <flexsc/uapi.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kit.hpp"

namespace flexsc_fuzz {
namespace {

constexpr uid_t kNobody = 65534;
constexpr const char* kRoot = "/tmp/flexsc-fuzz-cell";
/// Milliseconds in which what is killed has to be gone.
int time_to_die() {
  return static_cast<int>(flexsc_guest::kLong.count()) * 1000;
}

void limit(__rlimit_resource what, rlim_t value) {
  const rlimit both{value, value};
  REQUIRE_EQ(::setrlimit(what, &both), 0);
}

void become_nobody() {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 1 << 20);
  limit(RLIMIT_NOFILE, 256);
  limit(RLIMIT_NPROC, 200);
  limit(RLIMIT_AS, 1 << 30);
  limit(RLIMIT_MEMLOCK, 3 << 20);  // so that not every client can be had
  REQUIRE_EQ(::setgroups(0, nullptr), 0);
  REQUIRE_EQ(::setresgid(kNobody, kNobody, kNobody), 0);
  REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
  REQUIRE_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
}

void make_root() {
  struct stat device {};
  REQUIRE_EQ(::stat(FLEXSC_DEVICE, &device), 0);
  if (::mkdir(kRoot, 0755) != 0) REQUIRE_EQ(errno, EEXIST);
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    // An initial ramfs is nobody's mount: nothing to make private then.
    REQUIRE_EQ(errno, EINVAL);
  }
  REQUIRE_EQ(::mount("none", kRoot, "tmpfs", 0, "size=4m,mode=1777"), 0);
  const std::string node = std::string(kRoot) + kDeviceInCell;
  REQUIRE_EQ(::mknod(node.c_str(), S_IFCHR | 0666, device.st_rdev), 0);
  REQUIRE_EQ(::chmod(node.c_str(), 0666), 0);
  REQUIRE_EQ(::chroot(kRoot), 0);
  REQUIRE_EQ(::chdir("/"), 0);
}

bool wait_for(int pidfd, int milliseconds) {
  pollfd watched{pidfd, POLLIN, 0};
  return ::poll(&watched, 1, milliseconds) == 1;
}

}  // namespace

Cell::Cell(Body body) : body_(std::move(body)) {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  shared_ = static_cast<Shared*>(memory);
  std::array<int, 2> ends{};
  REQUIRE_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const pid_t keeper = ::fork();
  REQUIRE(keeper >= 0);
  if (keeper == 0) {
    ::close(ends[0]);
    keep(ends[1]);
  }
  ::close(ends[1]);
  commands_ = ends[0];
}

/// Becomes the parent of the cell's first process, and waits for it.
void Cell::keep(int commands) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    REQUIRE_EQ(::unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS),
               0);
    const pid_t first = ::fork();
    REQUIRE(first >= 0);
    if (first == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      make_root();
      serve(::fcntl(commands, F_DUPFD_CLOEXEC, kOwnDescriptors));
    }
    ::close(commands);
    ::waitpid(first, nullptr, 0);
  } catch (const std::exception& failure) {
    [[maybe_unused]] const auto n = ::write(2, failure.what(), std::strlen(failure.what()));
  }
  ::_exit(1);
}

/// The first process of the namespaces: signals from inside of them do not reach it.
void Cell::serve(int commands) {
  for (int fd = 3; fd < kOwnDescriptors; ++fd) ::close(fd);
  for (;;) {
    int milliseconds = 0;
    if (::read(commands, &milliseconds, sizeof milliseconds) != sizeof milliseconds) ::_exit(0);
    run_one(milliseconds);
    const char done = 'd';
    if (::write(commands, &done, 1) != 1) ::_exit(1);
  }
}

void Cell::run_one(int milliseconds) {
  const auto failed = [this](const char* why) {
    std::snprintf(shared_->failure, sizeof shared_->failure, "%s", why);
  };
  const pid_t child = ::fork();
  if (child < 0) return failed("no process could be made");
  if (child == 0) {
    try {
      become_nobody();
      body_({shared_->bytes, shared_->size});
    } catch (const std::exception& failure) {
      failed(failure.what());
    }
    ::_exit(0);
  }
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  bool gone = wait_for(pidfd, milliseconds);
  // It, and what it started: everybody in the namespace but this process.
  ::kill(-1, SIGKILL);
  gone = gone || wait_for(pidfd, time_to_die());
  ::close(pidfd);
  if (!gone) return failed("it cannot be killed");
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  // The names that inputs can give; the first process holds no file itself.
  for (const char* name : {"a", "b"}) ::unlink(name);
}

std::string Cell::run(std::span<const std::uint8_t> input, int milliseconds) {
  shared_->size = static_cast<std::uint32_t>(std::min(input.size(), kMostBytes));
  shared_->failure[0] = '\0';
  std::copy_n(input.begin(), shared_->size, shared_->bytes);
  if (::write(commands_, &milliseconds, sizeof milliseconds) != sizeof milliseconds) {
    return "the cell is gone";
  }
  // The answer comes when all its processes are gone.
  const auto end = std::chrono::steady_clock::now() + 2 * std::chrono::milliseconds(time_to_die());
  pollfd watched{commands_, POLLIN, 0};
  while (::poll(&watched, 1, time_to_die()) != 1) {
    if (std::chrono::steady_clock::now() > end) return "what it started cannot be killed";
  }
  char done = 0;
  if (::read(commands_, &done, 1) != 1) return "the cell is gone";
  return shared_->failure;
}

}  // namespace flexsc_fuzz
