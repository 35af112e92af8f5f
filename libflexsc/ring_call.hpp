// SPDX-License-Identifier: MIT
/// @file
/// Which system calls become operations of io_uring, and how. Only those do whose operation has
/// the result, the errno and the side effects of the direct call; what is different is said at
/// each of them in ring_call.cpp.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "flexsc/call.hpp"
#include "ring.hpp"

namespace flexsc::detail {

/// In liburing's header only later than in the kernel.
inline constexpr unsigned char kOperationFtruncate = 55;

/// Who makes a call.
enum class Route : std::uint8_t {
  ring,     ///< it becomes an operation
  carrier,  ///< the calling thread, at once: it does not wait
  done,     ///< it has been made
  workers,  ///< the threads of the engine
};

/// A call that is, or may become, an operation, and what that needs until it completes.
struct RingCall {
  enum class Shape : std::uint8_t {
    plain,      ///< the operation's result is the call's
    first_try,  ///< of a transfer to a socket: it does not wait
    rest,       ///< what the first try has left of it
    poll,       ///< waits for one descriptor; then the call itself is made
  };

  Call call;
  Shape shape = Shape::plain;
  bool in_ring = false;    ///< an operation is in flight
  bool cancelled = false;  ///< ... that was told to end
  bool forwarded = false;  ///< the workers have the call
  bool apart = false;      ///< to be made in a thread of the kernel from the start
  bool guessed = false;    ///< a read or write as a transfer of a socket, if it is one
  std::uint8_t pool = 0;
  long result = 0;                              ///< of a call that is done
  long before = 0;                              ///< bytes that went in the first try
  std::chrono::steady_clock::time_point until;  ///< of a poll with a time limit
  msghdr message{};
  __kernel_timespec span{};
};

/// Whether a file that was opened like this can be read, or written. It is the first thing that a
/// call looks at, and after the caller's memory an operation's.
inline bool may_transfer(long flags, bool reads) noexcept {
  if ((flags & O_PATH) != 0) return false;
  return (flags & O_ACCMODE) != (reads ? O_WRONLY : O_RDONLY);
}

/// Chooses and prepares. One thread at a time.
class RingCalls {
 public:
  /// `plain`: see EngineOptions::plain_descriptors.
  RingCalls(const RingOperations& operations, bool plain)
      : operations_(operations), plain_(plain) {}

  /// Decides who makes `slot.call`, and in which shape. May ask the kernel about its descriptor.
  [[nodiscard]] Route route(RingCall& slot);
  /// Fills the operation of a call whose route is the ring.
  static void prepare(RingCall& slot, io_uring_sqe& sqe);
  /// Whether a poll has a time limit, which goes in a second operation that is linked to it.
  [[nodiscard]] static bool limited(const RingCall& slot) noexcept;
  static void prepare_limit(RingCall& slot, io_uring_sqe& sqe);

  enum class Next : std::uint8_t { complete, again, workers };
  /// What follows a completion: the call's `result` is there, there is another operation to be
  /// prepared, or the workers are to make it.
  [[nodiscard]] Next completed(RingCall& slot, long& result);

  /// Calls made and questions asked in the carrier's thread.
  [[nodiscard]] std::uint64_t crossings() const noexcept { return crossings_; }

 private:
  long ask(const Call& call) noexcept;
  [[nodiscard]] Route waiting_on(std::uint64_t fd, int time_limit);
  [[nodiscard]] long flags_of(std::uint64_t fd);
  [[nodiscard]] bool nonblocking(std::uint64_t fd);
  [[nodiscard]] Route pipe(std::uint64_t fd, bool reads);
  [[nodiscard]] bool any_bytes(std::uint64_t vectors, std::uint64_t count);
  [[nodiscard]] bool type_of(std::uint64_t fd, unsigned& type);
  [[nodiscard]] bool seems_socket(std::uint64_t fd) const noexcept;
  void remember_socket(std::uint64_t fd);
  [[nodiscard]] bool keeps_records(std::uint64_t fd);
  [[nodiscard]] Route receive(std::uint64_t fd, std::uint64_t flags, std::uint64_t allowed);
  [[nodiscard]] Route read(RingCall& slot);
  [[nodiscard]] Route write(RingCall& slot);
  [[nodiscard]] Route read_vector(const RingCall& slot);
  [[nodiscard]] Route write_vector(const RingCall& slot);
  [[nodiscard]] Route positioned(const RingCall& slot, std::uint64_t most, bool reads);
  [[nodiscard]] Route open(RingCall& slot);
  [[nodiscard]] Route poll(RingCall& slot);
  [[nodiscard]] Next sent(RingCall& slot, long& result);
  [[nodiscard]] Next polled(RingCall& slot, long& result);

  const RingOperations& operations_;
  const bool plain_;
  std::uint64_t crossings_ = 0;
  std::vector<bool> sockets_;  ///< by descriptor; a guess, since descriptors are used again
};

}  // namespace flexsc::detail
