// SPDX-License-Identifier: MIT
// Cancelling, and the deadlines of engines whose workers keep none.
#include <cerrno>

#include "blocking.hpp"
#include "paged_channel.hpp"

namespace flexsc::detail {

/// Calls visit(place) for what is in flight and not complete, until it returns true; whether it
/// did. It must not change the sets.
template <class Visit>
bool PagedChannel::any_in_flight(Visit visit) {
  const auto any_of = [&](EntrySet& set) {
    return set.any_page([&](unsigned page) {
      for (Word bits = set.of(page); bits != 0; bits &= bits - 1) {
        if (visit(Place{page, lowest(bits)})) return true;
      }
      return false;
    });
  };
  for (EntrySet& pending : pending_) {
    if (any_of(pending)) return true;
  }
  return any_of(posted_) || any_of(direct_);
}

bool PagedChannel::cancel(void* token) {
  fork_.check();
  Place found;
  const bool any = any_in_flight([&](Place place) {
    found = place;
    return tokens_[place.index()] == token;
  });
  if (any) {
    cancel_at(found);
    return true;
  }
  // It may be complete already.
  return done_.any_page([&](unsigned page) {
    for (Word bits = done_.of(page); bits != 0; bits &= bits - 1) {
      if (tokens_[Place{page, lowest(bits)}.index()] == token) return true;
    }
    return false;
  });
}

std::size_t PagedChannel::cancel_descriptor(int fd) {
  fork_.check();
  std::vector<Place> found;
  any_in_flight([&](Place place) {
    if (works_on(place, fd)) found.push_back(place);
    return false;
  });
  for (const Place place : found) cancel_at(place);
  return found.size();
}

/// Whether a call of the entry, or of its chain, has this descriptor as its first argument.
bool PagedChannel::works_on(Place place, int fd) {
  const bool chained = (chains_.of(place.page) & bit_of(place.bit)) != 0;
  const unsigned length = chained ? posted_chains_[place.index()].length : 1;
  for (unsigned i = 0; i < length; ++i) {
    // Workers read these fields and write none of them.
    const Call call = call_in(pages_.entry(place.page, place.bit + i));
    if (first_is_descriptor(call.nr) && static_cast<int>(call.args[0]) == fd) return true;
  }
  return false;
}

void PagedChannel::cancel_at(Place place) {
  const Word bit = bit_of(place.bit);
  bool ours = (direct_.of(place.page) & bit) != 0;
  direct_.remove(place.page, bit);
  for (EntrySet& pending : pending_) {
    if ((pending.of(place.page) & bit) == 0) continue;
    pending.remove(place.page, bit);
    --unpublished_;
    ours = true;
  }
  if (!ours) {
    cancelled_.add(place.page, bit);
    odd_.add(place.page, bit);
    transport_->cancel(place.page, place.bit);
    return;
  }
  if ((chains_.of(place.page) & bit) != 0) {
    for (unsigned i = 1; i < posted_chains_[place.index()].length; ++i) {
      pages_.entry(place.page, place.bit + i).result = -ECANCELED;
    }
  }
  complete_here(place, -ECANCELED);
}

void PagedChannel::set_deadline(Place place, flexsc_entry& entry, Clock::time_point deadline) {
  if (limits_.empty()) limits_.resize(std::size_t{pages_.count()} * FLEXSC_PAGE_ENTRIES);
  limits_[place.index()] = deadline;
  limited_.add(place.page, bit_of(place.bit));
  odd_.add(place.page, bit_of(place.bit));
  if (transport_->keeps_deadlines()) {
    // steady_clock is CLOCK_MONOTONIC.
    entry.flags |= FLEXSC_ENTRY_DEADLINE;
    entry.result =
        std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
  } else {
    deadlines_.insert({deadline, place});
  }
}

/// Of a call that the carrier makes itself.
PagedChannel::Clock::time_point PagedChannel::deadline_of(Place place) const {
  const bool limited = (limited_.of(place.page) & bit_of(place.bit)) != 0;
  return limited ? limits_[place.index()] : Clock::time_point::max();
}

/// Cancels what is late.
void PagedChannel::expire() {
  const Clock::time_point now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const Place place = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    limited_.remove(place.page, bit_of(place.bit));
    if ((done_.of(place.page) & bit_of(place.bit)) != 0) continue;
    late_.add(place.page, bit_of(place.bit));
    cancel_at(place);
  }
}

/// The result of an entry that is released: of one that was cancelled for its deadline, -ETIME.
/// Forgets what the place stood for.
long PagedChannel::end_of(Place place, long result) {
  const Word bit = bit_of(place.bit);
  if ((odd_.of(place.page) & bit) == 0) return result;
  odd_.remove(place.page, bit);
  if ((limited_.of(place.page) & bit) != 0) {
    limited_.remove(place.page, bit);
    deadlines_.erase({limits_[place.index()], place});  // unless the transport keeps it
  }
  if ((cancelled_.of(place.page) & bit) != 0) {
    cancelled_.remove(place.page, bit);
    transport_->cancel_is_over(place.page, place.bit);
  }
  if ((late_.of(place.page) & bit) != 0) {
    late_.remove(place.page, bit);
    if (result == -ECANCELED) return -ETIME;
  }
  return result;
}

}  // namespace flexsc::detail
