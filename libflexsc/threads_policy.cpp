// SPDX-License-Identifier: MIT
/// The one table of calls that worker threads may run. In it: calls that depend on
/// nothing but what all threads of a process share (memory, descriptors, working
/// directory, credentials as libc keeps them). Not in it, so made by the carrier: calls
/// about the calling thread (its id, signal mask, scheduling, namespaces, robust list),
/// calls that end or copy it, and rare ones.
///
/// What is different in a worker all the same: signals do not interrupt a call (no
/// EINTR); writing to a broken pipe gives EPIPE without SIGPIPE; a read of a signalfd
/// does not see signals that were sent to the carrier thread itself.
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <ctime>

#include "policy.hpp"

namespace flexsc::detail {

namespace {

constexpr long kWorker[] = {
    FLEXSC_NR_NOP, FLEXSC_NR_COMPARE,
    // Transfers
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev,
    SYS_preadv2, SYS_pwritev2, SYS_sendfile, SYS_splice, SYS_tee, SYS_vmsplice, SYS_copy_file_range,
    // Descriptors
    SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_close, SYS_dup, SYS_dup2, SYS_dup3, SYS_pipe,
    SYS_pipe2, SYS_eventfd, SYS_eventfd2, SYS_timerfd_create, SYS_timerfd_settime,
    SYS_timerfd_gettime, SYS_memfd_create, SYS_inotify_init1, SYS_inotify_add_watch,
    SYS_inotify_rm_watch, SYS_epoll_create, SYS_epoll_create1, SYS_epoll_ctl,
    // Files and their names
    SYS_lseek, SYS_fsync, SYS_fdatasync, SYS_sync, SYS_syncfs, SYS_sync_file_range, SYS_fallocate,
    SYS_ftruncate, SYS_truncate, SYS_readahead, SYS_fadvise64, SYS_stat, SYS_fstat, SYS_lstat,
    SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_access, SYS_faccessat, SYS_faccessat2,
    SYS_readlink, SYS_readlinkat, SYS_getdents64, SYS_getcwd, SYS_rename, SYS_renameat,
    SYS_renameat2, SYS_link, SYS_linkat, SYS_unlink, SYS_unlinkat, SYS_symlink, SYS_symlinkat,
    SYS_mkdir, SYS_mkdirat, SYS_rmdir, SYS_mknod, SYS_mknodat, SYS_chmod, SYS_fchmod, SYS_fchmodat,
    SYS_chown, SYS_fchown, SYS_lchown, SYS_fchownat, SYS_utime, SYS_utimes, SYS_futimesat,
    SYS_utimensat, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_getxattr, SYS_lgetxattr,
    SYS_fgetxattr, SYS_listxattr, SYS_llistxattr, SYS_flistxattr, SYS_removexattr, SYS_lremovexattr,
    SYS_fremovexattr, SYS_flock,
    // Sockets
    SYS_socket, SYS_socketpair, SYS_bind, SYS_listen, SYS_shutdown, SYS_getsockname,
    SYS_getpeername, SYS_setsockopt, SYS_getsockopt, SYS_connect, SYS_accept, SYS_accept4,
    SYS_recvfrom, SYS_sendto, SYS_recvmsg, SYS_sendmsg, SYS_recvmmsg, SYS_sendmmsg,
    // Waiting
    SYS_poll, SYS_select, SYS_epoll_wait, SYS_nanosleep,
    // Memory
    SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mremap, SYS_msync, SYS_mincore, SYS_mlock,
    SYS_mlock2, SYS_munlock,
    // The process
    SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getgroups,
    SYS_getresuid, SYS_getresgid, SYS_getpgid, SYS_getpgrp, SYS_getsid, SYS_uname, SYS_sysinfo,
    SYS_times, SYS_getrandom, SYS_time, SYS_gettimeofday, SYS_clock_getres};

constexpr long kArguments[] = {SYS_fcntl, SYS_ioctl,    SYS_close_range,   SYS_futex,
                               SYS_ppoll, SYS_pselect6, SYS_epoll_pwait,   SYS_epoll_pwait2,
                               SYS_wait4, SYS_waitid,   SYS_clock_gettime, SYS_clock_nanosleep};

bool fcntl_allowed(std::uint64_t command) noexcept {
  switch (command) {
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
    case F_ADD_SEALS:
    case F_GET_SEALS:
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
      return true;
    default:
      return false;
  }
}

bool ioctl_allowed(std::uint64_t command) noexcept {
  switch (command) {
    case FIONREAD:
    case FIONBIO:
    case FIOCLEX:
    case FIONCLEX:
    case TIOCGWINSZ:
    case TCGETS:
    case SIOCOUTQ:
      return true;
    default:
      return false;
  }
}

bool futex_allowed(std::uint64_t operation) noexcept {
  switch (operation & static_cast<std::uint64_t>(FUTEX_CMD_MASK)) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
      return true;
    default:  // the priority-inheriting ones know their thread
      return false;
  }
}

/// Clocks of the process or the machine; a negative number is a clock of one thread or
/// process.
bool clock_allowed(std::uint64_t clock) noexcept {
  const int id = static_cast<int>(clock);
  return id >= 0 && id != CLOCK_THREAD_CPUTIME_ID;
}

bool arguments_allow(const Call& call) {
  switch (call.nr) {
    case SYS_fcntl:
      return fcntl_allowed(call.args[1]);
    case SYS_ioctl:
      return ioctl_allowed(call.args[1]);
    case SYS_close_range:
      return (call.args[2] & CLOSE_RANGE_UNSHARE) == 0;
    case SYS_futex:
      return futex_allowed(call.args[1]);
    // A signal mask would let handlers run in the worker.
    case SYS_ppoll:
      return call.args[3] == 0;
    case SYS_pselect6:
      return call.args[5] == 0;
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
      return call.args[4] == 0;
    case SYS_wait4:
      return (call.args[2] & __WNOTHREAD) == 0;
    case SYS_waitid:
      return (call.args[3] & __WNOTHREAD) == 0;
    case SYS_clock_gettime:
    case SYS_clock_nanosleep:
      return clock_allowed(call.args[0]);
    default:
      return false;
  }
}

constexpr Policy make_policy() {
  Policy policy{};
  for (const long nr : kWorker) {
    policy.classes[static_cast<std::size_t>(nr)] = FLEXSC_CLASS_WORKER;
  }
  for (const long nr : kArguments) {
    policy.classes[static_cast<std::size_t>(nr)] = FLEXSC_CLASS_ARGS;
  }
  policy.arguments_allow = &arguments_allow;
  return policy;
}

constexpr Policy kPolicy = make_policy();

}  // namespace

const Policy& threads_policy() noexcept {
  return kPolicy;
}

}  // namespace flexsc::detail
