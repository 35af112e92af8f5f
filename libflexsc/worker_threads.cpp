// SPDX-License-Identifier: MIT
/// @file
/// What a worker thread does while it holds a seat: look, claim, make, complete.
#include <bit>
#include <cerrno>
#include <vector>

#include "blocking.hpp"
#include "chain_run.hpp"
#include "worker_pool.hpp"

namespace flexsc::detail {

namespace {
/// Looks between two looks at the clock.
constexpr unsigned kLooksPerClock = 32;

/// For counters that only one thread writes.
void increment(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}
}  // namespace

/// Serves until the seat is lost or the pool stops.
void WorkerPool::serve(Seat& seat) {
  using Clock = std::chrono::steady_clock;
  ClientList clients;
  std::uint64_t version = 0;
  Clock::time_point idle_since{};
  bool lost = false;
  for (unsigned looks = 0; !stopping_.load(std::memory_order_relaxed);) {
    refresh(clients, version);
    if (scan(seat, clients, lost)) {
      if (lost) return;
      looks = 0;
      continue;
    }
    if (looks == 0) idle_since = Clock::now();
    if (looks++ % kLooksPerClock == 0 && Clock::now() - idle_since >= spin_) {
      // What is idle must not keep the memory of channels that are gone.
      clients.clear();
      version = 0;
      if (!go_idle(seat)) return;
      looks = 0;
    }
    __builtin_ia32_pause();
  }
}

/// One look at every word. True if something was claimed; `lost`: the seat is gone.
bool WorkerPool::scan(Seat& seat, const ClientList& clients, bool& lost) {
  bool found = false;
  for (const auto& client : clients) {
    const unsigned pages = client->pages.used();
    for (unsigned page = 0; page < pages; ++page) {
      Word& submission = client->pages.submission(number_, page);
      if (peek(submission) == 0) continue;
      const Word claimed = claim_bits(submission);
      if (claimed == 0) continue;
      batches_.fetch_add(1, std::memory_order_relaxed);
      // A second word while others sleep: let one of them look too.
      if (found && some_idle_.load(std::memory_order_relaxed)) doorbell();
      found = true;
      seat.client = client.get();
      seat.page = page;
      seat.rest = claimed;
      if (!run_claim(seat)) {
        lost = true;
        return true;
      }
    }
  }
  return found;
}

/// Makes the calls of the seat's claim. False: the seat went to another thread, and the
/// rest of the claim back to the submission word. The caller keeps the client alive.
bool WorkerPool::run_claim(Seat& seat) {
  PoolClient& client = *seat.client;
  const unsigned page = seat.page;
  while (seat.rest != 0) {
    const auto bit = static_cast<unsigned>(std::countr_zero(seat.rest));
    seat.rest &= seat.rest - 1;
    const EntryName name{&client, page, bit};
    const flexsc_entry& entry = client.pages.entry(page, bit);
    if (some_cancelled_.load(std::memory_order_relaxed) && is_cancelled(name)) {
      complete_cancelled(name);
      continue;
    }
    if (entry.flags != 0) {
      run_chain(seat, name);
      return false;
    }
    const Call call = call_in(entry);
    if (!policy_.worker_may_run(call)) {
      refused_.fetch_add(1, std::memory_order_relaxed);
      complete(name, -FLEXSC_E_CALLER_ONLY);
      continue;
    }
    if (may_block(call)) {
      run_away(seat, name, call);
      return false;
    }
    if (!run_entry(seat, name, call)) return false;
  }
  return true;
}

/// Makes a call that is not expected to block. False: it did, and the monitor took the seat.
bool WorkerPool::run_entry(Seat& seat, const EntryName& name, const Call& call) {
  Worker& self = *seat.worker;
  seat.bit = name.bit;
  // relaxed: nobody else writes it while it is even. Release pairs with the monitor's exchange in
  // rescue(): it reads the claim then.
  std::uint64_t inside = seat.call.load(std::memory_order_relaxed) + 1;
  seat.call.store(inside, std::memory_order_release);
  long result = execute(call);
  // Failing, it reads that the monitor took the seat, which we do not touch any more: so relaxed.
  // Succeeding, it stays ours, and the monitor has read nothing of it.
  if (seat.call.compare_exchange_strong(inside, inside + 1, std::memory_order_relaxed,
                                        std::memory_order_relaxed)) {
    increment(seat.executed);
    complete(name, result);
    return true;
  }
  executed_.fetch_add(1, std::memory_order_relaxed);
  if (come_back(self) && result == -EINTR) result = -ECANCELED;
  complete(name, result);
  return false;
}

/// Makes a call that may block, without the seat.
void WorkerPool::run_away(Seat& seat, const EntryName& name, const Call& call) {
  Worker& self = *seat.worker;
  leave(seat, name);
  long result = execute(call);
  executed_.fetch_add(1, std::memory_order_relaxed);
  if (come_back(self) && result == -EINTR) result = -ECANCELED;
  complete(name, result);
}

/// Runs the chain whose head this is, without the seat: it may block, and it may be long.
void WorkerPool::run_chain(Seat& seat, const EntryName& name) {
  Worker& self = *seat.worker;
  leave(seat, name);
  std::vector<ChainCall> members;
  for (unsigned bit = name.bit; bit < FLEXSC_PAGE_ENTRIES; ++bit) {
    const flexsc_entry& entry = name.client->pages.entry(name.page, bit);
    members.push_back(chain_call_in(entry));
    if ((entry.flags & FLEXSC_ENTRY_LINK) == 0) break;
  }
  std::vector<long> results(members.size());
  // relaxed: it only says what to do next; who set it interrupts the call again and again.
  const auto cancelled = [&self] { return self.cancelled.load(std::memory_order_relaxed); };
  const auto make = [&](const Call& call) {
    executed_.fetch_add(1, std::memory_order_relaxed);
    const long result = execute(call);
    return result == -EINTR && cancelled() ? -ECANCELED : result;
  };
  detail::run_chain(members, results, make, [&] { return cancelled() ? -ECANCELED : 0; });
  static_cast<void>(come_back(self));
  for (unsigned i = 0; i < members.size(); ++i) {
    name.client->pages.entry(name.page, name.bit + i).result = results[i];
  }
  complete(name, results.front(), static_cast<unsigned>(members.size()));
}

void WorkerPool::complete(const EntryName& name, long result, unsigned length) {
  const Word bits = (length == FLEXSC_PAGE_ENTRIES ? ~Word{0} : (Word{1} << length) - 1);
  name.client->pages.entry(name.page, name.bit).result = result;
  complete_bits(name.client->pages.completion(name.page), bits << name.bit);
  name.client->parker.wake();  // after the bits, see shared_word.hpp
}

/// Completes an entry, or a chain by its head, of which nothing was made.
void WorkerPool::complete_cancelled(const EntryName& name) {
  unsigned length = 1;
  while ((name.client->pages.entry(name.page, name.bit + length - 1).flags & FLEXSC_ENTRY_LINK) !=
         0) {
    name.client->pages.entry(name.page, name.bit + length++).result = -ECANCELED;
  }
  complete(name, -ECANCELED, length);
}

}  // namespace flexsc::detail
