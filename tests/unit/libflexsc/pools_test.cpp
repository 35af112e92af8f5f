// SPDX-License-Identifier: MIT
/// Description: an engine has several pools; a call runs in the one that it names, on its CPUs
/// and with its scheduling.
#include <sched.h>
#include <sys/resource.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include "support.hpp"

namespace flexsc::test {
namespace {

PostOptions in_pool(unsigned pool) {
  PostOptions how;
  how.pool = pool;
  return how;
}

std::vector<pid_t> threads_of_this_process() {
  std::vector<pid_t> threads;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    threads.push_back(std::stoi(entry.path().filename().string()));
  }
  return threads;
}

class PoolsTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, PoolsTest, all_engines(), name_of);

TEST_P(PoolsTest, ACallNamesItsPool) {
  options.more_pools.resize(3);
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < 100; ++round) {
    for (unsigned pool = 0; pool < 4; ++pool) {
      ASSERT_TRUE(channel->post(make_call(SYS_getppid), token(pool), in_pool(pool)));
    }
    const auto all = drain(*channel);
    EXPECT_EQ(all.size(), 4U);
    for (const Completion& each : all) EXPECT_EQ(each.result, getppid());
  }
}

TEST_P(PoolsTest, OneThatThereIsNotIsRefused) {
  options.more_pools.resize(1);
  const auto engine = open();
  const auto channel = engine->make_channel();
  EXPECT_THROW(static_cast<void>(channel->post(nop(), nullptr, in_pool(2))), std::system_error);
  EXPECT_EQ(channel->in_flight(), 0U);
}

TEST_P(PoolsTest, EightAreTheMost) {
  options.more_pools.resize(7);
  EXPECT_NO_THROW(static_cast<void>(open()));
  options.more_pools.resize(8);
  EXPECT_THROW(static_cast<void>(open()), std::system_error);
}

class WorkerPoolsTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, WorkerPoolsTest, worker_engines(), name_of);

// A pool whose only worker is inside a call keeps its own calls waiting, and no others.
TEST_P(WorkerPoolsTest, OnePoolDoesNotWaitForAnother) {
  options.more_pools.resize(1);
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  char byte = 0;
  ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &byte, 1), token(0), in_pool(0)));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(channel->post(make_call(SYS_getppid), token(1), in_pool(1)));
    Completion one;
    while (channel->reap({&one, 1}) == 0) channel->wait(kForever);
    EXPECT_EQ(one.token, token(1));
  }
  ASSERT_EQ(write(pipe.writer(), "x", 1), 1);
  EXPECT_EQ(drain(*channel).size(), 1U);
}

TEST_P(WorkerPoolsTest, CancelFindsACallInAnyPool) {
  options.more_pools.resize(2);
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  char bytes[3] = {};
  for (unsigned pool = 0; pool < 3; ++pool) {
    ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &bytes[pool], 1), token(pool),
                              in_pool(pool)));
  }
  channel->submit();
  for (unsigned pool = 0; pool < 3; ++pool) EXPECT_TRUE(channel->cancel(token(pool)));
  for (const Completion& each : drain(*channel)) EXPECT_EQ(each.result, -ECANCELED);
}

TEST_P(WorkerPoolsTest, WorkersHaveThePoolsPriority) {
  PoolOptions lowest;
  lowest.scheduling = Scheduling{SCHED_OTHER, 19};
  options.more_pools.push_back(lowest);
  const auto engine = open();
  const auto channel = engine->make_channel();
  EXPECT_EQ(call_through(*channel, nop()), -ENOSYS);
  // Of all threads of this process, the workers of that pool alone have it.
  int found = 0;
  for (const auto thread : threads_of_this_process()) {
    errno = 0;
    if (getpriority(PRIO_PROCESS, static_cast<id_t>(thread)) == 19) ++found;
  }
  EXPECT_GE(found, 1);
}

TEST_P(WorkerPoolsTest, SchedulingThatThereIsNotIsRefused) {
  PoolOptions odd;
  odd.scheduling = Scheduling{1234, 0};
  options.more_pools.push_back(odd);
  EXPECT_THROW(static_cast<void>(open()), std::system_error);
}

}  // namespace
}  // namespace flexsc::test
