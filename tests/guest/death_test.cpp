// SPDX-License-Identifier: MIT
// Processes that die with workers in every state. Every one must be gone, with the status it died
// with, within a bounded time.
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Death : public GuestTest {};

enum class Workers { kSpinning, kParked, kBlocked, kExecuting };

/// Brings a group into the state and reports it; returns with calls in flight.
struct Victim {
  Victim(Workers state, const SharedBoard& board)
      : rig({.concurrency = 2,
             .spin_us = state == Workers::kSpinning ? unsigned{FLEXSC_MAX_SPIN_US} : 0U}) {
    REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
    if (state == Workers::kBlocked) waiters.emplace(rig.client, 0, 8);
    board->stage = 1;
    if (state == Workers::kExecuting) {
      std::thread([this] {
        for (;;) (void)rig.client.run(SYS_getppid);
      }).detach();
    }
  }
  Rig rig;
  std::optional<Waiters> waiters;
};

constexpr std::array kStates = {Workers::kSpinning, Workers::kParked, Workers::kBlocked,
                                Workers::kExecuting};

TEST_F(Death, KilledFiftyTimes) {
  for (unsigned i = 0; i < 50; ++i) {
    const SharedBoard board;
    Child child([&] {
      const Victim victim(kStates[i % kStates.size()], board);
      std::this_thread::sleep_for(kLong);
    });
    ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
    child.kill(SIGKILL);
    ASSERT_EQ(child.join(), "signal 9") << "round " << i;
  }
}

// At any moment of set-up.
TEST_F(Death, KilledWhileSettingUp) {
  for (int i = 0; i < 50; ++i) {
    Child child([] {
      for (;;) {
        const Rig rig({.concurrency = 2}, 4);
        (void)rig.client.run(SYS_getppid);
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    child.kill(SIGKILL);
    ASSERT_EQ(child.join(), "signal 9") << "after " << i << " ms";
  }
}

TEST_F(Death, ExitGroupWithCallsInFlight) {
  for (unsigned i = 0; i < 20; ++i) {
    const SharedBoard board;
    EXPECT_EQ(in_child([&] {
                const Victim victim(kStates[i % kStates.size()], board);
                ::_exit(42);
              }),
              "exit 42");
  }
}

TEST_F(Death, ExitGroupFromAnotherThread) {
  for (unsigned i = 0; i < 8; ++i) {
    const SharedBoard board;
    EXPECT_EQ(in_child([&] {
                const Victim victim(kStates[i % kStates.size()], board);
                std::thread([] { ::_exit(43); }).detach();
                std::this_thread::sleep_for(kLong);
              }),
              "exit 43");
  }
}

// A core dump waits until every thread has come to rest; workers have to.
TEST_F(Death, SegmentationFaultWithCoreDump) {
  ::mkdir("/tmp", 01777);
  const std::string place = "/tmp/flexsc-core-" + std::to_string(::getpid());
  ::mkdir(place.c_str(), 0700);
  for (const Workers state : kStates) {
    const SharedBoard board;
    EXPECT_EQ(in_child(
                  [&] {
                    REQUIRE_EQ(::chdir(place.c_str()), 0);
                    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
                    ::setrlimit(RLIMIT_CORE, &unlimited);
                    ::signal(SIGSEGV, SIG_DFL);
                    const Victim victim(state, board);
                    ::raise(SIGSEGV);
                  },
                  120s),
              "signal 11");
  }
  ::unlink((place + "/core").c_str());
  ::rmdir(place.c_str());
}

// The buffers of calls in flight are unmapped with the process; workers must be out before that.
TEST_F(Death, DyingParentOfRunningReads) {
  for (int i = 0; i < 10; ++i) {
    const SharedBoard board;
    const Pipe pipe = make_pipe();
    Child child([&] {
      const Rig rig;
      char byte = 0;
      wait_in_read(rig.client, 0, 0, pipe, &byte);
      board->stage = 1;
      std::this_thread::sleep_for(kLong);
    });
    ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
    // Data and death at once.
    std::jthread killer([&] { child.kill(SIGKILL); });
    put(pipe.writer, "x");
    killer.join();
    ASSERT_EQ(child.join(), "signal 9");
  }
}

}  // namespace
}  // namespace flexsc_guest
