// SPDX-License-Identifier: MIT
// When requests are due, and what is told of them.
#include "ledger.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace {

using flexsc::bench::arrivals;
using flexsc::bench::Failure;
using flexsc::bench::kSecond;
using flexsc::bench::Ledger;
using flexsc::bench::LoadReport;
using flexsc::bench::Time;

TEST(Arrivals, TheSameSeedGivesTheSameTimesAndAnotherOthers) {
  EXPECT_EQ(arrivals(1000, kSecond, 7), arrivals(1000, kSecond, 7));
  EXPECT_NE(arrivals(1000, kSecond, 7), arrivals(1000, kSecond, 8));
}

TEST(Arrivals, ComeInOrderBeforeTheEndAtTheirRate) {
  const std::vector<Time> due = arrivals(10'000, 10 * kSecond, 1);
  EXPECT_TRUE(std::is_sorted(due.begin(), due.end()));
  EXPECT_LT(due.back(), 10 * kSecond);
  // The deviation of a Poisson count is the root of its mean: five of them. The seed is fixed.
  EXPECT_NEAR(static_cast<double>(due.size()), 100'000, 5 * std::sqrt(100'000));
}

TEST(Arrivals, GapsAreThoseOfAPoissonProcess) {
  const std::vector<Time> due = arrivals(1000, 100 * kSecond, 3);
  std::size_t above_mean = 0;
  for (std::size_t i = 1; i < due.size(); ++i) above_mean += due[i] - due[i - 1] > kSecond / 1000;
  const auto count = static_cast<double>(due.size() - 1);
  EXPECT_NEAR(static_cast<double>(above_mean) / count, std::exp(-1), 0.01);
}

TEST(Arrivals, ARateIsAPositiveNumber) {
  for (const double rate : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW((void)arrivals(rate, kSecond, 1), std::invalid_argument) << rate;
  }
  EXPECT_TRUE(arrivals(1000, 0, 1).empty());
}

TEST(Ledger, HandsOutWhatIsDueInOrderAndNothingBefore) {
  Ledger ledger({10, 20, 20});
  EXPECT_EQ(ledger.next(), 10U);
  EXPECT_FALSE(ledger.take(9, 0));
  EXPECT_EQ(ledger.take(10, 0), 0U);
  EXPECT_EQ(ledger.next(), 20U);
  EXPECT_FALSE(ledger.take(19, 0));
  EXPECT_EQ(ledger.take(25, 0), 1U);
  EXPECT_EQ(ledger.take(25, 0), 2U);
  EXPECT_FALSE(ledger.take(1000, 0));
  EXPECT_FALSE(ledger.next());
}

TEST(Ledger, LatencyCountsFromWhenARequestWasDueAndNotFromWhenItWasSent) {
  Ledger ledger({10, 20});
  (void)ledger.take(10, 0);
  ledger.answered(0, 110);
  (void)ledger.take(110, 110);
  ledger.answered(1, 111);
  EXPECT_EQ(ledger.report().latencies, (std::vector<Time>{91, 100}));
}

TEST(Ledger, TheClientIsLateOnlyWhileAConnectionIsFree) {
  Ledger ledger({10, 20, 30});
  (void)ledger.take(13, 0);
  (void)ledger.take(110, 105);
  (void)ledger.take(120, 0);
  EXPECT_EQ(ledger.report().lateness, (std::vector<Time>{3, 5, 90}));
}

TEST(Ledger, EveryRequestIsAnsweredOrAnErrorOfItsKind) {
  Ledger ledger({1, 2, 3, 4, 5, 6});
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(ledger.take(10, 0), i);
  ledger.answered(2, 20);
  ledger.failed(0, Failure::refused);
  ledger.failed(1, Failure::broken);
  ledger.failed(3, Failure::wrong, "status 503");
  EXPECT_FALSE(ledger.complete());
  const LoadReport report = ledger.report();
  EXPECT_EQ(report.due, 6U);
  EXPECT_EQ(report.answered(), 1U);
  EXPECT_EQ(report.unanswered, 2U);  // one of them was never sent
  EXPECT_EQ(report.errors(), 5U);
  EXPECT_EQ(report.errors_text(),
            "1 refused, 1 broken, 1 wrong, 2 unanswered of 6; the first wrong one: status 503");
}

TEST(Ledger, ARequestEndsOnceAndAfterItWasTaken) {
  Ledger ledger({1, 2});
  EXPECT_THROW(ledger.answered(0, 5), std::logic_error);
  (void)ledger.take(5, 0);
  ledger.answered(0, 5);
  EXPECT_THROW(ledger.answered(0, 6), std::logic_error);
  EXPECT_THROW(ledger.failed(0, Failure::wrong), std::logic_error);
  (void)ledger.take(5, 0);
  ledger.failed(1, Failure::wrong);
  EXPECT_TRUE(ledger.complete());
}

TEST(Ledger, RequestsAreGivenInOrder) {
  EXPECT_THROW(Ledger({2, 1}), std::invalid_argument);
}

LoadReport answered(std::size_t due, std::vector<Time> latencies) {
  LoadReport report;
  report.due = due;
  report.latencies = std::move(latencies);
  return report;
}

TEST(Percentile, IsTheNearestRank) {
  const LoadReport report = answered(10, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  EXPECT_EQ(report.percentile(1), 1U);
  EXPECT_EQ(report.percentile(500), 5U);
  EXPECT_EQ(report.percentile(501), 6U);
  EXPECT_EQ(report.percentile(900), 9U);
  EXPECT_EQ(report.percentile(999), 10U);
  EXPECT_EQ(report.percentile(1000), 10U);
  EXPECT_THROW((void)report.percentile(0), std::invalid_argument);
  EXPECT_THROW((void)report.percentile(1001), std::invalid_argument);
}

TEST(Percentile, ARequestWithoutAnAnswerIsLaterThanAnyOther) {
  const LoadReport report = answered(10, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(report.percentile(900), 9U);
  EXPECT_FALSE(report.percentile(901));
  EXPECT_FALSE(report.percentile(1000));
  EXPECT_FALSE(answered(0, {}).percentile(500));
}

}  // namespace
