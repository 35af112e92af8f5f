// SPDX-License-Identifier: MIT
/// @file
/// Synchronisation for fibers, usable from plain threads as well (which block). Shapes
/// of the C++ standard library, so std::unique_lock and std::lock_guard work.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

namespace flexsc {

namespace detail {
struct WaitQueue;
}

/// Mutual exclusion; fair (first come, first served). Not recursive: locking a mutex
/// that the caller holds throws std::system_error (EDEADLK).
class Mutex {
 public:
  Mutex();
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex();
  void lock();
  [[nodiscard]] bool try_lock();
  /// @throws std::system_error (EPERM) when the caller does not hold it.
  void unlock();

 private:
  std::unique_ptr<detail::WaitQueue> waiters_;
};

/// Condition variable for flexsc::Mutex.
class ConditionVariable {
 public:
  ConditionVariable();
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;
  ~ConditionVariable();
  void notify_one();
  void notify_all();
  void wait(std::unique_lock<Mutex>& lock);
  template <class Predicate>
  void wait(std::unique_lock<Mutex>& lock, Predicate ready) {
    while (!ready()) wait(lock);
  }
  std::cv_status wait_until(std::unique_lock<Mutex>& lock,
                            std::chrono::steady_clock::time_point when);
  template <class Predicate>
  bool wait_until(std::unique_lock<Mutex>& lock, std::chrono::steady_clock::time_point when,
                  Predicate ready) {
    while (!ready()) {
      if (wait_until(lock, when) == std::cv_status::timeout) return ready();
    }
    return true;
  }

 private:
  std::unique_ptr<detail::WaitQueue> waiters_;
};

}  // namespace flexsc
