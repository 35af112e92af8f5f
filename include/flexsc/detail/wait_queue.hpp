// SPDX-License-Identifier: MIT
/// @file
/// What every synchronisation object is built on, so that it needs no memory of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <mutex>

namespace flexsc::detail {

struct WaitNode;

/// Waiters in order of arrival. Protected by a guard, see WaitQueue. The members are in
/// scheduler/waiter.cpp.
class WaitList {
 public:
  WaitList() = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() = default;

  void push(WaitNode& node) noexcept;
  void push_front(WaitNode& node) noexcept;
  /// Takes off the longest waiting whose wait ends by this, or null; those whose wait has
  /// ended otherwise are taken off on the way. The caller owes it Waiter::wake(), after it
  /// has let the guard go.
  [[nodiscard]] WaitNode* pop() noexcept;
  /// At most so many, as a chain by WaitNode::next, the longest waiting first.
  [[nodiscard]] WaitNode* take(std::size_t most) noexcept;
  [[nodiscard]] WaitNode* take_all() noexcept {
    return take(std::numeric_limits<std::size_t>::max());
  }
  /// Takes it off if it is still there.
  void remove(WaitNode& node) noexcept;
  [[nodiscard]] WaitNode* front() const noexcept { return head_; }
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  WaitNode* head_ = nullptr;
  WaitNode* tail_ = nullptr;
  std::size_t size_ = 0;
};

/// With its guard, which protects the list and the object's own state. It is held for a few
/// instructions and never over a switch or a wake-up. A leaf: no other lock is taken under
/// it, but for a select, which takes those of its channels in the order of their addresses.
class WaitQueue : public WaitList {
 public:
  std::mutex guard;
};

/// The time until which a wait lasts, on the clock of the carriers' timers. The standard's
/// timed functions take any clock and any duration; beyond the end of time is for ever.
using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline kForEver = Deadline::max();

template <class Rep, class Period>
[[nodiscard]] Deadline deadline_after(std::chrono::duration<Rep, Period> duration) {
  const Deadline now = Deadline::clock::now();
  // In floating point, where no duration overflows; a minute of slack for its rounding.
  const std::chrono::duration<double> wanted(duration);
  if (wanted >= std::chrono::duration<double>(kForEver - now) - std::chrono::minutes(1)) {
    return kForEver;
  }
  if (wanted <= std::chrono::duration<double>::zero()) return now;
  return now + std::chrono::ceil<Deadline::duration>(duration);
}

/// Another clock may be set while the wait lasts; who gave it looks at it again after it.
template <class Clock, class Duration>
[[nodiscard]] Deadline deadline_at(std::chrono::time_point<Clock, Duration> when) {
  return deadline_after(when - Clock::now());
}
template <class Duration>
[[nodiscard]] Deadline deadline_at(
    std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
  return std::chrono::ceil<Deadline::duration>(when);
}

}  // namespace flexsc::detail
