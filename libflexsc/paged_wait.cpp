// SPDX-License-Identifier: MIT
// Waiting for completions.
#include <algorithm>
#include <bit>

#include "paged_channel.hpp"

namespace flexsc::detail {

bool PagedChannel::reapable(bool last_look) {
  if (serves_no_more()) [[unlikely]]
    stop();
  if (!done_.empty() || !direct_.empty()) return true;
  return posted_.any_page([&](unsigned page) {
    Word& word = pages_.completion(page);
    return (last_look ? peek_before_sleep(word) : peek(word)) != 0;
  });
}

/// How many completion bits a wait is for, of those that are not taken yet.
WaitTerms PagedChannel::terms_for(const WaitPolicy& policy, std::chrono::nanoseconds timeout) {
  WaitTerms terms{.min = 1, .adaptive = false, .help = helps_, .timeout = timeout};
  const unsigned at_hand = done_.size() + direct_.size();
  switch (policy.kind()) {
    case WaitPolicy::Kind::none:
      terms.min = 0;
      break;
    case WaitPolicy::Kind::any:
      break;
    case WaitPolicy::Kind::some:
      terms.min = policy.count() > at_hand ? std::min(policy.count() - at_hand, outstanding()) : 0;
      if (timeout.count() < 0 || policy.patience() < timeout) terms.timeout = policy.patience();
      break;
    case WaitPolicy::Kind::all:
      terms.min = outstanding();
      break;
    case WaitPolicy::Kind::adaptive:
      terms.adaptive = true;
      terms.min = outstanding();
      break;
  }
  if (!deadlines_.empty()) {
    const std::chrono::nanoseconds left =
        std::max<std::chrono::nanoseconds>(deadlines_.begin()->first - Clock::now(), {});
    if (terms.timeout.count() < 0 || left < terms.timeout) terms.timeout = left;
  }
  // With nothing in flight one waits for the timeout or a notification.
  if (policy.kind() != WaitPolicy::Kind::none && in_flight() == 0) terms.min = 1;
  if (terms.min == 0) terms.timeout = std::chrono::nanoseconds::zero();
  return terms;
}

/// Whether a wait for `min` bits has nothing to wait for.
bool PagedChannel::enough(const WaitPolicy& policy, unsigned min) {
  switch (policy.kind()) {
    case WaitPolicy::Kind::none:
      return true;
    case WaitPolicy::Kind::any:
    case WaitPolicy::Kind::adaptive:
      return reapable(false);
    case WaitPolicy::Kind::some:
    case WaitPolicy::Kind::all:
      break;
  }
  unsigned set = 0;
  posted_.each_page([&](unsigned page) {
    set += static_cast<unsigned>(std::popcount(peek(pages_.completion(page))));
  });
  return set >= min;
}

/// Completion bits of what is posted; a chain has one for each of its members.
unsigned PagedChannel::outstanding() {
  unsigned bits = posted_.size();
  chains_.each_page([&](unsigned page) {
    for (Word heads = chains_.of(page) & posted_.of(page); heads != 0; heads &= heads - 1) {
      bits += posted_chains_[Place{page, lowest(heads)}.index()].length - 1;
    }
  });
  return bits;
}

/// Whether a submission bit of ours is still set.
bool PagedChannel::unclaimed(unsigned pool) {
  return posted_.any_page(
      [&](unsigned page) { return (peek(pages_.submission(pool, page)) & posted_.of(page)) != 0; });
}

/// After having helped: a helper that a signal interrupts leaves the rest posted, and tells
/// nobody.
void PagedChannel::look_for_unclaimed() {
  for (unsigned pools = unrung_; pools != 0; pools &= pools - 1) {
    const unsigned pool = lowest(pools);
    if (!unclaimed(pool)) unrung_ &= ~(1U << pool);
  }
}

void PagedChannel::wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) {
  if (helps_) {
    fork_.check();
    if (unpublished_ != 0) publish();
  } else {
    submit();
  }
  if (serves_no_more() && reapable(false)) return;
  WaitTerms terms = terms_for(policy, timeout);
  if (enough(policy, terms.min)) {
    // What is posted is executed all the same, or calls that complete at once could keep the
    // others from ever being looked at. And whoever asks for no more than that gets it also for
    // calls that wait for files: of these the kernel alone knows which are ready.
    const bool asked = policy.kind() == WaitPolicy::Kind::none && !posted_.empty();
    if (!helps_ || stopped_ || (unrung_ == 0 && !asked)) return;
    terms.min = 0;
    terms.timeout = std::chrono::nanoseconds::zero();
  }
  ++stats_.waits;
  if (!stopped_) {
    if (transport_->wait(terms)) {
      if (helps_) look_for_unclaimed();
      count_crossings();
      if (!deadlines_.empty()) expire();
      return;
    }
    stop();
    if (reapable(false)) return;
  }
  wait_stopped(terms.timeout);
}

void PagedChannel::wait_stopped(std::chrono::nanoseconds timeout) {
  // Nobody wakes us for a claimed call that still runs, so look for it now and then.
  constexpr std::chrono::nanoseconds step = std::chrono::milliseconds(1);
  const auto look = [this] { return reapable(true); };
  while (!posted_.empty() && (timeout.count() < 0 || timeout > step)) {
    if (stopped_parker_.park(step, look) != Parker::End::timeout) return;
    if (timeout.count() > 0) timeout -= step;
  }
  stopped_parker_.park(timeout, look);
}

void PagedChannel::notify() {
  stopped_parker_.notify();
  transport_->notify();
}

}  // namespace flexsc::detail
