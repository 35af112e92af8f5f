// SPDX-License-Identifier: MIT
/// @file
/// Barrier for fibers and plain threads, in the shape of std::barrier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "flexsc/detail/wait_queue.hpp"

namespace flexsc {

namespace detail {

/// The barrier without its completion.
class BarrierCore {
 public:
  /// @throws std::system_error (EINVAL) when `expected` is negative
  explicit BarrierCore(std::ptrdiff_t expected);
  BarrierCore(const BarrierCore&) = delete;
  BarrierCore& operator=(const BarrierCore&) = delete;
  ~BarrierCore() = default;

  /// The phase that was arrived at. `complete` is called by the last one that arrives, before
  /// anybody goes on.
  std::uint64_t arrive(std::ptrdiff_t count, bool drop, void (*complete)(void*), void* with);
  void wait(std::uint64_t phase);

 private:
  WaitQueue waiters_;
  // Guarded by waiters_.guard.
  std::ptrdiff_t expected_;  ///< in the next phase
  std::ptrdiff_t missing_;   ///< in this one
  std::uint64_t phase_ = 0;
};

}  // namespace detail

/// A number of participants that wait for each other, again and again. The last one to arrive
/// calls the completion, which must not throw; then all go on.
/// wait() is a cancellation point: a participant that is cancelled there has arrived, and
/// leaves for good with arrive_and_drop() in the next phase, if it wants the others to go on.
template <class Completion = void (*)()>
class Barrier {
 public:
  class ArrivalToken {
    friend class Barrier;
    explicit ArrivalToken(std::uint64_t phase) noexcept : phase_(phase) {}
    std::uint64_t phase_;
  };

  /// @throws std::system_error (EINVAL) when `expected` is negative
  explicit Barrier(
      std::ptrdiff_t expected, Completion completion = [] {})
      : core_(expected), completion_(std::move(completion)) {}

  /// @throws std::system_error (EINVAL) when `count` is not 1 to what is still missing
  [[nodiscard]] ArrivalToken arrive(std::ptrdiff_t count = 1) {
    return ArrivalToken(core_.arrive(count, false, &Barrier::complete, &completion_));
  }
  /// Until the phase of the token is over. Its token is of this phase or of the one before.
  void wait(ArrivalToken token) { core_.wait(token.phase_); }
  void arrive_and_wait() { wait(arrive()); }
  /// Arrives, and is one less from the next phase on.
  void arrive_and_drop() { (void)core_.arrive(1, true, &Barrier::complete, &completion_); }

 private:
  static void complete(void* completion) { (*static_cast<Completion*>(completion))(); }

  detail::BarrierCore core_;
  Completion completion_;
};

}  // namespace flexsc
