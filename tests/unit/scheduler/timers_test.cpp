// SPDX-License-Identifier: MIT
// Description: the timer heap alone: order, equal times, removal anywhere.
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
  TimerHeap heap;
  Recorder late(30, 1, log);
  Recorder first(10, 2, log);
  Recorder second(10, 3, log);
  Recorder middle(20, 4, log);
  for (Recorder* timer : {&late, &first, &second, &middle}) heap.add(*timer);
  EXPECT_EQ(heap.next(), at(10));
  EXPECT_EQ(heap.expire(at(9)), 0U);
  EXPECT_EQ(heap.expire(at(10)), 2U);
  EXPECT_FALSE(first.pending());
  EXPECT_TRUE(middle.pending());
  EXPECT_EQ(heap.expire(at(100)), 2U);
  EXPECT_EQ(log, (std::vector<int>{2, 3, 4, 1}));
  EXPECT_TRUE(heap.empty());
}

TEST(TimersTest, RemovalKeepsTheOrderOfTheRest) {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same every time
  for (int round = 0; round < 50; ++round) {
    std::vector<int> log;
    std::vector<int> expected;
    std::vector<std::unique_ptr<Recorder>> timers;
    std::vector<int> times(64);
    TimerHeap heap;
    for (int i = 0; i < 64; ++i) {
      times[static_cast<std::size_t>(i)] = static_cast<int>(random() % 20);
      timers.push_back(std::make_unique<Recorder>(times[static_cast<std::size_t>(i)], i, log));
      heap.add(*timers.back());
    }
    for (int i = 0; i < 64; ++i) {
      if (random() % 3 == 0) {
        heap.remove(*timers[static_cast<std::size_t>(i)]);
        EXPECT_FALSE(timers[static_cast<std::size_t>(i)]->pending());
      } else {
        expected.push_back(i);
      }
    }
    std::stable_sort(expected.begin(), expected.end(), [&](int a, int b) {
      return times[static_cast<std::size_t>(a)] < times[static_cast<std::size_t>(b)];
    });
    EXPECT_EQ(heap.expire(at(1000)), expected.size());
    EXPECT_EQ(log, expected);
  }
}

}  // namespace
}  // namespace flexsc::detail
