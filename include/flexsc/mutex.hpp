// SPDX-License-Identifier: MIT
/// @file
/// Mutual exclusion for fibers, usable from plain threads as well (which block). Shapes of
/// the C++ standard library: std::unique_lock, std::scoped_lock and std::lock take them.
///
/// Owners are fibers, or plain threads, wherever they run. Misuse is found, not undefined:
/// every function says what it throws. An object may be destroyed by whoever has got it last,
/// while the unlock() that handed it over is still on its way out; not while others wait.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "flexsc/detail/wait_queue.hpp"

namespace flexsc {

/// Not recursive. Without contention, locking and unlocking are one atomic instruction each.
///
/// Among fibers of one carrier it is first come, first served: unlock() hands it over. A waiter
/// elsewhere would first have to be woken, while the mutex lies idle; so that one is woken to
/// take it, and others may be faster. A waiter whom that happened to a few times is given it all
/// the same: nobody starves.
class Mutex {
 public:
  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex() = default;

  /// Parks the fiber or blocks the thread until it owns the mutex. Not a cancellation point.
  /// @throws std::system_error (EDEADLK) when the caller owns it already
  void lock();
  /// False when anyone owns it, the caller included.
  [[nodiscard]] bool try_lock() noexcept;
  /// False when it could not be had in time. @throws std::system_error (EDEADLK)
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> duration) {
    return lock_until(detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> when) {
    return lock_until(detail::deadline_at(when));
  }
  /// @throws std::system_error (EPERM) when the caller does not own it
  void unlock();

  /// Whether the caller owns it.
  [[nodiscard]] bool owned() const noexcept;

 private:
  [[nodiscard]] bool lock_until(detail::Deadline until);
  [[nodiscard]] bool spin();
  [[nodiscard]] bool wait_for_it(const void* me, detail::Deadline until);

  /// Identity of the owner, or 0; the lowest bit: there may be waiters. Set with the queue's
  /// guard held; cleared by whoever finds the queue empty under it. Acquired by who locks, released
  /// by who unlocks; the order of it and the queue is in mutex.cpp.
  std::atomic<std::uintptr_t> owner_{0};
  /// The carrier on which the owner is, if it is a fiber. Written by who owns it or hands it over,
  /// for spin(). A hint: relaxed, maybe old.
  std::atomic<const void*> place_{nullptr};
  detail::WaitQueue waiters_;
};

/// A Mutex that its owner may lock again; to be unlocked as often.
class RecursiveMutex {
 public:
  /// @throws std::system_error (EAGAIN) when it is locked 2^32 - 1 times already
  void lock();
  [[nodiscard]] bool try_lock();
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> duration) {
    return again() || entered(mutex_.try_lock_for(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> when) {
    return again() || entered(mutex_.try_lock_until(when));
  }
  /// @throws std::system_error (EPERM) when the caller does not own it
  void unlock();

 private:
  [[nodiscard]] bool again();
  bool entered(bool locked) noexcept;

  Mutex mutex_;
  unsigned depth_ = 0;  ///< the owner's
};

/// Shared by readers or owned by one writer. Fair: who comes while others wait, waits behind
/// them, so neither side starves the other. Readers are not told apart: who locks it shared
/// and then again, while a writer waits, stops for ever.
class SharedMutex {
 public:
  SharedMutex() noexcept = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;
  ~SharedMutex() = default;

  /// @throws std::system_error (EDEADLK) when the caller owns it as the writer
  void lock() { (void)lock_until(true, detail::kForEver); }
  void lock_shared() { (void)lock_until(false, detail::kForEver); }
  [[nodiscard]] bool try_lock() noexcept;
  [[nodiscard]] bool try_lock_shared() noexcept;
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> duration) {
    return lock_until(true, detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> when) {
    return lock_until(true, detail::deadline_at(when));
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(std::chrono::duration<Rep, Period> duration) {
    return lock_until(false, detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> when) {
    return lock_until(false, detail::deadline_at(when));
  }
  /// @throws std::system_error (EPERM) when the caller is not the writer
  void unlock();
  /// @throws std::system_error (EPERM) when no reader has it
  void unlock_shared();

 private:
  [[nodiscard]] bool lock_until(bool alone, detail::Deadline until);
  [[nodiscard]] bool take(bool alone, const void* me) noexcept;
  detail::WaitNode* grant() noexcept;

  detail::WaitQueue waiters_;
  // Guarded by waiters_.guard.
  const void* writer_ = nullptr;
  std::size_t readers_ = 0;
};

}  // namespace flexsc
