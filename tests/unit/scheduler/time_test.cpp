// SPDX-License-Identifier: MIT
// Description: sleeping fibers wake in order of their times, without system calls, and
// others run meanwhile. Nothing here depends on how long anything takes.
#include <array>
#include <chrono>
#include <string>

#include "flexsc/posix.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class TimeTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(TimeTest);

TEST_P(TimeTest, WakesInOrderOfTime) {
  Runtime runtime(options());
  std::string order;
  test::in_fiber(runtime, [&] {
    const Clock::time_point start = Clock::now();
    std::vector<Fiber> fibers;
    for (const int step : {3, 1, 4, 2, 5}) {
      fibers.push_back(runtime.spawn([&order, start, step] {
        this_fiber::sleep_until(start + milliseconds(5 * step));
        EXPECT_GE(Clock::now(), start + milliseconds(5 * step));
        order += std::to_string(step);
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, "12345");
}

TEST_P(TimeTest, EqualTimesWakeInOrderOfArrivalAndThePastAtOnce) {
  Runtime runtime(options());
  std::string order;
  test::in_fiber(runtime, [&] {
    const Clock::time_point when = Clock::now() + milliseconds(5);
    std::vector<Fiber> fibers;
    for (const char letter : {'a', 'b', 'c'}) {
      fibers.push_back(runtime.spawn([&order, when, letter] {
        this_fiber::sleep_until(when);
        order += letter;
      }));
    }
    this_fiber::sleep_until(Clock::time_point::min());
    order += '-';
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, "-abc");
}

TEST_P(TimeTest, SleepingFibersMakeNoCalls) {
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (int i = 0; i < 10; ++i) {
      fibers.push_back(runtime.spawn([] {
        const struct timespec moment { 0, 1'000'000 };
        EXPECT_EQ(flexsc::nanosleep(&moment, nullptr), 0);
        EXPECT_EQ(flexsc::usleep(1000), 0);
        EXPECT_EQ(flexsc::sleep(0), 0U);
        EXPECT_EQ(flexsc::poll(nullptr, 0, 1), 0);
        this_fiber::sleep_for(milliseconds(1));
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(runtime.stats().channels.posted, 0U);
}

// The sleeper is never woken by time: its carrier must not wait for it.
TEST_P(TimeTest, OthersRunWhileOneSleeps) {
  Runtime runtime(options());
  bool slept = false;
  Fiber sleeper = runtime.spawn([&] {
    this_fiber::sleep_for(milliseconds(30));
    slept = true;
  });
  int steps = 0;
  test::in_fiber(runtime, [&] {
    for (; steps < 100; ++steps) this_fiber::yield();
  });
  EXPECT_EQ(steps, 100);
  sleeper.join();
  EXPECT_TRUE(slept);
}

TEST_P(TimeTest, PollOfDescriptorsTimesOutAndReports) {
  Runtime runtime(options());
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  test::in_fiber(runtime, [&] {
    struct pollfd readable {
      pipe[0], POLLIN, 0
    };
    EXPECT_EQ(flexsc::poll(&readable, 1, 5), 0);
    EXPECT_EQ(flexsc::write(pipe[1], "x", 1), 1);
    EXPECT_EQ(flexsc::poll(&readable, 1, -1), 1);
    EXPECT_EQ(readable.revents, POLLIN);
  });
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(ThreadTimeTest, SleepsInAPlainThread) {
  const Clock::time_point start = Clock::now();
  this_fiber::sleep_for(milliseconds(2));
  EXPECT_EQ(flexsc::usleep(1000), 0);
  EXPECT_GE(Clock::now(), start + milliseconds(3));
}

}  // namespace
}  // namespace flexsc
