// SPDX-License-Identifier: MIT
// Description: a migratable fiber goes on where a carrier is idle, with its errno, its exceptions
// and all that waits for it; any other fiber stays, and so does a migratable one that has to.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>

#include "flexsc/call_scope.hpp"
#include "flexsc/cancel.hpp"
#include "flexsc/posix.hpp"
#include "flexsc/sync.hpp"
#include "sanitizer.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using namespace std::chrono_literals;

class MoveTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(MoveTest);

const SpawnOptions kMayMove{.name = "mover", .migratable = true};

/// Of the thread, each time anew.
[[gnu::noinline]] long thread_id() {
  asm volatile("");
  return ::syscall(SYS_gettid);
}

/// Keeps the carrier of `home` busy until `until`, unless it was taken by another one.
Fiber hog(Runtime& runtime, long home, std::atomic<bool>& until) {
  return runtime.spawn([home, &until] {
    while (thread_id() == home && !until) std::this_thread::yield();
  });
}

/// Until the running fiber, which is migratable, is in another thread. It waits behind a fiber
/// that does not let go, so it goes on where an idle carrier has taken it.
/// One at a time, or none would be idle.
void move(Runtime& runtime) {
  static Mutex one;
  const std::scoped_lock alone(one);
  const long home = thread_id();
  while (thread_id() == home) {
    std::atomic<bool> moved{false};
    Fiber busy = hog(runtime, home, moved);
    this_fiber::yield();
    moved = true;
    const CancelShield shield;
    busy.join();
  }
}

TEST_P(MoveTest, AReadyFiberLeavesABusyCarrier) {
  Runtime runtime(options(2));
  runtime.spawn([&] { move(runtime); }, kMayMove).join();
  EXPECT_GT(runtime.stats().moved, 0U);
}

TEST_P(MoveTest, ErrnoGoesWithIt) {
  Runtime runtime(options(2));
  runtime
      .spawn(
          [&] {
            for (int i = 0; i < 10; ++i) {
              EXPECT_EQ(flexsc::close(-1), -1);
              EXPECT_EQ(this_fiber::last_error(), EBADF);
              move(runtime);
              EXPECT_EQ(this_fiber::last_error(), EBADF);
              EXPECT_EQ(flexsc::open("/nowhere/at/all", 0), -1);
              move(runtime);
              EXPECT_EQ(this_fiber::last_error(), ENOENT);
            }
          },
          kMayMove)
      .join();
}

using test::current_what;

struct MovesOnDestruction {
  Runtime& runtime;
  ~MovesOnDestruction() {
    EXPECT_EQ(std::uncaught_exceptions(), 1);
    move(runtime);
    EXPECT_EQ(std::uncaught_exceptions(), 1);
  }
};

TEST_P(MoveTest, ExceptionsGoWithIt) {
  Runtime runtime(options(2));
  const auto throws = [&](const std::string& mine) {
    try {
      const MovesOnDestruction moves{runtime};
      throw std::runtime_error(mine);
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), mine);
      move(runtime);
      EXPECT_EQ(current_what(), mine);
      try {
        throw std::logic_error("inner");
      } catch (const std::logic_error&) {
        move(runtime);
        EXPECT_EQ(current_what(), "inner");
      }
      EXPECT_EQ(current_what(), mine);
    }
    EXPECT_EQ(current_what(), "none");
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 4; ++i) {
    fibers.push_back(runtime.spawn([&, i] { throws(std::to_string(i)); }, kMayMove));
  }
  for (Fiber& fiber : fibers) fiber.join();
}

/// Gives idle carriers every occasion to take the running fiber, and sees that none does.
void try_to_move(Runtime& runtime) {
  const long home = thread_id();
  for (int i = 0; i < 20; ++i) {
    std::vector<Fiber> others;
    for (int j = 0; j < 4; ++j) others.push_back(runtime.spawn([] { this_fiber::yield(); }));
    this_fiber::yield();
    EXPECT_EQ(thread_id(), home);
    (void)flexsc::close(-1);
    EXPECT_EQ(thread_id(), home);
    this_fiber::sleep_for(10us);
    EXPECT_EQ(thread_id(), home);
    for (Fiber& other : others) other.join();
    EXPECT_EQ(thread_id(), home);
  }
}

TEST_P(MoveTest, OneThatHasToStayStays) {
  Runtime runtime(options(3));
  std::vector<Fiber> fibers;
  fibers.push_back(runtime.spawn([&] { try_to_move(runtime); }));
  fibers.push_back(runtime.spawn(
      [&] {
        move(runtime);
        const CarrierScope here;
        try_to_move(runtime);
      },
      kMayMove));
  fibers.push_back(runtime.spawn(
      [&] {
        move(runtime);
        const DeadlineScope limit(1h);
        try_to_move(runtime);
      },
      kMayMove));
  for (Fiber& fiber : fibers) fiber.join();
}

TEST_P(MoveTest, WithoutStealingNothingMoves) {
  RuntimeOptions without = options(2);
  without.steal = false;
  Runtime runtime(without);
  std::vector<Fiber> fibers;
  for (int i = 0; i < 4; ++i) {
    fibers.push_back(runtime.spawn([&] { try_to_move(runtime); }, kMayMove));
  }
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(runtime.stats().moved, 0U);
}

// A timer of a wait that ended before its time is in the wheel of the carrier that was left.
TEST_P(MoveTest, TimedWaitsEndBeforeTheirTimeAndMoveOn) {
  Runtime runtime(options(2));
  std::atomic<int> got{0};
  CountingSemaphore semaphore(0);
  constexpr int kRounds = 50;
  std::vector<Fiber> fibers;
  for (int i = 0; i < 8; ++i) {
    fibers.push_back(runtime.spawn(
        [&] {
          for (int j = 0; j < kRounds; ++j) {
            if (semaphore.try_acquire_for(1h)) ++got;
            if (j % 16 == 0) move(runtime);
          }
        },
        kMayMove));
  }
  for (int i = 0; i < 8 * kRounds; ++i) {
    semaphore.release();
    if (i % 8 == 0) std::this_thread::yield();
  }
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(got, 8 * kRounds);
}

// Every way to wait and be woken, by fibers that move all the time.
TEST_P(MoveTest, NothingIsLostOrRunsTwice) {
#ifdef FLEXSC_TSAN
  constexpr int kTurns = 40;
#else
  constexpr int kTurns = 200;
#endif
  constexpr int kFibers = 24;
  Runtime runtime(options(3));
  Mutex mutex;
  ConditionVariable changed;
  int turns = 0;  // under mutex
  std::vector<std::unique_ptr<std::atomic<bool>>> inside;
  for (int i = 0; i < kFibers; ++i) inside.push_back(std::make_unique<std::atomic<bool>>(false));
  std::vector<Fiber> fibers;
  for (int i = 0; i < kFibers; ++i) {
    fibers.push_back(runtime.spawn(
        [&, i] {
          std::minstd_rand random(static_cast<unsigned>(i));
          for (int j = 0; j < kTurns; ++j) {
            EXPECT_FALSE(inside[static_cast<std::size_t>(i)]->exchange(true));
            inside[static_cast<std::size_t>(i)]->store(false);
            switch (random() % 6) {
              case 0:
                this_fiber::yield();
                break;
              case 1:
                this_fiber::sleep_for(std::chrono::microseconds(random() % 50));
                break;
              case 2:
                EXPECT_EQ(run_call(make_call(SYS_close, -1)), -EBADF);
                break;
              case 3: {
                std::unique_lock lock(mutex);
                (void)changed.wait_for(lock, 20us);
                break;
              }
              case 4: {
                Fiber child = runtime.spawn([] { this_fiber::yield(); }, kMayMove);
                child.join();
                break;
              }
              default:
                changed.notify_all();
            }
            const std::scoped_lock lock(mutex);
            this_fiber::yield();
            ++turns;
          }
        },
        kMayMove));
  }
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(turns, kFibers * kTurns);
}

// A lost cancellation is a fiber that never ends.
TEST_P(MoveTest, ACancellationFindsAFiberThatMoves) {
  Runtime runtime(options(3));
  constexpr int kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<int> started{0};
    std::vector<Fiber> fibers;
    for (int i = 0; i < 6; ++i) {
      fibers.push_back(runtime.spawn(
          [&, i] {
            CountingSemaphore never(0);
            ++started;
            if (i % 2 == 0) this_fiber::sleep_for(20us);
            for (int j = 0; j < 20; ++j) {
              this_fiber::yield();
              if (i % 3 == 0) (void)never.try_acquire_for(5us);
            }
            never.acquire();
          },
          kMayMove));
    }
    while (started < 3) std::this_thread::yield();
    for (Fiber& fiber : fibers) fiber.cancel();
    for (Fiber& fiber : fibers) EXPECT_THROW(fiber.join(), Cancelled);
  }
}

}  // namespace
}  // namespace flexsc
