// SPDX-License-Identifier: MIT
// Description: futures and promises between fibers and threads, and scopes of fibers.
#include "flexsc/future.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

#include "flexsc/scope.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

using test::carriers;

/// The code of the std::future_error that `action` throws; of none, 0, which is no code.
int code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::future_error& error) {
    return error.code().value();
  }
  return 0;
}

int code(std::future_errc value) {
  return static_cast<int>(value);
}

TEST(FutureTest, CarriesAValueAnExceptionOrNothing) {
  Runtime runtime(carriers(2));
  Future<std::unique_ptr<int>> value = async(runtime, [] { return std::make_unique<int>(7); });
  Future<void> nothing = async(runtime, [] { this_fiber::yield(); });
  Future<int> thrown = async(runtime, []() -> int { throw std::runtime_error("thrown"); });
  EXPECT_EQ(*value.get(), 7);
  nothing.get();
  EXPECT_THROW(thrown.get(), std::runtime_error);
  EXPECT_FALSE(value.valid());
}

TEST(FutureTest, FibersWaitForThreadsAndTheOtherWayRound) {
  Runtime runtime(carriers(1));
  Promise<std::string> question;
  Promise<int> answer;
  Future<std::string> asked = question.get_future();
  Future<int> answered = answer.get_future();
  Fiber fiber = runtime.spawn([&] { answer.set_value(static_cast<int>(asked.get().size())); });
  EXPECT_EQ(answered.wait_for(milliseconds(1)), std::future_status::timeout);
  question.set_value("four");
  EXPECT_EQ(answered.wait_for(hours(1)), std::future_status::ready);
  EXPECT_EQ(answered.get(), 4);
  fiber.join();
}

TEST(FutureTest, WrongUseHasTheCodesOfTheStandard) {
  Future<int> none;
  EXPECT_EQ(code_of([&] { (void)none.get(); }), code(std::future_errc::no_state));
  EXPECT_EQ(code_of([&] { none.wait(); }), code(std::future_errc::no_state));
  Promise<int> promise;
  Future<int> future = promise.get_future();
  EXPECT_EQ(code_of([&] { (void)promise.get_future(); }),
            code(std::future_errc::future_already_retrieved));
  promise.set_value(1);
  EXPECT_EQ(code_of([&] { promise.set_value(2); }),
            code(std::future_errc::promise_already_satisfied));
  EXPECT_EQ(future.get(), 1);
  EXPECT_EQ(code_of([&] { (void)future.get(); }), code(std::future_errc::no_state));
  {
    Promise<int> broken;
    future = broken.get_future();
    Promise<int> moved = std::move(broken);
    // NOLINTNEXTLINE(bugprone-use-after-move): that is the test
    EXPECT_EQ(code_of([&] { broken.set_value(1); }), code(std::future_errc::no_state));
  }
  EXPECT_EQ(code_of([&] { (void)future.get(); }), code(std::future_errc::broken_promise));
}

TEST(FutureTest, ACancelledWaitLeavesItAsItWas) {
  Runtime runtime(carriers(1));
  Promise<int> promise;
  Future<int> future = promise.get_future();
  test::in_fiber(runtime, [&] {
    Fiber waiting = runtime.spawn([&] { (void)future.get(); });
    this_fiber::yield();
    waiting.cancel();
    EXPECT_THROW(waiting.join(), Cancelled);
    promise.set_value(3);
    EXPECT_EQ(future.get(), 3);
  });
}

TEST(ScopeTest, JoinsItsChildren) {
  Runtime runtime(carriers(2));
  const auto check = [&] {
    std::atomic<int> ran{0};
    Scope scope(runtime);
    for (int i = 0; i < 10; ++i) {
      scope.spawn([&] {
        this_fiber::yield();
        ++ran;
      });
    }
    EXPECT_EQ(scope.size(), 10U);
    scope.join();
    EXPECT_EQ(ran, 10);
    EXPECT_EQ(scope.size(), 0U);
    scope.join();
  };
  check();
  test::in_fiber(runtime, check);
}

TEST(ScopeTest, OneThatThrowsTakesTheOthersWithIt) {
  Runtime runtime(carriers(1));
  std::string ended;
  Scope scope(runtime);
  scope.spawn([&] {
    try {
      this_fiber::sleep_for(hours(1));
    } catch (const Cancelled&) {
      ended += 'c';
      throw;
    }
  });
  scope.spawn([] { throw std::runtime_error("the reason"); });
  std::string what;
  try {
    scope.join();
  } catch (const std::runtime_error& error) {
    what = error.what();
  }
  EXPECT_EQ(what, "the reason");
  EXPECT_EQ(ended, "c");
  EXPECT_EQ(scope.size(), 0U);
}

TEST(ScopeTest, IsNotOutlivedWhenAnExceptionLeavesTheBlock) {
  Runtime runtime(carriers(2));
  std::atomic<int> alive{0};
  struct Counted {
    std::atomic<int>& count;
    explicit Counted(std::atomic<int>& of) : count(of) { ++count; }
    ~Counted() { --count; }
  };
  try {
    Scope scope(runtime);
    for (int i = 0; i < 5; ++i) {
      scope.spawn([&] {
        const Counted counted(alive);
        this_fiber::sleep_for(hours(1));
      });
    }
    throw std::logic_error("out");
  } catch (const std::logic_error&) {
    EXPECT_EQ(alive, 0);
  }
}

TEST(ScopeTest, ACancelledOwnerCancelsItsChildrenAndWaits) {
  Runtime runtime(carriers(1));
  bool child_ended = false;
  test::in_fiber(runtime, [&] {
    Fiber owner = runtime.spawn([&] {
      Scope scope(runtime);
      scope.spawn([&] {
        try {
          this_fiber::sleep_for(hours(1));
        } catch (const Cancelled&) {
          child_ended = true;
          throw;
        }
      });
      scope.join();
    });
    this_fiber::yield();
    owner.cancel();
    EXPECT_THROW(owner.join(), Cancelled);
    EXPECT_TRUE(child_ended);
  });
}

}  // namespace
}  // namespace flexsc
