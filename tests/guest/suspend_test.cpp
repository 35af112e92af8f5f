// SPDX-License-Identifier: MIT
// The machine goes to sleep: "Freezing of tasks failed after 20 seconds" is what a worker that does
// not take part does to all of it.
#include <csignal>

#include "process.hpp"

namespace flexsc_guest {
namespace {

constexpr const char* kState = "/sys/power/state";
constexpr const char* kTest = "/sys/power/pm_test";
constexpr const char* kAlarm = "/sys/class/rtc/rtc0/wakealarm";

class Suspend : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (!IsSkipped() && module_file().empty()) {
      GTEST_SKIP() << "suspends the machine: in a guest only";
    }
  }
  static bool has(const char* file, const std::string& word) {
    return read_file(file).find(word) != std::string::npos;
  }
};

/// Processes with workers that spin and that sleep, which go on afterwards.
class Sleepers {
 public:
  Sleepers()
      : spinning_(busy_child(boards_[0], FLEXSC_MAX_SPIN_US)), parked_(busy_child(boards_[1], 0)) {}
  void expect_to_go_on() const {
    for (const SharedBoard& board : boards_) {
      const long count = board->count;
      EXPECT_TRUE(eventually([&] { return board->count > count; }));
    }
  }

 private:
  std::array<SharedBoard, 2> boards_;
  std::unique_ptr<Child> spinning_, parked_;
};

// With pm_test the kernel goes so far, waits, and comes back.
TEST_F(Suspend, FreezesWorkersInTestModes) {
  const std::string state = has(kState, "freeze") ? "freeze" : "mem";
  if (!has(kState, state) || !has(kTest, "freezer")) {
    GTEST_SKIP() << "the kernel has no pm_test or no sleep state";
  }
  write_file("/sys/module/suspend/parameters/pm_test_delay", "1");
  const Sleepers sleepers;
  for (const char* level : {"freezer", "devices", "platform"}) {
    ASSERT_TRUE(write_file(kTest, level));
    const bool suspended = write_file(kState, state);
    const int error = errno;
    write_file(kTest, "none");
    EXPECT_TRUE(suspended) << level << ": errno " << error << " (16: tasks refused to freeze)";
    sleepers.expect_to_go_on();
  }
}

// To memory, CPUs off, and back by the clock's alarm.
TEST_F(Suspend, ToMemoryAndBack) {
  if (!has(kState, "mem") || !has("/sys/power/mem_sleep", "deep") || ::access(kAlarm, W_OK) != 0) {
    GTEST_SKIP() << "the machine cannot sleep, or not be woken";
  }
  const Sleepers sleepers;
  ASSERT_TRUE(write_file("/sys/power/mem_sleep", "deep"));
  for (int i = 0; i < 2; ++i) {
    write_file(kAlarm, "0");
    ASSERT_TRUE(write_file(kAlarm, "+3"));
    const bool slept = write_file(kState, "mem");
    EXPECT_TRUE(slept) << "errno " << errno;
    sleepers.expect_to_go_on();
  }
}

}  // namespace
}  // namespace flexsc_guest
