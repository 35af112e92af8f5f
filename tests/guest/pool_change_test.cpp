// SPDX-License-Identifier: MIT
// Several pools, each with its settings, and settings that change while calls run.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <linux/capability.h>

#include <algorithm>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

CpuMask mask_of(unsigned cpu) {
  CpuMask mask(cpu / 8 + 1);
  mask[cpu / 8] = static_cast<unsigned char>(1U << cpu % 8);
  return mask;
}

bool has_two_cpus() {
  return ::sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

/// Workers of one pool: they carry its number in their name.
std::vector<pid_t> workers_of_pool(unsigned pool) {
  std::vector<pid_t> found;
  for (const pid_t worker : workers_of(::getpid())) {
    const std::string name = read_file("/proc/self/task/" + std::to_string(worker) + "/comm");
    if (name.find("/" + std::to_string(pool)) != std::string::npos) found.push_back(worker);
  }
  return found;
}

bool runs_on_only(pid_t worker, unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(worker, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1 &&
         CPU_ISSET(cpu, &set);
}

/// Policy and nice value or real-time priority.
Scheduling scheduling_of(pid_t worker) {
  const int policy = ::sched_getscheduler(worker);
  REQUIRE(policy >= 0);
  sched_param parameter{};
  REQUIRE_EQ(::sched_getparam(worker, &parameter), 0);
  errno = 0;
  const int nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(worker));
  REQUIRE_EQ(errno, 0);
  const bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
  return {static_cast<unsigned>(policy), real_time ? parameter.sched_priority : nice};
}

bool is(const Scheduling& a, const Scheduling& b) {
  return a.policy == b.policy && a.priority == b.priority;
}

/// The thread that executes: /proc/thread-self names it.
pid_t executing_thread(const Client& client, unsigned pool) {
  std::array<char, 64> name{};
  client.post(0, 1, call(SYS_readlink, "/proc/thread-self", name.data(), name.size()), pool);
  REQUIRE(client.await(0, 1) > 0);
  const std::string text = name.data();
  return std::stoi(text.substr(text.rfind('/') + 1));
}

class Pools : public GuestTest {};

TEST_F(Pools, EightForSixtyFourClients) {
  const Group group;
  for (unsigned pool = 0; pool < FLEXSC_MAX_POOLS; ++pool) {
    ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 0}), pool);
  }
  std::vector<Client> clients;
  clients.reserve(FLEXSC_MAX_CLIENTS);
  for (unsigned i = 0; i < FLEXSC_MAX_CLIENTS; ++i) clients.emplace_back(group, 2);
  for (unsigned pool = 0; pool < FLEXSC_MAX_POOLS; ++pool) {
    for (const Client& client : clients) {
      for (unsigned page = 0; page < 2; ++page) {
        ASSERT_EQ(client.post(page, pool * 7, call(SYS_getppid), pool), 0);
      }
    }
  }
  for (const Client& client : clients) {
    ASSERT_EQ(client.wait(2 * FLEXSC_MAX_POOLS, kLong), 2 * FLEXSC_MAX_POOLS);
  }
  ASSERT_TRUE(group.has_executed(2L * FLEXSC_MAX_POOLS * FLEXSC_MAX_CLIENTS));
  for (unsigned pool = 0; pool < FLEXSC_MAX_POOLS; ++pool) {
    const auto executed = [&] { return group.stats(FLEXSC_STATS_POOL, pool).executed; };
    EXPECT_EQ(settled(executed, 2U * FLEXSC_MAX_CLIENTS), 2U * FLEXSC_MAX_CLIENTS);
    EXPECT_FALSE(workers_of_pool(pool).empty());
  }
}

// An entry is executed by the pool that it was posted to, and by no other.
TEST_F(Pools, EntryNamesItsPool) {
  const Group group;
  for (int pool = 0; pool < 3; ++pool) {
    ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 50}), pool);
  }
  const Client client(group);
  for (int i = 0; i < 10; ++i) {
    for (unsigned pool = 0; pool < 3; ++pool) {
      const pid_t thread = executing_thread(client, pool);
      const auto workers = workers_of_pool(pool);
      EXPECT_NE(std::find(workers.begin(), workers.end(), thread), workers.end()) << pool;
    }
  }
  // Of one that does not exist, nobody.
  client.fill(0, 5, call(SYS_getppid));
  EXPECT_EQ(client.submit(0, 32, 3), -EINVAL);
  EXPECT_EQ(executing_thread(client, 0) > 0, true);
  EXPECT_FALSE(client.done(0, 5));
  EXPECT_EQ(client.submitted(0, 3), 32U);
}

TEST_F(Pools, BlockedPoolDoesNotStopAnother) {
  const Group group;
  for (int pool = 0; pool < 2; ++pool) {
    ASSERT_EQ(group.create_pool({.concurrency = 1, .standby_max = 0, .spin_us = 0}), pool);
  }
  const Client client(group);
  const Pipe pipe = make_pipe();
  pollfd watched{pipe.reader.get(), POLLIN, 0};
  block_in_poll(client, 0, 0, pipe, &watched);
  for (unsigned i = 0; i < 10; ++i) {
    client.post(0, 1, call(SYS_getppid), 1);
    ASSERT_EQ(client.await(0, 1), ::getppid());
  }
  put(pipe.writer, "x");
  EXPECT_EQ(client.await(0, 0), 1);
}

// A core for a class of calls, and priority over another class: one setting each.
TEST_F(Pools, CoreOfItsOwnAndPriority) {
  if (!has_two_cpus()) GTEST_SKIP() << "needs two CPUs";
  const Group group;
  ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 0, .cpus = mask_of(0)}), 0);
  ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 0, .cpus = mask_of(1)}), 1);
  ASSERT_EQ(
      group.create_pool({.concurrency = 1, .spin_us = 0, .sched = Scheduling{SCHED_OTHER, 15}}), 2);
  const Client client(group);
  EXPECT_TRUE(runs_on_only(executing_thread(client, 0), 0));
  EXPECT_TRUE(runs_on_only(executing_thread(client, 1), 1));
  EXPECT_TRUE(is(scheduling_of(executing_thread(client, 2)), {SCHED_OTHER, 15}));
}

class PoolSettings : public GuestTest {
 protected:
  static long create(const PoolChange& settings) {
    const flexsc_pool_params params = pool_params(settings);
    return control(Group().fd(), FLEXSC_IOC_POOL_CREATE, &params);
  }
};

TEST_F(PoolSettings, DefaultsAreTheCallers) {
  std::thread([] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 7), 0);
    const Group group;
    const flexsc_pool_params params = pool_params({});
    ASSERT_EQ(control(group.fd(), FLEXSC_IOC_POOL_CREATE, &params), 0);
    const Client client(group);
    const pid_t worker = executing_thread(client, 0);
    EXPECT_TRUE(is(scheduling_of(worker), {SCHED_OTHER, 7}));
    cpu_set_t mine;
    cpu_set_t its;
    ASSERT_EQ(::sched_getaffinity(0, sizeof mine, &mine), 0);
    ASSERT_EQ(::sched_getaffinity(worker, sizeof its, &its), 0);
    EXPECT_TRUE(CPU_EQUAL(&mine, &its));
  }).join();
}

TEST_F(PoolSettings, AllPolicies) {
  for (const Scheduling& wanted :
       {Scheduling{SCHED_OTHER, 0}, Scheduling{SCHED_OTHER, 19}, Scheduling{SCHED_OTHER, -20},
        Scheduling{SCHED_BATCH, 5}, Scheduling{SCHED_IDLE, 0}, Scheduling{SCHED_FIFO, 1},
        Scheduling{SCHED_FIFO, 99}, Scheduling{SCHED_RR, 42}}) {
    const Rig rig({.concurrency = 1, .spin_us = 0, .sched = wanted});
    const Scheduling is_now = scheduling_of(executing_thread(rig.client, 0));
    EXPECT_EQ(is_now.policy, wanted.policy);
    EXPECT_EQ(is_now.priority, wanted.priority) << "policy " << wanted.policy;
  }
}

TEST_F(PoolSettings, ValuesOutOfRange) {
  constexpr unsigned kDeadline = 6;
  for (const Scheduling& wrong :
       {Scheduling{SCHED_OTHER, 20}, Scheduling{SCHED_OTHER, -21}, Scheduling{SCHED_BATCH, 100},
        Scheduling{SCHED_FIFO, 0}, Scheduling{SCHED_FIFO, 100}, Scheduling{SCHED_FIFO, -1},
        Scheduling{SCHED_RR, 0}, Scheduling{kDeadline, 0}, Scheduling{4, 0}, Scheduling{7, 0},
        Scheduling{0xffffffff, 0}, Scheduling{SCHED_OTHER | SCHED_RESET_ON_FORK, 0}}) {
    EXPECT_EQ(create({.sched = wrong}), -EINVAL) << wrong.policy << ", " << wrong.priority;
    const Rig rig;
    EXPECT_EQ(rig.group.update_pool(0, {.sched = wrong}), -EINVAL);
  }
  EXPECT_EQ(create({.concurrency = 0}), -EINVAL) << "a pool without workers";
  EXPECT_EQ(create({.concurrency = 1U << 20}), -EINVAL);
  EXPECT_EQ(create({.standby_max = 1U << 20}), -EINVAL);
  EXPECT_EQ(create({.spin_us = FLEXSC_MAX_SPIN_US + 1}), -EINVAL);
  EXPECT_EQ(create({.standby_max = 0}), 0);
}

/// Takes CAP_SYS_NICE away, and what the limits allow.
void give_up_priority(rlim_t nice, rlim_t real_time) {
  const rlimit nice_limit{nice, nice};
  const rlimit real_time_limit{real_time, real_time};
  REQUIRE_EQ(::setrlimit(RLIMIT_NICE, &nice_limit), 0);
  REQUIRE_EQ(::setrlimit(RLIMIT_RTPRIO, &real_time_limit), 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  REQUIRE_EQ(direct(SYS_capget, &header, data.data()), 0);
  for (auto* set : {&data[0].effective, &data[0].permitted, &data[0].inheritable}) {
    *set &= ~(1U << CAP_SYS_NICE);
  }
  REQUIRE_EQ(direct(SYS_capset, &header, data.data()), 0);
}

TEST_F(PoolSettings, PriorityBeyondTheLimits) {
  if (::geteuid() != 0) GTEST_SKIP() << "gives up a capability: needs root";
  EXPECT_EQ(in_child([] {
              give_up_priority(0, 0);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_OTHER, 5}}), 0);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_OTHER, -1}}), -EPERM);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_BATCH, -20}}), -EPERM);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_FIFO, 1}}), -EPERM);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_RR, 99}}), -EPERM);
              const Rig rig;
              REQUIRE_EQ(rig.group.update_pool(0, {.sched = Scheduling{SCHED_OTHER, -1}}), -EPERM);
              REQUIRE_EQ(rig.group.update_pool(0, {.sched = Scheduling{SCHED_FIFO, 1}}), -EPERM);
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
            }),
            "exit 0");
  // 20 - limit is the lowest nice value.
  EXPECT_EQ(in_child([] {
              give_up_priority(25, 10);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_OTHER, -5}}), 0);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_OTHER, -6}}), -EPERM);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_FIFO, 10}}), 0);
              REQUIRE_EQ(create({.sched = Scheduling{SCHED_FIFO, 11}}), -EPERM);
            }),
            "exit 0");
}

class PoolUpdate : public GuestTest {};

TEST_F(PoolUpdate, WhatIsWrong) {
  const Rig rig;
  EXPECT_EQ(rig.group.update_pool(0, {}), -EINVAL) << "nothing named";
  for (const unsigned pool : {1U, 7U, 8U, 0xffffffffU}) {
    EXPECT_EQ(rig.group.update_pool(pool, {.spin_us = 0}), -EINVAL) << pool;
  }
  EXPECT_EQ(rig.group.update_pool(0, {.concurrency = 0}), -EINVAL);
  EXPECT_EQ(rig.group.update_pool(0, {.spin_us = FLEXSC_MAX_SPIN_US + 1}), -EINVAL);
  EXPECT_EQ(rig.group.update_pool(0, {.cpus = CpuMask{0}}), -EINVAL);
  EXPECT_EQ(rig.group.update_pool(0, {.cpus = CpuMask{}}), -EINVAL);
  EXPECT_EQ(rig.group.update_pool(0, {.cpus = mask_of(8191)}), -EINVAL);
  // All or nothing.
  EXPECT_EQ(rig.group.update_pool(0, {.sched = Scheduling{SCHED_OTHER, 11}, .cpus = CpuMask{0}}),
            -EINVAL);
  EXPECT_FALSE(is(scheduling_of(executing_thread(rig.client, 0)), {SCHED_OTHER, 11}));
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

TEST_F(PoolUpdate, SchedulingWhileCallsRun) {
  for (const unsigned spin_us : {0U, 1000U}) {
    const Rig rig({.concurrency = 1, .spin_us = spin_us});
    for (const Scheduling& wanted : {Scheduling{SCHED_OTHER, 9}, Scheduling{SCHED_FIFO, 3},
                                     Scheduling{SCHED_BATCH, 2}, Scheduling{SCHED_OTHER, 0}}) {
      ASSERT_EQ(rig.group.update_pool(0, {.sched = wanted}), 0);
      ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
      EXPECT_TRUE(is(scheduling_of(executing_thread(rig.client, 0)), wanted))
          << wanted.policy << ", " << wanted.priority;
    }
    // Other settings leave it as it is.
    ASSERT_EQ(rig.group.update_pool(0, {.sched = Scheduling{SCHED_OTHER, 4}}), 0);
    ASSERT_EQ(rig.group.update_pool(0, {.spin_us = 10}), 0);
    EXPECT_TRUE(is(scheduling_of(executing_thread(rig.client, 0)), {SCHED_OTHER, 4}));
  }
}

TEST_F(PoolUpdate, CpusWhileCallsRun) {
  if (!has_two_cpus()) GTEST_SKIP() << "needs two CPUs";
  const Rig rig({.concurrency = 2, .spin_us = 100});
  std::atomic<bool> end{false};
  std::atomic<long> made{0};
  std::jthread caller([&] {
    const Client other(rig.group);
    for (; !end; ++made) REQUIRE_EQ(other.run(SYS_getppid), ::getppid());
  });
  for (int i = 0; i < 20; ++i) {
    const unsigned cpu = static_cast<unsigned>(i) % 2;
    ASSERT_EQ(rig.group.update_pool(0, {.cpus = mask_of(cpu)}), 0);
    EXPECT_TRUE(runs_on_only(executing_thread(rig.client, 0), cpu)) << i;
  }
  const long before = made;
  EXPECT_TRUE(eventually([&] { return made > before; }));
  end = true;
}

// More workers for calls that block from now on, and fewer.
TEST_F(PoolUpdate, StandbyLimit) {
  const Rig rig({.concurrency = 1, .standby_max = 0, .spin_us = 0});
  const Pipe pipe = make_pipe();
  std::array<pollfd, 4> watched{};
  block_in_poll(rig.client, 0, 0, pipe, watched.data());
  ASSERT_TRUE(eventually([&] { return rig.group.stats().blocked == 1; }));
  rig.client.post(0, 9, call(SYS_getppid));
  EXPECT_EQ(rig.client.wait(1, 50ms), 0) << "there is nobody";
  ASSERT_EQ(rig.group.update_pool(0, {.standby_max = 3}), 0);
  // The one that is blocked cannot make another; when it is free, they come.
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.await(0, 0), 1);
  EXPECT_EQ(rig.client.await(0, 9), ::getppid());
  (void)drain(pipe);
  for (unsigned i = 0; i < 3; ++i) block_in_poll(rig.client, 0, i, pipe, &watched[i]);
  rig.client.post(0, 9, call(SYS_getppid));
  EXPECT_EQ(rig.client.await(0, 9), ::getppid());
  EXPECT_LE(rig.group.stats().workers, 4U);
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.wait(3, kLong), 3);
}

TEST_F(PoolUpdate, ConcurrencyUpAndDown) {
  const Rig rig({.concurrency = 1, .spin_us = 0}, 8);
  // Calls that take a while and do not sleep.
  std::vector<char> noise(64 << 10);
  const auto storm = [&] {
    for (unsigned page = 0; page < 8; ++page) {
      for (unsigned bit = 0; bit < 64; ++bit) {
        rig.client.fill(page, bit, call(SYS_getrandom, noise.data(), 256, 0));
      }
      rig.client.submit(page, ~__u64{0});
    }
    unsigned most = 0;
    while (rig.client.completions() < 512) most = std::max(most, rig.group.stats().running);
    for (unsigned i = 0; i < 512; ++i) REQUIRE_EQ(rig.client.take(i / 64, i % 64), 256);
    return most;
  };
  EXPECT_LE(storm(), 1U);
  ASSERT_EQ(rig.group.update_pool(0, {.concurrency = 3}), 0);
  EXPECT_TRUE(eventually([&] { return storm() > 1; })) << "it stayed at one";
  EXPECT_LE(storm(), 3U);
  ASSERT_EQ(rig.group.update_pool(0, {.concurrency = 1}), 0);
  ASSERT_TRUE(eventually([&] { return rig.group.stats().running <= 1; }));
  EXPECT_LE(storm(), 1U);
}

TEST_F(PoolUpdate, SpinningOnAndOff) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  const auto needs_doorbell = [&] {
    return std::atomic_ref(rig.client.header().need_doorbell[0].value).load() != 0;
  };
  ASSERT_TRUE(eventually(needs_doorbell));
  ASSERT_EQ(rig.group.update_pool(0, {.spin_us = FLEXSC_MAX_SPIN_US}), 0);
  // Its second is longer than the gaps: no doorbell is needed any more.
  bool quiet = false;
  for (int i = 0; i < 20 && !quiet; ++i) {
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
    const __u64 before = rig.group.stats().doorbells;
    for (int n = 0; n < 20; ++n) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
    quiet = rig.group.stats().doorbells == before;
  }
  EXPECT_TRUE(quiet);
  ASSERT_EQ(rig.group.update_pool(0, {.spin_us = 0}), 0);
  ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_TRUE(eventually(needs_doorbell));
}

// From another thread than the owner, beside everything else.
TEST_F(PoolUpdate, BesideCallsAndCloses) {
  for (int round = 0; round < 5; ++round) {
    Rig rig({.concurrency = 2, .spin_us = 50});
    const int group = rig.group.fd();
    std::jthread changer([group](const std::stop_token& stop) {
      for (unsigned i = 0; !stop.stop_requested(); ++i) {
        const CpuMask mask = mask_of(i % 2 && has_two_cpus() ? 1 : 0);
        flexsc_pool_params params =
            pool_params({.concurrency = 1 + i % 4,
                         .standby_max = i % 8,
                         .spin_us = i % 3 * 100,
                         .sched = Scheduling{SCHED_OTHER, static_cast<int>(i % 20)},
                         .cpus = mask});
        const CpuMask kept = mask;
        params.cpumask = arg(kept.data());
        if (control(group, FLEXSC_IOC_POOL_UPDATE, &params) != 0) return;
      }
    });
    for (int i = 0; i < 200; ++i) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
    if (round % 2 == 0) changer.request_stop();
    if (round % 2 == 0) changer.join();
    rig.group.close();
    changer.request_stop();
    if (changer.joinable()) changer.join();
    EXPECT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
  }
}

}  // namespace
}  // namespace flexsc_guest
