// SPDX-License-Identifier: MIT
// The pure functions behind a target, a range and a validator.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <variant>

#include "target.hpp"

namespace flexsc::http {
namespace {

std::string path_of(std::string_view target) {
  const auto mapped = site_path(target);
  if (const int* status = std::get_if<int>(&mapped)) return std::to_string(*status);
  return std::get<SitePath>(mapped).path;
}

TEST(SitePath, MapsTargets) {
  EXPECT_EQ(path_of("/"), "index.html");
  EXPECT_EQ(path_of("/a"), "a");
  EXPECT_EQ(path_of("/a/"), "a/index.html");
  EXPECT_EQ(path_of("/a//b///c"), "a/b/c");
  EXPECT_EQ(path_of("//"), "index.html");
  EXPECT_EQ(path_of("/a?b=/../c"), "a");
  EXPECT_EQ(path_of("/a#b"), "a");
  EXPECT_EQ(path_of("/a%20b%41"), "a bA");
  EXPECT_EQ(path_of("/%25"), "%");
  EXPECT_EQ(path_of("/.hidden"), ".hidden");
  EXPECT_EQ(path_of("/..."), "...");
  EXPECT_EQ(path_of("/a%3Fb"), "a?b");
  EXPECT_EQ(path_of("http://host:80/a"), "a");
  EXPECT_EQ(path_of("http://host"), "index.html");
  EXPECT_EQ(path_of("http://host?q=/x"), "index.html");
}

TEST(SitePath, RefusesWhatCouldLeave) {
  for (const char* target : {"/..", "/../", "/../a", "/a/..", "/a/../b", "/%2e%2e/a", "/.%2E/a",
                             "/a/./b", "/.", "/a%2f..%2fb", "/%2Fetc"}) {
    EXPECT_EQ(path_of(target), "404") << target;
  }
}

TEST(SitePath, RefusesWhatIsMalformed) {
  for (const char* target :
       {"", "a", "*", "/%", "/%4", "/%4g", "/%g4", "/a%00b", "://a", "host:80"}) {
    EXPECT_EQ(path_of(target), "400") << target;
  }
  EXPECT_EQ(path_of(std::string("/a\0b", 4)), "400");
}

TEST(Range, GivesParts) {
  const auto part = [](std::string_view field, std::uint64_t size) {
    ByteRange range;
    EXPECT_EQ(parse_range(field, size, range), RangeKind::part) << field;
    return range;
  };
  EXPECT_EQ(part("bytes=0-0", 10), (ByteRange{0, 0}));
  EXPECT_EQ(part("bytes=2-5", 10), (ByteRange{2, 5}));
  EXPECT_EQ(part("bytes=2-", 10), (ByteRange{2, 9}));
  EXPECT_EQ(part("bytes=-3", 10), (ByteRange{7, 9}));
  EXPECT_EQ(part("bytes=-30", 10), (ByteRange{0, 9}));
  EXPECT_EQ(part("bytes=9-100", 10), (ByteRange{9, 9}));
  EXPECT_EQ(part("bytes=1-99999999999999999999999", 10), (ByteRange{1, 9}));
  EXPECT_EQ(part("bytes=-99999999999999999999999", 10), (ByteRange{0, 9}));
  EXPECT_EQ(part("bytes= 1-2 ", 10), (ByteRange{1, 2}));
}

TEST(Range, SaysWhatCannotBeGiven) {
  ByteRange range;
  for (const char* field :
       {"bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999-"}) {
    EXPECT_EQ(parse_range(field, 10, range), RangeKind::unsatisfiable) << field;
  }
  EXPECT_EQ(parse_range("bytes=0-", 0, range), RangeKind::unsatisfiable);
  EXPECT_EQ(parse_range("bytes=-1", 0, range), RangeKind::unsatisfiable);
}

TEST(Range, IgnoresWhatItDoesNotKnow) {
  ByteRange range;
  for (const char* field :
       {"", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-", "bytes=1-b", "bytes=1--2",
        "bytes=+1-2", "bytes=0-1,3-4", "items=0-1", "bytes=--1"}) {
    EXPECT_EQ(parse_range(field, 10, range), RangeKind::whole) << field;
  }
}

TEST(HttpDate, IsWrittenAndRead) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), std::nullopt);
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT+1"), std::nullopt);
  EXPECT_EQ(parse_http_date(""), std::nullopt);
}

TEST(EntityTags, AreFoundInLists) {
  EXPECT_TRUE(any_tag_matches("\"a\"", "\"a\""));
  EXPECT_TRUE(any_tag_matches("\"b\" , W/\"a\"", "\"a\""));
  EXPECT_TRUE(any_tag_matches(" * ", "\"a\""));
  EXPECT_FALSE(any_tag_matches("\"ab\", a", "\"a\""));
  EXPECT_FALSE(any_tag_matches("", "\"a\""));
}

TEST(MediaType, IsKnownByExtension) {
  EXPECT_EQ(media_type("a/b.html"), "text/html; charset=utf-8");
  EXPECT_EQ(media_type("a.b/c"), "application/octet-stream");
  EXPECT_EQ(media_type("c."), "application/octet-stream");
}

}  // namespace
}  // namespace flexsc::http
