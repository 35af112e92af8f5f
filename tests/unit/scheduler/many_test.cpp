// SPDX-License-Identifier: MIT
// Description: many fibers at once, and spawning from everywhere.
#include <atomic>

#include "flexsc/latch.hpp"
#include "flexsc/posix.hpp"
#include "flexsc/uapi.h"
#include "sanitizer.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

class ManyTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(ManyTest);

#ifdef FLEXSC_TSAN
constexpr int kMany = 2000;  // ThreadSanitizer has room for about 8,000 contexts
#else
constexpr int kMany = 10'000;
#endif

RuntimeOptions small_stacks(RuntimeOptions options) {
  options.stack_bytes = 32 * 1024;
  return options;
}

TEST_P(ManyTest, TenThousandFibersAliveAtOnce) {
  Runtime runtime(small_stacks(options(2)));
  std::atomic<int> alive{0};
  std::atomic<int> most{0};
  std::vector<Fiber> fibers;
  fibers.reserve(kMany);
  for (int i = 0; i < kMany; ++i) {
    fibers.push_back(runtime.spawn([&] {
      most = std::max<int>(most, ++alive);
      while (most < kMany) this_fiber::sleep_for(std::chrono::milliseconds(1));
      --alive;
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(most, kMany);
  const RuntimeStats stats = runtime.stats();
  EXPECT_EQ(stats.spawned, static_cast<std::uint64_t>(kMany));
  EXPECT_EQ(stats.finished, static_cast<std::uint64_t>(kMany));
}

// More than there can be guarded stacks with the kernel's default of vm.max_map_count.
TEST(CrowdTest, AHundredThousandFibersAliveAtOnce) {
#if defined(FLEXSC_TSAN) || defined(FLEXSC_ASAN)
  GTEST_SKIP() << "sanitizers have no room for so many contexts";
#endif
  constexpr int kFibers = 100'000;
  Runtime runtime(small_stacks(test::options_for(EngineKind::direct, 1)));
  int alive = 0;
  test::in_fiber(runtime, [&] {
    Latch all(kFibers);
    std::vector<Fiber> fibers;
    fibers.reserve(kFibers);
    for (int i = 0; i < kFibers; ++i) {
      fibers.push_back(runtime.spawn([&] {
        ++alive;
        all.arrive_and_wait();
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(alive, kFibers);
  EXPECT_EQ(runtime.stats().finished, std::uint64_t{kFibers} + 1);
}

TEST_P(ManyTest, TenThousandFibersEachMakeACall) {
  Runtime runtime(small_stacks(options(2)));
  std::atomic<int> right{0};
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (int i = 0; i < kMany; ++i) {
      fibers.push_back(runtime.spawn([&] {
        if (run_call(make_call(FLEXSC_NR_NOP)) == -ENOSYS) ++right;
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(right, kMany);
  EXPECT_EQ(runtime.stats().channels.posted, static_cast<std::uint64_t>(kMany));
}

TEST_P(ManyTest, FibersSpawnATreeOfFibers) {
  Runtime runtime(options(3));
  std::atomic<int> nodes{0};
  std::function<void(int)> grow = [&](int depth) {
    ++nodes;
    if (depth == 0) return;
    Fiber left = runtime.spawn([&grow, depth] { grow(depth - 1); });
    Fiber right = runtime.spawn([&grow, depth] { grow(depth - 1); });
    left.join();
    right.join();
  };
  test::in_fiber(runtime, [&] { grow(9); });
  EXPECT_EQ(nodes, 1023);
}

TEST_P(ManyTest, ThreadsSpawnAndJoinAtTheSameTime) {
  Runtime runtime(options(2));
  std::atomic<int> ran{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 100; ++j) {
        runtime
            .spawn([&] {
              this_fiber::yield();
              ++ran;
            })
            .join();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, 400);
}

TEST_P(ManyTest, RuntimesComeAndGo) {
  int ran = 0;
  for (int i = 0; i < 20; ++i) {
    Runtime runtime(options(2));
    Fiber fiber = runtime.spawn([&] { (void)flexsc::close(-1); });
    fiber.join();
    ++ran;
  }
  EXPECT_EQ(ran, 20);
}

}  // namespace
}  // namespace flexsc
