// SPDX-License-Identifier: MIT
// The cache model: what stays, what goes, and what is counted.
#include "caches.hpp"

#include <gtest/gtest.h>

namespace flexsc::cache_model {
namespace {

TEST(Cache, KeepsWhatWasUsedLast) {
  Cache cache(1, 2);
  EXPECT_FALSE(cache.use(1));
  EXPECT_FALSE(cache.use(2));
  EXPECT_TRUE(cache.use(1));
  EXPECT_FALSE(cache.use(3)) << "in the place of 2";
  EXPECT_TRUE(cache.use(1));
  EXPECT_FALSE(cache.use(2)) << "in the place of 3";
  EXPECT_FALSE(cache.use(3));
}

TEST(Cache, SetsDoNotDisturbEachOther) {
  Cache cache(4, 1);
  for (std::uint64_t key = 4; key < 8; ++key) EXPECT_FALSE(cache.use(key));
  for (std::uint64_t key = 4; key < 8; ++key) EXPECT_TRUE(cache.use(key));
  EXPECT_FALSE(cache.use(8));
  EXPECT_FALSE(cache.use(4)) << "the same set";
  EXPECT_TRUE(cache.use(5));
}

TEST(Cache, WalkLargerThanTheCacheMissesEveryTime) {
  Cache cache(64, 8);
  std::uint64_t misses = 0;
  for (int pass = 0; pass < 3; ++pass) {
    for (std::uint64_t key = 1; key <= 1024; ++key) misses += cache.use(key) ? 0 : 1;
  }
  EXPECT_EQ(misses, 3072U);
  Cache fits(64, 16);
  misses = 0;
  for (int pass = 0; pass < 3; ++pass) {
    for (std::uint64_t key = 1; key <= 1024; ++key) misses += fits.use(key) ? 0 : 1;
  }
  EXPECT_EQ(misses, 1024U);
}

TEST(Core, CountsEachLevel) {
  Core core;
  Counts counts;
  core.fetch(100, 1, counts);
  core.fetch(100, 1, counts);
  EXPECT_EQ(counts.l1i_misses, 1U);
  EXPECT_EQ(counts.l2_misses, 1U);
  EXPECT_EQ(counts.itlb_misses, 1U);
  EXPECT_EQ(counts.stlb_misses, 1U);
  // Data of the same line and page: in the levels that are shared, not in those that are not.
  core.access(100, 1, counts);
  EXPECT_EQ(counts.loads_and_stores, 1U);
  EXPECT_EQ(counts.l1d_misses, 1U);
  EXPECT_EQ(counts.dtlb_misses, 1U);
  EXPECT_EQ(counts.l2_misses, 1U);
  EXPECT_EQ(counts.stlb_misses, 1U);
}

}  // namespace
}  // namespace flexsc::cache_model
