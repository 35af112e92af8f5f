// SPDX-License-Identifier: MIT
// Fibers that do nothing, spawned from a fiber and joined, one after the other; and threads.
#include <boost/fiber/all.hpp>

#include "ground.hpp"

namespace flexsc::bench {
namespace {

constexpr int kSpawnedFibers = 20'000;
constexpr int kThreads = 300;

void ours_against_boost(::benchmark::State& state) {
  Runtime runtime(options(1));
  measure(state, [&](Stopwatch& watch) {
    runtime
        .spawn([&] {
          watch.start_here();
          for (int i = 0; i < kSpawnedFibers; ++i) runtime.spawn([] {}).join();
          watch.stop_here();
        })
        .join();
  });
}

/// Threads take more time than that of the thread which starts them, so here it is all time.
void ours_against_threads(::benchmark::State& state) {
  Runtime runtime(options(1));
  measure(state, [&](Stopwatch& watch) {
    runtime
        .spawn([&] {
          watch.start();
          for (int i = 0; i < kThreads; ++i) runtime.spawn([] {}).join();
          watch.stop();
        })
        .join();
  });
}

void spawn_boost(::benchmark::State& state) {
  measure(state, [&](Stopwatch& watch) {
    pinned(cpus(1)[0], [&] {
      watch.start_here();
      for (int i = 0; i < kSpawnedFibers; ++i) boost::fibers::fiber([] {}).join();
      watch.stop_here();
    }).join();
  });
}

void threads(::benchmark::State& state) {
  measure(state, [&](Stopwatch& watch) {
    pinned(cpus(1)[0], [&] {
      watch.start();
      for (int i = 0; i < kThreads; ++i) std::thread([] {}).join();
      watch.stop();
    }).join();
  });
}

FLEXSC_BENCHMARK("spawn/flexsc", ours_against_boost, kSpawnedFibers);
FLEXSC_BENCHMARK("spawn/boost", spawn_boost, kSpawnedFibers);
FLEXSC_BENCHMARK("spawn_thread/flexsc", ours_against_threads, kThreads);
FLEXSC_BENCHMARK("spawn_thread/threads", threads, kThreads);

}  // namespace
}  // namespace flexsc::bench
