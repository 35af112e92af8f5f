// SPDX-License-Identifier: MIT
// Description: what a fiber has of its own (values, stack), checkpoints, where fibers run, and
// stacks that cannot be had.
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>

#include "cpus.hpp"
#include "flexsc/fiber_local.hpp"
#include "flexsc/latch.hpp"
#include "flexsc/posix.hpp"
#include "sanitizer.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using test::carriers;

TEST(FiberLocalTest, EachFiberAndThreadHasItsOwn) {
  Runtime runtime(carriers(1));
  FiberLocal<std::string> word([] { return std::string("new"); });
  FiberLocal<int> number;
  *word = "of the thread";
  std::vector<Fiber> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(runtime.spawn([&, i] {
      EXPECT_EQ(*word, "new");
      EXPECT_EQ(*number, 0);
      *word = std::to_string(i);
      *number = i;
      const std::string* where = &*word;
      this_fiber::yield();
      EXPECT_EQ(*word, std::to_string(i));
      EXPECT_EQ(*number, i);
      EXPECT_EQ(&*word, where);
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(word->size(), std::strlen("of the thread"));
}

TEST(FiberLocalTest, ValuesEndWithTheirFiberTheLatestFirst) {
  Runtime runtime(carriers(1));
  static std::string ended;
  ended.clear();
  struct Noted {
    char name = 'x';
    ~Noted() {
      if (name != 'x') ended += name;
    }
  };
  FiberLocal<Noted> first;
  FiberLocal<Noted> second;
  runtime
      .spawn([&] {
        first->name = 'a';
        this_fiber::yield();
        second->name = 'b';
      })
      .join();
  EXPECT_EQ(ended, "ba");
}

TEST(FiberLocalTest, AValueThatCannotBeMadeIsTriedAgain) {
  int tries = 0;
  FiberLocal<int> value([&]() -> int {
    if (++tries == 1) throw std::runtime_error("not yet");
    return 5;
  });
  EXPECT_THROW((void)*value, std::runtime_error);
  EXPECT_EQ(*value, 5);
  EXPECT_EQ(tries, 2);
}

TEST(CheckpointTest, YieldsOnlyToThoseWhoWait) {
  Runtime runtime(carriers(1));
  this_fiber::checkpoint();
  test::in_fiber(runtime, [&] {
    const std::uint64_t before = runtime.stats().switches;
    for (int i = 0; i < 100; ++i) this_fiber::checkpoint();
    EXPECT_EQ(runtime.stats().switches, before);
    bool ran = false;
    Fiber other = runtime.spawn([&] { ran = true; });
    this_fiber::checkpoint();
    EXPECT_TRUE(ran);
    other.join();
    // One that sleeps is let run when its time has come.
    bool woke = false;
    Fiber sleeper = runtime.spawn([&] {
      this_fiber::sleep_for(std::chrono::milliseconds(1));
      woke = true;
    });
    while (!woke) this_fiber::checkpoint();
    sleeper.join();
  });
}

#if !defined(FLEXSC_ASAN) && !defined(FLEXSC_TSAN)
TEST(StackUseTest, HighWaterFollowsTheDeepestCall) {
  Runtime runtime(carriers(1));
  EXPECT_EQ(this_fiber::stack_high_water(), 0U);
  EXPECT_EQ(this_fiber::stack_size(), 0U);
  runtime
      .spawn(
          [] {
            const std::size_t before = this_fiber::stack_high_water();
            EXPECT_GT(before, 0U);
            EXPECT_LT(before, 32U * 1024);
            [] {
              std::array<volatile char, 100 * 1024> large;
              for (volatile char& byte : large) byte = 1;
            }();
            EXPECT_GT(this_fiber::stack_high_water(), 100U * 1024);
            EXPECT_LE(this_fiber::stack_high_water(), this_fiber::stack_size());
          },
          // Of a size of its own, so that it is a new one.
          {.name = "deep", .stack_bytes = 300 * 1024})
      .join();
}

TEST(StackUseTest, OneThatCannotBeHadIsBadAllocAndNothingElseChanges) {
  Runtime runtime(carriers(1));
  constexpr std::size_t kMoreThanThereIs = std::size_t{1} << 50;
  EXPECT_THROW((void)runtime.spawn([] {}, {.name = "", .stack_bytes = kMoreThanThereIs}),
               std::bad_alloc);
  test::in_fiber(runtime, [&] {
    EXPECT_THROW((void)runtime.spawn([] {}, {.name = "", .stack_bytes = kMoreThanThereIs}),
                 std::bad_alloc);
  });
  runtime.spawn([] {}).join();
  EXPECT_EQ(runtime.stats().spawned, runtime.stats().finished);
}

/// Spawns until memory ends, lets it go on, and says whether everything was as documented.
int spawn_until_memory_ends() {
  RuntimeOptions options = carriers(1);
  options.stack_bytes = 64 * 1024;
  Runtime runtime(options);
  constexpr std::size_t kEnough = 100'000;
  constexpr rlim_t kMore = 32U << 20U;
  Latch leave(1);
  std::vector<Fiber> fibers;
  fibers.reserve(kEnough);
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0) return 2;
  rlimit low = limit;
  low.rlim_cur = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + kMore;
  if (::setrlimit(RLIMIT_AS, &low) != 0) return 3;
  std::size_t ran = 0;  // by fibers of one carrier
  bool refused = false;
  while (!refused && fibers.size() < kEnough) {
    try {
      fibers.push_back(runtime.spawn([&] {
        leave.wait();
        ++ran;
      }));
    } catch (const std::bad_alloc&) {
      refused = true;
    }
  }
  leave.count_down();
  for (Fiber& fiber : fibers) fiber.join();
  if (!refused || fibers.empty() || ran != fibers.size()) return 4;
  runtime.spawn([&] { ++ran; }).join();  // on the stack of one of them
  return ran == fibers.size() + 1 && runtime.stats().spawned == runtime.stats().finished ? 0 : 5;
}

TEST(StackUseTest, WhereAddressesEndSpawnIsRefusedAndOthersGoOn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(::_exit(spawn_until_memory_ends()), ::testing::ExitedWithCode(0), "");
}
#endif

TEST(StealSwitchTest, FibersStayWhereTheyWereSpawned) {
  RuntimeOptions options = carriers(2);
  options.steal = false;
  Runtime runtime(options);
  test::in_fiber(runtime, [&] {
    const std::thread::id home = std::this_thread::get_id();
    std::vector<Fiber> fibers;
    for (int i = 0; i < 1000; ++i) {
      fibers.push_back(runtime.spawn([&] { EXPECT_EQ(std::this_thread::get_id(), home); }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  // Those of a plain thread run on both, each where its turn was.
  std::atomic<int> ran{0};
  std::vector<Fiber> fibers;
  for (int i = 0; i < 100; ++i) fibers.push_back(runtime.spawn([&] { ++ran; }));
  for (Fiber& fiber : fibers) fiber.join();
  EXPECT_EQ(ran, 100);
}

/// A tree of cgroups, as far as cpu.max is concerned.
class CgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "cgroupXXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    std::filesystem::create_directories(root_ / "a/b");
    std::ofstream(root_ / "self") << "3:cpu:/old\n0::/a/b\n";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void limit(const std::string& group, const std::string& text) const {
    std::ofstream(root_ / group / "cpu.max") << text << "\n";
  }
  [[nodiscard]] unsigned found() const {
    return detail::cgroup_cpus(root_.string(), (root_ / "self").string());
  }
  std::filesystem::path root_;
};

TEST_F(CgroupTest, TheTightestLimitCountsRoundedUp) {
  EXPECT_EQ(found(), 0U);
  limit("a/b", "max 100000");
  EXPECT_EQ(found(), 0U);
  limit("a", "250000 100000");
  EXPECT_EQ(found(), 3U);
  limit("a/b", "50000 100000");
  EXPECT_EQ(found(), 1U);
  limit(".", "10000 100000");
  EXPECT_EQ(found(), 1U);
  limit("a/b", "nonsense");
  limit("a", "7");
  limit(".", "");
  EXPECT_EQ(found(), 0U);
}

TEST_F(CgroupTest, WithoutACgroupThereIsNoLimit) {
  EXPECT_EQ(detail::cgroup_cpus("/nowhere", "/nowhere/self"), 0U);
  std::ofstream(root_ / "self") << "";
  limit("a", "100000 100000");
  EXPECT_EQ(found(), 0U);
}

}  // namespace
}  // namespace flexsc
