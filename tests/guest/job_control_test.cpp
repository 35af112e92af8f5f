// SPDX-License-Identifier: MIT
// Stopping and continuing a process: a worker that does not take part is never reported as
// stopped, and the shell waits for ever.
#include <poll.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class JobControl : public GuestTest {};

/// Stops the child, sees that every thread stopped and that nothing more happens, continues it.
void stop_and_continue(Child& child, const SharedBoard& board) {
  child.kill(SIGSTOP);
  const int stopped = child.wait_status(WUNTRACED);
  ASSERT_NE(stopped, -1) << "the stop was never reported: threads " << thread_states(child.pid());
  ASSERT_TRUE(WIFSTOPPED(stopped));
  const std::string states = thread_states(child.pid());
  EXPECT_EQ(states, std::string(states.size(), 'T'));
  EXPECT_FALSE(workers_of(child.pid()).empty());
  const long count = board->count;
  child.kill(SIGCONT);
  const int continued = child.wait_status(WCONTINUED);
  ASSERT_NE(continued, -1);
  EXPECT_TRUE(WIFCONTINUED(continued));
  EXPECT_TRUE(eventually([&] { return board->count > count; })) << "it does not go on";
}

/// Makes calls until it is killed; stage 1 when it has made the first.
void call_for_ever(const Client& client, const SharedBoard& board,
                   std::chrono::milliseconds pause = 0ms) {
  for (;;) {
    REQUIRE_EQ(client.run(SYS_getppid), ::getppid());
    ++board->count;
    board->stage = 1;
    if (pause != 0ms) ::poll(nullptr, 0, static_cast<int>(pause.count()));
  }
}

void run_stops(const std::function<void(const SharedBoard&)>& body) {
  const SharedBoard board;
  Child child([&] { body(board); });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; })) << child.join(1s);
  for (int i = 0; i < 5; ++i) {
    stop_and_continue(child, board);
    if (testing::Test::HasFatalFailure()) break;
  }
  child.kill(SIGKILL);
  EXPECT_EQ(child.join(), "signal 9");
}

TEST_F(JobControl, StopWhileWorkersExecute) {
  run_stops([](const SharedBoard& board) {
    const Rig rig({.spin_us = 1000});
    call_for_ever(rig.client, board);
  });
}

TEST_F(JobControl, StopWhileWorkersSpin) {
  run_stops([](const SharedBoard& board) {
    const Rig rig({.spin_us = FLEXSC_MAX_SPIN_US});
    call_for_ever(rig.client, board, 200ms);
  });
}

TEST_F(JobControl, StopWhileWorkersAreParked) {
  run_stops([](const SharedBoard& board) {
    const Rig rig({.spin_us = 0});
    call_for_ever(rig.client, board, 200ms);
  });
}

TEST_F(JobControl, StopWhileWorkersAreBlocked) {
  run_stops([](const SharedBoard& board) {
    const Rig rig;
    const Waiters waiters(rig.client, 10, 4);
    call_for_ever(rig.client, board);
  });
}

// No thread can be made while a stop is pending. A worker that then went on without a spare one,
// and fell asleep in its call, left nobody for the next.
TEST_F(JobControl, StopWhileWorkersAreMade) {
  const SharedBoard board;
  Child child([&] {
    const Pipe pipe = make_pipe();
    for (;;) {
      const Rig rig({.concurrency = 1});
      pollfd watched{};
      block_in_poll(rig.client, 0, 0, pipe, &watched);
      REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
      ++board->count;
    }
  });
  for (int i = 0; i < 400; ++i) {
    const long count = board->count;
    ASSERT_TRUE(eventually([&] { return board->count > count; })) << "after stop " << i;
    std::this_thread::sleep_for(std::chrono::microseconds(i * 137 % 5000));
    child.kill(SIGSTOP);
    ASSERT_NE(child.wait_status(WUNTRACED), -1);
    child.kill(SIGCONT);
    ASSERT_NE(child.wait_status(WCONTINUED), -1);
  }
  child.kill(SIGKILL);
  EXPECT_EQ(child.join(), "signal 9");
}

// Ctrl-Z is SIGTSTP; the worker is not the one it is delivered to.
TEST_F(JobControl, TerminalStop) {
  const SharedBoard board;
  Child child([&] {
    const Rig rig({.spin_us = 1000});
    call_for_ever(rig.client, board);
  });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
  // A stop signal of the terminal has no effect in an orphaned process group: give it a parent.
  ::setpgid(child.pid(), child.pid());
  child.kill(SIGTSTP);
  const int stopped = child.wait_status(WUNTRACED);
  ASSERT_NE(stopped, -1);
  EXPECT_TRUE(WIFSTOPPED(stopped));
  child.kill(SIGCONT);
  const long count = board->count;
  EXPECT_TRUE(eventually([&] { return board->count > count; }));
  child.kill(SIGKILL);
  EXPECT_EQ(child.join(), "signal 9");
}

// A call that a worker sleeps in goes on after the stop as if nothing had been: with the
// handlerless stop a thread of the application would not see EINTR either.
TEST_F(JobControl, BlockedCallSurvivesAStop) {
  const SharedBoard board;
  const Pipe pipe = make_pipe();
  Child child([&] {
    const Rig rig;
    char byte = 0;
    pollfd watched{};
    block_in_poll(rig.client, 0, 1, pipe, &watched);
    board->stage = 1;
    REQUIRE_EQ(rig.client.await(0, 1), 1);
    wait_in_read(rig.client, 0, 0, pipe, &byte);
    REQUIRE_EQ(rig.client.await(0, 0), 1);
    REQUIRE_EQ(byte, 'z');
  });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
  for (int i = 0; i < 5; ++i) {
    child.kill(SIGSTOP);
    ASSERT_NE(child.wait_status(WUNTRACED), -1);
    child.kill(SIGCONT);
    ASSERT_NE(child.wait_status(WCONTINUED), -1);
  }
  put(pipe.writer, "z");
  EXPECT_EQ(child.join(), "exit 0");
}

// Calls that keep a restart block (a timeout that goes on from where it was).
TEST_F(JobControl, TimedCallSurvivesAStop) {
  const Group group;
  ASSERT_EQ(group.create_pool(), 0);
  const Client client(group);
  const timespec probe{0, 1};
  if (client.run(SYS_nanosleep, &probe, nullptr) == -FLEXSC_E_CALLER_ONLY) {
    GTEST_SKIP() << "the policy lets no call with a restart block run in a worker";
  }
  const SharedBoard board;
  Child child([&] {
    const Rig rig;
    const timespec time{1, 0};
    REQUIRE_EQ(rig.client.post(0, 0, call(SYS_nanosleep, &time, nullptr)), 0);
    REQUIRE(eventually([&] { return rig.client.submitted(0) == 0; }));
    board->stage = 1;
    REQUIRE_EQ(rig.client.await(0, 0), 0);
  });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
  child.kill(SIGSTOP);
  ASSERT_NE(child.wait_status(WUNTRACED), -1);
  child.kill(SIGCONT);
  EXPECT_EQ(child.join(), "exit 0");
}

TEST_F(JobControl, KillWhileStopped) {
  const SharedBoard board;
  Child child([&] {
    const Rig rig({.spin_us = FLEXSC_MAX_SPIN_US});
    call_for_ever(rig.client, board);
  });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
  child.kill(SIGSTOP);
  ASSERT_NE(child.wait_status(WUNTRACED), -1);
  child.kill(SIGKILL);
  EXPECT_EQ(child.join(), "signal 9");
}

}  // namespace
}  // namespace flexsc_guest
