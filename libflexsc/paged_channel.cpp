// SPDX-License-Identifier: MIT
// Posting and reaping.
#include "paged_channel.hpp"

#include "blocking.hpp"
#include "chain_run.hpp"
#include "interrupt.hpp"

namespace flexsc::detail {

namespace {
/// Filled entries are shown to the workers when this many have come together, so that
/// they can begin while the carrier still posts.
constexpr unsigned kPublishAt = 16;
}  // namespace

PagedChannel::PagedChannel(std::unique_ptr<Transport> transport, Pages pages, unsigned pools,
                           std::shared_ptr<const Policy> policy)
    : transport_(std::move(transport)),
      pages_(pages),
      policy_(std::move(policy)),
      pending_(pools),
      helps_(transport_->helps()),
      quick_(transport_->makes_quick_calls()),
      tokens_(std::make_unique<void*[]>(std::size_t{pages.count()} * FLEXSC_PAGE_ENTRIES)) {
  for (unsigned page = 0; page < pages_.count(); ++page) free_.add(page, ~Word{0});
}

PagedChannel::~PagedChannel() {
  if (in_flight() != 0 && !fork_.in_child()) {
    fatal("a channel was destroyed with calls in flight; reap them all first");
  }
}

bool PagedChannel::post(const Call& call, void* token, const PostOptions& how) {
  fork_.check();
  if (how.pool >= pending_.size()) throw_no_pool();
  Place place;
  if (!first_free(place)) {
    ++stats_.full;
    return false;
  }
  post_at(place, call, token, how);
  return true;
}

/// Finds a free place.
[[gnu::always_inline]] inline bool PagedChannel::first_free(Place& place) noexcept {
  return free_.any_page([&](unsigned page) {
    place = {page, lowest(free_.of(page))};
    return true;
  });
}

/// Posts at a free place.
[[gnu::always_inline]] inline void PagedChannel::post_at(Place place, const Call& call, void* token,
                                                         const PostOptions& how) {
  flexsc_entry& entry = pages_.entry(place.page, place.bit);
  fill(entry, call);
  if (how.deadline != Clock::time_point::max()) set_deadline(place, entry, how.deadline);
  free_.remove(place.page, bit_of(place.bit));
  tokens_[place.index()] = token;
  ++stats_.posted;
  if (stopped_ || !policy_->worker_may_run(call)) {
    direct_.add(place.page, bit_of(place.bit));
  } else {
    show(place, how.pool);
  }
}

/// Makes a filled entry pending.
void PagedChannel::show(Place place, unsigned pool) {
  pending_[pool].add(place.page, bit_of(place.bit));
  if (++unpublished_ == kPublishAt) publish();
}

bool PagedChannel::call_at_once(const Call& call, long& result) {
  if (prospect_of(call) != Prospect::at_once) return false;
  fork_.check();
  ++stats_.posted;
  ++stats_.reaped;
  ++stats_.direct;
  result = execute(call);
  return true;
}

Channel::Made PagedChannel::call_or_post(const Call& call, void* token, long& result,
                                         const PostOptions& how) {
  if (how.pool >= pending_.size()) throw_no_pool();
  // Others' calls are not to wait for this one.
  if (!helps_) submit();
  if (how.deadline == Clock::time_point::max() && call_at_once(call, result)) return Made::done;
  fork_.check();
  Place place;
  if (!first_free(place)) {
    ++stats_.full;
    return Made::full;
  }
  post_at(place, call, token, how);
  if (!helps_) {
    submit();
    return Made::posted;
  }
  if (prospect_of(call) == Prospect::waits || stopped_ || !help_now(place)) return Made::posted;
  result = finish(place).result;
  ++stats_.reaped;
  return Made::done;
}

/// Executes what is posted; whether this entry is complete, which is then for finish().
bool PagedChannel::help_now(Place place) {
  if (unpublished_ != 0) publish();
  if ((posted_.of(place.page) & bit_of(place.bit)) == 0) return false;  // the carrier's
  ++stats_.waits;
  if (!transport_->wait({.min = 0, .adaptive = false, .help = true, .timeout = {}})) {
    stop();
    return false;
  }
  const Word done = take_completed(pages_.completion(place.page)) & posted_.of(place.page);
  posted_.remove(place.page, done);
  look_for_unclaimed();
  done_.add(place.page, done & ~bit_of(place.bit));
  return (done & bit_of(place.bit)) != 0;
}

void PagedChannel::publish() {
  for (unsigned pool = 0; pool < pending_.size(); ++pool) {
    EntrySet& pending = pending_[pool];
    if (pending.empty()) continue;
    pending.each_page([&](unsigned page) {
      const Word bits = pending.take(page);
      if (page >= used_pages_) [[unlikely]]
        pages_.use(used_pages_ = page + 1);
      posted_.add(page, bits);
      post_bits(pages_.submission(pool, page), bits);
    });
    unrung_ |= 1U << pool;
  }
  unpublished_ = 0;
}

void PagedChannel::submit() {
  fork_.check();
  if (unpublished_ != 0) publish();
  for (; unrung_ != 0; unrung_ &= unrung_ - 1) {
    const unsigned pool = lowest(unrung_);
    // After all bits since the last look; pairs with the worker's last look before sleep.
    if (!doorbell_needed(pages_.need_doorbell(pool))) continue;
    ++stats_.doorbells;
    if (!transport_->doorbell(pool)) return stop();
  }
}

void PagedChannel::stop() {
  if (!stopped_) {
    stopped_ = true;
    for (EntrySet& pending : pending_) {
      pending.each_page([&](unsigned page) { direct_.add(page, pending.take(page)); });
    }
    unpublished_ = 0;
    unrung_ = 0;
  }
  withdraw();
}

void PagedChannel::withdraw() {
  // Again at every reap: a worker may have given claims back since.
  posted_.each_page([this](unsigned page) {
    for (unsigned pool = 0; pool < pending_.size(); ++pool) {
      if (peek(pages_.submission(pool, page)) == 0) continue;
      const Word bits = withdraw_bits(pages_.submission(pool, page)) & posted_.of(page);
      posted_.remove(page, bits);
      direct_.add(page, bits);
    }
  });
}

void PagedChannel::collect() {
  posted_.each_page([this](unsigned page) {
    // Those of a chain come together, and its head is the one that is posted.
    const Word bits = take_completed(pages_.completion(page)) & posted_.of(page);
    if (bits == 0) return;
    posted_.remove(page, bits);
    done_.add(page, bits);
  });
}

std::size_t PagedChannel::reap(std::span<Completion> out) {
  fork_.check();
  if (serves_no_more()) [[unlikely]]
    stop();
  if (!deadlines_.empty()) expire();
  transport_->look();
  collect();
  std::size_t count = 0;
  done_.any_page([&](unsigned page) {
    Word bits = done_.take(page);
    for (; bits != 0 && count < out.size(); bits &= bits - 1) {
      out[count++] = finish({page, lowest(bits)});
    }
    done_.add(page, bits);
    return count == out.size();
  });
  while (count < out.size() && !direct_.empty()) {
    const unsigned page = direct_.first_page();
    const Place place{page, lowest(direct_.of(page))};
    direct_.remove(page, bit_of(place.bit));
    out[count++] = run_directly(place);
  }
  stats_.reaped += count;
  count_crossings();
  return count;
}

/// A transport that counts for itself knows more than doorbells and waits.
void PagedChannel::count_crossings() noexcept {
  const std::uint64_t all = transport_->crossings();
  const std::uint64_t told = stats_.doorbells + stats_.waits;
  if (all > told) stats_.further = all - told;
}

Completion PagedChannel::finish(Place place) {
  const long result = static_cast<long>(pages_.entry(place.page, place.bit).result);
  if ((chains_.of(place.page) & bit_of(place.bit)) != 0) return finish_chain(place);
  const bool odd = (odd_.of(place.page) & bit_of(place.bit)) != 0;
  if (odd || not_made(result)) [[unlikely]]
    return finish_odd(place, result);
  return {release(place), result};
}

Completion PagedChannel::finish_odd(Place place, long result) {
  if (not_made(result)) return run_directly(place);
  return {release(place), end_of(place, result)};
}

Completion PagedChannel::run_directly(Place place) {
  if ((chains_.of(place.page) & bit_of(place.bit)) != 0) [[unlikely]]
    return run_chain_directly(place);
  ++stats_.direct;
  const long result =
      execute_until(call_in(pages_.entry(place.page, place.bit)), deadline_of(place));
  return {release(place), end_of(place, result)};
}

void* PagedChannel::release(Place place) {
  free_.add(place.page, bit_of(place.bit));
  return tokens_[place.index()];
}

/// Completes an entry that no worker has, and that is in no set.
void PagedChannel::complete_here(Place place, long result) {
  pages_.entry(place.page, place.bit).result = result;
  done_.add(place.page, bit_of(place.bit));
}

}  // namespace flexsc::detail
