// SPDX-License-Identifier: MIT
#include "uring_transport.hpp"

#include <poll.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace flexsc::detail {

UringTransport::UringTransport(const RingOptions& ring, bool plain, Mapping mapping, Pages pages,
                               WorkerPools pools, std::shared_ptr<PoolClient> workers,
                               unsigned by_workers, std::shared_ptr<RingCounts> counts)
    : mapping_(std::move(mapping)),
      pages_(pages),
      pools_(std::move(pools)),
      workers_(std::move(workers)),
      by_workers_(by_workers),
      counts_(std::move(counts)),
      ring_(ring),
      calls_(ring_.operations(), plain),
      slots_(std::size_t{pages.count()} * FLEXSC_PAGE_ENTRIES) {
  // Nobody looks at the channel's pages unless asked.
  for (unsigned pool = 0; pool < pools_.size(); ++pool) {
    set_doorbell(pages_.need_doorbell(pool), true);
  }
}

UringTransport::~UringTransport() {
  if (fork_.in_child()) return;
  for (const auto& pool : pools_) pool->remove_client(workers_);
}

/// Before the ring is used.
void UringTransport::bind() {
  if (ring_.bind(in_ring_ != 0)) watch_eventfd();
}

void UringTransport::watch_eventfd() {
  io_uring_sqe& sqe = ring_.next();
  // Every write is reported, as long as the poll goes on, so nobody has to read it.
  io_uring_prep_poll_multishot(&sqe, workers_->eventfd.get(), POLLIN);
  sqe.user_data = kWake;
}

bool UringTransport::doorbell(unsigned /*pool*/) {
  bind();
  take_posted();
  if (ring_.unsubmitted()) ring_.submit();
  take_completions();
  return true;
}

void UringTransport::look() {
  bind();
  ring_.look();
  take_completions();
  take_from_workers();
}

/// The channel's bits are set and taken in this thread alone.
bool UringTransport::enough(unsigned min) {
  take_completions();
  take_from_workers();
  unsigned set = 0;
  for (unsigned page = 0; page < pages_.used() && set < min; ++page) {
    set += static_cast<unsigned>(std::popcount(peek(pages_.completion(page))));
  }
  return set >= min;
}

bool UringTransport::wait(const WaitTerms& terms) {
  bind();
  take_posted();
  const unsigned min = terms.adaptive ? std::min(terms.min, 1U) : terms.min;
  const bool at_once = min == 0 || terms.timeout.count() == 0;
  // What is posted is handed over in the crossing of the sleep, unless there is none.
  if (at_once) ring_.submit();
  if (!at_once || !enough(min)) {
    workers_->parker.park(
        terms.timeout, [this, min] { return enough(min); },
        [this](std::chrono::nanoseconds left) -> long {
          if (left.count() == 0) return -ETIMEDOUT;
          const long end = ring_.wait(left);
          return end == -ETIME ? -ETIMEDOUT : end;
        });
  }
  if (ring_.unsubmitted()) ring_.submit();
  take_completions();
  return true;
}

// --- posting -------------------------------------------------------------------------

void UringTransport::take_posted() {
  for (unsigned pool = 0; pool < pools_.size(); ++pool) {
    for (unsigned page = 0; page < pages_.used(); ++page) {
      Word& word = pages_.submission(pool, page);
      if (peek(word) == 0) continue;
      for (Word bits = claim_bits(word); bits != 0; bits &= bits - 1) {
        begin(pool, page, lowest(bits));
      }
    }
  }
  show_workers();
}

/// A call begins its way.
void UringTransport::begin(unsigned pool, unsigned page, unsigned bit) {
  RingCall& slot = slots_[index(page, bit)];
  slot = RingCall{};
  slot.pool = static_cast<std::uint8_t>(pool);
  const flexsc_entry& entry = pages_.entry(page, bit);
  // Chains are the workers': what an operation is linked to does not know its result.
  if (entry.flags != 0 || (by_workers_ >> pool & 1) != 0) {
    return to_workers(page, bit, chain_length(page, bit));
  }
  slot.call = call_in(entry);
  switch (calls_.route(slot)) {
    case Route::ring:
      return to_ring(page, bit);
    case Route::carrier:
      ++direct_;
      return complete(page, bit, execute(slot.call));
    case Route::done:
      return complete(page, bit, slot.result);
    case Route::workers:
      return to_workers(page, bit, 1);
  }
}

unsigned UringTransport::chain_length(unsigned page, unsigned bit) const noexcept {
  unsigned length = 1;
  while ((pages_.entry(page, bit + length - 1).flags & FLEXSC_ENTRY_LINK) != 0) ++length;
  return length;
}

void UringTransport::to_ring(unsigned page, unsigned bit) {
  RingCall& slot = slots_[index(page, bit)];
  const bool limited = RingCalls::limited(slot);
  io_uring_sqe& sqe = ring_.next(limited ? 2 : 1);
  RingCalls::prepare(slot, sqe);
  sqe.user_data = index(page, bit);
  if (limited) {
    sqe.flags |= IOSQE_IO_LINK;
    io_uring_sqe& limit = ring_.next();
    RingCalls::prepare_limit(slot, limit);
    limit.user_data = kIgnored;
  }
  slot.in_ring = true;
  ++in_ring_;
}

/// Copies an entry, or a chain by its head, to the workers' pages.
void UringTransport::to_workers(unsigned page, unsigned bit, unsigned length) {
  RingCall& slot = slots_[index(page, bit)];
  slot.forwarded = true;
  for (unsigned i = 0; i < length; ++i) {
    if (i != 0) slots_[index(page, bit + i)] = RingCall{};
    workers_->pages.entry(page, bit + i) = pages_.entry(page, bit + i);
    forwarded_.add(page, bit_of(bit + i));
  }
  // A send of which the first part has gone.
  if (slot.before > 0) fill(workers_->pages.entry(page, bit), slot.call);
  unshown_.add(page, bit_of(bit));
}

void UringTransport::show_workers() {
  if (unshown_.empty()) return;
  // The same places as the poster's.
  if (const unsigned used = pages_.used(); workers_->pages.used() != used) {
    workers_->pages.use(used);
  }
  unsigned unrung = 0;
  unshown_.each_page([&](unsigned page) {
    std::array<Word, FLEXSC_MAX_POOLS> shown{};
    for (Word bits = unshown_.take(page); bits != 0; bits &= bits - 1) {
      shown[slots_[index(page, lowest(bits))].pool] |= bits & -bits;
    }
    for (unsigned pool = 0; pool < pools_.size(); ++pool) {
      if (shown[pool] == 0) continue;
      post_bits(workers_->pages.submission(pool, page), shown[pool]);
      unrung |= 1U << pool;
    }
  });
  for (; unrung != 0; unrung &= unrung - 1) {
    const unsigned pool = lowest(unrung);
    // After all bits since the last look; pairs with the worker's last look before sleep.
    if (doorbell_needed(workers_->pages.need_doorbell(pool))) pools_[pool]->doorbell();
  }
}

// --- completing ----------------------------------------------------------------------

void UringTransport::complete(unsigned page, unsigned bit, long result) {
  pages_.entry(page, bit).result = result;
  complete_bits(pages_.completion(page), bit_of(bit));
}

void UringTransport::complete_cancelled(unsigned page, unsigned bit) {
  const unsigned length = chain_length(page, bit);
  for (unsigned i = 0; i < length; ++i) complete(page, bit + i, -ECANCELED);
}

void UringTransport::take_completions() {
  bool watches = true;
  ring_.take([&](std::uint64_t data, long result, bool more) {
    if (data < slots_.size()) return completed(data, result);
    if (data < 2 * slots_.size()) return cancel_made(data - slots_.size(), result);
    if (data == kWake && !more) watches = false;
  });
  if (!watches) watch_eventfd();
  show_workers();
}

void UringTransport::completed(std::uint64_t place, long result) {
  const auto page = static_cast<unsigned>(place / FLEXSC_PAGE_ENTRIES);
  const auto bit = static_cast<unsigned>(place % FLEXSC_PAGE_ENTRIES);
  RingCall& slot = slots_[place];
  slot.in_ring = false;
  --in_ring_;
  switch (calls_.completed(slot, result)) {
    case RingCalls::Next::again:
      return to_ring(page, bit);
    case RingCalls::Next::workers:
      return to_workers(page, bit, 1);
    case RingCalls::Next::complete:
      break;
  }
  counts_->operations.fetch_add(1, std::memory_order_relaxed);
  complete(page, bit, result);
}

/// What the workers have completed. seq_cst as it may be the last look before the sleep; pairs
/// with complete_bits() in a worker, see Parker.
void UringTransport::take_from_workers() {
  forwarded_.each_page([this](unsigned page) {
    Word& word = workers_->pages.completion(page);
    if (peek_before_sleep(word) == 0) return;
    const Word done = take_completed(word) & forwarded_.of(page);
    for (Word bits = done; bits != 0; bits &= bits - 1) {
      const unsigned bit = lowest(bits);
      const RingCall& slot = slots_[index(page, bit)];
      auto result = static_cast<long>(workers_->pages.entry(page, bit).result);
      if (slot.forwarded && slot.before > 0) result = slot.before + std::max(result, 0L);
      pages_.entry(page, bit).result = result;
    }
    forwarded_.remove(page, done);
    complete_bits(pages_.completion(page), done);
  });
}

// --- cancelling ----------------------------------------------------------------------

void UringTransport::cancel(unsigned page, unsigned bit) {
  bind();
  for (unsigned pool = 0; pool < pools_.size(); ++pool) {
    if (take_back_bits(pages_.submission(pool, page), bit_of(bit)) != 0) {
      slots_[index(page, bit)] = RingCall{};
      return complete_cancelled(page, bit);
    }
  }
  RingCall& slot = slots_[index(page, bit)];
  if (slot.in_ring) {
    slot.cancelled = true;
    cancel_in_ring(index(page, bit));
    ring_.submit();
  } else if ((forwarded_.of(page) & bit_of(bit)) != 0) {
    pools_[slot.pool]->cancel({workers_.get(), page, bit});
  }
}

/// The request comes behind the operation, and before any other that gets its place.
void UringTransport::cancel_in_ring(std::uint64_t place) {
  io_uring_sqe& sqe = ring_.next();
  io_uring_prep_cancel64(&sqe, place, 0);
  sqe.user_data = slots_.size() + place;
}

/// A request to cancel was executed. It does not find an operation that was woken and that this
/// thread has to try once more, as it does in the kernel when it waits; and if others were faster,
/// the operation waits again. So it is asked to end until it is over.
void UringTransport::cancel_made(std::uint64_t place, long result) {
  const RingCall& slot = slots_[place];
  if (result == -ENOENT && slot.in_ring && slot.cancelled) cancel_in_ring(place);
}

void UringTransport::cancel_is_over(unsigned page, unsigned bit) {
  const RingCall& slot = slots_[index(page, bit)];
  if (slot.forwarded) pools_[slot.pool]->cancel_is_over({workers_.get(), page, bit});
}

std::uint64_t UringTransport::crossings() const noexcept {
  return ring_.crossings() + calls_.crossings() + direct_;
}

}  // namespace flexsc::detail
