// SPDX-License-Identifier: MIT
#include "blocking.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "flexsc/uapi.h"

namespace flexsc::detail {

namespace {

/// A pipe or socket that polls as writable takes this much, other writers aside.
constexpr std::uint64_t kSureBytes = 65536;

/// Whether the descriptor is in non-blocking mode, or is none at all.
bool nonblocking(std::uint64_t fd) noexcept {
  const long flags = execute(make_call(SYS_fcntl, fd, F_GETFL));
  return flags < 0 || (flags & O_NONBLOCK) != 0;
}

/// Whether an operation that needs `events` would wait for them.
bool waits_for(std::uint64_t fd, short events) noexcept {
  pollfd entry{static_cast<int>(fd), events, 0};
  return execute(make_call(SYS_poll, &entry, 1, 0)) == 0 && !nonblocking(fd);
}

bool socket_waits_for(std::uint64_t fd, short events, std::uint64_t flags) noexcept {
  return (flags & MSG_DONTWAIT) == 0 && waits_for(fd, events);
}

bool write_waits(std::uint64_t fd, std::uint64_t bytes) noexcept {
  return waits_for(fd, POLLOUT) || (bytes > kSureBytes && !nonblocking(fd));
}

bool fcntl_blocks(std::uint64_t command) noexcept {
  return command == F_SETLKW || command == F_OFD_SETLKW;
}

bool futex_blocks(std::uint64_t operation) noexcept {
  const auto command = operation & static_cast<std::uint64_t>(FUTEX_CMD_MASK);
  return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

}  // namespace

bool may_block(const Call& call) noexcept {
  const auto& a = call.args;
  switch (call.nr) {
    case SYS_read:
    case SYS_readv:
    case SYS_accept:
    case SYS_accept4:
      return waits_for(a[0], POLLIN);
    case SYS_recvfrom:
      return (a[3] & MSG_WAITALL) != 0 || socket_waits_for(a[0], POLLIN, a[3]);
    case SYS_recvmsg:
      return (a[2] & MSG_WAITALL) != 0 || socket_waits_for(a[0], POLLIN, a[2]);
    case SYS_recvmmsg:
      return true;
    case SYS_write:
      return write_waits(a[0], a[2]);
    case SYS_writev:
      return waits_for(a[0], POLLOUT);
    case SYS_sendto:
      return (a[3] & MSG_DONTWAIT) == 0 && write_waits(a[0], a[2]);
    case SYS_sendmsg:
      return socket_waits_for(a[0], POLLOUT, a[2]);
    case SYS_sendmmsg:
      return socket_waits_for(a[0], POLLOUT, a[3]);
    case SYS_sendfile:
      return write_waits(a[0], a[3]);
    case SYS_splice:
      return waits_for(a[0], POLLIN) || waits_for(a[2], POLLOUT);
    case SYS_tee:
      return waits_for(a[0], POLLIN) || waits_for(a[1], POLLOUT);
    case SYS_vmsplice:
    case SYS_connect:
      return !nonblocking(a[0]);
    case SYS_poll:
      return static_cast<int>(a[2]) != 0;
    case SYS_select:
    case SYS_pselect6:
    case SYS_ppoll:
    case SYS_epoll_pwait2:
      return true;
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return static_cast<int>(a[3]) != 0;
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_sync:
    case SYS_syncfs:
    case SYS_sync_file_range:
    case SYS_msync:
      return true;
    case SYS_flock:
      return (a[1] & LOCK_NB) == 0;
    case SYS_fcntl:
      return fcntl_blocks(a[1]);
    case SYS_futex:
      return futex_blocks(a[1]);
    case SYS_wait4:
      return (a[2] & WNOHANG) == 0;
    case SYS_waitid:
      return (a[3] & WNOHANG) == 0;
    default:
      return false;
  }
}

Prospect prospect_of(const Call& call) noexcept {
  switch (call.nr) {
    case FLEXSC_NR_NOP:
    case FLEXSC_NR_COMPARE:
    case SYS_lseek:
    case SYS_fstat:
    case SYS_close:
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
    case SYS_pipe:
    case SYS_pipe2:
    case SYS_eventfd2:
    case SYS_epoll_create1:
    case SYS_epoll_ctl:
    case SYS_timerfd_create:
    case SYS_timerfd_settime:
    case SYS_timerfd_gettime:
    case SYS_memfd_create:
    case SYS_socket:
    case SYS_socketpair:
    case SYS_bind:
    case SYS_listen:
    case SYS_shutdown:
    case SYS_getsockname:
    case SYS_getpeername:
    case SYS_setsockopt:
    case SYS_getsockopt:
    case SYS_getcwd:
    case SYS_getpid:
    case SYS_getppid:
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
    case SYS_uname:
    case SYS_clock_gettime:
    case SYS_kill:
    case SYS_tgkill:
      return Prospect::at_once;
    case SYS_fcntl:
      return fcntl_blocks(call.args[1]) ? Prospect::waits : Prospect::at_once;
    case SYS_futex:
      return futex_blocks(call.args[1]) ? Prospect::waits : Prospect::at_once;
    case SYS_write:
    case SYS_writev:
    case SYS_pread64:
    case SYS_preadv:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendfile:
    case SYS_open:
    case SYS_openat:
    case SYS_openat2:
    case SYS_creat:
    case SYS_stat:
    case SYS_lstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_access:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlink:
    case SYS_readlinkat:
    case SYS_getdents64:
    case SYS_rename:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_mkdir:
    case SYS_mkdirat:
    case SYS_rmdir:
    case SYS_ftruncate:
    case SYS_fchmod:
      return Prospect::likely;
    default:
      return Prospect::waits;
  }
}

bool first_is_descriptor(std::uint32_t nr) noexcept {
  switch (nr) {
    case SYS_read:
    case SYS_write:
    case SYS_readv:
    case SYS_writev:
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_preadv:
    case SYS_pwritev:
    case SYS_preadv2:
    case SYS_pwritev2:
    case SYS_lseek:
    case SYS_sendfile:
    case SYS_splice:
    case SYS_tee:
    case SYS_vmsplice:
    case SYS_copy_file_range:
    case SYS_readahead:
    case SYS_fadvise64:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_sync_file_range:
    case SYS_syncfs:
    case SYS_fallocate:
    case SYS_ftruncate:
    case SYS_close:
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
    case SYS_fcntl:
    case SYS_flock:
    case SYS_ioctl:
    case SYS_timerfd_settime:
    case SYS_timerfd_gettime:
    case SYS_inotify_add_watch:
    case SYS_inotify_rm_watch:
    case SYS_epoll_ctl:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_fstat:
    case SYS_fstatfs:
    case SYS_getdents:
    case SYS_getdents64:
    case SYS_fchmod:
    case SYS_fchown:
    case SYS_fsetxattr:
    case SYS_fgetxattr:
    case SYS_flistxattr:
    case SYS_fremovexattr:
    case SYS_bind:
    case SYS_listen:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_shutdown:
    case SYS_getsockname:
    case SYS_getpeername:
    case SYS_setsockopt:
    case SYS_getsockopt:
    case SYS_recvfrom:
    case SYS_sendto:
    case SYS_recvmsg:
    case SYS_sendmsg:
    case SYS_recvmmsg:
    case SYS_sendmmsg:
      return true;
    default:
      return false;
  }
}

}  // namespace flexsc::detail
