// SPDX-License-Identifier: MIT
// Description: stacks are usable to their last byte, guarded, reused, and go on without
// guards when the system has no more; an overflow names the fiber.
#include "stack.hpp"

#include <sys/mman.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "sanitizer.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

using detail::Stack;
using detail::stack_size_for;
using detail::StackPool;

constexpr std::size_t kSize = 64 * 1024 * detail::kStackFactor;

TEST(StackTest, SizesAreWholePagesAndNotTiny) {
  EXPECT_EQ(stack_size_for(64 * 1024), kSize);
  EXPECT_EQ(stack_size_for(64 * 1024 + 1),
            (64 * 1024 + 1) * detail::kStackFactor / 4096 * 4096 + 4096);
  EXPECT_EQ(stack_size_for(0) % 4096, 0U);
  EXPECT_GE(stack_size_for(0), 16U * 1024);
}

TEST(StackTest, AreWritableThroughoutAndGuarded) {
  StackPool pool(kSize);
  const Stack stack = pool.take(kSize);
  ASSERT_TRUE(stack.guarded);
  EXPECT_EQ(stack.size, kSize);
  std::memset(stack.bottom, 1, stack.size);
  EXPECT_TRUE(stack.intact());
  EXPECT_TRUE(stack.in_guard(stack.bottom - 1));
  EXPECT_TRUE(stack.in_guard(stack.bottom - 4096));
  EXPECT_FALSE(stack.in_guard(stack.bottom - 4097));
  EXPECT_FALSE(stack.in_guard(stack.bottom));
  pool.give(stack);
}

TEST(StackTest, OnesOfThePooledSizeAreReused) {
  StackPool pool(kSize);
  const Stack first = pool.take(kSize);
  const Stack second = pool.take(kSize);
  EXPECT_NE(first.bottom, second.bottom);
  pool.give(first);
  const Stack third = pool.take(kSize);
  EXPECT_EQ(third.bottom, first.bottom);
  pool.give(third);
  pool.give(second);
  const Stack other = pool.take(2 * kSize);
  EXPECT_EQ(other.size, 2 * kSize);
  pool.give(other);
}

/// Whether the kernel makes no huge pages of the mapping at an address.
bool stays_small(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      found = reinterpret_cast<std::uintptr_t>(address) >= begin &&
              reinterpret_cast<std::uintptr_t>(address) < end;
    } else if (found && line.starts_with("VmFlags:")) {
      return line.find(" nh") != std::string::npos;
    }
  }
  ADD_FAILURE() << address << " is not mapped";
  return false;
}

TEST(StackTest, DoNotBecomeHugePages) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) {
    GTEST_SKIP() << "this kernel has no huge pages to give";
  }
  StackPool pool(kSize);
  const Stack stack = pool.take(4 * 1024 * 1024);
  EXPECT_TRUE(stays_small(stack.bottom));
  pool.give(stack);
}

// More than vm.max_map_count allows guards for. Their memory is never touched but for
// the canaries.
TEST(StackTest, GoOnWithoutGuardsWhenThoseRunOut) {
#ifdef FLEXSC_TSAN
  GTEST_SKIP() << "ThreadSanitizer itself runs out of mappings";
#endif
  constexpr std::size_t kStacks = 40'000;
  StackPool pool(kSize);
  std::vector<Stack> stacks;
  std::set<std::byte*> bottoms;
  ::testing::internal::CaptureStderr();
  for (std::size_t i = 0; i < kStacks; ++i) {
    stacks.push_back(pool.take(kSize));
    bottoms.insert(stacks.back().bottom);
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(bottoms.size(), kStacks);
  const Stack& last = stacks.back();
  if (last.guarded) {
    for (const Stack& stack : stacks) pool.give(stack);
    GTEST_SKIP() << "this system has mappings for " << kStacks << " guards";
  }
  EXPECT_NE(said.find("vm.max_map_count"), std::string::npos);
  EXPECT_EQ(said.find("canary"), said.rfind("canary")) << "said twice";
  EXPECT_TRUE(last.intact());
  EXPECT_FALSE(last.in_guard(last.bottom - 1));
  last.bottom[0] ^= std::byte{1};
  EXPECT_FALSE(last.intact());
  // The rest of the program can still map memory.
  void* memory = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(memory, MAP_FAILED);
  munmap(memory, 4096);
  for (const Stack& stack : stacks) pool.give(stack);
}

TEST(StackTest, FibersMayHaveStacksOfTheirOwnSize) {
  Runtime runtime(test::options_for(EngineKind::direct, 1));
  constexpr std::size_t kLarge = 4 * 1024 * 1024;
  bool fits = false;
  runtime
      .spawn(
          [&] {
            std::array<char, kLarge - 64 * 1024> large;
            std::memset(large.data(), 1, large.size());
            fits = large[large.size() / 2] == 1;
          },
          {.name = "large", .stack_bytes = kLarge})
      .join();
  EXPECT_TRUE(fits);
}

#if !defined(FLEXSC_ASAN) && !defined(FLEXSC_TSAN)
[[gnu::noinline]] int recurse(int depth) {
  std::array<volatile char, 512> frame{};
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? frame[0] : recurse(depth + 1) + frame[0];
}

TEST(StackDeathTest, AnOverflowNamesTheFiber) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Runtime runtime(test::options_for(EngineKind::direct, 1));
        runtime.spawn([] { (void)recurse(0); }, {.name = "deep one", .stack_bytes = 0}).join();
      },
      ::testing::KilledBySignal(SIGSEGV), "stack overflow in fiber 'deep one'");
}

TEST(StackDeathTest, AnotherFaultIsNotCalledAnOverflow) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        Runtime runtime(test::options_for(EngineKind::direct, 1));
        runtime
            .spawn([] {
              volatile int* volatile nowhere = nullptr;
              *nowhere = 1;
            })
            .join();
      },
      ::testing::KilledBySignal(SIGSEGV), "^$");
}

void says_that_it_was_called(int) {
  constexpr std::string_view kText = "the handler from before\n";
  (void)!::write(2, kText.data(), kText.size());
  _exit(3);
}

TEST(StackDeathTest, AnotherFaultGoesToTheHandlerFromBefore) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::signal(SIGSEGV, says_that_it_was_called);
        Runtime runtime(test::options_for(EngineKind::direct, 1));
        runtime
            .spawn([] {
              volatile int* volatile nowhere = nullptr;
              *nowhere = 1;
            })
            .join();
      },
      ::testing::ExitedWithCode(3), "the handler from before");
}
#endif

}  // namespace
}  // namespace flexsc
