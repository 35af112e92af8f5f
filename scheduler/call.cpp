// SPDX-License-Identifier: MIT
// run_call(), and the count of direct calls.
#include <atomic>
#include <mutex>

#include "carrier.hpp"
#include "flexsc/batch.hpp"
#include "flexsc/fiber.hpp"

namespace flexsc {
namespace {

/// The direct calls of one thread at a time. Never freed: a thread that ends leaves its
/// count to be continued by a later one, so that the sum stays right.
struct alignas(64) Counter {
  /// Written by the one thread that has it; relaxed: a number.
  std::atomic<std::uint64_t> calls{0};
  bool taken = true;        ///< guarded by Counters::mutex
  Counter* next = nullptr;  ///< constant once listed
};

struct Counters {
  std::mutex mutex;
  Counter* first = nullptr;  ///< guarded by mutex

  Counter& take() {
    const std::scoped_lock lock(mutex);
    for (Counter* counter = first; counter != nullptr; counter = counter->next) {
      if (!counter->taken) {
        counter->taken = true;
        return *counter;
      }
    }
    first = new Counter{{}, true, first};
    return *first;
  }
};

/// Never destroyed: threads may end after static destructors have run.
Counters& counters() {
  static auto& all = *new Counters;
  return all;
}

constinit thread_local Counter* this_thread_counter = nullptr;

/// Gives the counter back when its thread ends. Calls made even later, by destructors
/// that run after this one, take another counter and keep it.
struct GiveBack {
  ~GiveBack() {
    const std::scoped_lock lock(counters().mutex);
    this_thread_counter->taken = false;
    this_thread_counter = nullptr;
  }
};

[[gnu::noinline]] void take_counter() {
  this_thread_counter = &counters().take();
  thread_local const GiveBack give_back;
  (void)give_back;
}

void count_direct() {
  if (this_thread_counter == nullptr) take_counter();
  std::atomic<std::uint64_t>& calls = this_thread_counter->calls;
  // Not an atomic addition: nobody else writes it.
  calls.store(calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

long run_call(const Call& call) {
  detail::interleave();
  if (detail::Carrier::running_fiber() != nullptr) {
    return detail::Carrier::of_this_thread()->run_call(call);
  }
  if (in_batch()) {
    long promised = 0;
    if (batch_record(call, promised)) return promised;
  }
  count_direct();
  return execute(call);
}

long run_chain(const Chain& chain, std::span<long> results) {
  detail::interleave();
  if (detail::Carrier::running_fiber() != nullptr) {
    return detail::Carrier::of_this_thread()->run_chain(chain, results);
  }
  if (in_batch()) (void)batch_flush();
  count_direct();
  return run_chain_directly(chain, results);
}

std::uint64_t direct_crossings() noexcept {
  const std::scoped_lock lock(counters().mutex);
  std::uint64_t sum = 0;
  for (const Counter* counter = counters().first; counter != nullptr; counter = counter->next) {
    sum += counter->calls.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace flexsc
