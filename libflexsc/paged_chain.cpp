// SPDX-License-Identifier: MIT
// Chains: posted by their head, complete in one step.
#include <algorithm>
#include <array>
#include <cerrno>

#include "blocking.hpp"
#include "chain_run.hpp"
#include "interrupt.hpp"
#include "paged_channel.hpp"

namespace flexsc::detail {

namespace {
/// `length` bits from `bit` on.
Word run_of(unsigned bit, unsigned length) noexcept {
  return (length == FLEXSC_PAGE_ENTRIES ? ~Word{0} : bit_of(length) - 1) << bit;
}

/// The lowest bit from which on `length` bits are set; there may be none.
bool find_run(Word bits, unsigned length, unsigned& bit) noexcept {
  // Bit n of `bits` shrinks to whether the bits n to n + length - 1 are set.
  for (unsigned have = 1; have < length;) {
    const unsigned step = std::min(have, length - have);
    bits &= bits >> step;
    have += step;
  }
  if (bits == 0) return false;
  bit = lowest(bits);
  return true;
}
}  // namespace

bool PagedChannel::find_room(unsigned length, Place& place) {
  place.page = chain_page_;
  if (find_run(free_.of(chain_page_), length, place.bit)) return true;
  return free_.any_page([&](unsigned page) {
    place.page = chain_page_ = page;
    return find_run(free_.of(page), length, place.bit);
  });
}

/// Whether a worker can be asked. What it judges by arguments that are results, it would judge
/// with half of the chain done.
inline bool PagedChannel::worker_may_run(const Policy& policy, const ChainCall& member) {
  const std::uint8_t its = policy.class_of(member.call);
  if (its == FLEXSC_CLASS_WORKER) [[likely]]
    return true;
  return its == FLEXSC_CLASS_ARGS && member.from == 0 && policy.worker_may_run(member.call);
}

bool PagedChannel::post_chain(const Chain& chain, std::span<long> results, void* token,
                              const PostOptions& how) {
  Place head;
  return post_at_head(head, chain, results, token, how);
}

Channel::Made PagedChannel::chain_or_post(const Chain& chain, std::span<long> results, void* token,
                                          long& result, const PostOptions& how) {
  Place head;
  if (!post_at_head(head, chain, results, token, how)) return Made::full;
  const auto waits = [](const ChainCall& member) {
    return prospect_of(member.call) == Prospect::waits;
  };
  // From the end, where a call that waits usually is.
  const std::span members = chain.members();
  if (!helps_ || stopped_ || std::any_of(members.rbegin(), members.rend(), waits) ||
      !help_now(head)) {
    return Made::posted;
  }
  result = finish(head).result;
  ++stats_.reaped;
  return Made::done;
}

/// Posts a chain where there is room for it, and says where.
inline bool PagedChannel::post_at_head(Place& head, const Chain& chain, std::span<long> results,
                                       void* token, const PostOptions& how) {
  fork_.check();
  if (how.pool >= pending_.size()) throw_no_pool();
  check_chain_post(chain, results);
  const auto length = static_cast<unsigned>(chain.size());
  if (!find_room(length, head)) {
    ++stats_.full;
    return false;
  }
  if (posted_chains_.empty()) {
    posted_chains_.resize(std::size_t{pages_.count()} * FLEXSC_PAGE_ENTRIES);
  }
  posted_chains_[head.index()] = {length, results.data()};
  flexsc_entry* entry = &pages_.entry(head.page, head.bit);
  bool workers = true;
  const Policy& policy = *policy_;
  for (const ChainCall& member : chain.members()) {
    fill(*entry, member.call, member.flags | FLEXSC_ENTRY_LINK, member.from);
    ++entry;
    // These have a meaning of their own outside of chains; one that breaks another rule is refused
    // by who makes it.
    workers &= (member.flags & (FLEXSC_ENTRY_LINK | FLEXSC_ENTRY_DEADLINE)) == 0 &&
               worker_may_run(policy, member);
  }
  entry[-1].flags = chain.members().back().flags;
  if (how.deadline != Clock::time_point::max()) {
    set_deadline(head, pages_.entry(head.page, head.bit), how.deadline);
  }
  free_.remove(head.page, run_of(head.bit, length));
  chains_.add(head.page, bit_of(head.bit));
  tokens_[head.index()] = token;
  ++stats_.posted;
  if (stopped_ || !workers) {
    direct_.add(head.page, bit_of(head.bit));
  } else {
    show(head, how.pool);
  }
  return true;
}

Completion PagedChannel::finish_chain(Place head) {
  const PostedChain& chain = posted_chains_[head.index()];
  const std::span<long> results(chain.results, chain.length);
  bool cut = false;
  const flexsc_entry* entry = &pages_.entry(head.page, head.bit);
  for (long& result : results) {
    result = static_cast<long>((entry++)->result);
    cut |= not_made(result);
  }
  if (cut) [[unlikely]] {
    const auto where = std::find_if(results.begin(), results.end(), not_made);
    // Refused or stopped before its first call: nothing of it was made.
    if (where == results.begin() || results.front() == -ECANCELED) return run_chain_directly(head);
    // Stopped on the way. What was made cannot be made again: it ends like one that is cancelled.
    *where = -ECANCELED;
  }
  if ((late_.of(head.page) & bit_of(head.bit)) != 0) [[unlikely]] {
    const auto end = std::find(results.begin(), results.end(), -ECANCELED);
    if (end != results.end()) *end = -ETIME;
  }
  return release_chain(head);
}

/// Takes the chain's entries back; its results are where they belong.
Completion PagedChannel::release_chain(Place head) {
  const PostedChain& chain = posted_chains_[head.index()];
  chains_.remove(head.page, bit_of(head.bit));
  if ((odd_.of(head.page) & bit_of(head.bit)) != 0) static_cast<void>(end_of(head, 0));
  free_.add(head.page, run_of(head.bit, chain.length));
  return {tokens_[head.index()], chain.results[chain.length - 1]};
}

Completion PagedChannel::run_chain_directly(Place head) {
  const PostedChain& chain = posted_chains_[head.index()];
  // Nothing here may throw: reap() has other completions in hand.
  std::array<ChainCall, Chain::kMembers> room;
  const std::span members(room.data(), chain.length);
  for (unsigned i = 0; i < chain.length; ++i) {
    members[i] = chain_call_in(pages_.entry(head.page, head.bit + i));
  }
  const std::span<long> results(chain.results, chain.length);
  const Clock::time_point deadline = deadline_of(head);
  const auto make = [&](const Call& call) {
    ++stats_.direct;
    return execute_until(call, deadline);
  };
  run_chain(members, results, make, [] { return 0L; });
  return release_chain(head);
}

}  // namespace flexsc::detail
