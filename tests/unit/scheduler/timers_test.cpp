// SPDX-License-Identifier: MIT
// Description: the timer wheel alone: order, equal times, removal anywhere.
#include "timers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace flexsc::detail {
namespace {

class Recorder final : public Timer {
 public:
  Recorder(int when, int id, std::vector<int>& log)
      : Timer(Clock::time_point(std::chrono::seconds(when))), id_(id), log_(log) {}
  void expire() noexcept override { log_.push_back(id_); }

 private:
  int id_;
  std::vector<int>& log_;
};

Clock::time_point at(int seconds) {
  return Clock::time_point(std::chrono::seconds(seconds));
}

TEST(TimersTest, ExpireInOrderOfTimeThenOfArrival) {
  std::vector<int> log;
  TimerWheel wheel;
  Recorder late(30, 1, log);
  Recorder first(10, 2, log);
  Recorder second(10, 3, log);
  Recorder middle(20, 4, log);
  for (Recorder* timer : {&late, &first, &second, &middle}) wheel.add(*timer);
  EXPECT_EQ(wheel.next(), at(10));
  EXPECT_EQ(wheel.expire(at(9)), 0U);
  EXPECT_EQ(wheel.expire(at(10)), 2U);
  EXPECT_FALSE(first.pending());
  EXPECT_TRUE(middle.pending());
  EXPECT_EQ(wheel.expire(at(100)), 2U);
  EXPECT_EQ(log, (std::vector<int>{2, 3, 4, 1}));
  EXPECT_TRUE(wheel.empty());
}

TEST(TimersTest, RemovalKeepsTheOrderOfTheRest) {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same every time
  for (int round = 0; round < 50; ++round) {
    std::vector<int> log;
    std::vector<int> expected;
    std::vector<std::unique_ptr<Recorder>> timers;
    std::vector<int> times(64);
    TimerWheel wheel;
    for (int i = 0; i < 64; ++i) {
      times[static_cast<std::size_t>(i)] = static_cast<int>(random() % 20);
      timers.push_back(std::make_unique<Recorder>(times[static_cast<std::size_t>(i)], i, log));
      wheel.add(*timers.back());
    }
    for (int i = 0; i < 64; ++i) {
      if (random() % 3 == 0) {
        wheel.remove(*timers[static_cast<std::size_t>(i)]);
        EXPECT_FALSE(timers[static_cast<std::size_t>(i)]->pending());
      } else {
        expected.push_back(i);
      }
    }
    std::stable_sort(expected.begin(), expected.end(), [&](int a, int b) {
      return times[static_cast<std::size_t>(a)] < times[static_cast<std::size_t>(b)];
    });
    EXPECT_EQ(wheel.expire(at(1000)), expected.size());
    EXPECT_EQ(log, expected);
  }
}

// Against a sorted list: times from nanoseconds to years apart, set and removed while time goes
// on in steps of all sizes.
TEST(TimersTest, AgreesWithASortedList) {
  std::mt19937_64 random(2);  // NOLINT(cert-msc51-cpp): the same every time
  struct Noted final : public Timer {
    Noted(Clock::time_point when, std::vector<Clock::time_point>& log)
        : Timer(when), when(when), log(log) {}
    void expire() noexcept override { log.push_back(when); }
    const Clock::time_point when;
    std::vector<Clock::time_point>& log;
  };
  const auto step = [&] { return std::chrono::nanoseconds(random() >> (8 + random() % 56)); };
  for (int round = 0; round < 20; ++round) {
    std::vector<Clock::time_point> log;
    std::vector<Clock::time_point> expected;
    std::vector<std::unique_ptr<Noted>> timers;
    TimerWheel wheel;
    Clock::time_point now(std::chrono::nanoseconds(random() >> 10));
    for (int i = 0; i < 300; ++i) {
      timers.push_back(std::make_unique<Noted>(now + step(), log));
      wheel.add(*timers.back());
      if (random() % 4 == 0) {
        Noted& any = *timers[random() % timers.size()];
        if (any.pending()) wheel.remove(any);
      }
      if (random() % 4 == 0) now += step() / 16;
      std::vector<Clock::time_point> due;
      Clock::time_point next = Clock::time_point::max();
      for (const auto& timer : timers) {
        if (timer->pending()) (timer->when <= now ? due.push_back(timer->when) : void());
        if (timer->pending()) next = std::min(next, timer->when);
      }
      if (!wheel.empty()) {
        EXPECT_LE(wheel.next(), next);
      }
      EXPECT_EQ(wheel.empty(), next == Clock::time_point::max());
      std::sort(due.begin(), due.end());
      expected.insert(expected.end(), due.begin(), due.end());
      EXPECT_EQ(wheel.expire(now), due.size());
      ASSERT_EQ(log, expected);
    }
  }
}

TEST(TimersTest, TheEndOfTimeIsATimeToo) {
  std::vector<int> log;
  TimerWheel wheel;
  wheel.expire(Clock::now());
  class Last final : public Timer {
   public:
    Last() : Timer(Clock::time_point::max()) {}
    void expire() noexcept override {}
  } last;
  wheel.add(last);
  EXPECT_EQ(wheel.next(), Clock::time_point::max());
  EXPECT_EQ(wheel.expire(Clock::now()), 0U);
  wheel.remove(last);
  EXPECT_TRUE(wheel.empty());
}

}  // namespace
}  // namespace flexsc::detail
