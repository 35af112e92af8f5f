// SPDX-License-Identifier: MIT
// What the comparison reads out of wrk's report.
#include "wrk.hpp"

#include <gtest/gtest.h>

#include <string>

namespace flexsc::bench {
namespace {

const std::string kReport = R"(Running 2s test @ http://127.0.0.1:8080/page.html
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.50ms    3.00ms  50.00ms   90.50%
    Req/Sec    56.20k     1.10k   58.00k    75.00%
  Latency Distribution
     50%  635.91us
     75%    1.20ms
     90%    2.00ms
     99%    8.29ms
  112233 requests in 2.00s, 523.01MB read
)";
const std::string kRate = "Requests/sec:  56116.50\nTransfer/sec:    261.50MB\n";

TEST(WrkReport, IsRead) {
  const auto report = parse_wrk(kReport + kRate);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->requests, 112233U);
  EXPECT_EQ(report->errors, 0U);
  EXPECT_DOUBLE_EQ(report->requests_per_s, 56116.5);
  EXPECT_DOUBLE_EQ(report->p50_us, 635.91);
  EXPECT_DOUBLE_EQ(report->p99_us, 8290);
}

TEST(WrkReport, ErrorsOfEveryKindCount) {
  const auto report =
      parse_wrk(kReport + "  Socket errors: connect 1, read 20, write 300, timeout 4000\n" +
                "  Non-2xx or 3xx responses: 50000\n" + kRate);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->errors, 54321U);
}

TEST(WrkReport, WithoutFiguresIsNone) {
  EXPECT_FALSE(parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n").has_value());
  EXPECT_FALSE(parse_wrk(kReport).has_value());
}

}  // namespace
}  // namespace flexsc::bench
