// SPDX-License-Identifier: MIT
#include "timers.hpp"

#include <utility>

#include "expect.hpp"

namespace flexsc::detail {

/// Makes the later of two roots the first child of the other, which it returns.
Timer* TimerHeap::meld(Timer* a, Timer* b) noexcept {
  if (a == nullptr) return b;
  if (b == nullptr) return a;
  const bool b_first = a->when_ != b->when_ ? b->when_ < a->when_ : b->order_ < a->order_;
  if (b_first) std::swap(a, b);
  b->before_ = a;
  b->next_ = a->child_;
  if (b->next_ != nullptr) b->next_->before_ = b;
  a->child_ = b;
  return a;
}

/// One heap of a list of siblings: melds them in pairs, left to right, and then the pairs,
/// right to left. That order is what makes it logarithmic.
Timer* TimerHeap::meld_all(Timer* first) noexcept {
  Timer* pairs = nullptr;  // the newest first, linked by next_
  while (first != nullptr) {
    Timer* a = first;
    Timer* b = a->next_;
    first = b != nullptr ? b->next_ : nullptr;
    a->next_ = a->before_ = nullptr;
    if (b != nullptr) b->next_ = b->before_ = nullptr;
    Timer* pair = meld(a, b);
    pair->next_ = pairs;
    pairs = pair;
  }
  Timer* root = nullptr;
  while (pairs != nullptr) {
    Timer* pair = pairs;
    pairs = pair->next_;
    pair->next_ = nullptr;
    root = meld(root, pair);
  }
  return root;
}

void TimerHeap::add(Timer& timer) noexcept {
  FLEXSC_EXPECT(!timer.pending_);
  timer.pending_ = true;
  timer.order_ = order_++;
  timer.child_ = timer.next_ = timer.before_ = nullptr;
  root_ = meld(root_, &timer);
}

void TimerHeap::remove(Timer& timer) noexcept {
  FLEXSC_EXPECT(timer.pending_ && (timer.before_ != nullptr || &timer == root_));
  timer.pending_ = false;
  Timer* const orphans = meld_all(std::exchange(timer.child_, nullptr));
  if (&timer == root_) {
    root_ = orphans;
    return;
  }
  Timer& before = *timer.before_;
  (before.child_ == &timer ? before.child_ : before.next_) = timer.next_;
  if (timer.next_ != nullptr) timer.next_->before_ = &before;
  timer.next_ = timer.before_ = nullptr;
  root_ = meld(root_, orphans);
}

std::size_t TimerHeap::expire(Clock::time_point now) noexcept {
  std::size_t expired = 0;
  while (root_ != nullptr && root_->when_ <= now) {
    Timer& timer = *root_;
    remove(timer);
    timer.expire();
    ++expired;
  }
  return expired;
}

}  // namespace flexsc::detail
