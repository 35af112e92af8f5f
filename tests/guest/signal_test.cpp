// SPDX-License-Identifier: MIT
// Signals of the process are the application's: workers neither take nor lose them.
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Signals : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    ::sigemptyset(&usr2_);
    ::sigaddset(&usr2_, SIGUSR2);
    ::pthread_sigmask(SIG_BLOCK, &usr2_, &before_);
  }
  void TearDown() override {
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    GuestTest::TearDown();
  }
  sigset_t usr2_{};
  sigset_t before_{};
};

// All user threads block the signal; only a worker whose mask was opened could take it away. With
// an unblocked worker the application lost it.
TEST_F(Signals, ProcessDirectedSignalWaitsForTheApplication) {
  const Rig rig({.spin_us = 200});
  const Waiters waiters(rig.client, 62, 2);
  sigset_t none;
  ::sigemptyset(&none);
  const timespec limit{60, 0};
  for (int i = 0; i < 200; ++i) {
    EXPECT_LE(rig.client.run(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, 8),
              -FLEXSC_E_CALLER_ONLY);
    EXPECT_LE(rig.client.run(SYS_ppoll, nullptr, 0, &limit, &none, 8), -FLEXSC_E_CALLER_ONLY);
    ASSERT_EQ(::kill(::getpid(), SIGUSR2), 0);
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid()) << "a worker runs with it pending";
    ASSERT_EQ(::sigtimedwait(&usr2_, nullptr, &limit), SIGUSR2);
  }
  waiters.finish(rig.client);
}

TEST_F(Signals, HandlersRunInApplicationThreads) {
  static std::atomic<pid_t> handler_tid;
  handler_tid = 0;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { handler_tid = ::gettid(); };
  ::sigaction(SIGUSR1, &action, &before);
  const Rig rig({.spin_us = 500});
  for (int i = 0; i < 200; ++i) {
    handler_tid = 0;
    rig.client.post(0, 0, call(SYS_getppid));
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    ASSERT_TRUE(eventually([] { return handler_tid != 0; }));
    ASSERT_EQ(handler_tid, ::gettid());
    ASSERT_EQ(rig.client.await(0, 0), ::getppid());
  }
  ::sigaction(SIGUSR1, &before, nullptr);
}

// A signal to a worker's thread id stays there; it must not end worker or process, and the worker
// must not go on spinning with "signal pending" and do nothing else.
TEST_F(Signals, SignalToAWorkerIsHarmless) {
  const Rig rig({.spin_us = 100});
  ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  const auto workers = workers_of(::getpid());
  ASSERT_FALSE(workers.empty());
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &ignore, &before);
  for (int i = 0; i < 50; ++i) {
    for (const pid_t worker : workers) direct(SYS_tgkill, ::getpid(), worker, SIGUSR1);
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  }
  EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN});
  ::sigaction(SIGUSR1, &before, nullptr);
}

// kill() of the own process through a worker works as from any other thread.
TEST_F(Signals, SelfKillThroughAWorker) {
  const Rig rig;
  const timespec limit{60, 0};
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(rig.client.run(SYS_kill, ::getpid(), SIGUSR2), 0);
    ASSERT_EQ(::sigtimedwait(&usr2_, nullptr, &limit), SIGUSR2);
  }
  EXPECT_EQ(in_child([] {
              const Rig child;
              const Waiters waiters(child.client, 1, 2);
              child.client.post(0, 0, call(SYS_kill, ::getpid(), SIGTERM));
              std::this_thread::sleep_for(kLong);
            }),
            "signal 15");
}

// A blocked worker woken by a signal that is not for it restarts the call: no EINTR in a result.
TEST_F(Signals, BlockedCallsAreNotInterrupted) {
  const Rig rig;
  const Waiters waiters(rig.client, 0, 8);
  const timespec limit{60, 0};
  for (int i = 0; i < 100; ++i) {
    ::kill(::getpid(), SIGUSR2);
    ASSERT_EQ(::sigtimedwait(&usr2_, nullptr, &limit), SIGUSR2);
    for (const pid_t worker : workers_of(::getpid())) {
      direct(SYS_tgkill, ::getpid(), worker, SIGUSR2);
    }
  }
  EXPECT_EQ(rig.client.completions(), 0U);
  waiters.finish(rig.client);
}

}  // namespace
}  // namespace flexsc_guest
