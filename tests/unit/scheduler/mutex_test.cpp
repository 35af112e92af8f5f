// SPDX-License-Identifier: MIT
// Description: the mutexes with the templates of the standard library, their timed forms,
// their misuse, and many owners of all kinds at once.
#include "flexsc/mutex.hpp"

#include <atomic>
#include <cerrno>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <type_traits>

#include "sanitizer.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using test::error_of;

using test::carriers;

/// Runs `check` in a fiber and in a plain thread.
template <class Check>
void in_both(Check check) {
  check();
  Runtime runtime(carriers(1));
  test::in_fiber(runtime, check);
}

TEST(MutexTest, WorksWithTheTemplatesOfTheStandardLibrary) {
  in_both([] {
    Mutex a;
    RecursiveMutex b;
    SharedMutex c;
    {
      const std::scoped_lock all(a, b, c);
      EXPECT_TRUE(a.owned());
    }
    std::lock(a, b);
    a.unlock();
    b.unlock();
    std::unique_lock timed(a, milliseconds(1));
    EXPECT_TRUE(timed.owns_lock());
    std::shared_lock reader(c, Clock::now() + milliseconds(1));
    EXPECT_TRUE(reader.owns_lock());
    const std::shared_lock second(c);
    EXPECT_FALSE(c.try_lock());
    const std::lock_guard guard(b);
  });
}

TEST(MutexTest, TimedLocksGiveUpAtAnyClock) {
  in_both([] {
    Mutex mutex;
    SharedMutex shared;
    mutex.lock();
    shared.lock();
    std::thread([&] {
      const Clock::time_point soon = Clock::now() + milliseconds(2);
      EXPECT_FALSE(mutex.try_lock_until(soon));
      EXPECT_GE(Clock::now(), soon);
      EXPECT_FALSE(mutex.try_lock_for(milliseconds(-1)));
      EXPECT_FALSE(mutex.try_lock_until(std::chrono::system_clock::now() + milliseconds(1)));
      EXPECT_FALSE(shared.try_lock_for(milliseconds(1)));
      EXPECT_FALSE(shared.try_lock_shared_for(milliseconds(1)));
    }).join();
    mutex.unlock();
    shared.unlock();
    // Nothing of those that gave up is left behind.
    EXPECT_TRUE(mutex.try_lock_for(hours(24 * 365 * 1000)));
    EXPECT_TRUE(shared.try_lock_shared_until(Clock::time_point::max()));
    mutex.unlock();
    shared.unlock_shared();
  });
}

TEST(MutexTest, MisuseIsFoundAndChangesNothing) {
  in_both([] {
    Mutex mutex;
    RecursiveMutex recursive;
    SharedMutex shared;
    EXPECT_EQ(error_of([&] { mutex.unlock(); }), EPERM);
    EXPECT_EQ(error_of([&] { recursive.unlock(); }), EPERM);
    EXPECT_EQ(error_of([&] { shared.unlock(); }), EPERM);
    EXPECT_EQ(error_of([&] { shared.unlock_shared(); }), EPERM);
    mutex.lock();
    EXPECT_EQ(error_of([&] { mutex.lock(); }), EDEADLK);
    EXPECT_EQ(error_of([&] { (void)mutex.try_lock_for(hours(1)); }), EDEADLK);
    EXPECT_FALSE(mutex.try_lock());
    shared.lock();
    EXPECT_EQ(error_of([&] { shared.lock(); }), EDEADLK);
    EXPECT_EQ(error_of([&] { shared.lock_shared(); }), EDEADLK);
    EXPECT_FALSE(shared.try_lock_shared());
    EXPECT_EQ(error_of([&] { shared.unlock_shared(); }), EPERM);
    recursive.lock();
    recursive.lock();
    std::thread([&] {  // another's
      EXPECT_EQ(error_of([&] { mutex.unlock(); }), EPERM);
      EXPECT_EQ(error_of([&] { shared.unlock(); }), EPERM);
      EXPECT_EQ(error_of([&] { recursive.unlock(); }), EPERM);
      EXPECT_FALSE(recursive.try_lock());
      EXPECT_FALSE(mutex.owned());
    })
        .join();
    EXPECT_TRUE(mutex.owned());
    mutex.unlock();
    shared.unlock();
    recursive.unlock();
    std::thread([&] { EXPECT_FALSE(recursive.try_lock()); }).join();
    recursive.unlock();
    std::thread([&] {
      EXPECT_TRUE(recursive.try_lock());
      recursive.unlock();
    }).join();
  });
}

TEST(MutexTest, TheEndOfATimedWaitGivesUpItsPlaceOnly) {
  Runtime runtime(carriers(1));
  Mutex mutex;
  std::string order;
  test::in_fiber(runtime, [&] {
    mutex.lock();
    Fiber first = runtime.spawn([&] {
      EXPECT_FALSE(mutex.try_lock_for(milliseconds(1)));
      order += 'a';
    });
    Fiber second = runtime.spawn([&] {
      const std::scoped_lock lock(mutex);
      order += 'b';
    });
    first.join();
    EXPECT_EQ(order, "a");
    mutex.unlock();
    second.join();
  });
  EXPECT_EQ(order, "ab");
}

TEST(SharedMutexTest, IsGrantedInOrderOfArrivalAndReadersTogether) {
  Runtime runtime(carriers(1));
  SharedMutex mutex;
  std::string order;
  test::in_fiber(runtime, [&] {
    const auto reader = [&](char name) {
      return runtime.spawn([&, name] {
        const std::shared_lock lock(mutex);
        order += name;
        this_fiber::yield();
        order += name;
      });
    };
    const auto writer = [&](char name) {
      return runtime.spawn([&, name] {
        const std::scoped_lock lock(mutex);
        order += name;
        this_fiber::yield();
        order += name;
      });
    };
    mutex.lock_shared();
    std::vector<Fiber> fibers;
    fibers.push_back(reader('a'));  // joins the reader that has it
    fibers.push_back(writer('W'));
    fibers.push_back(reader('b'));  // behind the writer, though readers have it
    fibers.push_back(reader('c'));
    fibers.push_back(writer('X'));
    for (int i = 0; i < 3; ++i) this_fiber::yield();
    EXPECT_EQ(order, "aa");
    EXPECT_FALSE(mutex.try_lock_shared());  // it would pass the writer
    mutex.unlock_shared();
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, "aaWWbcbcXX");
}

TEST(SharedMutexTest, AWriterThatGivesUpLetsTheReadersBehindItGoOn) {
  Runtime runtime(carriers(1));
  SharedMutex mutex;
  test::in_fiber(runtime, [&] {
    mutex.lock_shared();
    bool read = false;
    Fiber writer = runtime.spawn([&] { EXPECT_FALSE(mutex.try_lock_for(milliseconds(2))); });
    Fiber reader = runtime.spawn([&] {
      const std::shared_lock lock(mutex);
      read = true;
    });
    writer.join();
    reader.join();
    EXPECT_TRUE(read);
    mutex.unlock_shared();
  });
}

TEST(SharedMutexTest, FibersAndThreadsReadAndWrite) {
  Runtime runtime(carriers(2));
  SharedMutex mutex;
  int value = 0;  // guarded by mutex
  constexpr int kRounds = 300;
  const auto work = [&] {
    for (int i = 0; i < kRounds; ++i) {
      if (i % 3 == 0) {
        const std::scoped_lock lock(mutex);
        ++value;
      } else if (i % 3 == 1) {
        const std::shared_lock lock(mutex);
        const int before = value;
        this_fiber::yield();
        EXPECT_EQ(value, before);
      } else if (mutex.try_lock_for(std::chrono::microseconds(20))) {
        ++value;
        --value;
        mutex.unlock();
      }
    }
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 6; ++i) fibers.push_back(runtime.spawn(work));
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back(work);
  for (Fiber& fiber : fibers) fiber.join();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(value, 8 * kRounds / 3);
}

// Timed waits end and the mutex is handed over at the same moment, again and again: it is
// never lost and never had twice.
TEST(MutexTest, TimeoutsAndHandOversRace) {
  Runtime runtime(carriers(2));
  Mutex mutex;
  int count = 0;  // guarded by mutex
  std::atomic<int> had{0};
  const auto work = [&] {
    for (int i = 0; i < 300; ++i) {
      if (!mutex.try_lock_for(std::chrono::microseconds(10))) continue;
      const int before = count;
      if (i % 8 == 0) this_fiber::yield();
      count = before + 1;
      ++had;
      mutex.unlock();
    }
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 6; ++i) fibers.push_back(runtime.spawn(work));
  std::thread thread(work);
  for (Fiber& fiber : fibers) fiber.join();
  thread.join();
  EXPECT_EQ(count, had);
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

#ifdef FLEXSC_TSAN
constexpr int kCrowd = 2000;  // ThreadSanitizer has room for about 8,000 contexts
#elif defined(FLEXSC_ASAN)
constexpr int kCrowd = 20'000;
#else
constexpr int kCrowd = 65'536;
#endif

TEST(MutexTest, ACrowdWaitsForOneLock) {
  RuntimeOptions options = carriers(2);
  options.stack_bytes = 16 * 1024;
  Runtime runtime(options);
  Mutex mutex;
  int count = 0;  // guarded by mutex
  std::vector<Fiber> fibers;
  fibers.reserve(kCrowd);
  mutex.lock();
  for (int i = 0; i < kCrowd; ++i) {
    fibers.push_back(runtime.spawn([&] {
      const std::scoped_lock lock(mutex);
      ++count;
    }));
  }
  mutex.unlock();
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(count, kCrowd);
}

}  // namespace
}  // namespace flexsc
