// SPDX-License-Identifier: MIT
// Description: a seed forces rare interleavings: it finds a race that the usual order never shows,
// and the same seed shows it again.
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <set>

#include "flexsc/posix.hpp"
#include "flexsc/sync.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using namespace std::chrono_literals;

RuntimeOptions seeded(std::optional<std::uint64_t> seed, std::size_t carriers = 1) {
  RuntimeOptions options = test::options_for(EngineKind::direct, carriers);
  options.seed = seed;
  return options;
}

/// What happened, in order; and whether the race showed.
struct Outcome {
  std::vector<int> order;
  bool lost = false;
  bool operator==(const Outcome&) const = default;
};

/// Each fiber reads a number under a lock and writes it, larger by one, under the next one: an
/// update in between is lost.
Outcome run_the_race(std::optional<std::uint64_t> seed) {
  Runtime runtime(seeded(seed));
  Outcome outcome;
  test::in_fiber(runtime, [&] {
    constexpr int kFibers = 4;
    Mutex mutex;
    int number = 0;
    std::vector<Fiber> fibers;
    for (int i = 0; i < kFibers; ++i) {
      fibers.push_back(runtime.spawn([&, i] {
        mutex.lock();
        const int found = number;
        outcome.order.push_back(i);
        mutex.unlock();
        mutex.lock();
        number = found + 1;
        outcome.order.push_back(i);
        mutex.unlock();
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
    outcome.lost = number != kFibers;
  });
  return outcome;
}

TEST(SeedTest, FindsARaceThatTheUsualOrderHides) {
  EXPECT_FALSE(run_the_race(std::nullopt).lost);
  int found = 0;
  std::set<std::vector<int>> orders;
  constexpr int kSeeds = 50;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Outcome outcome = run_the_race(seed);
    found += outcome.lost ? 1 : 0;
    orders.insert(outcome.order);
  }
  EXPECT_GT(found, 0);
  EXPECT_GT(orders.size(), std::size_t{kSeeds} / 2) << "seeds that do not differ";
}

TEST(SeedTest, RepeatsItsOrder) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U, 5U}) {
    const Outcome first = run_the_race(seed);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(run_the_race(seed), first) << "seed " << seed;
  }
}

// The order is one of our own making, so it is the same everywhere and may be known.
TEST(SeedTest, AnOrderThatIsKnown) {
  Runtime runtime(seeded(7));
  std::vector<int> order;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (int i = 0; i < 6; ++i) {
      fibers.push_back(runtime.spawn([&, i] {
        order.push_back(i);
        EXPECT_EQ(flexsc::close(-1), -1);
        order.push_back(i);
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(order, (std::vector<int>{2, 1, 0, 5, 3, 4, 2, 1, 3, 5, 4, 0}));
}

class SeedVariableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = ::getenv("FLEXSC_SEED")) before_ = value;
  }
  void TearDown() override {
    ::unsetenv("FLEXSC_SEED");
    if (before_) ::setenv("FLEXSC_SEED", before_->c_str(), 1);
  }

 private:
  std::optional<std::string> before_;
};

TEST_F(SeedVariableTest, IsReadAndTheSeedIsSaid) {
  ::setenv("FLEXSC_SEED", "12345", 1);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Runtime(seeded(std::nullopt)).seed(), 12345U);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("FLEXSC_SEED=12345"), std::string::npos);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Runtime(seeded(6)).seed(), 6U) << "the option goes before";
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("FLEXSC_SEED=6"), std::string::npos);
  ::unsetenv("FLEXSC_SEED");
  EXPECT_EQ(Runtime(seeded(std::nullopt)).seed(), std::nullopt);
}

TEST_F(SeedVariableTest, ARandomOneIsSaidSoThatItCanBeRepeated) {
  ::setenv("FLEXSC_SEED", "random", 1);
  ::testing::internal::CaptureStderr();
  const std::optional<std::uint64_t> drawn = Runtime(seeded(std::nullopt)).seed();
  const std::string said = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(drawn);
  EXPECT_NE(said.find("FLEXSC_SEED=" + std::to_string(*drawn)), std::string::npos);
  EXPECT_NE(Runtime(seeded(std::nullopt)).seed(), drawn);
}

TEST_F(SeedVariableTest, NonsenseIsRefused) {
  for (const char* value : {"", "x", "12x", "-1", " 1", "99999999999999999999"}) {
    ::setenv("FLEXSC_SEED", value, 1);
    EXPECT_EQ(test::error_of([] { const Runtime runtime(seeded(std::nullopt)); }), EINVAL) << value;
  }
}

TEST(SeedDeathTest, AFailureSaysTheSeed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Runtime runtime(seeded(99));
        runtime.spawn([] { throw std::runtime_error("lost"); }, {.name = "one"}).detach();
      },
      "the detached fiber 'one' ended with an exception\nflexsc: .*FLEXSC_SEED=99 repeats");
}

// Everything at once, under many seeds and on several carriers.
TEST(SeedTest, NothingIsLostUnderAnySeed) {
  constexpr int kFibers = 20;
  constexpr int kTurns = 20;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Runtime runtime(seeded(seed, 1 + seed % 3));
    Mutex mutex;
    ConditionVariable changed;
    int turns = 0;
    std::atomic<int> received{0};
    BoundedChannel<int> channel(3);
    std::vector<Fiber> fibers;
    for (int i = 0; i < kFibers; ++i) {
      fibers.push_back(runtime.spawn(
          [&, i] {
            for (int j = 0; j < kTurns; ++j) {
              if (i % 2 == 0) {
                (void)channel.send(j);
              } else if (channel.receive()) {
                ++received;
              }
              std::unique_lock lock(mutex);
              (void)changed.wait_for(lock, 1us);
              ++turns;
              changed.notify_all();
            }
          },
          {.name = "turns", .migratable = true}));
    }
    for (Fiber& fiber : fibers) fiber.join();
    EXPECT_EQ(turns, kFibers * kTurns) << "seed " << seed;
    EXPECT_EQ(received, kFibers * kTurns / 2) << "seed " << seed;
  }
}

}  // namespace
}  // namespace flexsc
