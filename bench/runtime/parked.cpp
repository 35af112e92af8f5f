// SPDX-License-Identifier: MIT
// Resident memory of fibers that are parked, all of it: stacks, control blocks, what malloc keeps.
#include <unistd.h>

#include <boost/fiber/all.hpp>
#include <cstdio>
#include <mutex>
#include <new>
#include <stdexcept>

#include "flexsc/latch.hpp"
#include "ground.hpp"

namespace flexsc::bench {
namespace {

constexpr std::size_t kParkedFibers = 200'000;
constexpr std::size_t kMillion = 1'000'000;

double resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  long total = 0;
  long resident = 0;
  const bool read = file != nullptr && std::fscanf(file, "%ld %ld", &total, &resident) == 2;
  if (file != nullptr) (void)std::fclose(file);
  if (!read) throw std::runtime_error("/proc/self/statm cannot be read");
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

void park(::benchmark::State& state, std::size_t count) {
  double bytes = 0;
  measure(state, [&](Stopwatch& watch) {
    Runtime runtime(options(1));
    std::vector<Fiber> fibers;
    fibers.reserve(count);
    for (std::size_t i = 0; i < count; ++i) fibers.emplace_back();  // the handles do not count
    Latch parked(count);
    Latch end(1);
    watch.start();
    const double before = resident_bytes();
    for (Fiber& fiber : fibers) {
      fiber = runtime.spawn([&] {
        parked.count_down();
        end.wait();
      });
    }
    parked.wait();
    bytes = (resident_bytes() - before) / static_cast<double>(count);
    watch.stop();
    end.count_down();
    for (Fiber& fiber : fibers) fiber.join();
  });
  state.counters["bytes"] = bytes;
}

void parked_flexsc(::benchmark::State& state) {
  park(state, kParkedFibers);
}

void million(::benchmark::State& state) {
  park(state, kMillion);
}

/// As many as it can, with the stacks that it has if nobody asks for others.
void parked_boost(::benchmark::State& state) {
  double bytes = 0;
  std::size_t count = 0;
  measure(state, [&](Stopwatch& watch) {
    pinned(cpus(1)[0], [&] {
      std::vector<boost::fibers::fiber> fibers(kParkedFibers);
      boost::fibers::mutex mutex;
      boost::fibers::condition_variable ended;
      bool end = false;
      std::size_t parked = 0;
      watch.start();
      const double before = resident_bytes();
      for (; count < kParkedFibers; ++count) {
        try {
          fibers[count] = boost::fibers::fiber([&] {
            std::unique_lock lock(mutex);
            ++parked;
            ended.wait(lock, [&] { return end; });
          });
        } catch (const std::bad_alloc&) {
          break;
        }
      }
      // The fibers that run meanwhile change it. NOLINTNEXTLINE(bugprone-infinite-loop)
      while (parked != count) boost::this_fiber::yield();
      bytes = (resident_bytes() - before) / static_cast<double>(count);
      watch.stop();
      {
        const std::scoped_lock lock(mutex);
        end = true;
      }
      ended.notify_all();
      for (std::size_t i = 0; i < count; ++i) fibers[i].join();
    }).join();
  });
  state.counters["bytes"] = bytes;
  state.counters["fibers"] = static_cast<double>(count);
}

FLEXSC_BENCHMARK("parked_bytes/flexsc", parked_flexsc, kParkedFibers);
FLEXSC_BENCHMARK("parked_million/flexsc", million, kMillion);
FLEXSC_BENCHMARK("parked_bytes/boost", parked_boost, kParkedFibers);

}  // namespace
}  // namespace flexsc::bench
