// SPDX-License-Identifier: MIT
/// @file
/// Counting semaphore for fibers and plain threads, in the shape of std::counting_semaphore.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>

#include "flexsc/detail/wait_queue.hpp"

namespace flexsc {

/// A number of permits. Fair: who waits longest gets the next one. Waiting is a cancellation
/// point; a permit that was handed over is never lost by it. May be destroyed once the last
/// acquire() has returned, while the release() that ended it is still on its way out.
class CountingSemaphore {
 public:
  /// @throws std::system_error (EINVAL) when `permits` is negative
  explicit CountingSemaphore(std::ptrdiff_t permits);
  CountingSemaphore(const CountingSemaphore&) = delete;
  CountingSemaphore& operator=(const CountingSemaphore&) = delete;
  ~CountingSemaphore() = default;

  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept {
    return std::numeric_limits<std::ptrdiff_t>::max();
  }

  /// @throws std::system_error: EINVAL for a negative number, EOVERFLOW beyond max(); then
  /// nothing was released.
  void release(std::ptrdiff_t permits = 1);
  void acquire() { (void)acquire_until(detail::kForEver); }
  [[nodiscard]] bool try_acquire() noexcept;
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> duration) {
    return acquire_until(detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(std::chrono::time_point<Clock, Duration> when) {
    return acquire_until(detail::deadline_at(when));
  }

 private:
  [[nodiscard]] bool acquire_until(detail::Deadline until);

  detail::WaitQueue waiters_;
  std::ptrdiff_t permits_;  ///< guarded by waiters_.guard; zero while anyone waits
};

using BinarySemaphore = CountingSemaphore;

}  // namespace flexsc
