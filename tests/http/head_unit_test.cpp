// SPDX-License-Identifier: MIT
#include "head.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace flexsc::http {
namespace {

TEST(Head, IsWhatWasWritten) {
  HeadWriter head;
  EXPECT_EQ(head.str(), "");
  head.text("Length: ").number(0).text(" ").number(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(head.text(std::string_view("\r\n")).str(), "Length: 0 18446744073709551615\r\n");
}

TEST(Head, HasAnEnd) {
  HeadWriter head;
  const std::string all(HeadWriter::kRoom - 1, 'x');
  head.text(all);
  EXPECT_THROW(head.text("yz"), std::length_error);
  EXPECT_THROW(head.number(10), std::length_error);
  EXPECT_EQ(head.text("y").str(), all + "y");
  EXPECT_THROW(head.number(1), std::length_error);
}

}  // namespace
}  // namespace flexsc::http
