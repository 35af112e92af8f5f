// SPDX-License-Identifier: MIT
// Two fibers on two CPUs that take one mutex in turns.
#include <algorithm>
#include <array>
#include <barrier>
#include <boost/fiber/all.hpp>
#include <mutex>

#include "flexsc/barrier.hpp"
#include "flexsc/mutex.hpp"
#include "ground.hpp"

namespace flexsc::bench {
namespace {

constexpr int kRounds = 50'000;  // of each

/// When each of the two was at it.
struct Span {
  double begun = 0;
  double ended = 0;
};

double seconds(const std::array<Span, 2>& spans) {
  return std::max(spans[0].ended, spans[1].ended) - std::min(spans[0].begun, spans[1].begun);
}

/// With the mutex held for as long as it takes to hand something over.
template <class Lockable>
Span rounds(Lockable& mutex, std::uint64_t& guarded) {
  Span span{now(CLOCK_MONOTONIC), 0};
  for (int i = 0; i < kRounds; ++i) {
    const std::scoped_lock lock(mutex);
    ::benchmark::DoNotOptimize(guarded += 1);
  }
  span.ended = now(CLOCK_MONOTONIC);
  return span;
}

void mutex_flexsc(::benchmark::State& state) {
  // A runtime each: a fiber stays with its carrier, and two runtimes do not steal from each other.
  RuntimeOptions first = options(2);
  RuntimeOptions second = first;
  first.carrier_cpus.pop_back();
  second.carrier_cpus.erase(second.carrier_cpus.begin());
  Runtime one(first);
  Runtime other(second);
  for ([[maybe_unused]] auto _ : state) {
    Mutex mutex;
    std::uint64_t guarded = 0;
    Barrier begin(2);
    std::array<Span, 2> spans;
    Fiber a = one.spawn([&] {
      begin.arrive_and_wait();
      spans[0] = rounds(mutex, guarded);
    });
    Fiber b = other.spawn([&] {
      begin.arrive_and_wait();
      spans[1] = rounds(mutex, guarded);
    });
    a.join();
    b.join();
    state.SetIterationTime(seconds(spans));
  }
}

void mutex_boost(::benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) {
    boost::fibers::mutex mutex;
    std::uint64_t guarded = 0;
    std::barrier begin(2);
    std::array<Span, 2> spans;
    const auto work = [&](std::size_t which) {
      begin.arrive_and_wait();
      boost::fibers::fiber([&] { spans[which] = rounds(mutex, guarded); }).join();
    };
    std::thread a = pinned(cpus(2)[0], [&] { work(0); });
    std::thread b = pinned(cpus(2)[1], [&] { work(1); });
    a.join();
    b.join();
    state.SetIterationTime(seconds(spans));
  }
}

FLEXSC_BENCHMARK("mutex/flexsc", mutex_flexsc, 2 * kRounds);
FLEXSC_BENCHMARK("mutex/boost", mutex_boost, 2 * kRounds);

}  // namespace
}  // namespace flexsc::bench
