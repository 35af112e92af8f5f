// SPDX-License-Identifier: MIT
// The freezer of cgroups: a worker that does not take part keeps the others from being frozen.
#include <poll.h>

#include <csignal>

#include "cgroup.hpp"
#include "process.hpp"

namespace flexsc_guest {
namespace {

class Freezer : public GuestTest {};

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

}  // namespace
}  // namespace flexsc_guest
