// SPDX-License-Identifier: MIT
// Description: fibers are spawned, named, joined, detached and end with exceptions; yield
// is round robin; a Runtime waits for its fibers.
#include "flexsc/fiber.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "flexsc/latch.hpp"
#include "flexsc/posix.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

static_assert(!std::is_copy_constructible_v<Fiber> && std::is_nothrow_move_constructible_v<Fiber>);
static_assert(!std::is_move_constructible_v<Runtime>);

class FiberTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(FiberTest);

TEST_P(FiberTest, RunsABody) {
  Runtime runtime(options());
  int ran = 0;
  Fiber fiber = runtime.spawn([&] { ++ran; });
  EXPECT_TRUE(fiber.joinable());
  fiber.join();
  EXPECT_FALSE(fiber.joinable());
  EXPECT_EQ(ran, 1);
  const RuntimeStats stats = runtime.stats();
  EXPECT_EQ(stats.spawned, 1U);
  EXPECT_EQ(stats.finished, 1U);
  EXPECT_EQ(stats.switches, 1U);
  EXPECT_EQ(stats.channels.posted, 0U);
}

TEST_P(FiberTest, KnowsThatItIsInside) {
  Runtime runtime(options());
  EXPECT_FALSE(this_fiber::inside());
  EXPECT_EQ(this_fiber::name(), "");
  EXPECT_EQ(this_fiber::runtime(), nullptr);
  bool inside = false;
  bool has_runtime = false;
  std::string name;
  runtime
      .spawn(
          [&] {
            inside = this_fiber::inside();
            has_runtime = this_fiber::runtime() != nullptr;
            name = this_fiber::name();
          },
          {.name = "a name", .stack_bytes = 0})
      .join();
  EXPECT_TRUE(inside);
  EXPECT_TRUE(has_runtime);
  EXPECT_EQ(name, "a name");
}

TEST_P(FiberTest, YieldsRoundRobin) {
  Runtime runtime(options());
  std::string order;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (const char letter : {'a', 'b', 'c'}) {
      fibers.push_back(runtime.spawn([&order, letter] {
        for (int i = 0; i < 3; ++i) {
          order += letter;
          this_fiber::yield();
        }
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, "abcabcabc");
}

TEST_P(FiberTest, YieldsAloneAndInAThread) {
  Runtime runtime(options());
  this_fiber::yield();
  test::in_fiber(runtime, [] {
    for (int i = 0; i < 100; ++i) this_fiber::yield();
  });
  EXPECT_EQ(runtime.stats().switches, 101U);
}

TEST_P(FiberTest, JoinsFromAFiberBeforeAndAfterTheEnd) {
  Runtime runtime(options());
  int steps = 0;
  test::in_fiber(runtime, [&] {
    Fiber early = runtime.spawn([&] {
      this_fiber::yield();
      ++steps;
    });
    early.join();
    EXPECT_EQ(steps, 1);
    Fiber late = runtime.spawn([&] { ++steps; });
    this_fiber::yield();
    EXPECT_EQ(steps, 2);
    late.join();
  });
  EXPECT_EQ(runtime.stats().finished, 3U);
}

// Which goes on in the frame of the one before.
TEST_P(FiberTest, BeginsAnewOnTheStackOfOneThatEnded) {
  Runtime runtime(options());
  const void* before = nullptr;
  int again = 0;
  test::in_fiber(runtime, [&] {
    for (int i = 0; i < 20; ++i) {
      Fiber fiber = runtime.spawn([&] {
        const int local = i;
        if (before == &local) ++again;
        before = &local;
        EXPECT_EQ(errno, 0);
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        EXPECT_EQ(std::current_exception(), nullptr);
        this_fiber::yield();
        errno = EXDEV;
        if (i % 2 == 0) throw std::runtime_error("as it should");
      });
      if (i % 2 == 0) {
        EXPECT_THROW(fiber.join(), std::runtime_error);
      } else {
        fiber.join();
      }
    }
  });
  EXPECT_GT(again, 0);
}

TEST_P(FiberTest, JoinsTheFiberOfAnotherRuntime) {
  Runtime one(options());
  Runtime other(options());
  int steps = 0;
  test::in_fiber(one, [&] {
    Fiber fiber = other.spawn([&] { ++steps; });
    fiber.join();
    EXPECT_EQ(steps, 1);
  });
}

TEST_P(FiberTest, RefusesWrongJoins) {
  Runtime runtime(options());
  Fiber none;
  EXPECT_FALSE(none.joinable());
  EXPECT_EQ(test::error_of([&] { none.join(); }), EINVAL);
  EXPECT_EQ(test::error_of([&] { none.detach(); }), EINVAL);

  Fiber once = runtime.spawn([] {});
  once.join();
  EXPECT_EQ(test::error_of([&] { once.join(); }), EINVAL);

  Fiber self;
  int error = 0;
  test::in_fiber(runtime, [&] {
    self = runtime.spawn([&] { error = test::error_of([&] { self.join(); }); });
    this_fiber::yield();
  });
  EXPECT_EQ(error, EDEADLK);
  EXPECT_TRUE(self.joinable());
  self.join();
}

TEST_P(FiberTest, CarriesAnExceptionToTheJoiner) {
  Runtime runtime(options());
  Fiber fiber = runtime.spawn([] { throw std::runtime_error("carried"); });
  std::string what;
  try {
    fiber.join();
  } catch (const std::runtime_error& error) {
    what = error.what();
  }
  EXPECT_EQ(what, "carried");
  EXPECT_FALSE(fiber.joinable());

  Fiber empty = runtime.spawn(std::function<void()>());
  EXPECT_THROW(empty.join(), std::bad_function_call);
}

TEST_P(FiberTest, MovesHandles) {
  Runtime runtime(options());
  int ran = 0;
  Fiber first = runtime.spawn([&] { ++ran; });
  Fiber second = std::move(first);
  EXPECT_FALSE(first.joinable());  // NOLINT(bugprone-use-after-move): that is the test
  first = std::move(second);
  first.join();
  EXPECT_EQ(ran, 1);
}

TEST_P(FiberTest, ReleasesWhatTheBodyHoldsBeforeJoinReturns) {
  Runtime runtime(options());
  auto held = std::make_shared<int>(0);
  Fiber fiber = runtime.spawn([held] { this_fiber::yield(); });
  fiber.join();
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(FiberTest, DestructionWaitsForFibersAndTheirFibers) {
  std::atomic<int> ended{0};
  {
    Runtime runtime(options(2));
    for (int i = 0; i < 10; ++i) {
      runtime
          .spawn([&] {
            for (int j = 0; j < 5; ++j) this_fiber::yield();
            runtime
                .spawn([&] {
                  this_fiber::sleep_for(std::chrono::milliseconds(1));
                  ++ended;
                })
                .detach();
            ++ended;
          })
          .detach();
    }
  }
  EXPECT_EQ(ended, 20);
}

TEST_P(FiberTest, OnlyItsOwnFibersSpawnWhileARuntimeEnds) {
  auto* const runtime = new Runtime(options());
  Latch leave(1);
  bool spawned = false;
  runtime
      ->spawn([&] {
        leave.wait();
        runtime->spawn([&] { spawned = true; }).join();
      })
      .detach();
  std::thread ends([runtime] { delete runtime; });
  int error = 0;
  // Until the destructor has begun it is as ever; it cannot end before `leave`.
  while ((error = test::error_of([&] { runtime->spawn([] {}).join(); })) == 0) {
    std::this_thread::yield();
  }
  EXPECT_EQ(error, ESHUTDOWN);
  Runtime another(options());
  test::in_fiber(another, [&] {
    EXPECT_EQ(test::error_of([&] { runtime->spawn([] {}).detach(); }), ESHUTDOWN);
  });
  leave.count_down();
  ends.join();
  EXPECT_TRUE(spawned);
}

TEST_P(FiberTest, TakesCarriersInTurnFromAPlainThread) {
  Runtime runtime(options(2));
  EXPECT_EQ(runtime.carriers(), 2U);
  std::vector<Fiber> fibers;
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) fibers.push_back(runtime.spawn([&] { ++ran; }));
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(ran, 100);
  EXPECT_EQ(runtime.stats().spawned, 100U);
  EXPECT_EQ(runtime.stats().finished, 100U);
}

// As a program does that starts another one from a fiber.
TEST_P(FiberTest, TheChildOfAForkIsAPlainThread) {
  Runtime runtime(options());
  int status = -1;
  test::in_fiber(runtime, [&] {
    const pid_t child = ::fork();
    if (child == 0) {
      const bool right = !this_fiber::inside() && flexsc::close(-1) == -1 && errno == EBADF;
      ::_exit(right ? 7 : 8);
    }
    ASSERT_GT(child, 0);
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(this_fiber::inside());
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(RuntimeTest, SaysThatACarrierCannotBePinned) {
  RuntimeOptions options = test::options_for(EngineKind::direct, 1);
  for (const int cpu : {-1, 8000, 1 << 20}) {
    options.carrier_cpus = {cpu};
    try {
      const Runtime runtime(options);
      ADD_FAILURE() << "pinned to CPU " << cpu;
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), EINVAL);
      EXPECT_NE(std::string(error.what()).find("CPU " + std::to_string(cpu)), std::string::npos);
    }
  }
}

TEST(RuntimeTest, HasOneCarrierPerAllowedCpuByDefault) {
  RuntimeOptions options;
  const Runtime runtime(options);
  EXPECT_EQ(runtime.carriers(), test::allowed_cpus().size());
}

TEST(RuntimeDeathTest, AJoinableHandleMayNotBeDropped) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Runtime runtime(test::options_for(EngineKind::direct, 1));
        {
          const Fiber dropped = runtime.spawn([] {});
        }
      },
      "");
}

TEST(RuntimeDeathTest, AFiberMayNotDestroyItsRuntime) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto runtime = std::make_unique<Runtime>(test::options_for(EngineKind::direct, 1));
        test::in_fiber(*runtime, [&] { runtime.reset(); });
      },
      "destroyed by one of its own fibers");
}

TEST(RuntimeDeathTest, AnExceptionOfADetachedFiberEndsTheProgramAndNamesIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Runtime runtime(test::options_for(EngineKind::direct, 1));
        runtime
            .spawn([] { throw std::runtime_error("lost"); }, {.name = "thrower", .stack_bytes = 0})
            .detach();
      },
      "detached fiber 'thrower'");
}

}  // namespace
}  // namespace flexsc
