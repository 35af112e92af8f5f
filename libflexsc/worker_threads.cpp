// SPDX-License-Identifier: MIT
/// @file
/// What a worker thread does while it holds a seat: look, claim, make, complete.
#include <bit>

#include "blocking.hpp"
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
    for (unsigned page = 0; page < client->pages.count(); ++page) {
      Word& submission = client->pages.submission(0, page);
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
    const Call call = call_in(client.pages.entry(page, bit));
    if (!policy_.worker_may_run(call)) {
      refused_.fetch_add(1, std::memory_order_relaxed);
      complete(client, page, bit, -FLEXSC_E_CALLER_ONLY);
      continue;
    }
    if (may_block(call)) {
      leave(seat);
      const long result = execute(call);
      executed_.fetch_add(1, std::memory_order_relaxed);
      complete(client, page, bit, result);
      return false;
    }
    // Release pairs with the monitor's exchange in rescue(): it reads the claim then.
    std::uint64_t inside = seat.call.load(std::memory_order_relaxed) + 1;
    seat.call.store(inside, std::memory_order_release);
    const long result = execute(call);
    // Failing, it reads that the monitor took the seat; acquire is for the seat's next
    // owner only, we do not touch it any more.
    const bool kept = seat.call.compare_exchange_strong(
        inside, inside + 1, std::memory_order_relaxed, std::memory_order_relaxed);
    if (kept) {
      increment(seat.executed);
    } else {
      executed_.fetch_add(1, std::memory_order_relaxed);
    }
    complete(client, page, bit, result);
    if (!kept) return false;
  }
  return true;
}

void WorkerPool::complete(PoolClient& client, unsigned page, unsigned bit, long result) {
  client.pages.entry(page, bit).result = result;
  complete_bits(client.pages.completion(page), Word{1} << bit);
  client.parker.wake();  // after the bit, see shared_word.hpp
}

}  // namespace flexsc::detail
