// SPDX-License-Identifier: MIT
// Description: an idle carrier takes fibers that have not started from a busy one; a
// started fiber never moves.
#include <atomic>
#include <mutex>
#include <set>

#include "flexsc/posix.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

class StealTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(StealTest);

// The spawning fiber does not let go of its carrier until its children have run: they can
// only have been taken by the other one.
TEST_P(StealTest, AnIdleCarrierRunsTheChildrenOfABusyFiber) {
  Runtime runtime(options(2));
  constexpr int kChildren = 10;
  std::atomic<int> ran{0};
  std::set<std::thread::id> others;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> children;
    for (int i = 0; i < kChildren; ++i) {
      children.push_back(runtime.spawn([&] {
        others.insert(std::this_thread::get_id());  // all on the same carrier
        ++ran;
      }));
    }
    while (ran < kChildren) std::this_thread::yield();  // the thread, not the fiber
    EXPECT_EQ(others.count(std::this_thread::get_id()), 0U);
    for (Fiber& child : children) child.join();
  });
  EXPECT_EQ(ran, kChildren);
  EXPECT_EQ(others.size(), 1U);
}

TEST_P(StealTest, AFiberOfAPlainThreadIsTakenFromABusyCarrier) {
  Runtime runtime(options(2));
  std::atomic<bool> busy{false};
  std::atomic<bool> done{false};
  Fiber hog = runtime.spawn([&] {
    busy = true;
    while (!done) std::this_thread::yield();
  });
  while (!busy) std::this_thread::yield();
  // Carriers take turns, so some of these begin at the busy one.
  std::atomic<int> ran{0};
  std::vector<Fiber> fibers;
  for (int i = 0; i < 10; ++i) fibers.push_back(runtime.spawn([&] { ++ran; }));
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(ran, 10);
  done = true;
  hog.join();
}

TEST_P(StealTest, AStartedFiberStaysWhereItIs) {
  Runtime runtime(options(3));
  std::vector<Fiber> fibers;
  for (int i = 0; i < 60; ++i) {
    fibers.push_back(runtime.spawn([i] {
      const std::thread::id home = std::this_thread::get_id();
      for (int j = 0; j < 30; ++j) {
        if ((i + j) % 4 == 0) (void)flexsc::close(-1);
        if ((i + j) % 7 == 0) this_fiber::sleep_for(std::chrono::microseconds(100));
        this_fiber::yield();
        EXPECT_EQ(std::this_thread::get_id(), home);
      }
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
}

TEST_P(StealTest, NothingIsLostAndNothingRunsTwice) {
  Runtime runtime(options(3));
  constexpr std::size_t kFibers = 3000;
  std::vector<std::atomic<int>> runs(kFibers);
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (std::size_t i = 0; i < kFibers; ++i) {
      fibers.push_back(runtime.spawn([&runs, i] { ++runs[i]; }));
      if (i % 100 == 0) this_fiber::yield();
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  for (const std::atomic<int>& count : runs) EXPECT_EQ(count, 1);
  EXPECT_EQ(runtime.stats().finished, kFibers + 1);
}

}  // namespace
}  // namespace flexsc
