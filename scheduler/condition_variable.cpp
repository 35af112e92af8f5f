// SPDX-License-Identifier: MIT
#include "flexsc/condition_variable.hpp"

#include "flexsc/call_scope.hpp"
#include "waiter.hpp"

namespace flexsc {

using detail::Wake;

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
  detail::WaitNode* first = nullptr;
  {
    const std::scoped_lock guard(waiters_.guard);
    first = waiters_.take_all();
  }
  wake_chain(first);  // nothing of *this from here on, as in Mutex::unlock()
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
