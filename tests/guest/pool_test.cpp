// SPDX-License-Identifier: MIT
// Making pools: parameters are checked against what the caller may do.
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class PoolSetup : public GuestTest {
 protected:
  static CpuMask mask_of(unsigned cpu) {
    CpuMask mask(cpu / 8 + 1);
    mask[cpu / 8] = static_cast<unsigned char>(1U << (cpu % 8));
    return mask;
  }
};

TEST_F(PoolSetup, FirstPoolIsNumberZero) {
  const Group group;
  EXPECT_EQ(group.create_pool(), 0);
}

TEST_F(PoolSetup, PoolsBeyondTheMaximumAreRefused) {
  const Group group;
  flexsc_query query{};
  query.size = sizeof query;
  ASSERT_EQ(control(group.fd(), FLEXSC_IOC_QUERY, &query), 0);
  for (unsigned pool = 0; pool < query.max_pools; ++pool) ASSERT_EQ(group.create_pool(), pool);
  EXPECT_EQ(group.create_pool(), -ENOSPC);
}

TEST_F(PoolSetup, WorkersAreThreadsOfTheProcess) {
  const Group group;
  ASSERT_EQ(group.create_pool(), 0);
  EXPECT_TRUE(eventually([] { return !workers_of(::getpid()).empty(); }));
}

TEST_F(PoolSetup, AWorkerHasItsNameBeforeItRuns) {
  // The test keeps the CPU that the worker would run on.
  EXPECT_EQ(in_child([] {
              cpu_set_t one;
              CPU_ZERO(&one);
              CPU_SET(0, &one);
              REQUIRE_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
              for (int i = 0; i < 100; ++i) {
                Group group;
                REQUIRE_EQ(group.create_pool({.cpus = mask_of(0)}), 0);
                REQUIRE(!workers_of(::getpid()).empty());
                group.close();
                REQUIRE(eventually([] { return workers_of(::getpid()).empty(); }));
              }
            }),
            "exit 0");
}

TEST_F(PoolSetup, SpinningIsBounded) {
  EXPECT_EQ(Group().create_pool({.spin_us = FLEXSC_MAX_SPIN_US + 1}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.spin_us = 0xffffffff}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.spin_us = FLEXSC_MAX_SPIN_US}), 0);
}

TEST_F(PoolSetup, MoreWorkersThanTheMaximumIsAnError) {
  EXPECT_EQ(Group().create_pool({.concurrency = 0xffffffff}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.standby_max = 0xffffffff}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.concurrency = 0x80000000, .standby_max = 0x80000000}), -EINVAL);
}

// A mask is an argument from outside: an index past the kernel's CPU tables must not come of it.
TEST_F(PoolSetup, MaskWithoutUsableCpuIsInvalid) {
  EXPECT_EQ(Group().create_pool({.cpus = CpuMask{}}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.cpus = CpuMask{0}}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.cpus = CpuMask(16, 0)}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.cpus = mask_of(8191)}), -EINVAL);
  EXPECT_EQ(Group().create_pool({.cpus = mask_of(100000)}), -EINVAL);
  flexsc_pool_params params{};
  params.size = sizeof params;
  params.set = FLEXSC_POOL_CPUMASK;
  params.cpumask_bytes = 8;
  params.cpumask = 4096;
  EXPECT_EQ(control(Group().fd(), FLEXSC_IOC_POOL_CREATE, &params), -EFAULT);
  params.cpumask_bytes = 0xffffffff;
  const long result = control(Group().fd(), FLEXSC_IOC_POOL_CREATE, &params);
  EXPECT_TRUE(result == -EINVAL || result == -EFAULT) << result;
}

// Where the caller runs now does not count, but where it may: a pinned thread wants its workers
// elsewhere.
TEST_F(PoolSetup, PinnedCallerMayAskForOtherCpus) {
  std::thread([] {
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    ASSERT_EQ(::sched_setaffinity(0, sizeof first, &first), 0);
    if (::sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "needs two CPUs";
    const Rig rig({.spin_us = 0, .cpus = mask_of(1)});
    EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
    for (const pid_t worker : workers_of(::getpid())) {
      cpu_set_t set;
      CPU_ZERO(&set);
      ASSERT_EQ(::sched_getaffinity(worker, sizeof set, &set), 0);
      EXPECT_EQ(CPU_COUNT(&set), 1);
      EXPECT_TRUE(CPU_ISSET(1, &set));
    }
    // Without a mask they are those of the caller.
    const Rig same({.spin_us = 0});
    EXPECT_EQ(same.client.run(SYS_getppid), ::getppid());
    for (const pid_t worker : workers_of(::getpid())) {
      cpu_set_t set;
      CPU_ZERO(&set);
      ASSERT_EQ(::sched_getaffinity(worker, sizeof set, &set), 0);
      EXPECT_EQ(CPU_COUNT(&set), 1);
    }
  }).join();
}

TEST_F(PoolSetup, WorkersRunOnTheCpusOfTheMask) {
  const Rig rig({.spin_us = 0, .cpus = mask_of(0)});
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  const auto workers = workers_of(::getpid());
  ASSERT_FALSE(workers.empty());
  for (const pid_t worker : workers) {
    cpu_set_t set;
    CPU_ZERO(&set);
    ASSERT_EQ(::sched_getaffinity(worker, sizeof set, &set), 0);
    EXPECT_EQ(CPU_COUNT(&set), 1);
    EXPECT_TRUE(CPU_ISSET(0, &set));
  }
}

// A failed POOL_CREATE leaves the group as it was.
TEST_F(PoolSetup, FailureLeavesNothingBehind) {
  const Group group;
  EXPECT_EQ(group.create_pool({.spin_us = FLEXSC_MAX_SPIN_US + 1}), -EINVAL);
  EXPECT_EQ(group.create_pool({.cpus = CpuMask{0}}), -EINVAL);
  EXPECT_EQ(group.create_pool(), 0);
  const Client client(group);
  EXPECT_EQ(client.run(SYS_getppid), ::getppid());
}

// Workers count against RLIMIT_NPROC: at the limit the ioctl says so.
TEST_F(PoolSetup, ThreadLimitIsRespected) {
  struct stat before {};
  ASSERT_EQ(::stat(FLEXSC_DEVICE, &before), 0);
  ASSERT_EQ(::chmod(FLEXSC_DEVICE, 0666), 0);
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::setresuid(54321, 54321, 54321), 0);
              const rlimit one{1, 1};
              REQUIRE_EQ(::setrlimit(RLIMIT_NPROC, &one), 0);
              REQUIRE_EQ(Group().create_pool(), -EAGAIN);
            }),
            "exit 0");
  ::chmod(FLEXSC_DEVICE, before.st_mode & 07777);
}

}  // namespace
}  // namespace flexsc_guest
