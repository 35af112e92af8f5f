// SPDX-License-Identifier: MIT
#include "timers.hpp"

#include "expect.hpp"

namespace flexsc::detail {

bool TimerHeap::before(const Timer& a, const Timer& b) noexcept {
  return a.when_ != b.when_ ? a.when_ < b.when_ : a.order_ < b.order_;
}

void TimerHeap::place(Timer& timer, std::size_t index) noexcept {
  heap_[index] = &timer;
  timer.index_ = index;
}

void TimerHeap::up(std::size_t index) noexcept {
  Timer& timer = *heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!before(timer, *heap_[parent])) break;
    place(*heap_[parent], index);
    index = parent;
  }
  place(timer, index);
}

void TimerHeap::down(std::size_t index) noexcept {
  Timer& timer = *heap_[index];
  while (2 * index + 1 < heap_.size()) {
    std::size_t child = 2 * index + 1;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], timer)) break;
    place(*heap_[child], index);
    index = child;
  }
  place(timer, index);
}

void TimerHeap::add(Timer& timer) {
  FLEXSC_EXPECT(!timer.pending());
  heap_.push_back(&timer);
  timer.index_ = heap_.size() - 1;
  timer.order_ = order_++;
  up(timer.index_);
}

void TimerHeap::remove(Timer& timer) noexcept {
  const std::size_t index = timer.index_;
  FLEXSC_EXPECT(index < heap_.size() && heap_[index] == &timer);
  Timer& last = *heap_.back();
  heap_.pop_back();
  timer.index_ = Timer::kNowhere;
  if (&last == &timer) return;
  place(last, index);
  up(index);
  down(last.index_);
}

std::size_t TimerHeap::expire(Clock::time_point now) noexcept {
  std::size_t expired = 0;
  while (!heap_.empty() && heap_.front()->when_ <= now) {
    Timer& timer = *heap_.front();
    remove(timer);
    timer.expire();
    ++expired;
  }
  return expired;
}

}  // namespace flexsc::detail
