// SPDX-License-Identifier: MIT
// Description: semaphore, latch, wait group and barrier among fibers and plain threads, and
// what they say to wrong numbers.
#include <atomic>
#include <cerrno>
#include <memory>
#include <string>

#include "flexsc/barrier.hpp"
#include "flexsc/latch.hpp"
#include "flexsc/semaphore.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using test::error_of;

using test::carriers;

TEST(SemaphoreTest, GivesAsManyPermitsAsItHas) {
  CountingSemaphore permits(2);
  EXPECT_TRUE(permits.try_acquire());
  permits.acquire();
  EXPECT_FALSE(permits.try_acquire());
  EXPECT_FALSE(permits.try_acquire_for(milliseconds(1)));
  EXPECT_FALSE(permits.try_acquire_until(Clock::now()));
  permits.release(2);
  EXPECT_TRUE(permits.try_acquire_for(hours(1)));
  EXPECT_TRUE(permits.try_acquire());
  EXPECT_FALSE(permits.try_acquire());
}

TEST(SemaphoreTest, WrongNumbersAreRefused) {
  EXPECT_EQ(error_of([] { const CountingSemaphore negative(-1); }), EINVAL);
  CountingSemaphore permits(1);
  EXPECT_EQ(error_of([&] { permits.release(-1); }), EINVAL);
  EXPECT_EQ(error_of([&] { permits.release(CountingSemaphore::max()); }), EOVERFLOW);
  permits.release(0);
  EXPECT_TRUE(permits.try_acquire());
  EXPECT_FALSE(permits.try_acquire());
}

TEST(SemaphoreTest, OneReleaseWakesSeveralInOrder) {
  Runtime runtime(carriers(1));
  CountingSemaphore permits(0);
  std::string order;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (const char name : {'a', 'b', 'c'}) {
      fibers.push_back(runtime.spawn([&, name] {
        permits.acquire();
        order += name;
      }));
    }
    this_fiber::yield();
    permits.release(2);
    EXPECT_FALSE(permits.try_acquire());  // both are given already
    this_fiber::yield();
    EXPECT_EQ(order, "ab");
    permits.release();
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, "abc");
}

TEST(SemaphoreTest, NoPermitIsLostBetweenFibersThreadsAndTimeouts) {
  Runtime runtime(carriers(2));
  CountingSemaphore permits(3);
  std::atomic<int> inside{0};
  const auto work = [&] {
    for (int i = 0; i < 200; ++i) {
      if (i % 2 == 0) {
        permits.acquire();
      } else if (!permits.try_acquire_for(std::chrono::microseconds(10))) {
        continue;
      }
      EXPECT_LE(++inside, 3);
      if (i % 5 == 0) this_fiber::yield();
      --inside;
      permits.release();
    }
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 6; ++i) fibers.push_back(runtime.spawn(work));
  std::thread thread(work);
  for (Fiber& fiber : fibers) fiber.join();
  thread.join();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(permits.try_acquire());
  EXPECT_FALSE(permits.try_acquire());
}

TEST(LatchTest, OpensOnceAndForAll) {
  Runtime runtime(carriers(2));
  Latch latch(3);
  EXPECT_FALSE(latch.try_wait());
  EXPECT_FALSE(latch.wait_for(milliseconds(1)));
  std::vector<Fiber> fibers;
  for (int i = 0; i < 2; ++i) fibers.push_back(runtime.spawn([&] { latch.arrive_and_wait(); }));
  fibers.push_back(runtime.spawn([&] { latch.wait(); }));
  std::thread thread([&] { latch.wait(); });
  EXPECT_FALSE(latch.wait_until(Clock::now()));
  latch.count_down();
  latch.wait();
  for (Fiber& fiber : fibers) fiber.join();
  thread.join();
  EXPECT_TRUE(latch.try_wait());
  EXPECT_EQ(error_of([&] { latch.count_down(); }), EINVAL);
  EXPECT_EQ(error_of([&] { latch.count_down(-1); }), EINVAL);
  EXPECT_EQ(error_of([&] { const Latch negative(-1); }), EINVAL);
}

TEST(WaitGroupTest, WaitsForWhatGrows) {
  Runtime runtime(carriers(2));
  WaitGroup group;
  group.wait();
  std::atomic<int> ran{0};
  std::function<void(int)> grow = [&](int depth) {
    ++ran;
    for (int i = 0; i < 2 && depth > 0; ++i) {
      group.add();
      runtime.spawn([&, depth] { grow(depth - 1); }).detach();
    }
    group.done();
  };
  group.add();
  runtime.spawn([&] { grow(6); }).detach();
  group.wait();
  EXPECT_EQ(ran, 127);
  EXPECT_EQ(error_of([&] { group.done(); }), EINVAL);
  group.add();
  EXPECT_EQ(error_of([&] { group.add(SIZE_MAX); }), EOVERFLOW);
  EXPECT_FALSE(group.wait_for(milliseconds(1)));
  group.done();
  EXPECT_TRUE(group.try_wait());
}

// Who waited destroys it at once, while done() is on its way out.
TEST(WaitGroupTest, MayBeDestroyedByWhoWaited) {
  Runtime runtime(carriers(2));
  for (int i = 0; i < 200; ++i) {
    auto group = std::make_unique<WaitGroup>(1);
    Fiber fiber = runtime.spawn([&, own = group.get()] { own->done(); });
    group->wait();
    group.reset();
    fiber.join();
  }
}

TEST(BarrierTest, NobodyIsAPhaseAhead) {
  Runtime runtime(carriers(2));
  constexpr int kPhases = 50;
  constexpr int kFibers = 4;
  int completions = 0;  // by the last to arrive, while all others wait
  Barrier barrier(kFibers + 1, [&] { ++completions; });
  const auto work = [&] {
    for (int phase = 0; phase < kPhases; ++phase) {
      EXPECT_EQ(completions, phase);
      barrier.arrive_and_wait();
    }
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < kFibers; ++i) fibers.push_back(runtime.spawn(work));
  work();
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(completions, kPhases);
}

TEST(BarrierTest, WhoDropsIsNotExpectedAgain) {
  Runtime runtime(carriers(1));
  Barrier barrier(2);
  test::in_fiber(runtime, [&] {
    Fiber other = runtime.spawn([&] { barrier.arrive_and_drop(); });
    barrier.arrive_and_wait();
    other.join();
    barrier.arrive_and_wait();  // alone
    const auto token = barrier.arrive();
    barrier.wait(token);
  });
}

TEST(BarrierTest, WrongNumbersAreRefused) {
  EXPECT_EQ(error_of([] { const Barrier<> negative(-1); }), EINVAL);
  Barrier barrier(2);
  EXPECT_EQ(error_of([&] { (void)barrier.arrive(3); }), EINVAL);
  EXPECT_EQ(error_of([&] { (void)barrier.arrive(0); }), EINVAL);
  barrier.wait(barrier.arrive(2));
}

}  // namespace
}  // namespace flexsc
