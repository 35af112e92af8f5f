// SPDX-License-Identifier: MIT
#include <csignal>
#include <cstdio>
#include <cstring>

#include "process.hpp"

namespace {

// Generous: the longest test makes 100,000 round trips in an emulated machine.
constexpr unsigned kTestSeconds = 600;
const char* current_test = "";

/// A test that hangs ends the run with its name instead of stalling it.
class Watchdog : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& info) override {
    current_test = info.name();
    ::alarm(kTestSeconds);
  }
  void OnTestEnd(const testing::TestInfo&) override { ::alarm(0); }
};

void on_alarm(int) {
  for (const char* part : {"\nguest tests: timed out in ", current_test, "\n"}) {
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  }
  ::_exit(124);
}

}  // namespace

int main(int argc, char** argv) {
  if (const int code = flexsc_guest::exec_entry(argc, argv); code >= 0) return code;
  testing::InitGoogleTest(&argc, argv);
  std::signal(SIGALRM, on_alarm);
  std::signal(SIGPIPE, SIG_IGN);
  testing::UnitTest::GetInstance()->listeners().Append(new Watchdog);
  const int code = RUN_ALL_TESTS();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  if (code == 0 && all.skipped_test_count() == all.test_to_run_count()) {
    std::puts("guest tests: no module, every test was skipped");
  }
  return code;
}
