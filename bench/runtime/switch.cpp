// SPDX-License-Identifier: MIT
// Two fibers of one thread that do nothing but let each other run.
#include <boost/fiber/all.hpp>

#include "ground.hpp"

namespace flexsc::bench {
namespace {

constexpr int kYields = 100'000;  // of each

void switch_flexsc(::benchmark::State& state) {
  Runtime runtime(options(1));
  measure(state, [&](Stopwatch& watch) {
    runtime
        .spawn([&] {
          const auto turns = [] {
            for (int i = 0; i < kYields; ++i) this_fiber::yield();
          };
          Fiber one = runtime.spawn(turns);
          Fiber other = runtime.spawn(turns);
          watch.start_here();
          one.join();
          other.join();
          watch.stop_here();
        })
        .join();
  });
}

void switch_boost(::benchmark::State& state) {
  measure(state, [&](Stopwatch& watch) {
    pinned(cpus(1)[0], [&] {
      const auto turns = [] {
        for (int i = 0; i < kYields; ++i) boost::this_fiber::yield();
      };
      boost::fibers::fiber one(turns);
      boost::fibers::fiber other(turns);
      watch.start_here();
      one.join();
      other.join();
      watch.stop_here();
    }).join();
  });
}

FLEXSC_BENCHMARK("switch/flexsc", switch_flexsc, 2 * kYields);
FLEXSC_BENCHMARK("switch/boost", switch_boost, 2 * kYields);

}  // namespace
}  // namespace flexsc::bench
