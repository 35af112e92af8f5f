// SPDX-License-Identifier: MIT
// Resident memory of fibers that are parked, all of it: stacks, control blocks, what malloc keeps.
#include <unistd.h>

#include <cstdio>
#include <stdexcept>

#include "flexsc/latch.hpp"
#include "ground.hpp"

namespace flexsc::bench {
namespace {

constexpr std::size_t kFibers = 200'000;

double resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  long total = 0;
  long resident = 0;
  const bool read = file != nullptr && std::fscanf(file, "%ld %ld", &total, &resident) == 2;
  if (file != nullptr) (void)std::fclose(file);
  if (!read) throw std::runtime_error("/proc/self/statm cannot be read");
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

void ours(::benchmark::State& state) {
  double bytes = 0;
  measure(state, [&](Stopwatch& watch) {
    Runtime runtime(options(1));
    std::vector<Fiber> fibers;
    fibers.reserve(kFibers);
    for (std::size_t i = 0; i < kFibers; ++i) fibers.emplace_back();  // the handles do not count
    Latch parked(kFibers);
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
    bytes = (resident_bytes() - before) / static_cast<double>(kFibers);
    watch.stop();
    end.count_down();
    for (Fiber& fiber : fibers) fiber.join();
  });
  state.counters["bytes"] = bytes;
}

FLEXSC_BENCHMARK("parked_bytes/flexsc", ours, kFibers);

}  // namespace
}  // namespace flexsc::bench
