// SPDX-License-Identifier: MIT
#include "timers.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "expect.hpp"

namespace flexsc::detail {
namespace {

constexpr unsigned kTickBits = 10;  // of a nanosecond count
/// Timers of a slot that next() looks at one by one.
constexpr int kLookedAt = 64;

}  // namespace

std::uint64_t TimerWheel::tick_of(Clock::time_point time) noexcept {
  const auto nanoseconds = std::max<std::int64_t>(time.time_since_epoch().count(), 0);
  return static_cast<std::uint64_t>(nanoseconds) >> kTickBits;
}

TimerWheel::Place TimerWheel::first() const noexcept {
  const auto level = static_cast<unsigned>(std::countr_zero(levels_used_));
  return {level, static_cast<unsigned>(std::countr_zero(levels_[level].used))};
}

std::uint64_t TimerWheel::start_of(Place place) const noexcept {
  const unsigned shift = kBits * place.level;
  const std::uint64_t above = now_ >> (shift + kBits) << (shift + kBits);
  return above | std::uint64_t{place.slot} << shift;
}

Clock::time_point TimerWheel::next() const noexcept {
  const Place place = first();
  const Timer* timer = levels_[place.level].slots[place.slot];
  Clock::time_point earliest = timer->when_;
  for (int i = 0; i < kLookedAt; ++i) {
    earliest = std::min(earliest, timer->when_);
    timer = timer->next_;
    if (timer == nullptr) return earliest;
  }
  return Clock::time_point(std::chrono::nanoseconds(start_of(place) << kTickBits));
}

void TimerWheel::insert(Timer& timer) noexcept {
  const std::uint64_t tick = std::max(tick_of(timer.when_), now_);
  const auto bits = static_cast<unsigned>(std::bit_width(tick ^ now_));
  const unsigned level = bits == 0 ? 0 : (bits - 1) / kBits;
  const auto slot = static_cast<unsigned>(tick >> (kBits * level)) % kSlots;
  timer.level_ = static_cast<std::uint8_t>(level);
  timer.slot_ = static_cast<std::uint8_t>(slot);
  Timer*& head = levels_[level].slots[slot];
  timer.previous_ = nullptr;
  timer.next_ = head;
  if (head != nullptr) head->previous_ = &timer;
  head = &timer;
  levels_[level].used |= std::uint64_t{1} << slot;
  levels_used_ |= 1U << level;
}

void TimerWheel::add(Timer& timer) noexcept {
  FLEXSC_EXPECT(!timer.pending_);
  timer.pending_ = true;
  timer.order_ = order_++;
  insert(timer);
}

void TimerWheel::remove(Timer& timer) noexcept {
  FLEXSC_EXPECT(timer.pending_);
  timer.pending_ = false;
  Level& level = levels_[timer.level_];
  if (timer.next_ != nullptr) timer.next_->previous_ = timer.previous_;
  if (timer.previous_ != nullptr) {
    timer.previous_->next_ = timer.next_;
    return;
  }
  level.slots[timer.slot_] = timer.next_;
  if (timer.next_ != nullptr) return;
  level.used &= ~(std::uint64_t{1} << timer.slot_);
  if (level.used == 0) levels_used_ &= ~(1U << timer.level_);
}

std::size_t TimerWheel::expire(Clock::time_point now) noexcept {
  const std::uint64_t tick = tick_of(now);
  std::size_t expired = 0;
  while (!empty()) {
    const Place place = first();
    const std::uint64_t start = start_of(place);
    if (start > tick) break;
    now_ = start;
    if (place.level == 0) {
      expired += expire_slot(place.slot, now);
      if (start == tick) break;  // what is left there has its time within this tick
      continue;
    }
    Level& level = levels_[place.level];
    Timer* timer = std::exchange(level.slots[place.slot], nullptr);
    level.used &= ~(std::uint64_t{1} << place.slot);
    if (level.used == 0) levels_used_ &= ~(1U << place.level);
    while (timer != nullptr) {
      Timer* next = timer->next_;
      insert(*timer);
      timer = next;
    }
  }
  now_ = std::max(now_, tick);
  return expired;
}

std::size_t TimerWheel::expire_slot(unsigned slot, Clock::time_point now) noexcept {
  Timer* due = nullptr;
  for (Timer* timer = levels_[0].slots[slot]; timer != nullptr;) {
    Timer* next = timer->next_;
    if (timer->when_ <= now) {
      remove(*timer);
      timer->next_ = due;
      due = timer;
    }
    timer = next;
  }
  std::size_t expired = 0;
  for (Timer* timer = sorted(due); timer != nullptr; ++expired) {
    Timer* next = timer->next_;  // before what it does can end the timer
    timer->expire();
    timer = next;
  }
  return expired;
}

/// By time, then by order of add(): a merge sort of the list.
Timer* TimerWheel::sorted(Timer* list) noexcept {
  if (list == nullptr || list->next_ == nullptr) return list;
  Timer* middle = list;
  for (Timer* end = list->next_; end != nullptr && end->next_ != nullptr; end = end->next_->next_) {
    middle = middle->next_;
  }
  Timer* b = sorted(std::exchange(middle->next_, nullptr));
  Timer* a = sorted(list);
  Timer* first = nullptr;
  Timer** end = &first;
  while (a != nullptr && b != nullptr) {
    const bool a_first = a->when_ != b->when_ ? a->when_ < b->when_ : a->order_ < b->order_;
    Timer*& from = a_first ? a : b;
    *end = from;
    end = &from->next_;
    from = from->next_;
  }
  *end = a != nullptr ? a : b;
  return first;
}

}  // namespace flexsc::detail
