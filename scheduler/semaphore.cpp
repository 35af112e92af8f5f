// SPDX-License-Identifier: MIT
#include "flexsc/semaphore.hpp"

#include <cerrno>
#include <system_error>

#include "waiter.hpp"

namespace flexsc {

using detail::WaitNode;

CountingSemaphore::CountingSemaphore(std::ptrdiff_t permits) : permits_(permits) {
  if (permits < 0) {
    throw std::system_error(EINVAL, std::generic_category(), "a semaphore of negative permits");
  }
}

bool CountingSemaphore::try_acquire() noexcept {
  detail::interleave();
  const std::scoped_lock guard(waiters_.guard);
  if (permits_ == 0) return false;
  --permits_;
  return true;
}

bool CountingSemaphore::acquire_until(detail::Deadline until) {
  detail::interleave();
  detail::Waiter waiter("semaphore", this);
  WaitNode node(waiter);
  {
    const std::scoped_lock guard(waiters_.guard);
    if (permits_ > 0) {
      --permits_;
      return true;
    }
    waiters_.push(node);
  }
  const detail::Wake how = waiter.wait(until, detail::Cancel::heeded);
  if (how == detail::Wake::notified) return true;  // release() has given it the permit
  {
    const std::scoped_lock guard(waiters_.guard);
    waiters_.remove(node);
  }
  detail::throw_if_cancelled(how);
  return false;
}

void CountingSemaphore::release(std::ptrdiff_t permits) {
  detail::interleave();
  if (permits < 0) {
    throw std::system_error(EINVAL, std::generic_category(), "releasing negative permits");
  }
  WaitNode* first = nullptr;
  WaitNode** end = &first;
  {
    const std::scoped_lock guard(waiters_.guard);
    if (permits > max() - permits_) {
      throw std::system_error(EOVERFLOW, std::generic_category(),
                              "a semaphore of too many permits");
    }
    while (permits > 0) {
      WaitNode* node = waiters_.pop();
      if (node == nullptr) break;
      --permits;
      *end = node;
      end = &node->next;
    }
    *end = nullptr;
    permits_ += permits;
  }
  wake_chain(first);  // nothing of *this from here on
}

}  // namespace flexsc
