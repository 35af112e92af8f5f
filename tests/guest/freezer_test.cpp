// SPDX-License-Identifier: MIT
// The cgroup freezer and the one of suspend: a worker that does not take part blocks both.
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <csignal>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Freezer : public GuestTest {};

/// A child that makes calls while other workers of it spin, sleep and block.
std::unique_ptr<Child> busy_child(const SharedBoard& board, unsigned spin_us) {
  auto child = std::make_unique<Child>([&] {
    const Rig rig({.spin_us = spin_us});
    const Waiters waiters(rig.client, 10, 4);
    for (;;) {
      REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
      ++board->count;
      ::poll(nullptr, 0, 20);
    }
  });
  REQUIRE(eventually([&] { return board->count > 0; }));
  return child;
}

/// A cgroup of its own, in a second mount of the hierarchy.
class Cgroup {
 public:
  Cgroup() {
    ::mkdir("/tmp", 01777);
    ::mkdir(root_.c_str(), 0700);
    if (::mount("none", root_.c_str(), "cgroup2", 0, nullptr) < 0) return;
    ::mkdir(path_.c_str(), 0700);
    usable_ = ::access((path_ + "/cgroup.freeze").c_str(), W_OK) == 0;
  }
  ~Cgroup() {
    eventually([&] { return ::rmdir(path_.c_str()) == 0 || errno == ENOENT; }, 10s);
    ::umount2(root_.c_str(), MNT_DETACH);
    ::rmdir(root_.c_str());
  }
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  [[nodiscard]] bool usable() const { return usable_; }
  [[nodiscard]] bool write(const char* file, const std::string& text) const {
    return write_file(path_ + "/" + file, text);
  }
  [[nodiscard]] bool frozen(bool wanted) const {
    const std::string line = wanted ? "frozen 1" : "frozen 0";
    return eventually(
        [&] { return read_file(path_ + "/cgroup.events").find(line) != std::string::npos; });
  }

 private:
  std::string root_ = "/tmp/flexsc-cgroup";
  std::string path_ = root_ + "/flexsc-test";
  bool usable_ = false;
};

TEST_F(Freezer, CgroupFreezesAndThaws) {
  const Cgroup cgroup;
  if (!cgroup.usable()) GTEST_SKIP() << "no cgroup v2 freezer here";
  for (const unsigned spin_us : {0U, 1000U, unsigned{FLEXSC_MAX_SPIN_US}}) {
    const SharedBoard board;
    const auto child = busy_child(board, spin_us);
    ASSERT_TRUE(cgroup.write("cgroup.procs", std::to_string(child->pid())));
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(cgroup.write("cgroup.freeze", "1"));
      ASSERT_TRUE(cgroup.frozen(true)) << "spin " << spin_us;
      const long count = board->count;
      ::poll(nullptr, 0, 50);
      EXPECT_EQ(board->count, count);
      ASSERT_TRUE(cgroup.write("cgroup.freeze", "0"));
      ASSERT_TRUE(cgroup.frozen(false));
      ASSERT_TRUE(eventually([&] { return board->count > count; }));
    }
    child->kill(SIGKILL);
    EXPECT_EQ(child->join(), "signal 9");
  }
}

TEST_F(Freezer, FrozenProcessCanBeKilled) {
  const Cgroup cgroup;
  if (!cgroup.usable()) GTEST_SKIP() << "no cgroup v2 freezer here";
  const SharedBoard board;
  const auto child = busy_child(board, 1000);
  ASSERT_TRUE(cgroup.write("cgroup.procs", std::to_string(child->pid())));
  ASSERT_TRUE(cgroup.write("cgroup.freeze", "1"));
  ASSERT_TRUE(cgroup.frozen(true));
  ASSERT_TRUE(cgroup.write("cgroup.kill", "1"));
  EXPECT_EQ(child->join(), "signal 9");
}

// "Freezing of tasks failed after 20 seconds": with pm_test the kernel freezes, waits five seconds
// and thaws, and does not go on to sleep.
TEST_F(Freezer, SuspendFreezesWorkers) {
  if (module_file().empty()) GTEST_SKIP() << "suspends the machine: in a guest only";
  const std::string states = read_file("/sys/power/state");
  const std::string state = states.find("freeze") != std::string::npos ? "freeze" : "mem";
  if (states.empty() || !write_file("/sys/power/pm_test", "freezer")) {
    GTEST_SKIP() << "the kernel has no pm_test or no sleep state";
  }
  const SharedBoard spinning_board;
  const SharedBoard parked_board;
  const auto spinning = busy_child(spinning_board, FLEXSC_MAX_SPIN_US);
  const auto parked = busy_child(parked_board, 0);
  const bool suspended = write_file("/sys/power/state", state);
  const int error = errno;
  write_file("/sys/power/pm_test", "none");
  EXPECT_TRUE(suspended) << "errno " << error << " (16: tasks refused to freeze)";
  for (const SharedBoard& board : {spinning_board, parked_board}) {
    const long count = board->count;
    EXPECT_TRUE(eventually([&] { return board->count > count; }));
  }
}

}  // namespace
}  // namespace flexsc_guest
