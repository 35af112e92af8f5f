// SPDX-License-Identifier: MIT
/// @file
/// Condition variable for fibers and plain threads, in the shape of
/// std::condition_variable_any: it waits with whatever can be locked and unlocked.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "flexsc/detail/wait_queue.hpp"
#include "flexsc/mutex.hpp"

namespace flexsc {

/// Waits have no spurious wake-ups, but a condition may have changed again until the waiter has
/// the lock: use the forms with a predicate.
///
/// All waits are cancellation points; Cancelled is thrown with the lock held. When the lock
/// refuses to be unlocked (EPERM of std::unique_lock or Mutex) its exception is passed on and
/// nothing was waited for. Who waits must have returned before the object is destroyed, but
/// for waits that a notification has ended already.
class ConditionVariable {
 public:
  ConditionVariable() noexcept = default;
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;
  ~ConditionVariable() = default;

  /// Ends the wait of the one that waits longest, if there is any. With or without the lock.
  void notify_one() noexcept;
  void notify_all() noexcept;

  template <class Lock>
  void wait(Lock& lock) {
    (void)wait_until_deadline(lock, detail::kForEver);
  }
  template <class Lock, class Predicate>
  void wait(Lock& lock, Predicate ready) {
    while (!ready()) wait(lock);
  }

  template <class Lock, class Clock, class Duration>
  std::cv_status wait_until(Lock& lock, std::chrono::time_point<Clock, Duration> when) {
    if (wait_until_deadline(lock, detail::deadline_at(when))) return std::cv_status::no_timeout;
    // A clock that was set back meanwhile: not yet its time, and the caller looks again.
    return Clock::now() < when ? std::cv_status::no_timeout : std::cv_status::timeout;
  }
  template <class Lock, class Clock, class Duration, class Predicate>
  bool wait_until(Lock& lock, std::chrono::time_point<Clock, Duration> when, Predicate ready) {
    while (!ready()) {
      if (wait_until(lock, when) == std::cv_status::timeout) return ready();
    }
    return true;
  }
  template <class Lock, class Rep, class Period>
  std::cv_status wait_for(Lock& lock, std::chrono::duration<Rep, Period> duration) {
    return wait_until(lock, detail::deadline_after(duration));
  }
  template <class Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, std::chrono::duration<Rep, Period> duration, Predicate ready) {
    return wait_until(lock, detail::deadline_after(duration), std::move(ready));
  }

 private:
  /// A lock of any type.
  struct AnyLock {
    void* lock;
    void (*acquire)(void*);
    void (*release)(void*);
  };
  template <class Lock>
  bool wait_until_deadline(Lock& lock, detail::Deadline until) {
    return wait_any({&lock, [](void* any) { static_cast<Lock*>(any)->lock(); },
                     [](void* any) { static_cast<Lock*>(any)->unlock(); }},
                    until);
  }
  bool wait_any(const AnyLock& lock, detail::Deadline until);

  detail::WaitQueue waiters_;
};

/// The standard has two classes; here one does for every lock.
using ConditionVariableAny = ConditionVariable;

}  // namespace flexsc
