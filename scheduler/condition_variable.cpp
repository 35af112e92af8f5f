// SPDX-License-Identifier: MIT
#include "flexsc/condition_variable.hpp"

#include <algorithm>
#include <limits>

#include "flexsc/call_scope.hpp"
#include "waiter.hpp"

namespace flexsc {

using detail::Wake;

namespace {

/// Waiters that are taken off before they are woken: few enough to be in the cache still.
constexpr std::size_t kWakeBatch = 32;

}  // namespace

void ConditionVariable::notify_one() noexcept {
  detail::interleave();
  detail::WaitNode* node = nullptr;
  {
    const std::scoped_lock guard(waiters_.guard);
    node = waiters_.pop();
  }
  if (node != nullptr) node->waiter->wake();
}

void ConditionVariable::notify_all() noexcept {
  detail::interleave();
  std::size_t left = std::numeric_limits<std::size_t>::max();
  bool more = true;
  while (more) {
    detail::WaitNode* first = nullptr;
    {
      const std::scoped_lock guard(waiters_.guard);
      left = std::min(left, waiters_.size());  // who comes while we are at it is not meant
      const std::size_t batch = std::min(left, kWakeBatch);
      first = waiters_.take(batch);
      left -= batch;
      more = left > 0 && !waiters_.empty();
    }
    // If that were the last ones, nothing of *this from here on, as in Mutex::unlock(). If not, the
    // others still wait to be notified, so it is not destroyed before they are.
    wake_chain(first);
  }
}

bool ConditionVariable::wait_any(const AnyLock& lock, detail::Deadline until) {
  detail::Waiter waiter("condition variable", this);
  detail::WaitNode node(waiter);
  const auto leave = [&] {
    const std::scoped_lock guard(waiters_.guard);
    waiters_.remove(node);
  };
  {
    // On the queue first, then the lock: a notification in between is not missed.
    const std::scoped_lock guard(waiters_.guard);
    waiters_.push(node);
  }
  try {
    // Whose unlock() may switch. Who notifies us must find us on this carrier.
    const CarrierScope stay;
    lock.release(lock.lock);
  } catch (...) {  // not locked, or by another
    if (waiter.claim(Wake::cancelled)) {
      leave();
    } else {
      (void)waiter.wait();  // a notification was faster; its wake-up is on its way
    }
    throw;
  }
  const Wake how = waiter.wait(until, detail::Cancel::heeded);
  if (how != Wake::notified) leave();
  lock.acquire(lock.lock);
  detail::throw_if_cancelled(how);
  return how == Wake::notified;
}

}  // namespace flexsc
