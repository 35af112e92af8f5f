// SPDX-License-Identifier: MIT
// Description: the counters as Prometheus reads them.
#include "flexsc/metrics.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "flexsc/posix.hpp"
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
  EXPECT_EQ(samples, 32);
}

TEST(MetricsTest, BatchSizesSleepsAndStatesOfFibersAreCounted) {
  Runtime runtime(test::options_for(EngineKind::threads, 1));
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  std::array<char, 5> bytes{};
  std::vector<Fiber> readers;
  for (char& byte : bytes) {
    readers.push_back(runtime.spawn([&] { EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1); }));
  }
  // The carrier sleeps, and then what it has published is exact.
  while (runtime.stats().in_calls() != bytes.size()) std::this_thread::yield();
  EXPECT_EQ(runtime.stats().ready, 0U);
  ASSERT_EQ(::write(pipe[1], "abcde", bytes.size()), 5);
  for (Fiber& reader : readers) reader.join();
  const RuntimeStats stats = runtime.stats();
  EXPECT_EQ(stats.in_calls(), 0U);
  EXPECT_EQ(stats.taken, bytes.size());
  EXPECT_GE(stats.sleeps, 1U);
  EXPECT_GT(stats.slept.count(), 0);
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < stats.reaps.size(); ++i) {
    least += stats.reaps[i] << i;
    most += stats.reaps[i] * ((2U << i) - 1);
  }
  EXPECT_LE(least, stats.taken);
  EXPECT_GE(most, stats.taken);
  for (const int end : pipe) ::close(end);
}

TEST(MetricsTest, ALabelIsQuoted) {
  const std::string text = prometheus_text({}, "a \"b\"\\\n");
  EXPECT_NE(text.find("\nflexsc_fibers{runtime=\"a \\\"b\\\"\\\\\\n\"} 0\n"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace flexsc
