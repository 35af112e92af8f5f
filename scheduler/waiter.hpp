// SPDX-License-Identifier: MIT
/// @file
/// Waiting, by fibers and by plain threads alike.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "timers.hpp"

namespace flexsc::detail {

class FiberControl;
struct WaitQueue;

/// Identity of the caller for ownership of a mutex: its fiber, or its thread.
[[nodiscard]] const void* caller_identity() noexcept;

/// Where a plain thread blocks.
struct ThreadPark {
  std::mutex mutex;
  std::condition_variable woken_changed;
  bool woken = false;
};

/// The caller, waiting for one wake-up. Lives on the caller's stack.
///
/// Exactly one wake() must be made for each wait(); it may come first. It ends the
/// waker's right to touch the Waiter or anything that the woken caller may destroy.
class Waiter {
 public:
  Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() = default;

  /// Parks the fiber or blocks the thread until wake().
  void wait() noexcept;

  /// As wait(), but gives up at `when` if the waiter is then still on `queue`: takes it
  /// off and returns false. @throws std::bad_alloc (no room for a timer; still queued)
  [[nodiscard]] bool wait_until(Clock::time_point when, WaitQueue& queue);

  /// Takes it off `queue` if it is still there, and says so. If not, somebody took it off
  /// and owes it a wake-up.
  [[nodiscard]] bool leave(WaitQueue& queue) noexcept;

  /// From any thread.
  void wake() noexcept;

  [[nodiscard]] const void* identity() const noexcept { return identity_; }
  /// The next of a chain that WaitQueue::take_all() returned.
  [[nodiscard]] Waiter* next() const noexcept { return next_; }

 private:
  friend struct WaitQueue;
  FiberControl* fiber_;
  const void* identity_;
  std::optional<ThreadPark> thread_;  ///< in a plain thread
  // Guarded by the guard of the queue it is on.
  Waiter* next_ = nullptr;
  Waiter* previous_ = nullptr;
  bool queued_ = false;
};

/// Waiters in order of arrival, and the owner if it is a mutex's. `guard` is held for a
/// few instructions and never over a switch or a wake-up.
struct WaitQueue {
  std::mutex guard;
  const void* owner = nullptr;

  // With guard held.
  void push(Waiter& waiter) noexcept;
  /// The longest waiting, or null. Whoever takes it off owes it the wake-up.
  [[nodiscard]] Waiter* pop() noexcept;
  /// All of them, as a chain, the longest waiting first.
  [[nodiscard]] Waiter* take_all() noexcept;
  /// Takes it off if it is still there.
  [[nodiscard]] bool remove(Waiter& waiter) noexcept;
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

 private:
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

}  // namespace flexsc::detail
