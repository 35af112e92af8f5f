// SPDX-License-Identifier: MIT
// Description: Mutex and ConditionVariable among fibers of one carrier, of several, of
// several runtimes, and plain threads.
#include "flexsc/sync.hpp"

#include <atomic>
#include <cerrno>
#include <deque>
#include <functional>
#include <string>
#include <system_error>

#include "flexsc/posix.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Lock = std::unique_lock<Mutex>;

class SyncTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(SyncTest);

TEST_P(SyncTest, AMutexIsHeldOverYieldsAndCalls) {
  Runtime runtime(options());
  Mutex mutex;
  int inside = 0;
  int entered = 0;
  std::vector<Fiber> fibers;
  for (int i = 0; i < 10; ++i) {
    fibers.push_back(runtime.spawn([&] {
      for (int j = 0; j < 10; ++j) {
        const std::scoped_lock lock(mutex);
        EXPECT_EQ(++inside, 1);
        this_fiber::yield();
        (void)flexsc::close(-1);
        EXPECT_EQ(--inside, 0);
        ++entered;
      }
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(entered, 100);
}

TEST_P(SyncTest, AMutexIsGrantedInOrderOfArrival) {
  Runtime runtime(options());
  Mutex mutex;
  std::string order;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    mutex.lock();
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      fibers.push_back(runtime.spawn([&, letter] {
        const std::scoped_lock lock(mutex);
        order += letter;
      }));
    }
    this_fiber::yield();
    EXPECT_FALSE(mutex.try_lock());
    mutex.unlock();
    mutex.lock();  // behind those that have waited
    order += '-';
    mutex.unlock();
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, "abcd-");
}

void check_mutex_errors(Runtime& runtime) {
  Mutex mutex;
  EXPECT_EQ(test::error_of([&] { mutex.unlock(); }), EPERM);
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_EQ(test::error_of([&] { mutex.lock(); }), EDEADLK);
  EXPECT_FALSE(mutex.try_lock());
  Fiber other = runtime.spawn([&] {
    EXPECT_EQ(test::error_of([&] { mutex.unlock(); }), EPERM);
    EXPECT_FALSE(mutex.try_lock());
  });
  other.join();
  mutex.unlock();
  EXPECT_EQ(test::error_of([&] { mutex.unlock(); }), EPERM);
}

TEST_P(SyncTest, WrongUseOfAMutexIsRefused) {
  Runtime runtime(options());
  check_mutex_errors(runtime);
  test::in_fiber(runtime, [&] { check_mutex_errors(runtime); });
}

// Two fibers of one carrier are two owners, though they are one thread.
TEST_P(SyncTest, OwnershipIsTheFibers) {
  Runtime runtime(options());
  Mutex mutex;
  test::in_fiber(runtime, [&] {
    mutex.lock();
    Fiber other = runtime.spawn([&] {
      EXPECT_FALSE(mutex.try_lock());
      mutex.lock();
      mutex.unlock();
    });
    this_fiber::yield();
    mutex.unlock();
    other.join();
  });
}

TEST_P(SyncTest, FibersOfSeveralCarriersAndThreadsShareAMutex) {
  Runtime one(options(2));
  Runtime other(options(1));
  Mutex mutex;
  constexpr int kRounds = 200;
  int count = 0;  // guarded by mutex alone
  const auto work = [&] {
    for (int i = 0; i < kRounds; ++i) {
      const std::scoped_lock lock(mutex);
      const int before = count;
      if (i % 16 == 0) this_fiber::yield();
      count = before + 1;
    }
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 4; ++i) fibers.push_back(one.spawn(work));
  for (int i = 0; i < 2; ++i) fibers.push_back(other.spawn(work));
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back(work);
  for (Fiber& fiber : fibers) fiber.join();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 8 * kRounds);
}

/// A bounded queue, as a user would write it.
class BoundedQueue {
 public:
  void push(int value) {
    Lock lock(mutex_);
    not_full_.wait(lock, [&] { return values_.size() < 4; });
    values_.push_back(value);
    not_empty_.notify_one();
  }
  int pop() {
    Lock lock(mutex_);
    not_empty_.wait(lock, [&] { return !values_.empty(); });
    const int value = values_.front();
    values_.pop_front();
    not_full_.notify_one();
    return value;
  }

 private:
  Mutex mutex_;
  ConditionVariable not_full_;
  ConditionVariable not_empty_;
  std::deque<int> values_;
};

TEST_P(SyncTest, FibersAndThreadsExchangeOverConditions) {
  Runtime runtime(options(2));
  BoundedQueue queue;
  constexpr int kEach = 300;
  std::atomic<long> sum{0};
  const auto produce = [&] {
    for (int i = 1; i <= kEach; ++i) queue.push(i);
  };
  const auto consume = [&] {
    for (int i = 0; i < kEach; ++i) sum += queue.pop();
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 2; ++i) {
    fibers.push_back(runtime.spawn(produce));
    fibers.push_back(runtime.spawn(consume));
  }
  std::thread producer(produce);
  std::thread consumer(consume);
  for (Fiber& fiber : fibers) fiber.join();
  producer.join();
  consumer.join();
  EXPECT_EQ(sum, 3L * kEach * (kEach + 1) / 2);
}

TEST_P(SyncTest, NotifyOneWakesTheLongestWaiting) {
  Runtime runtime(options());
  Mutex mutex;
  ConditionVariable condition;
  std::string order;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (const char letter : {'a', 'b', 'c'}) {
      fibers.push_back(runtime.spawn([&, letter] {
        Lock lock(mutex);
        condition.wait(lock);
        order += letter;
      }));
    }
    condition.notify_one();  // nobody yet: lost
    this_fiber::yield();
    EXPECT_EQ(order, "");
    condition.notify_one();
    this_fiber::yield();
    EXPECT_EQ(order, "a");
    condition.notify_all();
    this_fiber::yield();
    EXPECT_EQ(order, "abc");
    for (Fiber& fiber : fibers) fiber.join();
  });
}

TEST_P(SyncTest, AWaitWithoutTheMutexIsRefused) {
  Runtime runtime(options());
  const auto check = [] {
    Mutex mutex;
    ConditionVariable condition;
    Lock lock(mutex);
    lock.unlock();
    EXPECT_EQ(test::error_of([&] { condition.wait(lock); }), EPERM);
    Lock none;
    EXPECT_EQ(test::error_of([&] { (void)condition.wait_until(none, Clock::now()); }), EPERM);
    // Locked by another: refused as well, and nothing is left behind in the queue.
    Lock theirs;
    std::thread([&] { theirs = Lock(mutex); }).join();
    EXPECT_EQ(test::error_of([&] { condition.wait(theirs); }), EPERM);
    condition.notify_all();
    (void)theirs.release();
  };
  check();
  test::in_fiber(runtime, check);
}

TEST_P(SyncTest, ATimedWaitEndsAtItsTimeOrBefore) {
  Runtime runtime(options());
  const auto check = [&] {
    Mutex mutex;
    ConditionVariable condition;
    bool ready = false;
    Lock lock(mutex);
    const Clock::time_point soon = Clock::now() + milliseconds(3);
    EXPECT_EQ(condition.wait_until(lock, soon), std::cv_status::timeout);
    EXPECT_GE(Clock::now(), soon);
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_FALSE(condition.wait_until(lock, Clock::now(), [&] { return ready; }));

    Fiber setter = runtime.spawn([&] {
      const std::scoped_lock inner(mutex);
      ready = true;
      condition.notify_one();
    });
    EXPECT_TRUE(
        condition.wait_until(lock, Clock::now() + std::chrono::hours(1), [&] { return ready; }));
    lock.unlock();
    setter.join();
  };
  check();
  test::in_fiber(runtime, check);
}

// Notifications and timeouts hit the same waiters at the same time. Every notification is
// received by exactly one waiter or was sent when none waited.
TEST_P(SyncTest, TimeoutsAndNotificationsRace) {
  Runtime runtime(options(2));
  Mutex mutex;
  ConditionVariable condition;
  int tokens = 0;  // guarded by mutex
  std::atomic<int> taken{0};
  constexpr int kTokens = 300;
  const auto take = [&] {
    while (taken < kTokens) {
      Lock lock(mutex);
      (void)condition.wait_until(lock, Clock::now() + std::chrono::microseconds(50));
      if (tokens > 0) {
        --tokens;
        ++taken;
      }
    }
  };
  std::vector<Fiber> takers;
  for (int i = 0; i < 6; ++i) takers.push_back(runtime.spawn(take));
  std::thread thread(take);
  for (int i = 0; i < kTokens; ++i) {
    {
      const std::scoped_lock lock(mutex);
      ++tokens;
    }
    if (i % 2 == 0) {
      condition.notify_one();
    } else {
      condition.notify_all();
    }
  }
  for (Fiber& taker : takers) taker.join();
  thread.join();
  EXPECT_EQ(taken, kTokens);
  EXPECT_EQ(tokens, 0);
}

// The woken side destroys the mutex at once, while unlock() is on its way out.
TEST_P(SyncTest, AMutexMayBeDestroyedByWhoGotItLast) {
  Runtime runtime(options(2));
  for (int i = 0; i < 200; ++i) {
    auto mutex = std::make_unique<Mutex>();
    mutex->lock();
    std::atomic<bool> there{false};
    Fiber fiber = runtime.spawn([&] {
      there = true;
      mutex->lock();
      mutex->unlock();
      mutex.reset();
    });
    while (!there) std::this_thread::yield();
    mutex->unlock();
    fiber.join();
    EXPECT_EQ(mutex, nullptr);
  }
}

}  // namespace
}  // namespace flexsc
