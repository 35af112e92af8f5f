// SPDX-License-Identifier: MIT
// What is asked of the kernel, in the carrier, before a call gets its route.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "ring_call.hpp"

namespace flexsc::detail {

namespace {
/// Descriptors above are not remembered.
constexpr std::uint64_t kRemembered = 1U << 16;
}  // namespace

/// In the calling thread.
long RingCalls::ask(const Call& call) noexcept {
  ++crossings_;
  return execute(call);
}

/// The flags that a descriptor was opened with; negative: there is none.
long RingCalls::flags_of(std::uint64_t fd) {
  return ask(make_call(SYS_fcntl, fd, F_GETFL));
}

/// Whether it is in non-blocking mode, or none at all.
bool RingCalls::nonblocking(std::uint64_t fd) {
  const long flags = flags_of(fd);
  return flags < 0 || (flags & O_NONBLOCK) != 0;
}

/// A transfer of a pipe.
Route RingCalls::pipe(std::uint64_t fd, bool reads) {
  const long flags = flags_of(fd);
  return flags >= 0 && (flags & O_NONBLOCK) == 0 && may_transfer(flags, reads) ? Route::ring
                                                                               : Route::carrier;
}

/// Whether these pieces have bytes. False also if they are not there to be read, which the call is
/// told at once.
bool RingCalls::any_bytes(std::uint64_t vectors, std::uint64_t count) {
  std::array<iovec, 8> some;
  const long self = getpid();
  while (count != 0) {
    const std::uint64_t part = std::min<std::uint64_t>(count, some.size());
    const auto bytes = static_cast<long>(part * sizeof(iovec));
    const iovec here{some.data(), static_cast<std::size_t>(bytes)};
    const iovec there{reinterpret_cast<void*>(vectors),  // NOLINT(performance-no-int-to-ptr)
                      static_cast<std::size_t>(bytes)};
    // The caller's memory may not be there. This reads it like the call does.
    if (ask(make_call(SYS_process_vm_readv, self, &here, 1, &there, 1, 0)) != bytes) return false;
    for (std::uint64_t i = 0; i < part; ++i) {
      if (some[i].iov_len != 0) return true;
    }
    vectors += static_cast<std::uint64_t>(bytes);
    count -= part;
  }
  return false;
}

/// A call on a socket that may wait, for as long as the option `time_limit` says.
Route RingCalls::waiting_on(std::uint64_t fd, int time_limit) {
  if (plain_) return Route::ring;
  if (nonblocking(fd)) return Route::carrier;
  timeval limit{};
  socklen_t length = sizeof limit;
  // What is no socket fails at once.
  if (ask(make_call(SYS_getsockopt, fd, SOL_SOCKET, time_limit, &limit, &length)) < 0) {
    return Route::carrier;
  }
  return limit.tv_sec != 0 || limit.tv_usec != 0 ? Route::workers : Route::ring;
}

/// The type of a descriptor's file, as in st_mode. False: it has none.
bool RingCalls::type_of(std::uint64_t fd, unsigned& type) {
  struct stat status {};
  if (ask(make_call(SYS_fstat, fd, &status)) < 0) return false;
  type = status.st_mode & S_IFMT;
  return true;
}

bool RingCalls::seems_socket(std::uint64_t fd) const noexcept {
  return fd < sockets_.size() && sockets_[fd];
}

void RingCalls::remember_socket(std::uint64_t fd) {
  if (fd >= kRemembered) return;
  if (fd >= sockets_.size()) sockets_.resize(fd + 1);
  sockets_[fd] = true;
}

/// Whether a write to this socket ends a record, which a send does not (SOCK_SEQPACKET).
bool RingCalls::keeps_records(std::uint64_t fd) {
  int type = 0;
  socklen_t length = sizeof type;
  const long error = ask(make_call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length));
  return error < 0 || (type != SOCK_STREAM && type != SOCK_DGRAM);
}

}  // namespace flexsc::detail
