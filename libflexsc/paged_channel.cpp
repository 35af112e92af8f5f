// SPDX-License-Identifier: MIT
#include "paged_channel.hpp"

#include <algorithm>
#include <bit>

#include "blocking.hpp"

namespace flexsc::detail {

namespace {
/// Filled entries are shown to the workers when this many have come together, so that
/// they can begin while the carrier still posts.
constexpr unsigned kPublishAt = 16;
}  // namespace

PagedChannel::PagedChannel(std::unique_ptr<Transport> transport, Pages pages, unsigned queue,
                           std::shared_ptr<const Policy> policy)
    : transport_(std::move(transport)),
      pages_(pages),
      queue_(queue),
      policy_(std::move(policy)),
      helps_(transport_->helps()),
      tokens_(std::make_unique<void*[]>(std::size_t{pages.count()} * FLEXSC_PAGE_ENTRIES)) {
  for (unsigned page = 0; page < pages_.count(); ++page) free_.add(page, ~Word{0});
}

PagedChannel::~PagedChannel() {
  if (in_flight() != 0 && !fork_.in_child()) {
    fatal("a channel was destroyed with calls in flight; reap them all first");
  }
}

bool PagedChannel::post(const Call& call, void* token) {
  fork_.check();
  if (free_.empty()) {
    ++stats_.full;
    return false;
  }
  const unsigned page = free_.first_page();
  const unsigned bit = lowest(free_.of(page));
  free_.remove(page, bit_of(bit));
  fill(pages_.entry(page, bit), call);
  tokens_[std::size_t{page} * FLEXSC_PAGE_ENTRIES + bit] = token;
  ++stats_.posted;
  if (stopped_ || !policy_->worker_may_run(call)) {
    direct_.add(page, bit_of(bit));
    return true;
  }
  pending_.add(page, bit_of(bit));
  if (++unpublished_ == kPublishAt) publish();
  return true;
}

Channel::Made PagedChannel::call_or_post(const Call& call, void* token, long& result) {
  const Prospect prospect = prospect_of(call);
  if (prospect == Prospect::at_once) {
    fork_.check();
    if (!helps_) submit();
    ++stats_.posted;
    ++stats_.reaped;
    ++stats_.direct;
    result = execute(call);
    return Made::done;
  }
  if (free_.empty()) {
    ++stats_.full;
    return Made::full;
  }
  // Where post() is going to put it.
  const unsigned page = free_.first_page();
  const unsigned bit = lowest(free_.of(page));
  if (!post(call, token)) return Made::full;
  if (!helps_) {
    submit();
    return Made::posted;
  }
  if (prospect == Prospect::waits || stopped_ || !help_now(page, bit)) return Made::posted;
  const Completion completion = finish(page, bit);
  ++stats_.reaped;
  result = completion.result;
  return Made::done;
}

/// Executes what is posted; whether this entry, posted last, is complete. It is then finish()'s.
bool PagedChannel::help_now(unsigned page, unsigned bit) {
  if (unpublished_ != 0) publish();
  if ((posted_.of(page) & bit_of(bit)) == 0) return false;  // the carrier's
  ++stats_.waits;
  if (!transport_->wait({.min = 0, .adaptive = false, .help = true, .timeout = {}})) {
    stop();
    return false;
  }
  unrung_ = unclaimed();
  const Word done = take_completed(pages_.completion(page)) & posted_.of(page);
  posted_.remove(page, done);
  done_.add(page, done & ~bit_of(bit));
  return (done & bit_of(bit)) != 0;
}

void PagedChannel::publish() {
  pending_.each_page([this](unsigned page) {
    const Word bits = pending_.take(page);
    posted_.add(page, bits);
    post_bits(pages_.submission(queue_, page), bits);
  });
  unpublished_ = 0;
  unrung_ = true;
}

void PagedChannel::submit() {
  fork_.check();
  if (unpublished_ != 0) publish();
  if (!unrung_) return;
  unrung_ = false;
  // After all bits since the last look; pairs with the worker's last look before sleep.
  if (!doorbell_needed(pages_.need_doorbell(queue_))) return;
  ++stats_.doorbells;
  if (!transport_->doorbell()) stop();
}

void PagedChannel::stop() {
  if (!stopped_) {
    stopped_ = true;
    pending_.each_page([this](unsigned page) { direct_.add(page, pending_.take(page)); });
    unpublished_ = 0;
    unrung_ = false;
  }
  withdraw();
}

void PagedChannel::withdraw() {
  // Again at every reap: a worker may have given claims back since.
  posted_.each_page([this](unsigned page) {
    if (peek(pages_.submission(queue_, page)) == 0) return;
    const Word bits = withdraw_bits(pages_.submission(queue_, page)) & posted_.of(page);
    posted_.remove(page, bits);
    direct_.add(page, bits);
  });
}

void PagedChannel::collect() {
  posted_.each_page([this](unsigned page) {
    const Word bits = take_completed(pages_.completion(page)) & posted_.of(page);
    if (bits == 0) return;
    posted_.remove(page, bits);
    done_.add(page, bits);
  });
}

std::size_t PagedChannel::reap(std::span<Completion> out) {
  fork_.check();
  if (stopped_ || group_state(pages_.state()) != FLEXSC_STATE_OPEN) [[unlikely]]
    stop();
  collect();
  std::size_t count = 0;
  while (count < out.size() && !done_.empty()) {
    const unsigned page = done_.first_page();
    const unsigned bit = lowest(done_.of(page));
    done_.remove(page, bit_of(bit));
    out[count++] = finish(page, bit);
  }
  while (count < out.size() && !direct_.empty()) {
    const unsigned page = direct_.first_page();
    const unsigned bit = lowest(direct_.of(page));
    direct_.remove(page, bit_of(bit));
    out[count++] = run_directly(page, bit);
  }
  stats_.reaped += count;
  return count;
}

Completion PagedChannel::finish(unsigned page, unsigned bit) {
  const long result = static_cast<long>(pages_.entry(page, bit).result);
  if (not_made(result)) [[unlikely]]
    return run_directly(page, bit);
  return {release(page, bit), result};
}

Completion PagedChannel::run_directly(unsigned page, unsigned bit) {
  ++stats_.direct;
  const long result = execute(call_in(pages_.entry(page, bit)));
  return {release(page, bit), result};
}

void* PagedChannel::release(unsigned page, unsigned bit) {
  free_.add(page, bit_of(bit));
  return tokens_[std::size_t{page} * FLEXSC_PAGE_ENTRIES + bit];
}

bool PagedChannel::reapable(bool last_look) {
  if (stopped_ || group_state(pages_.state()) != FLEXSC_STATE_OPEN) [[unlikely]]
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
      terms.min = policy.count() > at_hand ? std::min(policy.count() - at_hand, posted_.size()) : 0;
      if (timeout.count() < 0 || policy.patience() < timeout) terms.timeout = policy.patience();
      break;
    case WaitPolicy::Kind::all:
      terms.min = posted_.size();
      break;
    case WaitPolicy::Kind::adaptive:
      terms.adaptive = true;
      terms.min = posted_.size();
      break;
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

/// Whether a submission bit of ours is still set.
bool PagedChannel::unclaimed() {
  return posted_.any_page([this](unsigned page) {
    return (peek(pages_.submission(queue_, page)) & posted_.of(page)) != 0;
  });
}

void PagedChannel::wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) {
  if (helps_) {
    fork_.check();
    if (unpublished_ != 0) publish();
  } else {
    submit();
  }
  if (reapable(false) && stopped_) return;
  WaitTerms terms = terms_for(policy, timeout);
  if (enough(policy, terms.min)) {
    // What is posted is executed all the same, or calls that complete at once could keep the
    // others from ever being looked at.
    if (!helps_ || !unrung_ || stopped_) return;
    terms.min = 0;
    terms.timeout = std::chrono::nanoseconds::zero();
  }
  ++stats_.waits;
  if (!stopped_) {
    if (transport_->wait(terms)) {
      // A helper that a signal interrupts leaves the rest posted, and tells nobody.
      if (helps_ && unrung_) unrung_ = unclaimed();
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
