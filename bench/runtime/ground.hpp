// SPDX-License-Identifier: MIT
/// @file
/// What the benchmarks of the runtime have in common. Each measures one piece of work, done
/// once per iteration, and times it itself: preparations do not count.
///
/// Both sides run on the same CPUs: the first that the program may use, or the first two.
#pragma once

#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>

#include <ctime>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "flexsc/fiber.hpp"

namespace flexsc::bench {

/// As many CPUs; with fewer in the machine they are used twice.
inline std::vector<int> cpus(std::size_t count) {
  cpu_set_t set;
  std::vector<int> all;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) throw std::runtime_error("no CPUs");
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) all.push_back(cpu);
  }
  std::vector<int> some;
  for (std::size_t i = 0; i < count; ++i) some.push_back(all[i % all.size()]);
  return some;
}

inline RuntimeOptions options(std::size_t carriers,
                              std::size_t stack_bytes = std::size_t{64} * 1024) {
  RuntimeOptions options;
  options.engine.kind = EngineKind::direct;
  options.carrier_cpus = cpus(carriers);
  options.stack_bytes = stack_bytes;
  return options;
}

/// A thread on that CPU, as a carrier is.
template <class Body>
std::thread pinned(int cpu, Body body) {
  return std::thread([cpu, body = std::move(body)]() mutable {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set);
    body();
  });
}

/// In seconds.
inline double now(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Of work on one thread it takes the time that the thread had a CPU, so that what else runs on
/// the machine does not count; start() and stop() are then called on that thread.
class Stopwatch {
 public:
  void start() { begun_ = now(CLOCK_MONOTONIC); }
  void stop() { total_ += now(CLOCK_MONOTONIC) - begun_; }
  void start_here() { begun_ = now(CLOCK_THREAD_CPUTIME_ID); }
  void stop_here() { total_ += now(CLOCK_THREAD_CPUTIME_ID) - begun_; }
  [[nodiscard]] double seconds() const { return total_; }

 private:
  double begun_ = 0;
  double total_ = 0;
};

/// Times `work(stopwatch)` once per iteration.
template <class Work>
void measure(::benchmark::State& state, Work work) {
  for ([[maybe_unused]] auto _ : state) {
    Stopwatch watch;
    work(watch);
    state.SetIterationTime(watch.seconds());
  }
}

/// For each `FLEXSC_BENCHMARK("key/side", function, operations)`: one iteration per sample is
/// enough, as the work is large; the samples of both sides are taken by turns (main.cpp).
/// `operations` are what the time of an iteration is divided by.
#define FLEXSC_BENCHMARK(name, function, operations)                        \
  [[maybe_unused]] static auto* const registered_##function =               \
      ::benchmark::RegisterBenchmark(name,                                  \
                                     [](::benchmark::State& state) {        \
                                       function(state);                     \
                                       state.counters["operations"] =       \
                                           static_cast<double>(operations); \
                                     })                                     \
          ->UseManualTime()                                                 \
          ->Iterations(1)                                                   \
          ->Unit(::benchmark::kNanosecond)

}  // namespace flexsc::bench
