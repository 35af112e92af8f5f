// SPDX-License-Identifier: MIT
#include "world.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>

namespace flexsc_fuzz {
namespace {

thread_local sigjmp_buf back;
thread_local volatile std::sig_atomic_t touching = 0;

void on_fault(int) {
  if (touching == 0) ::_exit(0);
  siglongjmp(back, 1);
}

// Calls that have code of their own in the module, or an effect on it, and a few of each class.
constexpr std::array<std::uint32_t, 64> kNumbers{
    SYS_read,           SYS_write,
    SYS_readv,          SYS_writev,
    SYS_pread64,        FLEXSC_NR_COMPARE,
    FLEXSC_NR_NOP,      SYS_nanosleep,
    SYS_poll,           SYS_ppoll,
    SYS_select,         SYS_pselect6,
    SYS_epoll_wait,     SYS_epoll_pwait,
    SYS_epoll_pwait2,   SYS_epoll_ctl,
    SYS_accept,         SYS_accept4,
    SYS_connect,        SYS_recvfrom,
    SYS_sendto,         SYS_recvmsg,
    SYS_sendmsg,        SYS_recvmmsg,
    SYS_openat,         SYS_close,
    SYS_close_range,    SYS_dup,
    SYS_dup2,           SYS_dup3,
    SYS_fcntl,          SYS_flock,
    SYS_ioctl,          SYS_lseek,
    SYS_splice,         SYS_sendfile,
    SYS_mmap,           SYS_munmap,
    SYS_mprotect,       SYS_mremap,
    SYS_madvise,        SYS_futex,
    SYS_wait4,          SYS_waitid,
    SYS_clock_gettime,  SYS_clock_nanosleep,
    SYS_gettid,         SYS_kill,
    SYS_tgkill,         SYS_fsync,
    SYS_pipe2,          SYS_eventfd2,
    SYS_socket,         SYS_shutdown,
    SYS_msgrcv,         SYS_exit,
    SYS_exit_group,     SYS_clone,
    SYS_execve,         SYS_setuid,
    SYS_prctl,          SYS_unshare,
    SYS_rt_sigprocmask, SYS_pidfd_getfd,
};

}  // namespace

bool touch(void (*body)(void*), void* argument) {
  // The mask is as it was: the handler runs with SA_NODEFER.
  if (sigsetjmp(back, 0) != 0) {
    touching = 0;
    return false;
  }
  touching = 1;
  body(argument);
  touching = 0;
  return true;
}

void catch_faults() {
  struct sigaction action {};
  action.sa_handler = on_fault;
  action.sa_flags = SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) ::sigaction(signal, &action, nullptr);
}

World::World() {
  for (auto& fd : groups) fd = -1;
  for (auto& fd : files) fd = -1;
  const auto pair = [this](unsigned at, bool made, const int* ends) {
    files[at] = made ? ends[0] : -1;
    files[at + 1] = made ? ends[1] : -1;
  };
  std::array<int, 2> ends{};
  pair(0, ::pipe2(ends.data(), O_CLOEXEC) == 0, ends.data());
  pair(2, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, ends.data());
  // One that nothing comes out of, one that is full of nothing, and things that are not pipes.
  pair(4, ::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0, ends.data());
  files[6] = ::eventfd(0, EFD_CLOEXEC);
  files[7] = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  files[8] = ::epoll_create1(EPOLL_CLOEXEC);
  files[9] = ::open("a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  files[10] = ::open("/", O_RDONLY | O_CLOEXEC);
  files[11] = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  scratch.bytes.fill('f');
  scratch.vectors = {iovec{scratch.out.data(), 16}, iovec{scratch.bytes.data(), 16}};
  epoll_event event{EPOLLIN, {}};
  ::epoll_ctl(files[8], EPOLL_CTL_ADD, files[0], &event);
  // A pollfd for the pipe.
  scratch.structure[0] = static_cast<std::uint8_t>(files[0]);
  scratch.structure[4] = 1;
}

int World::any_fd(Bytes& in) const {
  const unsigned which = in.u8();
  if (which < kFiles) return files[which];
  if (which < 16) return clients[which % kClients].fd;
  if (which < 20) return groups[which % kGroups];
  return static_cast<int>(which) - 20;  // any number, and also ones that are not open
}

std::uint64_t World::argument(Bytes& in) {
  const auto at = [](const void* memory, std::size_t offset = 0) {
    return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(memory) + offset);
  };
  switch (in.below(16)) {
    case 0:
      return 0;
    case 1:
      return in.u8();
    case 2:
    case 3:
      return static_cast<std::uint64_t>(any_fd(in));
    case 4:
      return at(scratch.out.data(), in.u8());
    case 5:
      return at(scratch.bytes.data(), in.u8());
    case 6:
      return at(scratch.nap.data());
    case 7:
      return at(scratch.vectors.data());
    case 8:
      return at(scratch.structure.data());
    case 9:
      return in.below(2) != 0 ? at(scratch.path_a) : at(scratch.path_b);
    case 10:
      return at(&scratch.word);
    case 11:
      // Of a client's pages: the kernel then copies to or from what we write to.
      return at(clients[in.below(kClients)].base.load(), std::size_t{in.u16()});
    case 12:
      return ~std::uint64_t{in.u8()};
    case 13:
      return std::uint64_t{1} << in.below(64);
    case 14:
      return static_cast<std::uint64_t>(FLEXSC_CMD(in.below(8), in.u8()));
    default:
      return in.u64();
  }
}

std::uint32_t World::number(Bytes& in) {
  const unsigned which = in.u8();
  if (which < 3 * kNumbers.size()) return kNumbers[which % kNumbers.size()];
  return which < 250 ? in.u16() % 512U : in.u32();
}

}  // namespace flexsc_fuzz
