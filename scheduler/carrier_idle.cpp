// SPDX-License-Identifier: MIT
// What a carrier does between rounds, and how others reach it. The rules and the sleeping
// handshake are in carrier.hpp.
#include <algorithm>

#include "carrier.hpp"
#include "expect.hpp"
#include "runtime.hpp"
#include "waiter.hpp"

namespace flexsc::detail {
namespace {

/// Fibers that a thief takes at a time.
constexpr std::size_t kStealBatch = 32;
/// Looks at the completions between two looks at the clock while spinning.
constexpr int kLooksPerClock = 16;

inline void relax_cpu() noexcept {
  __builtin_ia32_pause();
}

}  // namespace

// ---- How others reach a carrier.

void Carrier::wake(FiberControl& fiber) noexcept {
  if (of_this_thread() == this) return make_ready(fiber);
  // The fiber cannot run, hence not end, before the push; so until then the carrier
  // exists. Afterwards wakers_ keeps it: relaxed, as the push releases it, and who
  // destroys the carrier has learnt of the end of a fiber that was taken off the inbox.
  wakers_.fetch_add(1, std::memory_order_relaxed);
  inbox_.push(fiber);
  rouse();
  // release: pairs with the acquire in ~Carrier().
  wakers_.fetch_sub(1, std::memory_order_release);
}

void Carrier::cancel(FiberControl& fiber) noexcept {
  if (of_this_thread() == this) return deliver_cancel(fiber);
  // As in wake(), but until the push it is `announced` that keeps the fiber, and so the carrier.
  wakers_.fetch_add(1, std::memory_order_relaxed);
  cancels_.push(fiber);
  rouse();
  wakers_.fetch_sub(1, std::memory_order_release);
}

void Carrier::push_own(FiberControl& fiber) noexcept {
  FLEXSC_EXPECT(fiber.state == FiberState::fresh && fiber.carrier == nullptr);
  count(spawned_, std::memory_order_release);  // before it can end; see at_end()
  place(fiber);
  if (!sole_) runtime_.rouse_one();
}

/// Puts it where this carrier and thieves take from.
void Carrier::place(FiberControl& fiber) noexcept {
  // If some had found no room, this one queues behind them. relaxed: an estimate. Each order is a
  // constant: one that is chosen at run time is the strongest.
  if (fresh_count_.load(std::memory_order_relaxed) != 0 ||
      !(sole_ ? own_.push(fiber, std::memory_order_release)
              : own_.push(fiber, std::memory_order_seq_cst))) {
    push_fresh(fiber);
  }
}

/// Lets any carrier take a started fiber that may move and go on. See "Moving" in carrier.hpp.
void Carrier::offer(FiberControl& fiber) noexcept {
  if (fiber.timer != nullptr && fiber.timer->pending()) timers_.remove(*fiber.timer);
  // If it is the only one with something to do, it is about to go on here.
  const bool waits = current_ != nullptr || any_ready() || seems_fresh();
  place(fiber);
  if (waits) runtime_.rouse_one();
}

/// Makes a fiber that was taken from another carrier one of ours. False if it has to go back.
bool Carrier::adopt(FiberControl& fiber) noexcept {
  if (fiber.state == FiberState::fresh) return true;
  fiber_end::Word found = fiber.end.load(std::memory_order_relaxed);  // the exchange checks it
  do {
    if ((found & fiber_end::announced) != 0) return false;
    // acquire: who has announced something has read `carrier`, and the old one has seen to it:
    // pairs with the release in deliver_cancel(). Who comes from now on finds at_home clear, and
    // reads `carrier` only when the fiber has set it again.
  } while (!fiber.end.compare_exchange_weak(found, found & ~fiber_end::at_home,
                                            std::memory_order_acquire, std::memory_order_relaxed));
  fiber.carrier = this;
  count(moved_);
  return true;
}

void Carrier::push_fresh(FiberControl& fiber) noexcept {
  {
    const std::scoped_lock lock(fresh_mutex_);
    fresh_.push(fiber);
    // seq_cst: handshake with sleep(), which reads it in has_fresh().
    fresh_count_.store(fresh_.size(), std::memory_order_seq_cst);
  }
  if (!rouse()) runtime_.rouse_one();
}

bool Carrier::rouse() noexcept {
  // seq_cst: handshake with sleep(). The plain read first keeps the line shared.
  if (!sleeping_.load(std::memory_order_seq_cst)) return false;
  if (!sleeping_.exchange(false, std::memory_order_seq_cst)) return false;
  channel_->notify();
  if (Carrier* here = of_this_thread()) count(here->notifies_);
  return true;
}

void Carrier::add_stats(RuntimeStats& stats) const noexcept {
  // relaxed: numbers, nothing is concluded from one about another; pairs with publish().
  std::array<std::uint64_t, kPublished> value{};
  for (std::size_t i = 0; i < kPublished; ++i) {
    value[i] = published_[i].load(std::memory_order_relaxed);
  }
  stats.finished += finished();
  stats.moved += moved_.load(std::memory_order_relaxed);
  stats.switches += switches_.load(std::memory_order_relaxed);
  stats.notifies += notifies_.load(std::memory_order_relaxed);
  stats.channels.posted += value[0];
  stats.channels.reaped += value[1];
  stats.channels.direct += value[2];
  stats.channels.doorbells += value[3];
  stats.channels.waits += value[4];
  stats.channels.full += value[5];
  stats.ready += value[6];
  stats.stolen += value[7];
  stats.sleeps += value[8];
  stats.slept += std::chrono::nanoseconds(value[9]);
  stats.taken += value[10];
  stats.channels.further += value[11];
  for (std::size_t i = 0; i < stats.reaps.size(); ++i) {
    stats.reaps[i] += reaps_[i].load(std::memory_order_relaxed);
  }
}

// ---- What the carrier does itself.

void Carrier::publish() noexcept {
  const ChannelStats& channel = channel_stats_;
  published_calls_ = calls_seen();
  published_round_ = rounds_;
  const std::array<std::uint64_t, kPublished> value{
      channel.posted,    channel.reaped,
      channel.direct,    channel.doorbells,
      channel.waits,     channel.full,
      ready_.size(),     own_stats_.stolen,
      own_stats_.sleeps, static_cast<std::uint64_t>(own_stats_.slept.count()),
      own_stats_.taken,  channel.further};
  for (std::size_t i = 0; i < kPublished; ++i) {
    published_[i].store(value[i], std::memory_order_relaxed);  // pairs with add_stats()
  }
}

bool Carrier::take_inbox() noexcept {
  bool any = false;
  inbox_.take_all([&](FiberControl& fiber) {
    if (fiber.state == FiberState::ready) {
      ready_.push(fiber);  // a thief gave it back
    } else {
      make_ready(fiber);
    }
    any = true;
  });
  return take_cancels() || any;
}

bool Carrier::take_cancels() noexcept {
  bool any = false;
  cancels_.take_all([&](FiberControl& fiber) {
    deliver_cancel(fiber);
    any = true;
  });
  return any;
}

/// Ends the wait of the fiber, if it is in one that can be ended. Otherwise the fiber sees the
/// request at its next cancellation point. Runs in this thread outside of the fiber, as
/// everything that parks it does, so nothing changes meanwhile.
void Carrier::deliver_cancel(FiberControl& fiber) noexcept {
  // One that is parked nobody takes; any other is not ours to look at after this.
  const bool parked = fiber.state == FiberState::parked;
  // release: our looks, and those of who announced it; pairs with adopt().
  fiber.end.fetch_and(~fiber_end::announced, std::memory_order_release);
  if (!parked) return;
  if (fiber.call != nullptr) {
    if (fiber.call->heeds_cancel) end_call(*fiber.call, false);
    return;
  }
  if (fiber.waits_on == nullptr) return;
  if (fiber.wait_heeds_cancel && fiber.waits_on->give_up(Wake::cancelled)) make_ready(fiber);
}

bool Carrier::fire_timers() noexcept {
  return !timers_.empty() && timers_.expire(Clock::now()) > 0;
}

/// Takes the older half of what another carrier offers. Idle, so there is room in own_.
bool Carrier::steal() noexcept {
  if (!steals_) return false;
  const std::size_t others = runtime_.carriers() - 1;
  const std::size_t skip = forced_ != nullptr && others != 0 ? forced_->victims.below(others) : 0;
  for (std::size_t i = 0; i < others; ++i) {
    Carrier& victim = runtime_.carrier((index_ + 1 + (i + skip) % others) % (others + 1));
    if (!victim.has_fresh()) continue;
    std::size_t taken = 0;
    // In between, the loot is on no queue, so another thief may have gone to sleep over it:
    // hence the seq_cst, and rouse_one() below.
    const auto keep = [&](FiberControl& fiber) {
      if (!adopt(fiber)) return fiber.carrier->wake(fiber);
      if (!own_.push(fiber, std::memory_order_seq_cst))
        broken("an idle carrier has room", __FILE__, __LINE__);
      ++taken;
    };
    const std::size_t share = std::min((victim.own_.size() + 1) / 2, kStealBatch);
    while (taken < share) {
      FiberControl* fiber = victim.own_.pop();
      if (fiber == nullptr) break;
      keep(*fiber);
    }
    if (taken == 0) {
      FreshQueue loot;
      {
        const std::scoped_lock lock(victim.fresh_mutex_);
        const std::size_t half = std::min((victim.fresh_.size() + 1) / 2, kStealBatch);
        while (loot.size() < half) loot.push(*victim.fresh_.pop());
        // relaxed: smaller, see there.
        victim.fresh_count_.store(victim.fresh_.size(), std::memory_order_relaxed);
      }
      while (FiberControl* fiber = loot.pop()) keep(*fiber);
    }
    if (taken == 0) continue;
    own_stats_.stolen += taken;
    if (taken > 1) runtime_.rouse_one();
    return true;
  }
  return false;
}

/// Polls for a while. Whether there is something to do.
bool Carrier::spin() {
  // What the carrier has to execute itself does not complete by being looked at.
  if (helps_ || spin_.count() == 0 || channel_->in_flight() == 0) return false;
  Clock::time_point end = Clock::now() + spin_;
  if (!timers_.empty()) end = std::min(end, timers_.next());
  do {
    for (int look = 0; look < kLooksPerClock; ++look) {
      if (settle() || take_inbox()) return true;
      if (has_fresh()) return true;
      relax_cpu();
    }
  } while (Clock::now() < end);
  return false;
}

/// Waits until there is something to do. Whether what is complete has been taken.
bool Carrier::sleep() {
  bool waited = false;
  // seq_cst: first half of the handshake in carrier.hpp; the flag pairs with rouse(), the number
  // with rouse_one(). The number is an acquire and a release for at_end(), too.
  sleeping_.store(true, std::memory_order_seq_cst);
  runtime_.sleepers.fetch_add(1, std::memory_order_seq_cst);
  if (inbox_.empty() && cancels_.empty() && !(steals_ ? runtime_.any_fresh() : has_fresh()) &&
      !runtime_.at_end()) {
    const Clock::time_point begun = Clock::now();
    std::chrono::nanoseconds timeout{-1};
    if (!timers_.empty()) timeout = std::max(timers_.next() - begun, Clock::duration::zero());
    publish();
    if (timeout.count() != 0) {
      wait(timeout);
      waited = true;
      ++own_stats_.sleeps;
      own_stats_.slept += Clock::now() - begun;
    }
  }
  // relaxed: whoever reads true, or a larger number, until this is seen makes the next wait()
  // return early, or looks for a sleeper in vain.
  sleeping_.store(false, std::memory_order_relaxed);
  runtime_.sleepers.fetch_sub(1, std::memory_order_relaxed);
  return waited;
}

void Carrier::wait(std::chrono::nanoseconds timeout) {
  unsubmitted_ = 0;
  helped_in_ = rounds_;
  const bool some = wait_.kind() == WaitPolicy::Kind::some && !impatient_;
  const bool any = wait_.kind() == WaitPolicy::Kind::some && impatient_;
  channel_->wait(any ? WaitPolicy::any() : wait_, timeout);
  keep_time(coarse_now());
  // After its patience a wait for some ends with nothing too; then the first one will do, or an
  // idle carrier would wake up again and again.
  impatient_ = !settle() && (some || impatient_);
}

}  // namespace flexsc::detail
