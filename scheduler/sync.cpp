// SPDX-License-Identifier: MIT
#include "flexsc/sync.hpp"

#include <cerrno>
#include <system_error>

#include "waiter.hpp"

namespace flexsc {

using detail::caller_identity;
using detail::Waiter;
using detail::WaitQueue;

// A mutex has an owner or no waiters: unlock() hands it to the longest waiting.

Mutex::Mutex() : waiters_(std::make_unique<WaitQueue>()) {}
Mutex::~Mutex() = default;

void Mutex::lock() {
  const void* me = caller_identity();
  std::unique_lock guard(waiters_->guard);
  if (waiters_->owner == nullptr) {
    waiters_->owner = me;
    return;
  }
  if (waiters_->owner == me) {
    throw std::system_error(EDEADLK, std::generic_category(),
                            "locking a flexsc::Mutex that the caller holds");
  }
  Waiter waiter;
  waiters_->push(waiter);
  guard.unlock();
  waiter.wait();  // and owns it: unlock() has made it so
}

bool Mutex::try_lock() {
  const std::scoped_lock guard(waiters_->guard);
  if (waiters_->owner != nullptr) return false;
  waiters_->owner = caller_identity();
  return true;
}

void Mutex::unlock() {
  Waiter* next = nullptr;
  {
    const std::scoped_lock guard(waiters_->guard);
    if (waiters_->owner != caller_identity()) {
      throw std::system_error(EPERM, std::generic_category(),
                              "unlocking a flexsc::Mutex that the caller does not hold");
    }
    next = waiters_->pop();
    waiters_->owner = next != nullptr ? next->identity() : nullptr;
  }
  // Nothing of *this from here on: the woken one may unlock and destroy it.
  if (next != nullptr) next->wake();
}

ConditionVariable::ConditionVariable() : waiters_(std::make_unique<WaitQueue>()) {}
ConditionVariable::~ConditionVariable() = default;

void ConditionVariable::notify_one() {
  Waiter* waiter = nullptr;
  {
    const std::scoped_lock guard(waiters_->guard);
    waiter = waiters_->pop();
  }
  if (waiter != nullptr) waiter->wake();
}

void ConditionVariable::notify_all() {
  Waiter* first = nullptr;
  {
    const std::scoped_lock guard(waiters_->guard);
    first = waiters_->take_all();
  }
  // Nothing of *this from here on, as in Mutex::unlock().
  while (first != nullptr) {
    Waiter* next = first->next();  // before the wake-up ends our right to look
    first->wake();
    first = next;
  }
}

namespace {

/// Puts `waiter` on the queue, then lets the mutex go: a notification in between is not
/// missed.
void enqueue_and_unlock(WaitQueue& queue, Waiter& waiter, std::unique_lock<Mutex>& lock) {
  if (!lock.owns_lock()) {
    throw std::system_error(EPERM, std::generic_category(),
                            "waiting on a flexsc::ConditionVariable without its mutex");
  }
  {
    const std::scoped_lock guard(queue.guard);
    queue.push(waiter);
  }
  try {
    lock.unlock();
  } catch (...) {  // the lock was taken by another fiber or thread
    if (!waiter.leave(queue)) waiter.wait();
    throw;
  }
}

}  // namespace

void ConditionVariable::wait(std::unique_lock<Mutex>& lock) {
  Waiter waiter;
  enqueue_and_unlock(*waiters_, waiter, lock);
  waiter.wait();
  lock.lock();
}

std::cv_status ConditionVariable::wait_until(std::unique_lock<Mutex>& lock,
                                             std::chrono::steady_clock::time_point when) {
  Waiter waiter;
  enqueue_and_unlock(*waiters_, waiter, lock);
  bool notified = false;
  try {
    notified = waiter.wait_until(when, *waiters_);
  } catch (...) {
    lock.lock();
    throw;
  }
  lock.lock();
  return notified ? std::cv_status::no_timeout : std::cv_status::timeout;
}

}  // namespace flexsc
