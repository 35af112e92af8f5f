// SPDX-License-Identifier: MIT
// Description: a fiber that runs or waits for longer than a limit is reported once, with its name
// and what it does. The looks are at times that the tests say, but for those with a thread.
#include "flexsc/watch.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fiber_table.hpp"
#include "flexsc/metrics.hpp"
#include "flexsc/mutex.hpp"
#include "flexsc/posix.hpp"
#include "runtime.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using Kind = WatchReport::Kind;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

/// A limit that no test reaches by itself.
constexpr std::int64_t kHour = 3'600'000'000'000;

/// Keeps what was reported.
class Reports {
 public:
  struct Entry {
    Kind kind;
    std::string name;
    std::string what;
    std::string text;
    nanoseconds lasts;
    std::size_t carrier;
    int thread;
  };
  [[nodiscard]] WatchOptions options(nanoseconds busy, nanoseconds stuck) {
    return {busy, stuck, [this](const WatchReport& report) {
              const std::scoped_lock lock(mutex_);
              entries_.push_back({report.kind, std::string(report.name), std::string(report.what),
                                  to_text(report), report.lasts, report.carrier, report.thread});
            }};
  }
  [[nodiscard]] std::vector<Entry> all() const {
    const std::scoped_lock lock(mutex_);
    return entries_;
  }
  [[nodiscard]] std::size_t count(Kind kind, const std::string& name) const {
    const std::vector<Entry> entries = all();
    return static_cast<std::size_t>(std::count_if(
        entries.begin(), entries.end(),
        [&](const Entry& entry) { return entry.kind == kind && entry.name == name; }));
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
};

void wait_for(const std::atomic<int>& number, int value) {
  while (number != value) std::this_thread::yield();
}

/// A runtime without a watchdog, whose hook is `reports`, and what looks at it when it is told.
class Watched {
 public:
  explicit Watched(std::size_t carriers = 1)
      : options_(test::options_for(EngineKind::threads, carriers)) {
    options_.watch = reports.options(0ns, 0ns);
    runtime.emplace(options_);
    runtime->spawn([this] { impl_ = this_fiber::runtime(); }).join();
    options_.watch.busy = nanoseconds(kHour);
    options_.watch.stuck = nanoseconds(kHour);
    watch.emplace(*impl_, options_.watch);
  }
  /// A time that is so many hours after now.
  static std::int64_t after(double hours) {
    return detail::coarse_now() + static_cast<std::int64_t>(hours * kHour);
  }
  Reports reports;
  std::optional<Runtime> runtime;
  std::optional<detail::Watch> watch;

 private:
  RuntimeOptions options_;
  detail::RuntimeImpl* impl_ = nullptr;
};

TEST(WatchTest, ABusyFiberIsReportedOnceForEachStretch) {
  Watched watched;
  std::atomic<int> begun{0};
  std::atomic<int> go{0};
  Fiber busy = watched.runtime->spawn(
      [&] {
        for (int stretch = 1; stretch <= 2; ++stretch) {
          begun = stretch;
          wait_for(go, stretch);
          this_fiber::yield();
        }
      },
      {.name = "hog"});
  wait_for(begun, 1);
  watched.watch->look_at_carriers(Watched::after(0));
  watched.watch->look_at_carriers(Watched::after(0.9));
  EXPECT_TRUE(watched.reports.all().empty());
  watched.watch->look_at_carriers(Watched::after(1.1));
  watched.watch->look_at_carriers(Watched::after(5));
  ASSERT_EQ(watched.reports.all().size(), 1U);
  const Reports::Entry entry = watched.reports.all()[0];
  EXPECT_EQ(entry.kind, Kind::busy);
  EXPECT_EQ(entry.name, "hog");
  EXPECT_GE(entry.lasts.count(), kHour);
  EXPECT_EQ(entry.carrier, 0U);
  EXPECT_GT(entry.thread, 0);
  EXPECT_NE(entry.text.find("fiber 'hog' (0x"), std::string::npos) << entry.text;
  EXPECT_NE(entry.text.find("without letting others run"), std::string::npos) << entry.text;

  // It yields, and so begins anew.
  go = 1;
  wait_for(begun, 2);
  watched.watch->look_at_carriers(Watched::after(6));
  watched.watch->look_at_carriers(Watched::after(6.9));
  EXPECT_EQ(watched.reports.all().size(), 1U);
  watched.watch->look_at_carriers(Watched::after(7.1));
  EXPECT_EQ(watched.reports.all().size(), 2U);
  go = 2;
  busy.join();
  EXPECT_EQ(watched.runtime->stats().busy_reports, 2U);
  EXPECT_NE(prometheus_text(watched.runtime->stats()).find("\nflexsc_busy_reports_total 2\n"),
            std::string::npos);
}

TEST(WatchTest, AFiberThatYieldsInTimeIsNotReported) {
  Watched watched;
  std::atomic<int> turns{0};
  std::atomic<bool> leave{false};
  Fiber yields = watched.runtime->spawn([&] {
    while (!leave) {
      ++turns;
      this_fiber::yield();
    }
  });
  for (int look = 0; look < 20; ++look) {
    watched.watch->look_at_carriers(Watched::after(look));
    // Between two looks it yields at least once.
    for (const int before = turns; turns < before + 2;) std::this_thread::yield();
  }
  leave = true;
  yields.join();
  EXPECT_TRUE(watched.reports.all().empty());
}

TEST(WatchTest, AnIdleCarrierIsNotBusy) {
  Watched watched(2);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  char byte = 0;
  Fiber reader = watched.runtime->spawn([&] { EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1); });
  while (watched.runtime->stats().in_calls() != 1) std::this_thread::yield();
  for (int look = 0; look < 5; ++look) watched.watch->look_at_carriers(Watched::after(look));
  EXPECT_TRUE(watched.reports.all().empty());
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  reader.join();
  for (const int end : pipe) ::close(end);
}

TEST(WatchTest, AFiberStuckInACallIsReportedOnce) {
  Watched watched;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  char byte = 0;
  Fiber reader = watched.runtime->spawn(
      [&] {
        EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
        EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
      },
      {.name = "reader"});
  while (watched.runtime->stats().in_calls() != 1) std::this_thread::yield();
  watched.watch->look_at_fibers(Watched::after(0.9));
  EXPECT_TRUE(watched.reports.all().empty());
  watched.watch->look_at_fibers(Watched::after(1.1));
  watched.watch->look_at_fibers(Watched::after(9));
  ASSERT_EQ(watched.reports.all().size(), 1U);
  const Reports::Entry entry = watched.reports.all()[0];
  EXPECT_EQ(entry.kind, Kind::stuck);
  EXPECT_EQ(entry.name, "reader");
  EXPECT_EQ(entry.what.rfind("read(" + std::to_string(pipe[0]) + ", 0x", 0), 0U) << entry.what;
  EXPECT_GE(entry.lasts.count(), kHour);
  EXPECT_GT(entry.thread, 0);
  EXPECT_NE(entry.text.find("for read("), std::string::npos) << entry.text;

  // The next call is another wait.
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  while (watched.runtime->stats().channels.posted != 2) std::this_thread::yield();
  watched.watch->look_at_fibers(Watched::after(0.5));
  EXPECT_EQ(watched.reports.all().size(), 1U);
  watched.watch->look_at_fibers(Watched::after(10));
  EXPECT_EQ(watched.reports.all().size(), 2U);
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  reader.join();
  watched.watch->look_at_fibers(Watched::after(20));
  EXPECT_EQ(watched.reports.all().size(), 2U);
  EXPECT_EQ(watched.runtime->stats().stuck_reports, 2U);
  for (const int end : pipe) ::close(end);
}

TEST(WatchTest, AFiberStuckOnALockIsReportedWithTheLock) {
  Watched watched;
  Mutex mutex;
  mutex.lock();
  std::atomic<int> begun{0};
  Fiber locker = watched.runtime->spawn(
      [&] {
        ++begun;
        const std::scoped_lock lock(mutex);
      },
      {.name = "locker"});
  wait_for(begun, 1);
  // It parks at any time from now on.
  for (int hours = 2; watched.reports.all().empty(); hours += 2) {
    watched.watch->look_at_fibers(Watched::after(hours));
    std::this_thread::yield();
  }
  mutex.unlock();
  locker.join();
  const Reports::Entry entry = watched.reports.all()[0];
  std::array<char, 64> expected{};
  std::snprintf(expected.data(), expected.size(), "mutex %p", static_cast<void*>(&mutex));
  EXPECT_EQ(entry.what, expected.data());
  EXPECT_EQ(watched.reports.all().size(), 1U);
}

// The watchdog itself: limits that are over soon, and reports that are waited for.
TEST(WatchTest, TheThreadReportsBusyAndStuckFibers) {
  Reports reports;
  RuntimeOptions options = test::options_for(EngineKind::threads, 2);
  options.steal = false;
  options.watch = reports.options(20ms, 20ms);
  Runtime runtime(options);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  char byte = 0;
  std::atomic<bool> leave{false};
  Fiber reader =
      runtime.spawn([&] { EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1); }, {.name = "reader"});
  Fiber hog = runtime.spawn(
      [&] {
        while (!leave) std::this_thread::yield();
      },
      {.name = "hog"});
  while (reports.count(Kind::stuck, "reader") == 0 || reports.count(Kind::busy, "hog") == 0) {
    std::this_thread::yield();
  }
  leave = true;
  hog.join();
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  reader.join();
  EXPECT_EQ(reports.count(Kind::stuck, "reader"), 1U);
  EXPECT_EQ(reports.count(Kind::busy, "hog"), 1U);
  for (const int end : pipe) ::close(end);
}

// A carrier reads no clock while a fiber runs, so the watchdog keeps its time: a fiber that waits
// after it has run for long has not waited since it began.
TEST(WatchTest, AWaitBeginsAfterALongRun) {
  Watched watched;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  char byte = 0;
  std::atomic<int> begun{0};
  std::atomic<int> go{0};
  Fiber fiber = watched.runtime->spawn([&] {
    ++begun;
    wait_for(go, 1);
    EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
  });
  wait_for(begun, 1);
  watched.watch->keep_time(Watched::after(5));
  go = 1;
  while (watched.runtime->stats().in_calls() != 1) std::this_thread::yield();
  watched.watch->look_at_fibers(Watched::after(5.9));
  EXPECT_TRUE(watched.reports.all().empty());
  watched.watch->look_at_fibers(Watched::after(6.1));
  EXPECT_EQ(watched.reports.all().size(), 1U);
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  fiber.join();
  for (const int end : pipe) ::close(end);
}

TEST(WatchTest, ReportsAMessageWithoutAHook) {
  ::testing::internal::CaptureStderr();
  {
    RuntimeOptions options = test::options_for(EngineKind::direct, 1);
    options.watch.busy = 5ms;
    Runtime runtime(options);
    std::atomic<bool> leave{false};
    Fiber hog = runtime.spawn(
        [&] {
          while (!leave) std::this_thread::yield();
        },
        {.name = "hog"});
    while (runtime.stats().busy_reports == 0) std::this_thread::yield();
    leave = true;
    hog.join();
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("flexsc: fiber 'hog' (0x"), std::string::npos) << said;
}

// Its destructor waits for them: the watchdog says for whom.
TEST(WatchTest, TellsWhoKeepsARuntimeFromEnding) {
  Reports reports;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  char byte = 0;
  std::thread ends([&] {
    RuntimeOptions options = test::options_for(EngineKind::threads, 1);
    options.watch = reports.options(0ms, 20ms);
    Runtime runtime(options);
    runtime.spawn([&] { EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1); }, {.name = "last"})
        .detach();
  });
  while (reports.count(Kind::stuck, "last") == 0) std::this_thread::yield();
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  ends.join();
  EXPECT_EQ(reports.count(Kind::stuck, "last"), 1U);
  for (const int end : pipe) ::close(end);
}

TEST(WatchTest, ANegativeLimitIsRefused) {
  RuntimeOptions options = test::options_for(EngineKind::direct, 1);
  options.watch.busy = -1ns;
  EXPECT_EQ(test::error_of([&] { const Runtime runtime(options); }), EINVAL);
  options.watch.busy = 1s;
  options.watch.stuck = -1ns;
  EXPECT_EQ(test::error_of([&] { const Runtime runtime(options); }), EINVAL);
}

}  // namespace
}  // namespace flexsc
