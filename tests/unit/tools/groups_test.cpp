// SPDX-License-Identifier: MIT
/// Description: the module's text becomes JSON; what is not such a text is refused with a sentence.
#include "groups.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "canned.hpp"

namespace flexsc::test {
namespace {

using tools::Json;
using tools::parse_groups;
using tools::why_unreadable;

bool says(const std::string& sentence, const std::string& part) {
  return sentence.find(part) != std::string::npos;
}

std::string refusal(const std::string& text) {
  try {
    const Json parsed = parse_groups(text);
    return "parsed: " + parsed.dump();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

TEST(Groups, NobodyUsesIt) {
  const Json found = parse_groups(kHead);
  EXPECT_EQ(found["abi"], 2);
  EXPECT_TRUE(found["groups"].empty());
}

TEST(Groups, EverythingIsInItsPlace) {
  const Json found = parse_groups(kHead + group(3, 100, 40) + pool(3, 0, 30) + pool(3, 1, 10) +
                                  client(3, 5, 40) + group(9, 200, 0) + client(9, 0, 0));
  const Json& groups = found["groups"];
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0]["id"], 3);
  EXPECT_EQ(groups[0]["process"], 100);
  EXPECT_EQ(groups[0]["name"], "server");
  EXPECT_EQ(groups[0]["state"], "open");
  EXPECT_EQ(groups[0]["executed"], 40);
  ASSERT_EQ(groups[0]["pools"].size(), 2U);
  EXPECT_EQ(groups[0]["pools"][1]["index"], 1);
  EXPECT_EQ(groups[0]["pools"][0]["cpus"], "0-3,7");
  EXPECT_EQ(groups[0]["pools"][0]["priority"], -5);
  EXPECT_EQ(groups[0]["pools"][0]["batch_size"], (Json{{"1", 20}, {"8", 2}}));
  EXPECT_EQ(groups[0]["pools"][0]["latency_ns"]["1024"], 98);
  ASSERT_EQ(groups[0]["clients"].size(), 1U);
  EXPECT_EQ(groups[0]["clients"][0]["index"], 5);
  EXPECT_TRUE(groups[0]["clients"][0]["latency_ns"].empty());
  EXPECT_TRUE(groups[1]["pools"].empty());
  EXPECT_EQ(groups[1]["clients"].size(), 1U);
}

TEST(Groups, NumbersThatAreNone) {
  const std::string text =
      kHead +
      "group later=18446744073709551615 word=x id=1 process=2 name=12 state=open workers=1 "
      "running=1 waiting=0\n" +
      "pool group=1 index=0 cpus=3 workers=1 running=1 waiting=0\n";
  const Json group = parse_groups(text)["groups"][0];
  EXPECT_EQ(group["name"], "12") << "a process may be called that";
  EXPECT_EQ(group["later"], 18446744073709551615U) << "a key of a later module";
  EXPECT_EQ(group["word"], "x");
  EXPECT_EQ(group["pools"][0]["cpus"], "3");
}

TEST(Groups, NamesAreReadable) {
  const auto name_of = [](const std::string& escaped) {
    return parse_groups(kHead + group(1, 2, 3, escaped))["groups"][0]["name"].get<std::string>();
  };
  EXPECT_EQ(name_of("my\\040server"), "my server");
  EXPECT_EQ(name_of("a\\134040b"), "a\\040b") << "not turned back twice";
  EXPECT_EQ(name_of("\\033[2J\\351"), "\\033[2J\\351") << "harmless on a terminal, valid as JSON";
  EXPECT_EQ(name_of("end\\"), "end\\");
  EXPECT_EQ(name_of(""), "");
}

TEST(Groups, OtherTextsAreRefused) {
  EXPECT_TRUE(says(refusal(""), "empty"));
  EXPECT_TRUE(says(refusal("hello\n"), "hello") || says(refusal("hello\n"), "no format"));
  EXPECT_TRUE(says(refusal("flexsc format=2 abi=9\n"), "format 2"));
  EXPECT_TRUE(says(refusal("flexsc format=2 abi=9\n"), "same release"));
  EXPECT_TRUE(says(refusal(kHead + "group id\n"), "id"));
  EXPECT_TRUE(says(refusal(kHead + "group process=1\n"), "without id"));
  EXPECT_TRUE(says(refusal(kHead + pool(1, 0, 0)), "without its group"));
  EXPECT_TRUE(says(refusal(kHead + group(1, 2, 3) + client(2, 0, 0)), "without its group"));
  EXPECT_TRUE(says(refusal(kHead + "novelty id=1\n"), "novelty"));
  EXPECT_TRUE(says(refusal(kHead + "group id=1 batch_size=1\n"), "bucket 1"));
  EXPECT_TRUE(says(refusal(kHead + "group id=1 latency_ns=x:1\n"), "bucket x:1"));
  EXPECT_TRUE(says(refusal(kHead + "group id=1 latency_ns=1:-1\n"), "bucket 1:-1"));
}

/// What was accepted so far made the reports fail, or worse.
TEST(Groups, RecordsThatLackSomethingAreRefused) {
  const auto without = [](std::string text, const std::string& part) {
    return text.erase(text.find(part), part.size());
  };
  EXPECT_TRUE(says(refusal(kHead + without(group(1, 2, 3), " running=1")), "without running"));
  EXPECT_TRUE(says(refusal(kHead + without(group(1, 2, 3), " state=open")), "without state"));
  EXPECT_TRUE(says(refusal(kHead + group(1, 2, 3) + without(pool(1, 0, 0), " cpus=0-3,7")),
                   "without cpus"));
  EXPECT_TRUE(says(refusal(kHead + group(1, 2, 3) + without(client(1, 0, 0), " index=0")),
                   "without index"));
  EXPECT_TRUE(says(refusal("flexsc format=1\n"), "no abi"));
}

TEST(Groups, ValuesOfAnotherTypeAreRefused) {
  const auto with = [](const std::string& part, const std::string& other) {
    std::string text = group(1, 2, 3);
    return kHead + text.replace(text.find(part), part.size(), other);
  };
  EXPECT_TRUE(says(refusal(with("state=open", "state=5")), "state is a number"));
  EXPECT_TRUE(says(refusal(with("executed=3", "executed=x")), "executed is no number"));
  EXPECT_TRUE(says(refusal(with("waiting=12", "waiting=-1")), "waiting is no number"));
  EXPECT_TRUE(says(refusal(with("flushed=2", "flushed=18446744073709551616")), "no number"));
  EXPECT_TRUE(says(refusal("flexsc format=1 abi=x\n"), "no abi"));
  EXPECT_TRUE(says(refusal(with("server", "caf\xc3\xa9")), "ASCII"));
  EXPECT_TRUE(says(refusal(with("server", "a\033[2J")), "ASCII"));
}

TEST(Groups, WhyTheyCannotBeRead) {
  const std::string file = tools::kGroupsFile;
  EXPECT_TRUE(says(why_unreadable(file, EACCES, true), "as root"));
  EXPECT_TRUE(says(why_unreadable(file, ENOENT, false), "modprobe flexsc"));
  EXPECT_TRUE(says(why_unreadable(file, ENOENT, true), "mount -t debugfs"));
  EXPECT_TRUE(says(why_unreadable("/no/such", ENOENT, true), "No such file"));
  EXPECT_FALSE(says(why_unreadable("/no/such", ENOENT, true), "mount"));
  EXPECT_TRUE(says(why_unreadable(file, EIO, true), "Input/output error"));
}

TEST(Groups, ReadsAFileOfAnyLength) {
  std::string path = testing::TempDir() + "flexsc-groups-XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  close(fd);
  std::string text = kHead + group(1, 2, 3);
  for (unsigned i = 0; i < 1000; ++i) text += client(1, i, i);
  std::ofstream(path) << text;
  EXPECT_EQ(tools::read_groups(path), text);
  unlink(path.c_str());
  EXPECT_THROW((void)tools::read_groups(path), std::runtime_error);
}

}  // namespace
}  // namespace flexsc::test
