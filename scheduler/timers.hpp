// SPDX-License-Identifier: MIT
/// @file
/// The timers of one carrier: a binary heap of timers that live on fibers' stacks.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

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

  [[nodiscard]] bool pending() const noexcept { return index_ != kNowhere; }

 protected:
  ~Timer() = default;

 private:
  friend class TimerHeap;
  static constexpr std::size_t kNowhere = SIZE_MAX;

  Clock::time_point when_;
  std::uint64_t order_ = 0;  ///< equal times expire in the order of add()
  std::size_t index_ = kNowhere;
};

/// Not synchronised. add() and remove() in logarithmic time.
class TimerHeap {
 public:
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  /// When the next timer expires; there must be one.
  [[nodiscard]] Clock::time_point next() const noexcept { return heap_.front()->when_; }

  /// @throws std::bad_alloc
  void add(Timer& timer);
  /// Takes a pending timer out.
  void remove(Timer& timer) noexcept;
  /// Expires every timer whose time is not after `now`; returns how many.
  std::size_t expire(Clock::time_point now) noexcept;

 private:
  [[nodiscard]] static bool before(const Timer& a, const Timer& b) noexcept;
  void place(Timer& timer, std::size_t index) noexcept;
  void up(std::size_t index) noexcept;
  void down(std::size_t index) noexcept;

  std::vector<Timer*> heap_;
  std::uint64_t order_ = 0;
};

}  // namespace flexsc::detail
