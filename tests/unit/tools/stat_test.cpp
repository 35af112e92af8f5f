// SPDX-License-Identifier: MIT
/// Description: what `flexsc stat` makes of two looks at the groups.
#include "stat.hpp"

#include <gtest/gtest.h>

#include "canned.hpp"

namespace flexsc::test {
namespace {

using tools::brief;
using tools::brief_time;
using tools::Json;
using tools::parse_groups;
using tools::quantile;
using tools::report;
using tools::Sample;
using tools::table;

Sample sample(double seconds, const std::string& text) {
  return {seconds, parse_groups(kHead + text)};
}

TEST(Stat, TheFirstReportHasNoRates) {
  const Json found = report(sample(5, group(1, 10, 40) + pool(1, 0, 40)), std::nullopt, {});
  EXPECT_TRUE(found["interval_s"].is_null());
  EXPECT_EQ(found["groups"][0]["executed"], 40);
  EXPECT_FALSE(found["groups"][0].contains("per_second"));
  EXPECT_FALSE(found["groups"][0]["pools"][0].contains("per_second"));
}

TEST(Stat, RatesAreOfTheInterval) {
  const Sample before = sample(5, group(1, 10, 40) + pool(1, 0, 30) + client(1, 7, 40));
  const Sample now = sample(7, group(1, 10, 100) + pool(1, 0, 90) + client(1, 7, 41));
  const Json found = report(now, before, {});
  EXPECT_EQ(found["interval_s"], 2.0);
  const Json& mine = found["groups"][0];
  EXPECT_EQ(mine["per_second"]["executed"], 30.0);
  EXPECT_EQ(mine["per_second"]["batches"], 3.0);
  EXPECT_EQ(mine["per_second"]["waits"], 0.0);
  EXPECT_EQ(mine["executed"], 100) << "and the sums are there too";
  EXPECT_EQ(mine["pools"][0]["per_second"]["executed"], 30.0);
  EXPECT_EQ(mine["clients"][0]["per_second"]["executed"], 0.5);
  EXPECT_TRUE(mine["during"]["latency_ns"].empty()) << "nothing was counted in between";
}

TEST(Stat, HistogramsAreOfTheInterval) {
  const std::string record =
      kHead + "group id=1 process=1 name=a state=open workers=1 running=1 waiting=0 latency_ns=";
  const Json before = parse_groups(record + "8:3,16:1\n");
  const Json now = parse_groups(record + "8:3,16:4,64:2\n");
  const Json found = report({2, now}, Sample{1, before}, {});
  EXPECT_EQ(found["groups"][0]["during"]["latency_ns"], (Json{{"16", 3}, {"64", 2}}));
}

TEST(Stat, WhatCameInBetweenCountsFromItsBeginning) {
  const Json found = report(sample(2, group(1, 10, 4) + group(2, 11, 50) + client(2, 0, 50)),
                            sample(1, group(1, 10, 4) + client(1, 0, 9)), {});
  EXPECT_EQ(found["groups"][0]["per_second"]["executed"], 0.0);
  EXPECT_EQ(found["groups"][1]["per_second"]["executed"], 50.0);
  EXPECT_EQ(found["groups"][1]["clients"][0]["per_second"]["executed"], 50.0);
}

TEST(Stat, ANewClientInTheSamePlaceIsNotTheOldOne) {
  const Json found = report(sample(2, group(1, 10, 400) + client(1, 0, 5)),
                            sample(1, group(1, 10, 400) + client(1, 0, 300)), {});
  EXPECT_EQ(found["groups"][0]["clients"][0]["per_second"]["executed"], 5.0);
}

TEST(Stat, OnlyTheProcessAskedFor) {
  const Sample now = sample(2, group(1, 10, 4) + group(2, 11, 50) + group(3, 10, 5));
  const Json found = report(now, now, 10);
  ASSERT_EQ(found["groups"].size(), 2U);
  EXPECT_EQ(found["groups"][1]["id"], 3);
  EXPECT_TRUE(report(now, now, 12)["groups"].empty());
  EXPECT_NE(table(report(now, now, 12), true).find("no group is open"), std::string::npos);
}

TEST(Stat, TheTable) {
  const Sample before = sample(1, group(1, 10, 0) + pool(1, 0, 0) + client(1, 3, 0));
  const Sample now = sample(
      2, group(1, 10, 12340, "my\\040server", "seccomp") + pool(1, 0, 12340) + client(1, 3, 12340));
  EXPECT_EQ(table(report(now, before, {}), true),
            "per second, over 1.0 s\n"
            "                                        run/all  armed   exec  help  flush  refuse  "
            "block  bells  waits  batch  p50  p99\n"
            "my server[10] group 1 stopped: seccomp      1/3     12  12.3k     0      0       0"
            "      0      0      0   10.0    -    -\n"
            "  pool 0 on CPU 0-3,7                       1/3     12  12.3k     0      0       0"
            "      0      0      0   10.0    -    -\n"
            "  client 3                                          12  12.3k     0      0       0"
            "      0      0      0   10.0    -    -\n");
  const std::string first = table(report(now, std::nullopt, {}), false);
  EXPECT_NE(first.find("counted since each was made"), std::string::npos);
  EXPECT_NE(first.find("2.05u"), std::string::npos) << first;
  EXPECT_EQ(first.find("client"), std::string::npos);
}

/// It was taken for the record of a group, and what is not there was read.
TEST(Stat, AClientThatSaysItHasWorkers) {
  std::string odd = client(1, 0, 5);
  odd.insert(odd.find(" pages"), " workers=3");
  const std::string text = table(report(sample(1, group(1, 10, 4) + odd), {}, {}), true);
  EXPECT_NE(text.find("client 0"), std::string::npos);
  EXPECT_EQ(text.find("/3", text.find("client 0")), std::string::npos);
}

TEST(Stat, Quantiles) {
  EXPECT_EQ(quantile(Json::object(), 0.5), std::nullopt);
  EXPECT_EQ(quantile(Json{{"8", 1}}, 0.5), 16.0);
  const Json histogram{{"1024", 98}, {"256", 1}, {"4096", 1}};
  EXPECT_EQ(quantile(histogram, 0.01), 512.0);
  EXPECT_EQ(quantile(histogram, 0.5), 2048.0);
  EXPECT_EQ(quantile(histogram, 0.99), 2048.0);
  EXPECT_EQ(quantile(histogram, 1), 8192.0);
}

TEST(Stat, BriefNumbers) {
  EXPECT_EQ(brief(0), "0");
  EXPECT_EQ(brief(999), "999");
  EXPECT_EQ(brief(999.6), "1.00k");
  EXPECT_EQ(brief(1234), "1.23k");
  EXPECT_EQ(brief(99960), "100k");
  EXPECT_EQ(brief(4.56e9), "4.56G");
  EXPECT_EQ(brief(4.56e13), "45600G");
  EXPECT_EQ(brief_time(512), "512n");
  EXPECT_EQ(brief_time(2048), "2.05u");
  EXPECT_EQ(brief_time(4.3e9), "4.30s");
}

}  // namespace
}  // namespace flexsc::test
