// SPDX-License-Identifier: MIT
// Choosing, switching and calling. The rules are numbered in carrier.hpp.
#include "carrier.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "expect.hpp"
#include "flexsc/cancel.hpp"
#include "held_locks.hpp"
#include "runtime.hpp"
#include "waiter.hpp"

namespace flexsc::detail {
namespace {

/// Fibers run between two looks at the outside (inbox, timers, completions).
constexpr std::size_t kRound = 64;
/// Rounds between two publications of the counters while the carrier is busy.
constexpr std::uint64_t kPublishRounds = 16;
/// Rounds that fibers begin without going back to the loop.
constexpr unsigned kRoundsInside = 64;
/// Turns of the loop between two looks at the coarse clock, unless the carrier sleeps.
constexpr unsigned kTurnsPerClock = 2;
/// Of so many fresh fibers one is taken that another thread has spawned, if there are any.
constexpr unsigned kOthersTurn = 8;
/// So many ready fibers and what they need to go on fit into the processor's caches.
constexpr std::size_t kCached = 256;

void set_this_carrier(Carrier* carrier) noexcept {
  this_carrier = carrier;
  asm volatile(
      "" ::
          : "memory");  // of_this_thread() reads what is in memory. NOLINT(hicpp-no-assembler)
}

/// In the child of a fork there are no other carriers and no workers; the one thread there
/// is, if it was a carrier, goes on as a plain thread, whose calls are direct.
void forget_carrier_after_fork() noexcept {
  static std::once_flag once;
  std::call_once(once, [] {
    if (pthread_atfork(nullptr, nullptr, [] { set_this_carrier(nullptr); }) != 0) std::abort();
  });
}

[[noreturn]] void ended_after_fork(const FiberControl& fiber) noexcept {
  std::fprintf(stderr,
               "flexsc: fiber '%s' has ended in the child of a fork, where there are no other "
               "fibers: the child must call _exit() or exec\n",
               fiber.name.c_str());
  std::abort();
}

[[noreturn]] void overflowed(const FiberControl& fiber) noexcept {
  std::fprintf(stderr, "flexsc: stack overflow in fiber '%s' (%zu bytes, found by its canary)\n",
               fiber.name.c_str(), fiber.stack.size);
  std::abort();
}

}  // namespace

[[gnu::used]] constinit thread_local Carrier* this_carrier = nullptr;

Carrier::Carrier(RuntimeImpl& runtime, std::size_t index, std::unique_ptr<Channel> channel,
                 const RuntimeOptions& options, bool sole, std::optional<std::uint64_t> seed)
    : runtime_(runtime),
      index_(index),
      channel_(std::move(channel)),
      helps_(channel_->helps()),
      quick_(channel_->makes_quick_calls()),
      spin_(options.spin),
      wait_(options.wait),
      sleeps_soon_(helps_ && (wait_.kind() == WaitPolicy::Kind::any ||
                              wait_.kind() == WaitPolicy::Kind::adaptive)),
      channel_stats_(channel_->stats()),
      steals_(options.steal),
      forced_(seed ? std::make_unique<Interleaving>(*seed, index) : nullptr),
      order_(seed            ? shuffled(*seed, index)
             : options.order ? options.order()
                             : nullptr),
      sole_(sole || !options.steal) {
  spare_stacks_.reserve(kSpareStacks);
  forget_carrier_after_fork();
}

Carrier::~Carrier() {
  // A waker may still be on its way out of wake() although the fiber it woke has ended.
  // acquire: pairs with the release at the end of wake().
  while (wakers_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  FLEXSC_EXPECT(!any_ready() && fresh_.empty() && own_.size() == 0 && inbox_.empty() &&
                cancels_.empty() && backlog_.empty() && timers_.empty() && left_ == nullptr);
  for (const Stack& stack : spare_stacks_) runtime_.stacks().give(stack);
  while (void* memory = take_memory()) ::operator delete(memory);
}

void Carrier::run() {
  set_this_carrier(this);
  thread_state_ = ThreadState::of_this_thread();
  keep_time(coarse_now());
  bool settled = false;
  for (unsigned turn = 0;; ++turn) {
    if (turn % kTurnsPerClock == 0) keep_time(coarse_now());
    rounds_inside_ = 0;
    take_inbox();
    fire_timers();
    if (!std::exchange(settled, false)) settle();
    help();
    // What nobody but us executes is not complete yet, so another turn would be in vain.
    if (run_round() && (!sleeps_soon_ || any_ready() || seems_fresh())) continue;
    submit();
    if (steal()) continue;
    if (runtime_.at_end()) break;
    if (spin()) continue;
    settled = sleep();
  }
  runtime_.rouse_all();
  publish();
  set_this_carrier(nullptr);
}

/// Runs what is ready now, once each; what becomes ready meanwhile has to wait for the
/// next round. False if there was nothing.
bool Carrier::run_round() noexcept {
  FLEXSC_EXPECT(current_ == nullptr && left_ == nullptr);
  begin_round();
  FiberControl* fiber = next_in_round();
  if (fiber == nullptr) return false;
  start(*fiber);
  Context::switch_to(loop_, fiber->context, thread_state_);
  FLEXSC_EXPECT(current_ == nullptr);
  pick_up();
  submit();
  if (rounds_ - published_round_ >= kPublishRounds) publish();
  return true;
}

[[gnu::always_inline]] inline void Carrier::begin_round() noexcept {
  ++rounds_;
  made_alone_ = 0;
  // relaxed: an estimate; pop_fresh() finds out under the lock.
  const std::size_t fresh = own_.size() + fresh_count_.load(std::memory_order_relaxed);
  fresh_budget_ = std::min(fresh, kRound);
  ready_budget_ = std::min(ready_.size(), kRound);
  if (order_ == nullptr) return;
  fresh_budget_ = 0;
  order_budget_ = kRound;
}

/// Whether a fiber that leaves may begin the next round, without the way over the loop: nothing
/// there waits for its turn, and it has had one not long ago.
inline bool Carrier::may_go_on() const noexcept {
  return rounds_inside_ < kRoundsInside && timers_.empty() && channel_->in_flight() == 0 &&
         inbox_.seems_empty() && cancels_.seems_empty();
}

/// Fresh fibers first: they have waited since before this round, as the ready ones have,
/// and neither can keep the other from running.
[[gnu::always_inline]] inline FiberControl* Carrier::next_in_round() noexcept {
  while (fresh_budget_ > 0) {
    --fresh_budget_;
    if (FiberControl* fiber = pop_fresh()) return fiber;
    fresh_budget_ = 0;
  }
  if (ready_budget_ == 0) return order_ != nullptr ? next_in_order() : nullptr;
  --ready_budget_;
  if (ready_.size() > kCached) fetch_ahead();
  return ready_.pop();
}

/// next_in_round() where the user's order decides: of what is ready when it is asked.
FiberControl* Carrier::next_in_order() noexcept {
  if (order_budget_ == 0) return nullptr;
  --order_budget_;
  while (FiberControl* fresh = pop_fresh()) order_->push(*fresh);
  return static_cast<FiberControl*>(order_->pop());
}

FiberControl* Carrier::pop_fresh() noexcept {
  // Own ones first, but others' are not kept waiting for ever. relaxed: an estimate.
  const bool others = fresh_count_.load(std::memory_order_relaxed) != 0;
  if (!others || ++pops_ % kOthersTurn != 0) {
    FiberControl* own = sole_ ? own_.pop_alone() : own_.pop();
    if (own != nullptr || !others) return own;
  }
  const std::scoped_lock lock(fresh_mutex_);
  FiberControl* fiber = fresh_.pop();
  // relaxed: smaller, see there.
  fresh_count_.store(fresh_.size(), std::memory_order_relaxed);
  return fiber;
}

/// Makes `fiber` the current one; the caller switches to it.
inline void Carrier::start(FiberControl& fiber) noexcept {
  FLEXSC_EXPECT(fiber.ready_next == nullptr && fiber.fresh_next == nullptr &&
                fiber.inbox_next == nullptr);
  if (fiber.state == FiberState::fresh) {
    FLEXSC_EXPECT(fiber.carrier == nullptr);
    fiber.carrier = this;
    fiber.context.prepare(fiber.stack, &Carrier::fiber_main);
  } else {
    FLEXSC_EXPECT(fiber.state == FiberState::ready && fiber.carrier == this);
  }
  fiber.state = FiberState::running;
  current_ = &fiber;
  count(switches_);
}

/// What is looked at when a fiber leaves, on its stack. Out of line: most stacks have a guard page,
/// and nobody keeps account of locks.
[[gnu::noinline]] void Carrier::examine(FiberControl& self) noexcept {
  if (!self.stack.intact()) overflowed(self);
  const TakeHeldLock take = take_held_lock.load(std::memory_order_relaxed);  // see there
  HeldLock held;
  while (take != nullptr && take(&self, held)) {
    const std::string what = describe(held);
    WatchReport report;
    report.kind = WatchReport::Kind::lock;
    report.name = self.name;
    report.fiber = reinterpret_cast<std::uint64_t>(self.record());
    report.carrier = index_;
    report.thread = ::gettid();
    report.what = what;
    runtime_.report(report);
  }
}

/// Which fiber runs after the one that leaves, or null: the loop.
[[gnu::always_inline]] inline FiberControl* Carrier::next_after(FiberControl& self) noexcept {
  FLEXSC_EXPECT(current_ == &self && self.state != FiberState::running &&
                self.state != FiberState::fresh);
  if (self.stack.examined) [[unlikely]]
    examine(self);
  FiberControl* next = next_in_round();
  if (next == nullptr && may_go_on()) {
    ++rounds_inside_;
    begin_round();
    next = next_in_round();
  }
  return next;
}

inline Context& Carrier::start_or_loop(FiberControl* next) noexcept {
  if (next == nullptr) {
    current_ = nullptr;
    return loop_;
  }
  start(*next);
  return next->context;
}

/// Switches from the running fiber, whose new state is set, to the next of the round or
/// to the loop. Inline: see Context::switch_to().
[[gnu::always_inline]] inline void Carrier::leave(FiberControl& self) noexcept {
  FiberControl* next = next_after(self);
  if (next == &self) return start(self);
  Context::switch_to(self.context, start_or_loop(next), thread_state_);
  // Not *this, if the fiber has moved.
  Carrier& here = *self.carrier;
  FLEXSC_EXPECT(here.current_ == &self && self.state == FiberState::running);
  here.pick_up();
}

void Carrier::pick_up_left() noexcept {
  FiberControl& fiber = *std::exchange(left_, nullptr);
  if (fiber.state == FiberState::ready) return offer(fiber);
  bury(fiber);
}

/// Takes back what the fiber that ran before and ended has left.
void Carrier::bury(FiberControl& fiber) noexcept {
  FLEXSC_EXPECT(fiber.state == FiberState::finished);
  void* const ended = fiber.context.forget();
  fiber.stack.belongs_to(nullptr);
  if (spare_stacks_.size() < kSpareStacks && fiber.stack.size == runtime_.stacks().pooled_size()) {
    spare_stacks_.push_back(fiber.stack);  // reserved: does not allocate
    spare_stacks_.back().ended = ended;
  } else {
    runtime_.stacks().give(fiber.stack);
  }
  fiber.stack = {};
  if (!dead_told_) return tell_end(fiber);
  // The joiner will destroy it, but has not gone on yet: it is woken now, or is the fiber of
  // this carrier in which we are, or has its turn later.
  dead_told_ = false;
  if (dead_joiner_ != nullptr) std::exchange(dead_joiner_, nullptr)->wake();
}

/// Ends the fiber for its handle, and wakes who joins it. See fiber_end.
void Carrier::tell_end(FiberControl& fiber) noexcept {
  // release: what the fiber did, and `exception`, for who joins; pairs with the acquire of
  // join(). acquire: the joiner's Waiter, or what detach() did.
  fiber_end::Word before = fiber.end.load(std::memory_order_acquire);
  bool joined_here = false;
  do {
    while ((before & fiber_end::announced) != 0) {  // its announcement is here or on its way
      take_cancels();
      before = fiber.end.load(std::memory_order_acquire);
    }
    joined_here = fiber.joiner != nullptr;
  } while (!fiber.end.compare_exchange_weak(before, fiber_end::ended, std::memory_order_acq_rel,
                                            std::memory_order_acquire));
  before &= ~fiber_end::bits;
  FLEXSC_EXPECT(before != fiber_end::ended);
  if (joined_here) return std::exchange(fiber.joiner, nullptr)->wake_alone();
  if (before == fiber_end::running) return;  // and from here on it is the handle's
  if (before == fiber_end::detached) {
    if (fiber.exception != nullptr && !fiber.ended_by_cancel) end_program(fiber);
    delete &fiber;
    return;
  }
  reinterpret_cast<Waiter*>(before)->wake_alone();  // NOLINT(performance-no-int-to-ptr)
}

/// The same as tell_end() in the fiber itself, if somebody waits for its end already: a joiner of
/// this carrier can then be the next to run. It does so only after we have left this stack.
inline void Carrier::tell_joiner(FiberControl& fiber) noexcept {
  fiber_end::Word found = fiber.end.load(std::memory_order_relaxed);
  if (fiber.joiner != nullptr && (found & fiber_end::announced) == 0) {
    // No locked instruction: the handle is in the joiner's hands, so there is no detach(), and
    // nobody who cancels: who does that must know that the fiber is still there, which ends here.
    // release: what the fiber did, for whoever looks; pairs with the acquire in Waiter::joins().
    fiber.end.store(fiber_end::ended, std::memory_order_release);
    dead_told_ = true;
    std::exchange(fiber.joiner, nullptr)->wake_alone();
    return;
  }
  if ((found & ~fiber_end::bits) <= fiber_end::ended || (found & fiber_end::announced) != 0) return;
  // As in tell_end(), which does it if this does not.
  if (!fiber.end.compare_exchange_strong(found, fiber_end::ended, std::memory_order_acq_rel,
                                         std::memory_order_relaxed)) {
    return;
  }
  dead_told_ = true;
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  auto& joiner = *reinterpret_cast<Waiter*>(found & ~fiber_end::bits);
  joiner.claim_alone();  // nobody else ends that wait: give_up() takes it out of `end` first
  // One that may move could go on elsewhere, before we have left.
  if (joiner.carrier() == this && joiner.stays()) {
    joiner.wake();
  } else {
    dead_joiner_ = &joiner;
  }
}

/// Ends the current fiber; returns when its stack has another one, maybe on another carrier.
/// Inline, as is leave(): a fiber then ends at the depth at which it began, and who is resumed
/// finds the processor's stack of return addresses as it was left, see jump() in context.hpp.
[[gnu::always_inline]] inline Context::Transfer Carrier::finish() noexcept {
  FiberControl& fiber = *current_;
  FLEXSC_EXPECT(fiber.state == FiberState::running && left_ == nullptr);
  fiber.state = FiberState::finished;
  count(finished_, std::memory_order_release);  // pairs with finished()
  if (calls_seen() != published_calls_) publish();
  tell_joiner(fiber);
  left_ = &fiber;
  return Context::end(fiber.context, start_or_loop(next_after(fiber)), thread_state_);
}

/// One fiber after the other, each from its beginning to its end.
void Carrier::fiber_main(Context::Transfer transfer) {
  while (true) {
    Context::entered(transfer);
    Carrier& carrier = *of_this_thread();
    carrier.pick_up();
    FiberControl& fiber = *carrier.current_;
    try {
      fiber.body();
    } catch (const Cancelled&) {
      fiber.exception = std::current_exception();
      fiber.ended_by_cancel = true;
    } catch (...) {
      fiber.exception = std::current_exception();
    }
    if (of_this_thread() != fiber.carrier) ended_after_fork(fiber);
    fiber.body = nullptr;  // what it captured goes before anyone learns of the end
    fiber.locals.reset();
    transfer = fiber.carrier->finish();  // it may have moved
  }
}

void Carrier::make_ready(FiberControl& fiber) noexcept {
  FLEXSC_EXPECT(fiber.carrier == this && fiber.state == FiberState::parked);
  fiber.state = FiberState::ready;
  if (fiber.stays <= 0) [[unlikely]] {
    make_ready_specially(fiber);
  } else {
    ready_.push(fiber);
  }
}

void Carrier::make_ready_specially(FiberControl& fiber) noexcept {
  if (order_ != nullptr) return order_->push(fiber);
  offer(fiber);
}

void Carrier::yield() {
  FiberControl& self = *current_;
  FLEXSC_EXPECT(self.state == FiberState::running);
  self.state = FiberState::ready;
  if (self.stays <= 0) [[unlikely]] {
    if (order_ != nullptr) {
      order_->push(self);
    } else {
      left_ = &self;  // to be offered when nobody is on its stack
    }
  } else {
    ready_.push(self);
  }
  leave(self);
}

void Carrier::perhaps_yield() {
  constexpr std::size_t kOneIn = 4;
  if (forced_ != nullptr && forced_->yields.below(kOneIn) == 0) yield();
}

bool Carrier::others_wait() const noexcept {
  return any_ready() || seems_fresh() || !inbox_.seems_empty() || !cancels_.seems_empty() ||
         channel_->in_flight() != 0;
}

void Carrier::checkpoint() {
  if (others_wait() || (!timers_.empty() && timers_.next() <= Clock::now())) yield();
}

void Carrier::park() noexcept {
  FiberControl& self = *current_;
  FLEXSC_EXPECT(self.state == FiberState::running);
  self.state = FiberState::parked;
  self.since = now_.load(std::memory_order_relaxed);
  ++self.parks;
  leave(self);
}

}  // namespace flexsc::detail
