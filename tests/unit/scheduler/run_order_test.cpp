// SPDX-License-Identifier: MIT
// Description: the order of a carrier's ready fibers is the one that was asked for: in turn, by
// priority, by deadline, or the user's own.
#include "flexsc/run_order.hpp"

#include <algorithm>
#include <deque>
#include <random>

#include "flexsc/posix.hpp"
#include "flexsc/sync.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using namespace std::chrono_literals;

class RunOrderTest : public test::OnEngine {
 protected:
  static RuntimeOptions ordered(RunOrders order, std::size_t carriers = 1) {
    RuntimeOptions options = OnEngine::options(carriers);
    options.order = std::move(order);
    return options;
  }
};
FLEXSC_ON_EVERY_ENGINE(RunOrderTest);

/// Spawns one fiber for each of `options`, from a fiber, and returns the order in which they ran.
std::vector<std::string> ran(Runtime& runtime, const std::vector<SpawnOptions>& options) {
  std::vector<std::string> order;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (const SpawnOptions& each : options) {
      fibers.push_back(runtime.spawn([&] { order.emplace_back(this_fiber::name()); }, each));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  return order;
}

TEST_P(RunOrderTest, RoundRobinIsTheUsualOne) {
  Runtime runtime(ordered(round_robin()));
  EXPECT_EQ(ran(runtime, {{.name = "a", .priority = 1}, {.name = "b", .priority = 2}}),
            (std::vector<std::string>{"a", "b"}));
}

TEST_P(RunOrderTest, TheHighestPriorityFirstAndEqualsInTurn) {
  Runtime runtime(ordered(by_priority()));
  EXPECT_EQ(ran(runtime, {{.name = "low", .priority = -5},
                          {.name = "first", .priority = 3},
                          {.name = "none"},
                          {.name = "second", .priority = 3},
                          {.name = "top", .priority = 7}}),
            (std::vector<std::string>{"top", "first", "second", "none", "low"}));
}

TEST_P(RunOrderTest, TheEarliestDeadlineFirstAndThoseWithoutLast) {
  Runtime runtime(ordered(by_deadline()));
  const auto now = std::chrono::steady_clock::now();
  EXPECT_EQ(ran(runtime, {{.name = "never"},
                          {.name = "late", .deadline = now + 2h},
                          {.name = "soon", .deadline = now + 1h},
                          {.name = "over", .deadline = now - 1h},
                          {.name = "soon too", .deadline = now + 1h}}),
            (std::vector<std::string>{"over", "soon", "soon too", "late", "never"}));
}

// A fiber that yields goes on at once while it is the highest; and then it is not.
TEST_P(RunOrderTest, APriorityChangesWhileItRuns) {
  Runtime runtime(ordered(by_priority()));
  std::vector<int> order;
  test::in_fiber(runtime, [&] {
    Fiber other = runtime.spawn([&] { order.push_back(0); });
    this_fiber::set_priority(1);
    order.push_back(1);
    this_fiber::yield();
    order.push_back(2);
    this_fiber::set_priority(-1);
    this_fiber::yield();
    order.push_back(3);
    other.join();
  });
  EXPECT_EQ(order, (std::vector<int>{1, 2, 0, 3}));
}

// The highest always yields and is never out of turn: the others' calls, timers and wake-ups are
// looked at all the same.
TEST_P(RunOrderTest, AFiberThatIsAlwaysFirstDoesNotKeepThoseAboveItFromWaking) {
  Runtime runtime(ordered(by_priority()));
  bool done = false;
  test::in_fiber(runtime, [&] {
    Fiber urgent = runtime.spawn(
        [&] {
          this_fiber::sleep_for(1ms);
          EXPECT_EQ(run_call(make_call(SYS_close, -1)), -EBADF);
          done = true;
        },
        {.name = "urgent", .priority = 2});
    this_fiber::set_priority(1);
    while (!done) this_fiber::yield();
    urgent.join();
  });
}

TEST_P(RunOrderTest, WhoIsWokenIsPutInOrder) {
  Runtime runtime(ordered(by_priority()));
  std::vector<int> order;
  test::in_fiber(runtime, [&] {
    CountingSemaphore go(0);
    std::vector<Fiber> fibers;
    for (const int priority : {1, 3, 2}) {
      fibers.push_back(runtime.spawn(
          [&, priority] {
            go.acquire();
            order.push_back(priority);
          },
          {.name = "waits", .priority = priority}));
    }
    this_fiber::set_priority(-1);
    this_fiber::yield();
    go.release(3);
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, (std::vector<int>{3, 2, 1}));
}

/// Counts what a carrier does with it. The last in is the first out.
class LastFirst final : public RunOrder {
 public:
  explicit LastFirst(std::atomic<int>& pushed) : pushed_(pushed) {}
  void push(Runnable& fiber) noexcept override {
    ++pushed_;
    fibers_.push_back(&fiber);
  }
  Runnable* pop() noexcept override {
    if (fibers_.empty()) return nullptr;
    Runnable* last = fibers_.back();
    fibers_.pop_back();
    return last;
  }
  [[nodiscard]] std::size_t size() const noexcept override { return fibers_.size(); }

 private:
  std::atomic<int>& pushed_;
  std::deque<Runnable*> fibers_;
};

TEST_P(RunOrderTest, TheUsersOwn) {
  std::atomic<int> pushed{0};
  Runtime runtime(ordered([&] { return std::make_unique<LastFirst>(pushed); }));
  EXPECT_EQ(ran(runtime, {{.name = "a"}, {.name = "b"}, {.name = "c"}}),
            (std::vector<std::string>{"c", "b", "a"}));
  EXPECT_GE(pushed, 4);
}

TEST_P(RunOrderTest, OnSeveralCarriersNothingIsLost) {
  for (const RunOrders& order : {by_priority(), by_deadline()}) {
    Runtime runtime(ordered(order, 3));
    std::atomic<int> turns{0};
    Mutex mutex;
    std::vector<Fiber> fibers;
    for (int i = 0; i < 60; ++i) {
      fibers.push_back(runtime.spawn(
          [&, i] {
            for (int j = 0; j < 30; ++j) {
              if (j % 5 == 0) this_fiber::sleep_for(10us);
              if (j % 3 == 0) (void)flexsc::close(-1);
              const std::scoped_lock lock(mutex);
              this_fiber::set_priority((i * j) % 7);
              this_fiber::yield();
              ++turns;
            }
          },
          {.name = "turns", .migratable = i % 2 == 0, .priority = i % 5}));
    }
    for (Fiber& fiber : fibers) fiber.join();
    EXPECT_EQ(turns, 60 * 30);
    EXPECT_EQ(runtime.stats().moved, 0U);
  }
}

// The heap against a sorted list. Fibers that only the order sees: they are never run.
TEST(RunOrderHeapTest, AgreesWithASortedList) {
  struct Fake : Runnable {
    explicit Fake(int priority) { priority_ = priority; }
  };
  std::minstd_rand random(1);
  const std::unique_ptr<RunOrder> order = by_priority()();
  std::deque<Fake> fibers;
  std::vector<std::pair<int, std::size_t>> list;  // by priority and number
  std::size_t pushed = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0) {
      fibers.emplace_back(static_cast<int>(random() % 50));
      list.emplace_back(-fibers.back().priority(), pushed++);
      order->push(fibers.back());
    } else {
      const Runnable* found = order->pop();
      const auto first = std::min_element(list.begin(), list.end());
      ASSERT_EQ(found == nullptr, list.empty());
      if (found == nullptr) continue;
      ASSERT_EQ(found, &fibers[first->second]);
      list.erase(first);
    }
    ASSERT_EQ(order->size(), list.size());
  }
}

}  // namespace
}  // namespace flexsc
