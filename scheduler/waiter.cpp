// SPDX-License-Identifier: MIT
#include "waiter.hpp"

#include "carrier.hpp"
#include "expect.hpp"
#include "fiber_control.hpp"
#include "flexsc/cancel.hpp"

namespace flexsc::detail {
namespace {

/// Ends a fiber's wait at its time, unless a waker was faster.
class Expiry final : public Timer {
 public:
  Expiry(Deadline when, Waiter& waiter) noexcept : Timer(when), waiter_(waiter) {}
  void expire() noexcept override {
    if (waiter_.give_up(Wake::timeout)) waiter_.wake();
  }

 private:
  Waiter& waiter_;
};

}  // namespace

const void* caller_identity() noexcept {
  alignas(8) static thread_local const char thread_identity = 0;
  if (const FiberControl* fiber = Carrier::running_fiber()) return fiber;
  return &thread_identity;
}

Waiter::Waiter(const char* what, const void* on) noexcept
    : WaitRecord{what, on}, fiber_(Carrier::running_fiber()), identity_(caller_identity()) {
  if (fiber_ == nullptr) thread_.emplace();
}

const Carrier* Waiter::carrier() const noexcept {
  return fiber_ != nullptr ? fiber_->carrier : nullptr;
}

bool Waiter::stays() const noexcept {
  return fiber_->stays != 0;
}

Wake Waiter::wait(Deadline until, Cancel cancel) noexcept {
  if (fiber_ == nullptr) return wait_in_thread(until);
  Carrier& carrier = *fiber_->carrier;  // until it parks: it may move
  // Not under a shield, nor while an exception unwinds the fiber's stack: another one, thrown by
  // a destructor, would end the program.
  const bool heeds = cancel == Cancel::heeded && fiber_->shields == 0 && !carrier.unwinding();
  // If a waker was faster than this, it is waited for as always: its wake-up is on its way.
  if (heeds && fiber_->wanted_or_at_home() && give_up(Wake::cancelled)) return Wake::cancelled;
  fiber_->waits_on = this;
  fiber_->wait_heeds_cancel = heeds;
  // A wake() that came first is in the carrier's inbox, which is looked at only after this
  // fiber has been switched away. The same holds for a cancellation.
  if (until == kForEver) {
    carrier.park();
  } else {
    Expiry timer(until, *this);
    carrier.timers().add(timer);
    fiber_->timer = &timer;
    carrier.park();
    fiber_->timer = nullptr;
    // If the fiber has moved, it is out already.
    if (timer.pending()) carrier.timers().remove(timer);
  }
  fiber_->waits_on = nullptr;
  // relaxed: the wake-up itself (ready queue or inbox) orders it after the claim.
  return how_.load(std::memory_order_relaxed);
}

Wake Waiter::wait_in_thread(Deadline until) noexcept {
  std::unique_lock lock(thread_->mutex);
  const auto woken = [this] { return thread_->woken; };
  if (until != kForEver && !thread_->woken_changed.wait_until(lock, until, woken)) {
    lock.unlock();
    if (give_up(Wake::timeout)) return Wake::timeout;
    lock.lock();  // a waker has claimed it; its wake-up is on its way
  }
  thread_->woken_changed.wait(lock, woken);
  return how_.load(std::memory_order_relaxed);  // relaxed: ordered by the mutex
}

bool Waiter::joins(FiberControl& fiber) noexcept {
  using fiber_end::Word;
  joined_ = &fiber;
  // acquire, if the fiber has ended already: what it did; pairs with the release in tell_end().
  Word found = fiber.end.load(std::memory_order_acquire);
  if ((found & ~fiber_end::bits) == fiber_end::ended) return false;
  if (fiber_ != nullptr && fiber_->carrier == fiber.bound_to) {
    joins_here_ = true;
    fiber.joiner = this;
    return true;
  }
  while ((found & ~fiber_end::bits) != fiber_end::ended) {
    const Word wanted = reinterpret_cast<Word>(this) | (found & fiber_end::bits);
    // release: the waiter, for tell_end(), which acquires it. acquire: as above, if that was
    // faster.
    if (fiber.end.compare_exchange_weak(found, wanted, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
      return true;
    }
  }
  return false;
}

/// Whether it was still registered with the fiber that it joins.
bool Waiter::leave_joined() noexcept {
  if (joins_here_) {
    if (joined_->joiner != this) return false;
    joined_->joiner = nullptr;
    return true;
  }
  const auto self = reinterpret_cast<fiber_end::Word>(this);
  // relaxed: on success nobody else has looked at the waiter; on failure the waker's
  // wake-up orders what it did.
  fiber_end::Word found = joined_->end.load(std::memory_order_relaxed);
  do {
    if ((found & ~fiber_end::bits) != self) return false;
  } while (!joined_->end.compare_exchange_weak(
      found, fiber_end::running | (found & fiber_end::bits), std::memory_order_relaxed));
  return true;
}

bool Waiter::give_up(Wake how) noexcept {
  return (joined_ == nullptr || leave_joined()) && claim(how);
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

void WaitList::push(WaitNode& node) noexcept {
  FLEXSC_EXPECT(!node.queued);
  node.queued = true;
  node.previous = tail_;
  node.next = nullptr;
  (tail_ != nullptr ? tail_->next : head_) = &node;
  tail_ = &node;
  ++size_;
}

void WaitList::push_front(WaitNode& node) noexcept {
  FLEXSC_EXPECT(!node.queued);
  node.queued = true;
  node.previous = nullptr;
  node.next = head_;
  (head_ != nullptr ? head_->previous : tail_) = &node;
  head_ = &node;
  ++size_;
}

WaitNode* WaitList::pop() noexcept {
  while (WaitNode* node = head_) {
    remove(*node);
    if (node->waiter->claim(Wake::notified)) return node;
  }
  return nullptr;
}

WaitNode* WaitList::take(std::size_t most) noexcept {
  WaitNode* first = nullptr;
  WaitNode** end = &first;
  for (; most > 0; --most) {
    WaitNode* node = pop();
    if (node == nullptr) break;
    *end = node;
    end = &node->next;
  }
  *end = nullptr;
  return first;
}

void WaitList::remove(WaitNode& node) noexcept {
  if (!node.queued) return;
  node.queued = false;
  --size_;
  (node.previous != nullptr ? node.previous->next : head_) = node.next;
  (node.next != nullptr ? node.next->previous : tail_) = node.previous;
}

void wake_chain(WaitNode* first) noexcept {
  while (first != nullptr) {
    WaitNode* next = first->next;  // before the wake-up ends our right to look
    first->waiter->wake();
    first = next;
  }
}

void throw_if_cancelled(Wake how) {
  if (how == Wake::cancelled) throw Cancelled();
}

}  // namespace flexsc::detail
