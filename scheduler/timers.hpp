// SPDX-License-Identifier: MIT
/// @file
/// The timers of one carrier: a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986) of
/// timers that live on fibers' stacks.
///
/// Most timers are set for a time later than all others' and cancelled before it: both are a
/// few instructions then, whatever the number of timers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace flexsc::detail {

using Clock = std::chrono::steady_clock;

/// Something to do at a time. Lives on the stack of the fiber that set it, which removes
/// it, if it has not expired, before it leaves that stack frame.
class Timer {
 public:
  explicit Timer(Clock::time_point when) noexcept : when_(when) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Called by the carrier, outside of fibers, after the timer has left the heap.
  virtual void expire() noexcept = 0;

  [[nodiscard]] bool pending() const noexcept { return pending_; }

 protected:
  ~Timer() = default;

 private:
  friend class TimerHeap;

  Clock::time_point when_;
  std::uint64_t order_ = 0;  ///< equal times expire in the order of add()
  Timer* child_ = nullptr;   ///< the first; none expires before this one
  Timer* next_ = nullptr;    ///< sibling
  Timer* before_ = nullptr;  ///< the sibling before, or the parent of a first child
  bool pending_ = false;
};

/// Not synchronised. Allocates nothing. add() in constant time; remove() and the expiry of one
/// timer in logarithmic time, amortised.
class TimerHeap {
 public:
  [[nodiscard]] bool empty() const noexcept { return root_ == nullptr; }
  /// When the next timer expires; there must be one.
  [[nodiscard]] Clock::time_point next() const noexcept { return root_->when_; }

  void add(Timer& timer) noexcept;
  /// Takes a pending timer out.
  void remove(Timer& timer) noexcept;
  /// Expires every timer whose time is not after `now`; returns how many.
  std::size_t expire(Clock::time_point now) noexcept;

 private:
  [[nodiscard]] static Timer* meld(Timer* a, Timer* b) noexcept;
  [[nodiscard]] static Timer* meld_all(Timer* first) noexcept;

  Timer* root_ = nullptr;
  std::uint64_t order_ = 0;
};

}  // namespace flexsc::detail
