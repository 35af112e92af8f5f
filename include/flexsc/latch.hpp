// SPDX-License-Identifier: MIT
/// @file
/// Waiting for a number of events, among fibers and plain threads: Latch in the shape of
/// std::latch, and WaitGroup, whose number can grow.
#pragma once

#include <chrono>
#include <cstddef>

#include "flexsc/detail/wait_queue.hpp"

namespace flexsc {

/// A number of things under way, and waiting until there are none. Reusable. May be destroyed
/// once wait() has returned and nobody else uses it, while the done() that ended the wait is
/// still on its way out.
class WaitGroup {
 public:
  explicit WaitGroup(std::size_t count = 0) noexcept : count_(count) {}
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;
  ~WaitGroup() = default;

  /// Before what it counts begins. @throws std::system_error (EOVERFLOW)
  void add(std::size_t count = 1);
  /// @throws std::system_error (EINVAL) when fewer are under way; then nothing has changed.
  void done(std::size_t count = 1);
  /// Until none is under way. A cancellation point.
  void wait() { (void)wait_until_deadline(detail::kForEver); }
  /// Whether none is under way, without waiting.
  [[nodiscard]] bool try_wait() const noexcept;
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> duration) {
    return wait_until_deadline(detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> when) {
    return wait_until_deadline(detail::deadline_at(when));
  }

 private:
  [[nodiscard]] bool wait_until_deadline(detail::Deadline until);

  mutable detail::WaitQueue waiters_;
  std::size_t count_;  ///< guarded by waiters_.guard
};

/// A WaitGroup that only counts down, once.
class Latch {
 public:
  /// @throws std::system_error (EINVAL) when `count` is negative
  explicit Latch(std::ptrdiff_t count);
  /// @throws std::system_error (EINVAL) when it is negative or more than is left
  void count_down(std::ptrdiff_t count = 1);
  [[nodiscard]] bool try_wait() const noexcept { return group_.try_wait(); }
  void wait() { group_.wait(); }
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> duration) {
    return group_.wait_for(duration);
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> when) {
    return group_.wait_until(when);
  }
  void arrive_and_wait(std::ptrdiff_t count = 1) {
    count_down(count);
    wait();
  }

 private:
  WaitGroup group_;
};

}  // namespace flexsc
