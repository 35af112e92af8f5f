// SPDX-License-Identifier: MIT
// Description: the counters as Prometheus reads them.
#include "flexsc/metrics.hpp"

#include <algorithm>
#include <sstream>
#include <string>

#include "support.hpp"

namespace flexsc {
namespace {

TEST(MetricsTest, EveryLineIsACommentOrANameAndANumber) {
  Runtime runtime(test::options_for(EngineKind::direct, 1));
  for (int i = 0; i < 3; ++i) runtime.spawn([] {}).join();
  const std::string text = prometheus_text(runtime.stats());
  EXPECT_NE(text.find("\nflexsc_fibers_spawned_total 3\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nflexsc_fibers_finished_total 3\n"), std::string::npos);
  EXPECT_NE(text.find("\nflexsc_fibers 0\n"), std::string::npos);
  EXPECT_NE(text.find("\n# TYPE flexsc_fibers gauge\n"), std::string::npos);
  std::istringstream lines(text);
  int samples = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("# HELP flexsc_", 0) == 0 || line.rfind("# TYPE flexsc_", 0) == 0) continue;
    const std::size_t space = line.find(' ');
    ASSERT_NE(space, std::string::npos) << line;
    EXPECT_EQ(line.rfind("flexsc_", 0), 0U) << line;
    EXPECT_TRUE(std::all_of(line.begin() + static_cast<std::ptrdiff_t>(space) + 1, line.end(),
                            [](char letter) { return letter >= '0' && letter <= '9'; }))
        << line;
    ++samples;
  }
  EXPECT_EQ(samples, 13);
}

TEST(MetricsTest, ALabelIsQuoted) {
  const std::string text = prometheus_text({}, "a \"b\"\\\n");
  EXPECT_NE(text.find("\nflexsc_fibers{runtime=\"a \\\"b\\\"\\\\\\n\"} 0\n"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace flexsc
