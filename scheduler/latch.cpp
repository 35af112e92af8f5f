// SPDX-License-Identifier: MIT
#include "flexsc/latch.hpp"

#include <cerrno>
#include <limits>
#include <system_error>

#include "waiter.hpp"

namespace flexsc {
namespace {

std::size_t not_negative(std::ptrdiff_t count) {
  if (count < 0) {
    throw std::system_error(EINVAL, std::generic_category(),
                            "a flexsc::Latch counts no less than 0");
  }
  return static_cast<std::size_t>(count);
}

}  // namespace

void WaitGroup::add(std::size_t count) {
  const std::scoped_lock guard(waiters_.guard);
  if (count > std::numeric_limits<std::size_t>::max() - count_) {
    throw std::system_error(EOVERFLOW, std::generic_category(), "a WaitGroup of too many");
  }
  count_ += count;
}

void WaitGroup::done(std::size_t count) {
  detail::interleave();
  detail::WaitNode* first = nullptr;
  {
    const std::scoped_lock guard(waiters_.guard);
    if (count > count_) {
      throw std::system_error(EINVAL, std::generic_category(), "more are done than were under way");
    }
    count_ -= count;
    if (count_ == 0) first = waiters_.take_all();
  }
  wake_chain(first);  // nothing of *this from here on
}

bool WaitGroup::try_wait() const noexcept {
  const std::scoped_lock guard(waiters_.guard);
  return count_ == 0;
}

bool WaitGroup::wait_until_deadline(detail::Deadline until) {
  detail::interleave();
  detail::Waiter waiter("wait group", this);
  detail::WaitNode node(waiter);
  {
    const std::scoped_lock guard(waiters_.guard);
    if (count_ == 0) return true;
    waiters_.push(node);
  }
  const detail::Wake how = waiter.wait(until, detail::Cancel::heeded);
  if (how == detail::Wake::notified) return true;
  {
    const std::scoped_lock guard(waiters_.guard);
    waiters_.remove(node);
  }
  detail::throw_if_cancelled(how);
  return false;
}

Latch::Latch(std::ptrdiff_t count) : group_(not_negative(count)) {}

void Latch::count_down(std::ptrdiff_t count) {
  detail::interleave();
  group_.done(not_negative(count));
}

}  // namespace flexsc
