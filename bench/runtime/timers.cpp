// SPDX-License-Identifier: MIT
// A hundred thousand fibers wait with a timeout, all at once, and are woken before it.
#include <boost/fiber/all.hpp>
#include <chrono>
#include <mutex>

#include "flexsc/condition_variable.hpp"
#include "flexsc/latch.hpp"
#include "ground.hpp"

namespace flexsc::bench {
namespace {

constexpr std::size_t kTimers = 100'000;
constexpr std::size_t kStackBytes = std::size_t{16} * 1024;

/// Times in no order, as of connections that were made at any time.
std::chrono::nanoseconds timeout(std::size_t number) {
  return std::chrono::hours(1) + std::chrono::microseconds(number * 7919 % kTimers);
}

/// What both sides do, with the names of each. The fibers are there and wait before it starts.
template <class Mutex, class Condition, class Spawn, class Yield, class Join>
void set_and_cancel(Stopwatch& watch, Spawn spawn, Yield yield, Join join) {
  Mutex mutex;
  Condition begin;
  Condition end;
  Condition gone;
  bool begun = false;
  bool ended = false;
  bool leave = false;
  std::size_t waiting = 0;
  for (std::size_t i = 0; i < kTimers; ++i) {
    spawn([&, i] {
      std::unique_lock lock(mutex);
      ++waiting;
      begin.wait(lock, [&] { return begun; });
      ++waiting;
      end.wait_for(lock, timeout(i), [&] { return ended; });
      --waiting;
      gone.wait(lock, [&] { return leave; });  // their ends do not count
    });
  }
  const auto until = [&](std::size_t count) {
    // The fibers that run meanwhile change it. NOLINTNEXTLINE(bugprone-infinite-loop)
    while (waiting != count) yield();
  };
  until(kTimers);
  watch.start_here();
  {
    const std::scoped_lock lock(mutex);
    begun = true;
  }
  begin.notify_all();
  until(2 * kTimers);
  {
    const std::scoped_lock lock(mutex);
    ended = true;
  }
  end.notify_all();
  until(kTimers);
  watch.stop_here();
  {
    const std::scoped_lock lock(mutex);
    leave = true;
  }
  gone.notify_all();
  join();
}

void timers_flexsc(::benchmark::State& state) {
  Runtime runtime(options(1, kStackBytes));
  measure(state, [&](Stopwatch& watch) {
    runtime
        .spawn([&] {
          std::vector<Fiber> fibers;
          set_and_cancel<Mutex, ConditionVariable>(
              watch, [&](auto body) { fibers.push_back(runtime.spawn(body)); },
              [] { this_fiber::yield(); },
              [&] {
                for (Fiber& fiber : fibers) fiber.join();
              });
        })
        .join();
  });
}

void timers_boost(::benchmark::State& state) {
  measure(state, [&](Stopwatch& watch) {
    pinned(cpus(1)[0], [&] {
      std::vector<boost::fibers::fiber> fibers;
      set_and_cancel<boost::fibers::mutex, boost::fibers::condition_variable>(
          watch,
          [&](auto body) {
            fibers.emplace_back(std::allocator_arg, boost::fibers::fixedsize_stack(kStackBytes),
                                body);
          },
          [] { boost::this_fiber::yield(); },
          [&] {
            for (auto& fiber : fibers) fiber.join();
          });
    }).join();
  });
}

FLEXSC_BENCHMARK("timers/flexsc", timers_flexsc, kTimers);
FLEXSC_BENCHMARK("timers/boost", timers_boost, kTimers);

}  // namespace
}  // namespace flexsc::bench
