// SPDX-License-Identifier: MIT
// The calls of fibers: made at once, posted, executed, ended. The rules are in carrier.hpp.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <span>
#include <system_error>

#include "carrier.hpp"
#include "expect.hpp"

namespace flexsc::detail {
namespace {

/// Calls posted before workers are told although fibers are still ready.
constexpr std::size_t kSubmitBatch = 8;
/// Calls that a fiber makes one after the other without a look at the outside.
constexpr unsigned kMadeAlone = 32;
/// Up to so many calls in flight a fiber counts as alone.
constexpr std::size_t kFewInFlight = 4;
/// Rounds in which calls may become executable before a carrier that helps looks at them.
constexpr std::uint64_t kHelpRounds = 32;

}  // namespace

/// Whether the running fiber is the only one that has something to do. relaxed: an estimate.
bool Carrier::alone() const noexcept {
  return !any_ready() && backlog_.empty() && !seems_fresh();
}

long Carrier::run_call(const Call& call) {
  PendingCall pending(*current_, call);
  if (const long why = must_end(*current_); why != 0) [[unlikely]] {
    // Cleaning up has to be possible.
    long result = 0;
    return channel_->call_at_once(call, result) ? result : why;
  }
  // No fiber gains by a park for it. But now and then others have their turn.
  if (quick_ && made_alone_ < kMadeAlone && channel_->call_at_once(call, pending.result)) {
    ++made_alone_;
    return pending.result;
  }
  // Parking would only cost time. Now and then it is done all the same: the carrier looks at
  // other fibers' completions, timers and wake-ups in between.
  // Nor is it done for workers with CPUs of their own while more than a few calls are in flight:
  // some of those are about to complete, and a crossing would keep their fibers waiting.
  if (alone() && made_alone_ < kMadeAlone && (helps_ || channel_->in_flight() < kFewInFlight)) {
    if (!helps_) unsubmitted_ = 0;  // it submits
    const PostOptions how{.pool = current_->pool};
    switch (channel_->call_or_post(call, &pending, pending.result, how)) {
      case Channel::Made::done:
        ++made_alone_;
        return pending.result;
      case Channel::Made::posted:
        if (helps_) ++unsubmitted_;
        return wait_for(pending);
      case Channel::Made::full:
        break;
    }
  }
  return post_and_wait(pending);
}

long Carrier::run_chain(const Chain& chain, std::span<long> results) {
  if (chain.size() == 0 || results.size() < chain.size()) {
    // Here, where the caller can catch it: it may be posted from outside of the fiber.
    throw std::system_error(EINVAL, std::generic_category(), "a chain without calls or places");
  }
  PendingCall pending(*current_, chain, results);
  if (const long why = must_end(*current_); why != 0) {
    std::fill_n(results.begin(), chain.size(), -ECANCELED);
    return why;
  }
  // As in run_call().
  if (helps_ && alone() && made_alone_ < kMadeAlone) {
    const PostOptions how{.pool = current_->pool};
    switch (channel_->chain_or_post(chain, results, &pending, pending.result, how)) {
      case Channel::Made::done:
        ++made_alone_;
        return pending.result;
      case Channel::Made::posted:
        ++unsubmitted_;
        return wait_for(pending);
      case Channel::Made::full:
        break;
    }
  }
  return post_and_wait(pending);
}

/// Why a call of the running fiber must not wait: the error that it ends with, or 0. A cancellation
/// that comes later finds the fiber parked.
long Carrier::must_end(FiberControl& fiber) const noexcept {
  if (fiber.late != 0) return -ETIMEDOUT;
  return fiber.wanted_or_at_home() && heeds_cancel(fiber) ? -ECANCELED : 0;
}

/// Not under a shield, nor while an exception unwinds the running fiber's stack.
bool Carrier::heeds_cancel(const FiberControl& fiber) const noexcept {
  return fiber.shields == 0 && !unwinding();
}

long Carrier::post_and_wait(PendingCall& pending) {
  // Behind those that found no entry before, so that none waits for ever.
  if (!backlog_.empty() || !post(pending)) {
    if (!settle() || !backlog_.empty() || !post(pending)) backlog_.push(pending);
  }
  return wait_for(pending);
}

/// Parks the running fiber until the call, which is posted or in the backlog, is complete.
long Carrier::wait_for(PendingCall& pending) {
  FiberControl& self = pending.fiber;
  pending.heeds_cancel = heeds_cancel(self);
  self.call = &pending;
  park();
  self.call = nullptr;
  return pending.late && pending.result == -ECANCELED ? -ETIMEDOUT : pending.result;
}

/// Ends the call on which a fiber of ours is parked. In this thread, outside of fibers.
void Carrier::end_call(PendingCall& pending, bool late) {
  // It may be complete already, and its fiber ready but not yet running.
  if (pending.ended || pending.fiber.state != FiberState::parked) return;
  pending.ended = true;
  pending.late = late;
  if (channel_->cancel(&pending)) return;  // it completes, and the fiber wakes up, as ever
  // It waits for an entry.
  Fifo<PendingCall, &PendingCall::backlog_next> others;
  while (PendingCall* each = backlog_.pop()) {
    if (each != &pending) others.push(*each);
  }
  backlog_ = others;
  if (pending.chain != nullptr) {
    std::fill_n(pending.results.begin(), pending.chain->size(), -ECANCELED);
  }
  pending.result = -ECANCELED;
  make_ready(pending.fiber);
}

bool Carrier::post(PendingCall& pending) {
  const PostOptions how{.pool = pending.fiber.pool};
  const bool posted = pending.chain != nullptr
                          ? channel_->post_chain(*pending.chain, pending.results, &pending, how)
                          : channel_->post(*pending.call, &pending, how);
  if (!posted) return false;
  if (++unsubmitted_ >= kSubmitBatch) submit();
  return true;
}

void Carrier::post_backlog() {
  while (!backlog_.empty()) {
    if (!post(backlog_.front())) return;
    (void)backlog_.pop();
  }
}

/// Executes what is posted although there is something to run, see "Helping" in carrier.hpp.
void Carrier::help() {
  if (!helps_ || channel_->in_flight() == 0) return;
  // relaxed: an estimate; what comes meanwhile is seen by sleep().
  if (!any_ready() && !seems_fresh()) return;
  if (unsubmitted_ == 0 && rounds_ - helped_in_ < kHelpRounds) return;
  unsubmitted_ = 0;
  helped_in_ = rounds_;
  channel_->wait(WaitPolicy::none(), std::chrono::nanoseconds::zero());
  settle();
}

void Carrier::submit() {
  if (helps_ || unsubmitted_ == 0) return;
  unsubmitted_ = 0;
  channel_->submit();
}

/// Makes the fibers ready whose calls are complete, and posts calls that had found no
/// entry. Whether there were any.
bool Carrier::settle() {
  if (channel_->in_flight() == 0) {
    FLEXSC_EXPECT(backlog_.empty());
    return false;
  }
  bool any = false;
  std::size_t count = 0;
  do {
    count = channel_->reap(reaped_);
    if (count == 0) break;
    detail::count(reaps_[static_cast<std::size_t>(std::bit_width(count)) - 1]);
    own_stats_.taken += count;
    for (const Completion& completion : std::span(reaped_).first(count)) {
      auto& pending = *static_cast<PendingCall*>(completion.token);
      pending.result = completion.result;
      make_ready(pending.fiber);
    }
    any = true;
  } while (count == reaped_.size());
  if (any) post_backlog();
  return any;
}

}  // namespace flexsc::detail
