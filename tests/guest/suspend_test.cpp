// SPDX-License-Identifier: MIT
// The machine goes to sleep: "Freezing of tasks failed after 20 seconds" is what a worker that does
// not take part does to all of it.
#include <csignal>
#include <cstdlib>

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

// With pm_test the kernel goes so far, waits, and comes back: at the last two levels without the
// other CPUs, at the last one without its clock. All that is left out then is the firmware's.
TEST_F(Suspend, GoesOnAfterwards) {
  struct Level {
    const char* state;
    const char* name;
  };
  if (!has(kTest, "freezer")) GTEST_SKIP() << "the kernel has no pm_test";
  write_file("/sys/module/suspend/parameters/pm_test_delay", "1");
  const Sleepers sleepers;
  unsigned suspended = 0;
  for (const Level& level :
       {Level{"freeze", "freezer"}, Level{"freeze", "devices"}, Level{"freeze", "platform"},
        Level{"mem", "devices"}, Level{"mem", "processors"}, Level{"mem", "core"}}) {
    if (!has(kState, level.state)) continue;
    if (level.state == std::string("mem") && !write_file("/sys/power/mem_sleep", "deep")) continue;
    ASSERT_TRUE(write_file(kTest, level.name));
    const bool slept = write_file(kState, level.state);
    const int error = errno;
    write_file(kTest, "none");
    EXPECT_TRUE(slept) << level.state << ", " << level.name << ": errno " << error
                       << " (16: tasks refused to freeze)";
    sleepers.expect_to_go_on();
    ++suspended;
  }
  if (suspended == 0) GTEST_SKIP() << "the machine cannot sleep";
}

// All the way, and back by the clock's alarm. Only where one asks for it: one time in some hundreds
// an emulated machine starts anew instead of waking.
TEST_F(Suspend, ToMemoryAndBack) {
  if (::getenv("FLEXSC_SUSPEND") == nullptr) GTEST_SKIP() << "FLEXSC_SUSPEND is not set";
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
