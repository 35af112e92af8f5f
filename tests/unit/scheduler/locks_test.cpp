// SPDX-License-Identifier: MIT
// Description: an OS lock that a fiber holds when it leaves its carrier is reported with the place
// where it was taken. This program is linked with libflexsc-locks before libc.
#include <pthread.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "flexsc/metrics.hpp"
#include "flexsc/mutex.hpp"
#include "flexsc/posix.hpp"
#include "flexsc/watch.hpp"
#include "support.hpp"

// With a symbol that the report can name.
[[gnu::noinline]] void flexsc_test_takes_it(pthread_mutex_t* mutex) {
  EXPECT_EQ(::pthread_mutex_lock(mutex), 0);
}

namespace flexsc {
namespace {

struct Entry {
  std::string name;
  std::string what;
  std::string text;
};

class LocksTest : public ::testing::Test {
 protected:
  void begin(EngineKind engine = EngineKind::direct) {
    RuntimeOptions options = test::options_for(engine, 1);
    options.watch.report = [this](const WatchReport& report) {
      EXPECT_EQ(report.kind, WatchReport::Kind::lock);
      entries.push_back({std::string(report.name), std::string(report.what), to_text(report)});
    };
    runtime.emplace(options);
  }
  /// In a fiber of that name, on the one carrier.
  void run(const std::function<void()>& body, const char* name = "holder") {
    if (!runtime) begin();
    runtime->spawn(body, {.name = name}).join();
  }
  static std::string address(const volatile void* lock) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), " %p ", const_cast<void*>(lock));
    return text.data();
  }

  /// By fibers of one carrier, and read when they have ended.
  std::vector<Entry> entries;
  std::optional<Runtime> runtime;
};

TEST_F(LocksTest, HeldOverAYieldItIsReportedWithItsPlace) {
  pthread_mutex_t mutex;
  ASSERT_EQ(::pthread_mutex_init(&mutex, nullptr), 0);
  run([&] {
    flexsc_test_takes_it(&mutex);
    this_fiber::yield();
    this_fiber::yield();  // told once
    ::pthread_mutex_unlock(&mutex);
    this_fiber::yield();
  });
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].name, "holder");
  EXPECT_EQ(entries[0].what.rfind("pthread_mutex" + address(&mutex), 0), 0U) << entries[0].what;
  EXPECT_NE(entries[0].what.find("taken at flexsc_test_takes_it("), std::string::npos)
      << entries[0].what;
  EXPECT_NE(entries[0].text.find("fiber 'holder' (0x"), std::string::npos) << entries[0].text;
  EXPECT_EQ(runtime->stats().lock_reports, 1U);
  EXPECT_NE(prometheus_text(runtime->stats()).find("\nflexsc_lock_reports_total 1\n"),
            std::string::npos);
}

TEST_F(LocksTest, GivenBackBeforeItIsNot) {
  std::mutex mutex;
  std::shared_mutex shared;
  run([&] {
    for (int i = 0; i < 100; ++i) {
      {
        const std::scoped_lock lock(mutex);
        const std::shared_lock reads(shared);
      }
      this_fiber::yield();
    }
  });
  EXPECT_TRUE(entries.empty());
}

TEST_F(LocksTest, HeldOverACallThatWaits) {
  begin(EngineKind::threads);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  std::mutex mutex;
  Fiber reader = runtime->spawn(
      [&] {
        const std::scoped_lock lock(mutex);
        char byte = 0;
        EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
      },
      {.name = "reader"});
  while (runtime->stats().in_calls() != 1) std::this_thread::yield();
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  reader.join();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].name, "reader");
  EXPECT_NE(entries[0].what.find(address(&mutex)), std::string::npos) << entries[0].what;
  for (const int end : pipe) ::close(end);
}

TEST_F(LocksTest, ARecursiveOneIsHeldUntilTheLastUnlock) {
  std::recursive_mutex mutex;
  run([&] {
    mutex.lock();
    mutex.lock();
    mutex.unlock();
    mutex.unlock();
    this_fiber::yield();
  });
  EXPECT_TRUE(entries.empty());
  run([&] {
    mutex.lock();
    mutex.lock();
    mutex.unlock();
    this_fiber::yield();
    mutex.unlock();
  });
  EXPECT_EQ(entries.size(), 1U);
}

TEST_F(LocksTest, AConditionVariableGivesItBackWhileItWaits) {
  std::mutex mutex;
  std::condition_variable changed;
  int turn = 0;  // guarded by mutex
  std::thread other([&] {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return turn == 1; });
    turn = 2;
    changed.notify_all();
  });
  run([&] {
    {
      std::unique_lock lock(mutex);
      turn = 1;
      changed.notify_all();
      changed.wait(lock, [&] { return turn == 2; });
    }
    this_fiber::yield();
    EXPECT_TRUE(entries.empty());
    std::unique_lock lock(mutex);
    EXPECT_EQ(changed.wait_for(lock, std::chrono::milliseconds(1)), std::cv_status::timeout);
    this_fiber::yield();  // it has it again
  });
  other.join();
  EXPECT_EQ(entries.size(), 1U);
}

TEST_F(LocksTest, EveryKind) {
  struct Row {
    const char* kind;
    std::function<void()> take;
    std::function<void()> give;
  };
  pthread_mutex_t mutex;
  ASSERT_EQ(::pthread_mutex_init(&mutex, nullptr), 0);
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_spinlock_t spin{};
  ASSERT_EQ(::pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE), 0);
  mtx_t c11;
  ASSERT_EQ(::mtx_init(&c11, mtx_timed), thrd_success);
  const timespec past{};
  const auto unlocks = [&] { EXPECT_EQ(::pthread_mutex_unlock(&mutex), 0); };
  const auto leaves = [&] { EXPECT_EQ(::pthread_rwlock_unlock(&rwlock), 0); };
  const auto unspins = [&] { EXPECT_EQ(::pthread_spin_unlock(&spin), 0); };
  const auto releases = [&] { EXPECT_EQ(::mtx_unlock(&c11), thrd_success); };
  const std::vector<Row> rows{
      {"pthread_mutex ", [&] { ::pthread_mutex_lock(&mutex); }, unlocks},
      {"pthread_mutex ", [&] { EXPECT_EQ(::pthread_mutex_trylock(&mutex), 0); }, unlocks},
      {"pthread_mutex ", [&] { EXPECT_EQ(::pthread_mutex_timedlock(&mutex, &past), 0); }, unlocks},
      {"pthread_mutex ",
       [&] { EXPECT_EQ(::pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past), 0); }, unlocks},
      {"pthread_rwlock ", [&] { ::pthread_rwlock_rdlock(&rwlock); }, leaves},
      {"pthread_rwlock ", [&] { ::pthread_rwlock_wrlock(&rwlock); }, leaves},
      {"pthread_rwlock ", [&] { EXPECT_EQ(::pthread_rwlock_tryrdlock(&rwlock), 0); }, leaves},
      {"pthread_rwlock ", [&] { EXPECT_EQ(::pthread_rwlock_trywrlock(&rwlock), 0); }, leaves},
      {"pthread_rwlock ", [&] { EXPECT_EQ(::pthread_rwlock_timedrdlock(&rwlock, &past), 0); },
       leaves},
      {"pthread_rwlock ", [&] { EXPECT_EQ(::pthread_rwlock_timedwrlock(&rwlock, &past), 0); },
       leaves},
      {"pthread_rwlock ",
       [&] { EXPECT_EQ(::pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &past), 0); },
       leaves},
      {"pthread_rwlock ",
       [&] { EXPECT_EQ(::pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &past), 0); },
       leaves},
      {"pthread_spinlock ", [&] { EXPECT_EQ(::pthread_spin_lock(&spin), 0); }, unspins},
      {"pthread_spinlock ", [&] { EXPECT_EQ(::pthread_spin_trylock(&spin), 0); }, unspins},
      {"mtx ", [&] { EXPECT_EQ(::mtx_lock(&c11), thrd_success); }, releases},
      {"mtx ", [&] { EXPECT_EQ(::mtx_trylock(&c11), thrd_success); }, releases},
      {"mtx ", [&] { EXPECT_EQ(::mtx_timedlock(&c11, &past), thrd_success); }, releases},
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(i);
    entries.clear();
    run([&] {
      rows[i].take();
      this_fiber::yield();
      rows[i].give();
      rows[i].take();
      rows[i].give();
      this_fiber::yield();
    });
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(entries[0].what.rfind(rows[i].kind, 0), 0U) << entries[0].what;
  }
  ::mtx_destroy(&c11);
  ::pthread_spin_destroy(&spin);
}

TEST_F(LocksTest, OneThatWasNotGotIsNotHeld) {
  std::mutex mutex;
  const std::scoped_lock lock(mutex);
  run([&] {
    EXPECT_FALSE(mutex.try_lock());
    this_fiber::yield();
  });
  EXPECT_TRUE(entries.empty());
}

TEST_F(LocksTest, HeldAtTheEndOfTheFiber) {
  pthread_mutex_t mutex;
  ASSERT_EQ(::pthread_mutex_init(&mutex, nullptr), 0);
  run([&] { ::pthread_mutex_lock(&mutex); }, "leaves it");
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].name, "leaves it");
  run([] { this_fiber::yield(); }, "innocent");
  EXPECT_EQ(entries.size(), 1U);
}

TEST_F(LocksTest, OnlyWhoTookItIsTold) {
  begin();
  std::mutex mutex;
  std::mutex other;
  std::atomic<bool> leave{false};
  Fiber holder = runtime->spawn(
      [&] {
        const std::scoped_lock lock(mutex);
        const std::scoped_lock second(other);
        while (!leave) this_fiber::yield();
      },
      {.name = "holder"});
  run(
      [&] {
        for (int i = 0; i < 10; ++i) this_fiber::yield();
        leave = true;
      },
      "other");
  holder.join();
  ASSERT_EQ(entries.size(), 2U);  // each lock once
  EXPECT_EQ(entries[0].name, "holder");
  EXPECT_EQ(entries[1].name, "holder");
  EXPECT_NE(entries[0].what.find(address(&mutex)), std::string::npos) << entries[0].what;
  EXPECT_NE(entries[1].what.find(address(&other)), std::string::npos) << entries[1].what;
}

TEST_F(LocksTest, OursMayBeHeld) {
  Mutex mutex;
  run([&] {
    const std::scoped_lock lock(mutex);
    this_fiber::yield();
  });
  EXPECT_TRUE(entries.empty());
}

TEST_F(LocksTest, MoreThanTheAccountHasRoomFor) {
  std::vector<std::mutex> many(100);
  run([&] {
    for (std::mutex& mutex : many) mutex.lock();
    for (std::mutex& mutex : many) mutex.unlock();
    this_fiber::yield();
  });
  EXPECT_TRUE(entries.empty());
}

}  // namespace
}  // namespace flexsc
