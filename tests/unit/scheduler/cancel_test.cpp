// SPDX-License-Identifier: MIT
// Description: a cancelled fiber notices where it waits, once it waits, and loses nothing.
#include "flexsc/cancel.hpp"

#include <atomic>
#include <cerrno>
#include <functional>
#include <string>

#include "flexsc/posix.hpp"
#include "flexsc/sync.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

using test::carriers;

bool cancelled(Fiber& fiber) {
  try {
    fiber.join();
  } catch (const Cancelled&) {
    return true;
  }
  return false;
}

/// Every wait that is a cancellation point, ended from the same carrier and from a thread.
void expect_cancellable(const std::function<void()>& wait) {
  Runtime runtime(carriers(1));
  for (const bool from_thread : {false, true}) {
    std::atomic<bool> there{false};
    Fiber fiber = runtime.spawn([&] {
      there = true;
      wait();
      ADD_FAILURE() << "the wait returned";
    });
    if (from_thread) {
      while (!there) std::this_thread::yield();
      fiber.cancel();
      EXPECT_TRUE(cancelled(fiber));
    } else {
      test::in_fiber(runtime, [&] {
        while (!there) this_fiber::yield();
        this_fiber::yield();
        fiber.cancel();
        fiber.cancel();
        EXPECT_TRUE(cancelled(fiber));
      });
    }
  }
}

TEST(CancelTest, EndsEveryWait) {
  Mutex mutex;
  ConditionVariable condition;
  expect_cancellable([&] {
    std::unique_lock lock(mutex);
    try {
      condition.wait(lock);
    } catch (const Cancelled&) {
      EXPECT_TRUE(mutex.owned());
      throw;
    }
  });
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();

  CountingSemaphore none(0);
  expect_cancellable([&] { none.acquire(); });
  expect_cancellable([&] { (void)none.try_acquire_for(hours(1)); });
  Latch latch(1);
  expect_cancellable([&] { latch.wait(); });
  Barrier barrier(100);
  expect_cancellable([&] { barrier.arrive_and_wait(); });
  BoundedChannel<int> empty(0);
  BoundedChannel<int> other(0);
  expect_cancellable([&] { (void)empty.receive(); });
  expect_cancellable([&] { (void)empty.send(1); });
  std::optional<int> got;
  expect_cancellable([&] { (void)select(empty.receiving(got), other.receiving(got)); });
  expect_cancellable([&] { this_fiber::sleep_for(hours(1)); });
}

/// A join of `worker`, which ends once `go` is set, is cancelled and made again.
template <class Flag>
void expect_join_cancelled(Fiber& joiner, Fiber& worker, Flag& go) {
  joiner.cancel();
  EXPECT_TRUE(cancelled(joiner));
  EXPECT_TRUE(worker.joinable());
  EXPECT_FALSE(worker.join_for(milliseconds(1)));
  go = true;
  EXPECT_TRUE(worker.join_for(hours(1)));
  EXPECT_FALSE(worker.joinable());
}

TEST(CancelTest, EndsAJoinAndTheFiberStaysJoinable) {
  Runtime runtime(carriers(2));
  std::atomic<bool> go{false};
  Fiber worker = runtime.spawn([&] {
    while (!go) this_fiber::yield();
  });
  std::atomic<bool> there{false};
  Fiber joiner = runtime.spawn([&] {
    there = true;
    worker.join();
  });
  while (!there) std::this_thread::yield();
  expect_join_cancelled(joiner, worker, go);
}

// Where the joiner and the fiber are bound to one carrier the joiner is kept elsewhere.
TEST(CancelTest, EndsAJoinOnTheSameCarrier) {
  Runtime runtime(carriers(1));
  test::in_fiber(runtime, [&] {
    bool go = false;
    Fiber worker = runtime.spawn([&] {
      while (!go) this_fiber::yield();
    });
    Fiber joiner = runtime.spawn([&] { worker.join(); });
    this_fiber::yield();
    expect_join_cancelled(joiner, worker, go);
  });
}

TEST(CancelTest, OfAFiberThatIsJoinedOnItsCarrier) {
  Runtime runtime(carriers(1));
  for (int round = 0; round < 200; ++round) {
    Fiber worker;
    std::atomic<bool> there{false};
    Fiber joiner = runtime.spawn([&] {
      worker = runtime.spawn([] { this_fiber::sleep_for(hours(1)); });
      there = true;
      EXPECT_TRUE(cancelled(worker));
    });
    while (!there) std::this_thread::yield();
    worker.cancel();  // from another thread: it is announced to the carrier
    joiner.join();
  }
}

TEST(CancelTest, AJoinThatGaveUpOnItsCarrierGoesOnInAThread) {
  Runtime runtime(carriers(1));
  std::atomic<bool> go{false};
  Fiber worker;
  test::in_fiber(runtime, [&] {
    worker = runtime.spawn([&] {
      while (!go) this_fiber::yield();
    });
    EXPECT_FALSE(worker.join_for(milliseconds(1)));
  });
  EXPECT_FALSE(worker.join_for(milliseconds(1)));
  go = true;
  worker.join();
}

TEST(CancelTest, IsNoticedByAFiberThatHasNotStarted) {
  Runtime runtime(carriers(1));
  bool ran = false;
  test::in_fiber(runtime, [&] {
    Fiber fiber = runtime.spawn([&] {
      ran = true;
      EXPECT_TRUE(this_fiber::cancel_requested());
      EXPECT_THROW(this_fiber::check_cancel(), Cancelled);
      this_fiber::sleep_for(hours(1));
    });
    fiber.cancel();
    EXPECT_TRUE(cancelled(fiber));
  });
  EXPECT_TRUE(ran);
}

TEST(CancelTest, AMutexIsLockedAllTheSame) {
  Runtime runtime(carriers(1));
  test::in_fiber(runtime, [&] {
    Mutex mutex;
    mutex.lock();
    bool locked = false;
    Fiber fiber = runtime.spawn([&] {
      const std::scoped_lock lock(mutex);
      locked = true;
    });
    this_fiber::yield();
    fiber.cancel();
    this_fiber::yield();
    EXPECT_FALSE(locked);
    mutex.unlock();
    fiber.join();
    EXPECT_TRUE(locked);
  });
}

struct WaitsOnDestruction {
  ~WaitsOnDestruction() { this_fiber::sleep_for(milliseconds(1)); }
};

TEST(CancelTest, CleanUpMayWait) {
  Runtime runtime(carriers(1));
  std::string steps;
  test::in_fiber(runtime, [&] {
    Fiber fiber = runtime.spawn([&] {
      try {
        const WaitsOnDestruction waits;
        this_fiber::sleep_for(hours(1));
      } catch (const Cancelled&) {
        steps += 'u';
        {
          const CancelShield outer;
          const CancelShield inner;
          EXPECT_TRUE(this_fiber::cancel_requested());
          this_fiber::check_cancel();
          this_fiber::sleep_for(milliseconds(1));
          steps += 's';
        }
        EXPECT_THROW(this_fiber::sleep_for(hours(1)), Cancelled);
        throw;
      }
    });
    this_fiber::yield();
    fiber.cancel();
    EXPECT_TRUE(cancelled(fiber));
  });
  EXPECT_EQ(steps, "us");
}

TEST(CancelTest, ADetachedFiberJustEnds) {
  Runtime runtime(carriers(1));
  Latch ended(1);
  struct CountsDown {
    Latch& latch;
    ~CountsDown() { latch.count_down(); }
  };
  runtime
      .spawn([&] {
        const CountsDown counts{ended};
        Fiber self = runtime.spawn([] { this_fiber::sleep_for(hours(1)); });
        this_fiber::yield();
        self.cancel();
        self.detach();
      })
      .detach();
  ended.wait();
}

TEST(CancelTest, SleepsOfPosixSayECANCELED) {
  Runtime runtime(carriers(1));
  test::in_fiber(runtime, [&] {
    Fiber fiber = runtime.spawn([] {
      const struct timespec hour { 3600, 0 };
      struct timespec left {};
      EXPECT_EQ(flexsc::nanosleep(&hour, &left), -1);
      EXPECT_EQ(errno, ECANCELED);
      EXPECT_GT(left.tv_sec, 3000);
      EXPECT_EQ(flexsc::clock_nanosleep(CLOCK_MONOTONIC, 0, &hour, nullptr), ECANCELED);
      EXPECT_EQ(flexsc::poll(nullptr, 0, 1000000), -1);
      EXPECT_EQ(errno, ECANCELED);
    });
    this_fiber::yield();
    fiber.cancel();
    fiber.join();
  });
}

TEST(CancelTest, AHandleOfNothingIsRefusedAndAnEndedFiberDoesNotMind) {
  Fiber none;
  EXPECT_EQ(test::error_of([&] { none.cancel(); }), EINVAL);
  Fiber fiber;
  {
    Runtime runtime(carriers(1));
    fiber = runtime.spawn([] {});
  }
  fiber.cancel();
  fiber.join();
  EXPECT_FALSE(this_fiber::cancel_requested());
  this_fiber::check_cancel();
}

// What is handed over and the cancellation hit the same waits at the same time.
TEST(CancelTest, PermitsAreNotLostToCancelledWaits) {
  Runtime runtime(carriers(2));
  for (int round = 0; round < 100; ++round) {
    CountingSemaphore permits(0);
    std::atomic<int> got{0};
    std::vector<Fiber> fibers;
    for (int i = 0; i < 4; ++i) {
      fibers.push_back(runtime.spawn([&] {
        permits.acquire();
        ++got;
      }));
    }
    if (round % 2 == 0) std::this_thread::yield();
    std::thread releasing([&] { permits.release(2); });
    for (Fiber& fiber : fibers) fiber.cancel();
    int ended = 0;
    for (Fiber& fiber : fibers) ended += cancelled(fiber) ? 0 : 1;
    releasing.join();
    EXPECT_EQ(ended, got);
    for (int left = 2 - got; left > 0; --left) EXPECT_TRUE(permits.try_acquire());
    EXPECT_FALSE(permits.try_acquire());
  }
}

TEST(CancelTest, FibersEndWhileTheyAreCancelled) {
  Runtime runtime(carriers(2));
  for (int i = 0; i < 300; ++i) {
    Fiber fiber = runtime.spawn([] { this_fiber::yield(); });
    if (i % 3 == 0) std::this_thread::yield();
    fiber.cancel();
    fiber.join();
  }
}

}  // namespace
}  // namespace flexsc
