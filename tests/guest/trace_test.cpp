// SPDX-License-Identifier: MIT
// Debuggers attach to every thread of a process, workers included.
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Trace : public GuestTest {
 protected:
  static bool wait_stopped(pid_t tid) {
    int status = 0;
    return eventually(
        [&] { return ::waitpid(tid, &status, __WALL | WNOHANG) == tid && WIFSTOPPED(status); });
  }
  static std::vector<pid_t> threads(pid_t pid) {
    std::vector<pid_t> all = workers_of(pid);
    all.push_back(pid);
    return all;
  }
};

std::unique_ptr<Child> caller(const SharedBoard& board, unsigned spin_us) {
  auto child = std::make_unique<Child>([&] {
    const Rig rig({.spin_us = spin_us});
    const Waiters waiters(rig.client, 5, 2);
    while (board->stage != 2) {
      REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
      ++board->count;
    }
    waiters.finish(rig.client);
    board->value = rig.client.state();
  });
  REQUIRE(eventually([&] { return board->count > 10; }));
  return child;
}

TEST_F(Trace, AttachToEveryThreadAndDetach) {
  for (const unsigned spin_us : {0U, 1000U}) {
    const SharedBoard board;
    board->value = -1;
    const auto child = caller(board, spin_us);
    for (int round = 0; round < 5; ++round) {
      std::vector<pid_t> attached;
      for (const pid_t tid : threads(child->pid())) {
        if (::ptrace(PTRACE_ATTACH, tid, 0, 0) != 0) continue;  // a worker may just have left
        ASSERT_TRUE(wait_stopped(tid)) << "thread " << tid << " never stopped";
        attached.push_back(tid);
      }
      ASSERT_GE(attached.size(), 2U);
      const long count = board->count;
      for (const pid_t tid : attached) {
        EXPECT_EQ(::ptrace(PTRACE_DETACH, tid, 0, 0), 0) << "thread " << tid;
      }
      ASSERT_TRUE(eventually([&] { return board->count > count; })) << "it does not go on";
    }
    board->stage = 2;
    EXPECT_EQ(child->join(), "exit 0");
    EXPECT_EQ(board->value, FLEXSC_STATE_OPEN) << "attaching is not filtering";
  }
}

TEST_F(Trace, SeizeAndInterruptWorkers) {
  const SharedBoard board;
  const auto child = caller(board, 1000);
  for (int round = 0; round < 5; ++round) {
    std::vector<pid_t> seized;
    for (const pid_t tid : threads(child->pid())) {
      if (::ptrace(PTRACE_SEIZE, tid, 0, 0) != 0) continue;
      ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
      ASSERT_TRUE(wait_stopped(tid));
      seized.push_back(tid);
    }
    ASSERT_GE(seized.size(), 2U);
    const long count = board->count;
    for (const pid_t tid : seized) EXPECT_EQ(::ptrace(PTRACE_DETACH, tid, 0, 0), 0);
    ASSERT_TRUE(eventually([&] { return board->count > count; }));
  }
  board->stage = 2;
  EXPECT_EQ(child->join(), "exit 0");
}

TEST_F(Trace, KillWhileAWorkerIsTraced) {
  const SharedBoard board;
  const auto child = caller(board, 0);
  std::vector<pid_t> attached;
  for (const pid_t tid : workers_of(child->pid())) {
    if (::ptrace(PTRACE_ATTACH, tid, 0, 0) != 0) continue;
    ASSERT_TRUE(wait_stopped(tid));
    attached.push_back(tid);
  }
  ASSERT_FALSE(attached.empty());
  child->kill(SIGKILL);
  for (const pid_t tid : attached) {
    // A traced thread is reaped by its tracer before the leader is.
    EXPECT_TRUE(eventually([tid] {
      int status = 0;
      const pid_t waited = ::waitpid(tid, &status, __WALL | WNOHANG);
      return waited < 0 || (waited == tid && !WIFSTOPPED(status));
    }));
  }
  EXPECT_EQ(child->join(), "signal 9");
}

// A call that was interrupted for the stop is made again: until then CANCEL must not overlook it.
TEST_F(Trace, CancelOfACallWhoseWorkerIsStopped) {
  const SharedBoard board;
  Child child([&] {
    const Rig rig({.concurrency = 1, .spin_us = 0});
    const timespec nap{3, 0};
    rig.client.post(0, 0, call(SYS_nanosleep, &nap, nullptr));
    REQUIRE(eventually([&] { return rig.group.stats().blocked == 1; }));
    board->stage = 1;
    REQUIRE(eventually([&] { return board->stage == 2; }));
    board->value = rig.client.cancel(0, 0);
    board->stage = 3;
    board->count = rig.client.await(0, 0);
  });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
  std::vector<pid_t> seized;
  for (const pid_t tid : workers_of(child.pid())) {
    if (::ptrace(PTRACE_SEIZE, tid, 0, 0) != 0) continue;
    ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
    ASSERT_TRUE(wait_stopped(tid));
    seized.push_back(tid);
  }
  ASSERT_FALSE(seized.empty());
  board->stage = 2;
  // It waits for the worker, or has marked it.
  for (int i = 0; i < 50 && board->stage == 2; ++i) std::this_thread::sleep_for(2ms);
  for (const pid_t tid : seized) EXPECT_EQ(::ptrace(PTRACE_DETACH, tid, 0, 0), 0);
  EXPECT_EQ(child.join(), "exit 0");
  EXPECT_EQ(board->value, 1);
  EXPECT_EQ(board->count, -ECANCELED);
}

// strace of the owner wants to see every call; what a worker executes it would not see.
TEST_F(Trace, SystemCallTracingClosesTheGroup) {
  const SharedBoard board;
  Child child([&] {
    const Rig rig({.spin_us = FLEXSC_MAX_SPIN_US});
    REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
    board->stage = 1;
    const auto stopped = [&] {
      rig.client.fill(0, 0, call(SYS_getppid));
      rig.client.submit(0, 1);
      return rig.client.state() != FLEXSC_STATE_OPEN;
    };
    REQUIRE(eventually(stopped));
    REQUIRE_EQ(rig.client.state(), __u32{FLEXSC_STATE_SECCOMP});
  });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, child.pid(), 0, 0), 0);
  ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, child.pid(), 0, 0), 0);
  int status = 0;
  const auto end = std::chrono::steady_clock::now() + kLong;
  while (std::chrono::steady_clock::now() < end) {
    const pid_t waited = ::waitpid(child.pid(), &status, __WALL | WNOHANG);
    if (waited == child.pid() && !WIFSTOPPED(status)) {
      child.reaped();
      break;
    }
    if (waited == child.pid()) {
      const int signal = WSTOPSIG(status);
      const bool pass_on = (status >> 8 & ~0x7f) == 0 && signal != SIGTRAP && signal != SIGSTOP;
      ::ptrace(PTRACE_SYSCALL, child.pid(), 0, pass_on ? signal : 0);
    }
  }
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace flexsc_guest
