// SPDX-License-Identifier: MIT
#include "waiter.hpp"

#include "carrier.hpp"
#include "expect.hpp"
#include "fiber_control.hpp"

namespace flexsc::detail {
namespace {

/// Ends a fiber's timed wait on a queue, unless a waker was faster.
class GiveUp final : public Timer {
 public:
  GiveUp(Clock::time_point when, WaitQueue& queue, Waiter& waiter, FiberControl& fiber) noexcept
      : Timer(when), queue_(queue), waiter_(waiter), fiber_(fiber) {}

  void expire() noexcept override {
    if (!waiter_.leave(queue_)) return;  // a waker took it off; its wake-up is on its way
    gave_up_ = true;
    fiber_.carrier->wake(fiber_);
  }

  [[nodiscard]] bool gave_up() const noexcept { return gave_up_; }

 private:
  WaitQueue& queue_;
  Waiter& waiter_;
  FiberControl& fiber_;
  bool gave_up_ = false;
};

}  // namespace

const void* caller_identity() noexcept {
  static thread_local const char thread_identity = 0;
  if (const FiberControl* fiber = Carrier::running_fiber()) return fiber;
  return &thread_identity;
}

Waiter::Waiter() : fiber_(Carrier::running_fiber()), identity_(caller_identity()) {
  if (fiber_ == nullptr) thread_.emplace();
}

void Waiter::wait() noexcept {
  if (fiber_ != nullptr) {
    // A wake() that came first is in the carrier's inbox, which is looked at only after
    // this fiber has been switched away.
    fiber_->carrier->park();
    return;
  }
  std::unique_lock lock(thread_->mutex);
  while (!thread_->woken) thread_->woken_changed.wait(lock);
}

bool Waiter::wait_until(Clock::time_point when, WaitQueue& queue) {
  if (fiber_ != nullptr) {
    Carrier& carrier = *fiber_->carrier;
    GiveUp timer(when, queue, *this, *fiber_);
    try {
      carrier.timers().add(timer);
    } catch (...) {
      if (leave(queue)) throw;
      wait();  // a waker took it off; its wake-up is on its way
      return true;
    }
    carrier.park();
    if (timer.pending()) carrier.timers().remove(timer);
    return !timer.gave_up();
  }
  {
    std::unique_lock lock(thread_->mutex);
    while (!thread_->woken) {
      if (thread_->woken_changed.wait_until(lock, when) == std::cv_status::timeout) break;
    }
    if (thread_->woken) return true;
  }
  if (leave(queue)) return false;
  wait();  // a waker took it off; its wake-up is on its way
  return true;
}

bool Waiter::leave(WaitQueue& queue) noexcept {
  const std::scoped_lock lock(queue.guard);
  return queue.remove(*this);
}

void Waiter::wake() noexcept {
  if (fiber_ != nullptr) {
    FiberControl& fiber = *fiber_;  // *this may be gone before wake() returns
    fiber.carrier->wake(fiber);
    return;
  }
  // Notified with the mutex held: the waiter cannot see `woken`, return and destroy the
  // condition variable before this is done with it.
  const std::scoped_lock lock(thread_->mutex);
  thread_->woken = true;
  thread_->woken_changed.notify_one();
}

void WaitQueue::push(Waiter& waiter) noexcept {
  FLEXSC_EXPECT(!waiter.queued_);
  waiter.queued_ = true;
  waiter.previous_ = tail_;
  waiter.next_ = nullptr;
  (tail_ != nullptr ? tail_->next_ : head_) = &waiter;
  tail_ = &waiter;
}

Waiter* WaitQueue::pop() noexcept {
  Waiter* waiter = head_;
  if (waiter != nullptr && !remove(*waiter))
    broken("a listed waiter is queued", __FILE__, __LINE__);
  return waiter;
}

Waiter* WaitQueue::take_all() noexcept {
  Waiter* first = head_;
  for (Waiter* waiter = head_; waiter != nullptr; waiter = waiter->next_) waiter->queued_ = false;
  head_ = tail_ = nullptr;
  return first;
}

bool WaitQueue::remove(Waiter& waiter) noexcept {
  if (!waiter.queued_) return false;
  waiter.queued_ = false;
  (waiter.previous_ != nullptr ? waiter.previous_->next_ : head_) = waiter.next_;
  (waiter.next_ != nullptr ? waiter.next_->previous_ : tail_) = waiter.previous_;
  return true;
}

}  // namespace flexsc::detail
