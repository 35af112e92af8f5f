// SPDX-License-Identifier: MIT
// CPUs that go away under the workers.
#include <sched.h>

#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Hotplug : public GuestTest {};

const std::string kOnline = "/sys/devices/system/cpu/cpu1/online";

TEST_F(Hotplug, CpuOfTheWorkersGoesAndComes) {
  if (module_file().empty()) GTEST_SKIP() << "takes a CPU away: in a guest only";
  if (::access(kOnline.c_str(), W_OK) != 0) GTEST_SKIP() << "CPU 1 cannot be taken away";
  for (const unsigned spin_us : {0U, 1000U}) {
    const Rig rig({.concurrency = 1, .spin_us = spin_us, .cpus = CpuMask{0x02}});
    const Waiters waiters(rig.client, 3, 2);
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
      ASSERT_TRUE(write_file(kOnline, "0"));
      for (int n = 0; n < 50; ++n) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
      ASSERT_TRUE(write_file(kOnline, "1"));
      for (int n = 0; n < 50; ++n) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
    }
    waiters.finish(rig.client);
  }
}

TEST_F(Hotplug, PoolOnACpuThatIsAway) {
  if (module_file().empty()) GTEST_SKIP() << "takes a CPU away: in a guest only";
  if (::access(kOnline.c_str(), W_OK) != 0) GTEST_SKIP() << "CPU 1 cannot be taken away";
  ASSERT_TRUE(write_file(kOnline, "0"));
  const long only_that = Group().create_pool({.cpus = CpuMask{0x02}});
  long both = -1;
  {
    const Group group;
    both = group.create_pool({.cpus = CpuMask{0x03}});
    const Client client(group);
    EXPECT_EQ(client.run(SYS_getppid), ::getppid());
  }
  ASSERT_TRUE(write_file(kOnline, "1"));
  EXPECT_EQ(only_that, -EINVAL);
  EXPECT_EQ(both, 0);
}

// A worker may be moved like any thread: nothing in it is tied to its CPU.
TEST_F(Hotplug, WorkersMovedByHand) {
  const Rig rig({.concurrency = 1, .spin_us = 200});
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  for (int i = 0; i < 100; ++i) {
    for (const pid_t worker : workers_of(::getpid())) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(CPU_ISSET(1, &allowed) ? i % 2 : 0, &one);
      // It may have left since it was listed.
      if (::sched_setaffinity(worker, sizeof one, &one) == 0) continue;
      EXPECT_EQ(errno, ESRCH);
    }
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  }
}

}  // namespace
}  // namespace flexsc_guest
