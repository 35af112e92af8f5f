// SPDX-License-Identifier: MIT
// How calls are written down as operations.
#include "ring_call.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#include <algorithm>

namespace flexsc::detail {

namespace {

/// The position of a file that has one, for operations that go on from there.
constexpr std::uint64_t kNoOffset = ~std::uint64_t{0};

std::uint64_t address_of(const void* object) noexcept {
  return reinterpret_cast<std::uint64_t>(object);
}
constexpr std::uint32_t low(std::uint64_t value) noexcept {
  return static_cast<std::uint32_t>(value);
}

/// The fields that most operations share.
void fill(io_uring_sqe& sqe, unsigned operation, std::uint64_t fd, std::uint64_t address,
          std::uint64_t length, std::uint64_t offset, std::uint64_t flags = 0) noexcept {
  sqe.opcode = static_cast<__u8>(operation);
  sqe.fd = static_cast<int>(fd);
  sqe.addr = address;
  sqe.len = low(length);
  sqe.off = offset;
  sqe.rw_flags = static_cast<__kernel_rwf_t>(flags);
}

void prepare_receive(io_uring_sqe& sqe, const Call& call, std::uint64_t flags) noexcept {
  fill(sqe, IORING_OP_RECV, call.args[0], call.args[1], call.args[2], 0, flags);
  // A connection seldom has the next request by the time the answer is sent. And what is there but
  // less than SO_RCVLOWAT is not taken.
  sqe.ioprio = IORING_RECVSEND_POLL_FIRST;
}

/// Of a send, MSG_WAITALL says that it goes on until all is sent.
void prepare_send(io_uring_sqe& sqe, const RingCall& slot, std::uint64_t flags) noexcept {
  flags |= slot.shape == RingCall::Shape::first_try ? MSG_DONTWAIT : MSG_WAITALL;
  fill(sqe, IORING_OP_SEND, slot.call.args[0], slot.call.args[1], slot.call.args[2], 0, flags);
}

void prepare_poll(io_uring_sqe& sqe, const Call& call) noexcept {
  sqe.opcode = IORING_OP_POLL_ADD;
  if (call.nr == SYS_poll) {
    // Read by the kernel before.
    const auto* const entry =
        reinterpret_cast<const pollfd*>(call.args[0]);  // NOLINT(performance-no-int-to-ptr)
    sqe.fd = entry->fd;
    sqe.poll32_events = static_cast<std::uint16_t>(entry->events);
  } else {
    sqe.fd = static_cast<int>(call.args[0]);
    sqe.poll32_events = POLLIN;
  }
}

void prepare_named(io_uring_sqe& sqe, const Call& call) noexcept {
  const auto& a = call.args;
  constexpr std::uint64_t here = low(static_cast<std::uint64_t>(AT_FDCWD));
  switch (call.nr) {
    case SYS_unlink:
      return fill(sqe, IORING_OP_UNLINKAT, here, a[0], 0, 0);
    case SYS_rmdir:
      return fill(sqe, IORING_OP_UNLINKAT, here, a[0], 0, 0, AT_REMOVEDIR);
    case SYS_unlinkat:
      return fill(sqe, IORING_OP_UNLINKAT, a[0], a[1], 0, 0, a[2]);
    case SYS_rename:
      return fill(sqe, IORING_OP_RENAMEAT, here, a[0], here, a[1]);
    case SYS_renameat:
      return fill(sqe, IORING_OP_RENAMEAT, a[0], a[1], a[2], a[3]);
    case SYS_renameat2:
      return fill(sqe, IORING_OP_RENAMEAT, a[0], a[1], a[2], a[3], a[4]);
    case SYS_mkdir:
      return fill(sqe, IORING_OP_MKDIRAT, here, a[0], a[1], 0);
    case SYS_mkdirat:
      return fill(sqe, IORING_OP_MKDIRAT, a[0], a[1], a[2], 0);
    case SYS_symlink:
      return fill(sqe, IORING_OP_SYMLINKAT, here, a[0], 0, a[1]);
    case SYS_symlinkat:
      return fill(sqe, IORING_OP_SYMLINKAT, a[1], a[0], 0, a[2]);
    case SYS_link:
      return fill(sqe, IORING_OP_LINKAT, here, a[0], here, a[1]);
    case SYS_linkat:
      return fill(sqe, IORING_OP_LINKAT, a[0], a[1], a[2], a[3], a[4]);
    case SYS_open:
      return fill(sqe, IORING_OP_OPENAT, here, a[0], a[2], 0, a[1]);
    case SYS_creat:
      return fill(sqe, IORING_OP_OPENAT, here, a[0], a[1], 0, O_CREAT | O_WRONLY | O_TRUNC);
    case SYS_openat:
      return fill(sqe, IORING_OP_OPENAT, a[0], a[1], a[3], 0, a[2]);
    case SYS_openat2:
      return fill(sqe, IORING_OP_OPENAT2, a[0], a[1], a[3], a[2]);
    default:  // SYS_statx
      return fill(sqe, IORING_OP_STATX, a[0], a[1], a[3], a[4], a[2]);
  }
}

void prepare_splice(io_uring_sqe& sqe, unsigned operation, std::uint64_t in, std::uint64_t out,
                    std::uint64_t bytes, std::uint64_t flags) noexcept {
  fill(sqe, operation, out, 0, bytes, 0, flags);
  if (operation == IORING_OP_SPLICE) {
    sqe.off = kNoOffset;
    sqe.splice_off_in = kNoOffset;
  }
  sqe.splice_fd_in = static_cast<int>(in);
}

}  // namespace

void RingCalls::prepare(RingCall& slot, io_uring_sqe& sqe) {
  const Call& call = slot.call;
  const auto& a = call.args;
  switch (call.nr) {
    case SYS_recvfrom:
      return prepare_receive(sqe, call, a[3]);
    case SYS_recvmsg:
      fill(sqe, IORING_OP_RECVMSG, a[0], a[1], 1, 0, a[2]);
      sqe.ioprio = IORING_RECVSEND_POLL_FIRST;
      return;
    case SYS_sendto:
      return prepare_send(sqe, slot, a[3]);
    case SYS_sendmsg:
      return fill(sqe, IORING_OP_SENDMSG, a[0], a[1], 1, 0, a[2] | MSG_WAITALL);
    case SYS_accept:
      return fill(sqe, IORING_OP_ACCEPT, a[0], a[1], 0, a[2]);
    case SYS_accept4:
      return fill(sqe, IORING_OP_ACCEPT, a[0], a[1], 0, a[2], a[3]);
    case SYS_connect:
      return fill(sqe, IORING_OP_CONNECT, a[0], a[1], 0, low(a[2]));
    case SYS_read:
      if (slot.guessed) return prepare_receive(sqe, call, 0);
      return fill(sqe, IORING_OP_READ, a[0], a[1], a[2], kNoOffset);
    case SYS_write:
      if (slot.guessed) return prepare_send(sqe, slot, 0);
      return fill(sqe, IORING_OP_WRITE, a[0], a[1], a[2], kNoOffset);
    case SYS_readv:
      return fill(sqe, IORING_OP_READV, a[0], a[1], a[2], kNoOffset);
    case SYS_writev:
      // NOLINTNEXTLINE(performance-no-int-to-ptr)
      slot.message.msg_iov = reinterpret_cast<iovec*>(a[1]);
      slot.message.msg_iovlen = a[2];
      return fill(sqe, IORING_OP_SENDMSG, a[0], address_of(&slot.message), 1, 0, MSG_WAITALL);
    case SYS_pread64:
      return fill(sqe, IORING_OP_READ, a[0], a[1], a[2], a[3]);
    case SYS_pwrite64:
      return fill(sqe, IORING_OP_WRITE, a[0], a[1], a[2], a[3]);
    case SYS_preadv:
      return fill(sqe, IORING_OP_READV, a[0], a[1], a[2], a[3]);
    case SYS_pwritev:
      return fill(sqe, IORING_OP_WRITEV, a[0], a[1], a[2], a[3]);
    case SYS_poll:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return prepare_poll(sqe, call);
    case SYS_splice:
      return prepare_splice(sqe, IORING_OP_SPLICE, a[0], a[2], a[4], a[5]);
    case SYS_tee:
      return prepare_splice(sqe, IORING_OP_TEE, a[0], a[1], a[2], a[3]);
    case SYS_fsync:
      return fill(sqe, IORING_OP_FSYNC, a[0], 0, 0, 0);
    case SYS_fdatasync:
      return fill(sqe, IORING_OP_FSYNC, a[0], 0, 0, 0, IORING_FSYNC_DATASYNC);
    case SYS_fallocate:
      return fill(sqe, IORING_OP_FALLOCATE, a[0], a[3], a[1], a[2]);
    case SYS_fadvise64:
      return fill(sqe, IORING_OP_FADVISE, a[0], 0, a[2], a[1], a[3]);
    case SYS_ftruncate:
      return fill(sqe, kOperationFtruncate, a[0], 0, 0, a[1]);
    default:
      prepare_named(sqe, call);
      if (slot.apart) sqe.flags |= IOSQE_ASYNC;
  }
}

bool RingCalls::limited(const RingCall& slot) noexcept {
  return slot.shape == RingCall::Shape::poll &&
         slot.until != std::chrono::steady_clock::time_point::max();
}

void RingCalls::prepare_limit(RingCall& slot, io_uring_sqe& sqe) {
  using std::chrono::nanoseconds;
  const nanoseconds left =
      std::max<nanoseconds>(slot.until - std::chrono::steady_clock::now(), nanoseconds(0));
  slot.span.tv_sec = left.count() / 1'000'000'000;
  slot.span.tv_nsec = left.count() % 1'000'000'000;
  fill(sqe, IORING_OP_LINK_TIMEOUT, static_cast<std::uint64_t>(-1), address_of(&slot.span), 1, 0);
}

}  // namespace flexsc::detail
