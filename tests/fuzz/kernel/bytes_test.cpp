// SPDX-License-Identifier: MIT
/// Description: every string of bytes is an input; what is taken behind its end is zero.
#include "bytes.hpp"

#include <gtest/gtest.h>

#include <array>

namespace flexsc_fuzz {
namespace {

constexpr std::array<std::uint8_t, 6> kInput{1, 2, 3, 4, 5, 6};

TEST(Bytes, NumbersAreLittleEndian) {
  Bytes in(kInput);
  EXPECT_EQ(in.u8(), 1);
  EXPECT_EQ(in.u16(), 0x0302);
  EXPECT_EQ(in.number(3), 0x060504U);
  EXPECT_TRUE(in.empty());
}

TEST(Bytes, BehindTheEndIsZero) {
  Bytes in(kInput);
  in.take(4);
  EXPECT_EQ(in.u64(), 0x0605U);
  EXPECT_EQ(in.u32(), 0U);
  EXPECT_EQ(in.below(7), 0U);
  EXPECT_TRUE(in.take(3).empty());
}

TEST(Bytes, TakesNoMoreThanThereIs) {
  Bytes in(kInput);
  EXPECT_EQ(in.take(2).size(), 2U);
  const auto rest = in.take(100);
  ASSERT_EQ(rest.size(), 4U);
  EXPECT_EQ(rest[0], 3);
}

TEST(Bytes, Below) {
  Bytes in(kInput);
  EXPECT_EQ(in.below(4), 1U);
  EXPECT_EQ(in.below(2), 0U);
  EXPECT_EQ(in.below(1), 0U);
}

}  // namespace
}  // namespace flexsc_fuzz
