// SPDX-License-Identifier: MIT
// Programs in processes of their own.
#include "driver/child.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "driver/server_process.hpp"

namespace flexsc::http::driver {
namespace {

class ChildTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.path() / name; }
  /// A shell that runs a script, whose words all go into one file.
  [[nodiscard]] std::string said(const std::string& script,
                                 const ProcessLimits& limits = {}) const {
    Child child({"sh", "-c", script}, limits, {.out = file("said"), .errors = file("said")});
    EXPECT_EQ(child.wait(), 0);
    return contents_of(file("said"));
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(ChildTest, WhatItSaysIsInItsFiles) {
  const std::string script = "echo one; echo two >&2; echo three";
  EXPECT_EQ(said(script), "one\ntwo\nthree\n");
  Child child({"sh", "-c", script}, {}, {.out = file("out"), .errors = file("errors")});
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(contents_of(file("out")), "one\nthree\n");
  EXPECT_EQ(contents_of(file("errors")), "two\n");
  EXPECT_EQ(contents_of(file("none")), "");
}

TEST_F(ChildTest, HowItEndedIsKnownOnceAndForAll) {
  Child child({"sh", "-c", "exit 3"}, {}, {});
  EXPECT_EQ(child.wait(), 3);
  EXPECT_FALSE(child.running());
  child.signal(SIGKILL);  // to nobody
  EXPECT_EQ(child.wait(), 3);
  EXPECT_EQ(child.exit_code(), 3);
}

TEST_F(ChildTest, AProgramThatIsNotThereIsTold) {
  EXPECT_EQ(Child({"flexsc-no-such-program"}, {}, {}).wait(), kNotFound);
  EXPECT_EQ(Child({file("none")}, {}, {}).wait(), kNotFound);
}

TEST_F(ChildTest, ASignalEndsIt) {
  Child child({"sleep", "1000"}, {}, {});
  EXPECT_TRUE(child.running());
  child.signal(SIGTERM);
  EXPECT_EQ(child.wait(), 128 + SIGTERM);
}

TEST_F(ChildTest, ItEndsWithTheObject) {
  pid_t pid = 0;
  {
    const Child child({"sh", "-c", "echo $$; exec sleep 1000"}, {},
                      {.out = file("pid"), .errors = {}});
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!contents_of(file("pid")).ends_with('\n') && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    pid = std::stoi(contents_of(file("pid")));
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(ChildTest, ItHasItsLimits) {
  EXPECT_EQ(said("ulimit -n", {.max_files = 77, .cpus = {}}), "77\n");
  const int cpu = ::sched_getcpu();
  EXPECT_EQ(said("grep Cpus_allowed_list: /proc/self/status", {.max_files = 0, .cpus = {cpu}}),
            "Cpus_allowed_list:\t" + std::to_string(cpu) + "\n");
}

}  // namespace
}  // namespace flexsc::http::driver
