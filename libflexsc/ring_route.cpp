// SPDX-License-Identifier: MIT
// Which calls become operations. What an operation does otherwise than the call, so that some
// or all of its cases stay with the workers or the carrier:
//
//   any file      O_NONBLOCK is not looked at, or not as the call does: where such a descriptor
//                 would wait, the operation waits. These are made in the carrier.
//   sockets       SO_RCVTIMEO and SO_SNDTIMEO are not looked at. Such sockets are the workers'.
//   send          returns when a part is sent. See RingCall::Shape.
//   read, write   go on from the file's position without the lock that makes concurrent ones
//                 follow each other; so only on what has no position.
//   pread, pwrite ignore the position where there is none, instead of failing. Only on files.
//   open          of a FIFO does not wait for its other end, unless made in a thread apart.
//   paths         are read before the flags are judged, so that of two faults the other one is
//                 told. What has flags that may be refused is the workers'.
//   memory        is looked at before the descriptor's mode is. What may not be read or written
//                 is refused in the carrier.
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "blocking.hpp"
#include "ring_call.hpp"

namespace flexsc::detail {

namespace {

/// Most bytes that a transfer moves (the kernel's MAX_RW_COUNT); operations have 32 bits for it.
constexpr std::uint64_t kMostBytes = 0x7ffff000;
constexpr std::uint64_t kMostVectors = 1024;  // UIO_MAXIOV
constexpr std::uint64_t kMost32 = 0xffffffff;
/// A write to a pipe of up to this size goes whole or not at all.
constexpr std::uint64_t kAtomicPipeWrite = 4096;

constexpr std::uint64_t kReceiveFlags =
    MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC;
constexpr std::uint64_t kSendFlags =
    MSG_DONTROUTE | MSG_EOR | MSG_CONFIRM | MSG_NOSIGNAL | MSG_MORE;

bool fits(std::uint64_t bytes) noexcept {
  return bytes != 0 && bytes <= kMostBytes;
}

constexpr std::uint64_t kLargeFile = 0100000;  // O_LARGEFILE is 0 in the C library's headers
constexpr std::uint64_t kOpenFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND |
                                     O_NONBLOCK | O_SYNC | O_DIRECT | kLargeFile | O_DIRECTORY |
                                     O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH;
constexpr std::uint64_t kPathFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr std::uint64_t kResolveFlags = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS |
                                        RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT;

/// Whether an open with these flags is not refused for them.
bool may_open(std::uint64_t flags) noexcept {
  if ((flags & ~kOpenFlags) != 0) return false;
  if ((flags & O_CREAT) != 0 && (flags & O_DIRECTORY) != 0) return false;
  return (flags & O_PATH) == 0 || (flags & ~kPathFlags) == 0;
}

/// The same of openat2, which is stricter.
bool may_open(const open_how& how) noexcept {
  const bool modes = (how.flags & O_CREAT) != 0;
  return may_open(how.flags) && (how.resolve & ~kResolveFlags) == 0 &&
         (modes ? (how.mode & ~std::uint64_t{07777}) == 0 : how.mode == 0);
}

bool may_stat(std::uint64_t flags, std::uint64_t mask) noexcept {
  constexpr std::uint64_t known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
                                  AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC;
  constexpr std::uint64_t either = AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC;
  return (flags & ~known) == 0 && (flags & either) != either && mask <= 0x7fffffff;
}

bool may_rename(std::uint64_t flags) noexcept {
  return flags == 0 || flags == RENAME_NOREPLACE || flags == RENAME_EXCHANGE;
}

bool vectors_fit(std::uint64_t count) noexcept {
  return count != 0 && count <= kMostVectors;
}

}  // namespace

Route RingCalls::receive(std::uint64_t fd, std::uint64_t flags, std::uint64_t allowed) {
  // Errors are queued or not: nobody waits for them.
  if ((flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) != 0) return Route::carrier;
  if ((flags & ~allowed) != 0) return Route::workers;
  // Going on after a part would look at the same bytes again.
  if ((flags & MSG_PEEK) != 0 && (flags & MSG_WAITALL) != 0) return Route::workers;
  return waiting_on(fd, SO_RCVTIMEO);
}

Route RingCalls::read(RingCall& slot) {
  const std::uint64_t fd = slot.call.args[0];
  if (!fits(slot.call.args[2])) return Route::workers;
  if (seems_socket(fd)) {
    // A receive says so if it is none any more.
    slot.guessed = true;
    return waiting_on(fd, SO_RCVTIMEO);
  }
  unsigned type = 0;
  if (!type_of(fd, type)) return Route::carrier;
  if (type == S_IFSOCK) {
    if (!keeps_records(fd)) remember_socket(fd);
    slot.guessed = true;
    return waiting_on(fd, SO_RCVTIMEO);
  }
  return type == S_IFIFO ? pipe(fd, true) : Route::workers;
}

Route RingCalls::write(RingCall& slot) {
  const std::uint64_t fd = slot.call.args[0];
  const std::uint64_t bytes = slot.call.args[2];
  if (!fits(bytes)) return Route::workers;
  if (!seems_socket(fd)) {
    unsigned type = 0;
    if (!type_of(fd, type)) return Route::carrier;
    if (type == S_IFIFO && bytes <= kAtomicPipeWrite) return pipe(fd, false);
    if (type != S_IFSOCK || keeps_records(fd)) return Route::workers;
    remember_socket(fd);
  }
  slot.guessed = true;
  slot.shape = plain_ ? RingCall::Shape::plain : RingCall::Shape::first_try;
  return Route::ring;
}

Route RingCalls::read_vector(const RingCall& slot) {
  const std::uint64_t fd = slot.call.args[0];
  if (!vectors_fit(slot.call.args[2])) return Route::workers;
  unsigned type = 0;
  if (!type_of(fd, type)) return Route::carrier;
  if (type == S_IFSOCK) return waiting_on(fd, SO_RCVTIMEO);
  return type == S_IFIFO ? pipe(fd, true) : Route::workers;
}

Route RingCalls::write_vector(const RingCall& slot) {
  const std::uint64_t fd = slot.call.args[0];
  if (!vectors_fit(slot.call.args[2])) return Route::workers;
  unsigned type = 0;
  if (!type_of(fd, type)) return Route::carrier;
  if (type != S_IFSOCK || keeps_records(fd)) return Route::workers;
  const Route route = waiting_on(fd, SO_SNDTIMEO);
  // A writev of nothing does nothing, a sendmsg of nothing looks at the connection, or sends it.
  if (route == Route::ring && !any_bytes(slot.call.args[1], slot.call.args[2])) {
    return Route::carrier;
  }
  return route;
}

/// A transfer at an offset; `most` bytes, or vectors.
Route RingCalls::positioned(const RingCall& slot, std::uint64_t most, bool reads) {
  const auto& a = slot.call.args;
  if (static_cast<std::int64_t>(a[3]) < 0) return Route::carrier;  // EINVAL
  if (a[2] == 0 || a[2] > most) return Route::workers;
  unsigned type = 0;
  if (!type_of(a[0], type)) return Route::carrier;
  if (type != S_IFREG) return Route::workers;
  const long flags = flags_of(a[0]);
  if (flags < 0 || !may_transfer(flags, reads)) return Route::carrier;
  return (flags & O_NONBLOCK) != 0 ? Route::workers : Route::ring;
}

Route RingCalls::open(RingCall& slot) {
  const auto& a = slot.call.args;
  std::uint64_t flags = 0;
  switch (slot.call.nr) {
    case SYS_open:
      flags = a[1];
      break;
    case SYS_creat:
      flags = O_CREAT | O_WRONLY | O_TRUNC;
      break;
    case SYS_openat:
      flags = a[2];
      break;
    default: {
      // openat2 has them in memory that may not be there. epoll_ctl copies 12 bytes from there
      // before it looks at the descriptor, which is none.
      if (a[3] < sizeof(open_how) || a[3] > kAtomicPipeWrite) return Route::carrier;
      static_assert(sizeof(open_how) == 24);
      for (const std::uint64_t part : {a[2], a[2] + 12}) {
        if (ask(make_call(SYS_epoll_ctl, -1, EPOLL_CTL_ADD, -1, part)) != -EBADF) {
          return Route::carrier;
        }
      }
      const auto& how =
          *reinterpret_cast<const open_how*>(a[2]);  // NOLINT(performance-no-int-to-ptr)
      if (!may_open(how)) return Route::workers;
      flags = how.flags;
    }
  }
  if (!may_open(flags)) return Route::workers;
  const bool made = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  slot.apart = !made && (flags & (O_NONBLOCK | O_PATH | O_DIRECTORY)) == 0;
  return Route::ring;
}

/// Waits for one descriptor, or for an epoll instance. Whoever polls several has the workers.
Route RingCalls::poll(RingCall& slot) {
  const auto& a = slot.call.args;
  const bool epoll = slot.call.nr != SYS_poll;
  const int timeout = static_cast<int>(epoll ? a[3] : a[2]);
  if (timeout == 0) return Route::carrier;
  if (!epoll && a[1] != 1) return Route::workers;
  Call look = slot.call;
  look.args[epoll ? 3 : 2] = 0;
  slot.result = ask(look);
  if (slot.result != 0) return Route::done;
  // The kernel has read it, and written to it.
  if (!epoll &&
      reinterpret_cast<const pollfd*>(a[0])->fd < 0) {  // NOLINT(performance-no-int-to-ptr)
    return Route::workers;
  }
  slot.shape = RingCall::Shape::poll;
  using Clock = std::chrono::steady_clock;
  slot.until =
      timeout < 0 ? Clock::time_point::max() : Clock::now() + std::chrono::milliseconds(timeout);
  return Route::ring;
}

Route RingCalls::route(RingCall& slot) {
  const auto& a = slot.call.args;
  const auto if_has = [this](unsigned operation) {
    return operations_.has(operation) ? Route::ring : Route::workers;
  };
  switch (slot.call.nr) {
    case SYS_recvfrom:
      if (a[4] != 0 || !fits(a[2])) return Route::workers;
      return receive(a[0], a[3], kReceiveFlags);
    case SYS_recvmsg:
      return receive(a[0], a[2], kReceiveFlags & ~std::uint64_t{MSG_WAITALL});
    case SYS_sendto:
      if ((a[3] & MSG_DONTWAIT) != 0) return Route::carrier;
      if (a[4] != 0 || !fits(a[2]) || (a[3] & ~kSendFlags) != 0) return Route::workers;
      slot.shape = plain_ ? RingCall::Shape::plain : RingCall::Shape::first_try;
      return Route::ring;
    case SYS_sendmsg:
      if ((a[2] & MSG_DONTWAIT) != 0) return Route::carrier;
      if ((a[2] & ~kSendFlags) != 0) return Route::workers;
      return waiting_on(a[0], SO_SNDTIMEO);
    case SYS_accept:
    case SYS_accept4:
      return waiting_on(a[0], SO_RCVTIMEO);
    case SYS_connect:
      return a[2] > kMost32 ? Route::workers : waiting_on(a[0], SO_SNDTIMEO);
    case SYS_read:
      return read(slot);
    case SYS_write:
      return write(slot);
    case SYS_readv:
      return read_vector(slot);
    case SYS_writev:
      return write_vector(slot);
    case SYS_pread64:
    case SYS_pwrite64:
      return positioned(slot, kMostBytes, slot.call.nr == SYS_pread64);
    case SYS_preadv:
    case SYS_pwritev:
      return positioned(slot, kMostVectors, slot.call.nr == SYS_preadv);
    case SYS_open:
    case SYS_creat:
    case SYS_openat:
    case SYS_openat2:
      return open(slot);
    case SYS_poll:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return poll(slot);
    case SYS_splice:
      if (a[1] != 0 || a[3] != 0 || !fits(a[4]) || a[5] > 15) return Route::workers;
      return Route::ring;
    case SYS_tee:
      return fits(a[2]) && a[3] <= 15 ? Route::ring : Route::workers;
    case SYS_fadvise64:
      return a[2] <= kMost32 ? Route::ring : Route::workers;
    case SYS_ftruncate:
      return static_cast<std::int64_t>(a[1]) < 0 ? Route::carrier : if_has(kOperationFtruncate);
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_fallocate:
      return Route::ring;
    case SYS_statx:
      // Without a name, newer kernels mean the descriptor, by the call alone.
      return a[1] != 0 && may_stat(a[2], a[3]) ? Route::ring : Route::workers;
    case SYS_unlinkat:
      return a[2] == 0 || a[2] == AT_REMOVEDIR ? Route::ring : Route::workers;
    case SYS_renameat2:
      return may_rename(a[4]) ? Route::ring : Route::workers;
    case SYS_linkat:
      return (a[4] & ~std::uint64_t{AT_SYMLINK_FOLLOW}) == 0 ? Route::ring : Route::workers;
    case SYS_unlink:
    case SYS_rmdir:
    case SYS_rename:
    case SYS_renameat:
    case SYS_mkdir:
    case SYS_mkdirat:
    case SYS_symlink:
    case SYS_symlinkat:
    case SYS_link:
      return Route::ring;
    default:
      return prospect_of(slot.call) == Prospect::at_once ? Route::carrier : Route::workers;
  }
}

namespace {

/// Whether the operation of this call tells this fault where the call tells another one, which it
/// looks for first. It has done nothing then, and the call itself is made.
bool may_be_another_fault(const RingCall& slot, long result) noexcept {
  switch (slot.call.nr) {
    case SYS_rename:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_link:
    case SYS_linkat:
      // Of the second name, which is read before the first one is looked up.
      return result == -EFAULT || result == -ENOENT || result == -ENAMETOOLONG;
    case SYS_recvmsg:
    case SYS_sendmsg:
      // In Linux 6.1 and 6.12, of too many pieces, which are EMSGSIZE.
      return result == -EINVAL;
    case SYS_sendto:
      // In Linux 6.1 the call looks at the address before it looks at the descriptor.
      return slot.before == 0 && (result == -EBADF || result == -ENOTSOCK);
    default:
      return false;
  }
}

}  // namespace

RingCalls::Next RingCalls::completed(RingCall& slot, long& result) {
  if (slot.shape == RingCall::Shape::poll) return polled(slot, result);
  // What sleeps in a thread of the kernel is got out of it like by a signal.
  if (slot.cancelled && result == -EINTR) result = -ECANCELED;
  if (slot.guessed && result == -ENOTSOCK) {
    if (slot.call.args[0] < sockets_.size()) sockets_[slot.call.args[0]] = false;
    slot.guessed = false;
    slot.shape = RingCall::Shape::plain;
    return slot.cancelled ? Next::complete : Next::workers;
  }
  if (may_be_another_fault(slot, result)) return slot.cancelled ? Next::complete : Next::workers;
  return slot.shape == RingCall::Shape::plain ? Next::complete : sent(slot, result);
}

RingCalls::Next RingCalls::sent(RingCall& slot, long& result) {
  auto& a = slot.call.args;
  if (slot.shape == RingCall::Shape::rest) {
    if (slot.before > 0) result = slot.before + std::max(result, 0L);
    return Next::complete;
  }
  const bool whole = result == static_cast<long>(a[2]);
  if (whole || (result < 0 && result != -EAGAIN) || slot.cancelled) {
    if (slot.cancelled && result == -EAGAIN) result = -ECANCELED;
    return Next::complete;
  }
  const Route route = waiting_on(a[0], SO_SNDTIMEO);
  if (route == Route::carrier) return Next::complete;  // it may not wait: that is its result
  slot.before = std::max(result, 0L);
  slot.shape = RingCall::Shape::rest;
  a[1] += static_cast<std::uint64_t>(slot.before);
  a[2] -= static_cast<std::uint64_t>(slot.before);
  return route == Route::ring ? Next::again : Next::workers;
}

RingCalls::Next RingCalls::polled(RingCall& slot, long& result) {
  if (slot.cancelled && result < 0) {
    result = -ECANCELED;
    return Next::complete;
  }
  Call look = slot.call;
  look.args[slot.call.nr == SYS_poll ? 2 : 3] = 0;
  const bool over = result == -ECANCELED;  // its time
  const bool failed = result < 0 && !over;
  result = ask(look);
  if (result != 0 || over) return Next::complete;
  // Somebody else was faster; or the descriptor has changed, which the call itself is told.
  return failed ? Next::workers : Next::again;
}

}  // namespace flexsc::detail
