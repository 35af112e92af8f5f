// SPDX-License-Identifier: MIT
/// Description: a set of entries finds what is in it and nothing else, on 256 pages.
#include "entry_set.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace flexsc::test {
namespace {

using detail::bit_of;
using detail::EntrySet;
using detail::Word;

std::vector<unsigned> pages_of(EntrySet& set) {
  std::vector<unsigned> pages;
  set.each_page([&](unsigned page) { pages.push_back(page); });
  return pages;
}

TEST(EntrySetTest, StartsEmpty) {
  EntrySet set;
  EXPECT_TRUE(set.empty());
  EXPECT_TRUE(pages_of(set).empty());
}

TEST(EntrySetTest, EveryPageCanBeTheOnlyOne) {
  for (unsigned page = 0; page < FLEXSC_MAX_PAGES; ++page) {
    EntrySet set;
    set.add(page, bit_of(page % 64));
    EXPECT_FALSE(set.empty());
    EXPECT_EQ(set.first_page(), page);
    EXPECT_EQ(pages_of(set), std::vector<unsigned>{page});
    set.remove(page, bit_of(page % 64));
    EXPECT_TRUE(set.empty());
  }
}

TEST(EntrySetTest, PagesComeInAscendingOrder) {
  EntrySet set;
  for (const unsigned page : {255U, 0U, 64U, 63U, 130U}) set.add(page, 3);
  EXPECT_EQ(pages_of(set), (std::vector<unsigned>{0, 63, 64, 130, 255}));
  EXPECT_EQ(set.first_page(), 0U);
  EXPECT_EQ(set.take(0), Word{3});
  EXPECT_EQ(set.first_page(), 63U);
  set.remove(63, 1);
  EXPECT_EQ(set.of(63), Word{2}) << "the other entry stays";
  EXPECT_EQ(set.first_page(), 63U);
}

TEST(EntrySetTest, AddingNothingAddsNothing) {
  EntrySet set;
  set.add(7, 0);
  EXPECT_TRUE(set.empty());
  EXPECT_EQ(set.take(7), Word{0});
}

TEST(EntrySetTest, AVisitMayEmptyItsPageAndMayStop) {
  EntrySet set;
  for (const unsigned page : {1U, 65U, 200U}) set.add(page, ~Word{0});
  EXPECT_TRUE(set.any_page([&](unsigned page) {
    set.take(page);
    return page == 65;
  }));
  EXPECT_EQ(pages_of(set), std::vector<unsigned>{200});
  EXPECT_FALSE(set.any_page([](unsigned) { return false; }));
}

}  // namespace
}  // namespace flexsc::test
