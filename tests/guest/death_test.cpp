// SPDX-License-Identifier: MIT
// Processes that die with workers in every state. Every one must be gone, with the status it died
// with, within a bounded time.
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

/// What a process is in the middle of, for ever; it writes a byte to said when it has got there.
struct Stage {
  const char* name;
  void (*reach)(const Fd& said);
};

/// Entries 0 and 1: a byte to the parent, then a call that does not end.
void post_for_ever(const Client& client, const Fd& said, unsigned queue) {
  static Pipe silent = make_pipe();
  static pollfd never{silent.reader.get(), POLLIN, 0};
  client.fill(0, 0, call(SYS_write, said.get(), "s", 1));
  client.fill(0, 1, call(SYS_poll, &never, 1, -1));
  client.submit(0, 3, queue);
}

constexpr std::array kStages = {
    Stage{"a flush, asleep in a call",
          [](const Fd& said) {
            const Rig rig;
            post_for_ever(rig.client, said, FLEXSC_QUEUE_FLUSH);
            rig.client.flush();
          }},
    Stage{"flushes of many calls",
          [](const Fd& said) {
            const Rig rig({}, 16);
            for (unsigned i = 0; i < 1024; ++i) rig.client.fill(i / 64, i % 64, call(SYS_getppid));
            for (bool first = true;; first = false) {
              for (unsigned page = 0; page < 16; ++page) {
                rig.client.set(page, ~__u64{0}, FLEXSC_QUEUE_FLUSH);
              }
              rig.client.flush();
              if (first) put(said, "s");
            }
          }},
    Stage{"a wait",
          [](const Fd& said) {
            const Rig rig;
            post_for_ever(rig.client, said, 0);
            rig.client.wait(64, -1ns);
          }},
    Stage{"a wait that helps, with calls armed",
          [](const Fd& said) {
            const Rig rig = sleeping_rig();
            const Waiters waiters(rig.client, 10, 4);
            post_for_ever(rig.client, said, 0);
            rig.client.wait(64, -1ns, FLEXSC_WAIT_HELP);
          }},
    Stage{"an adaptive wait",
          [](const Fd& said) {
            const Rig rig;
            post_for_ever(rig.client, said, 0);
            while (rig.client.wait(64, -1ns, FLEXSC_WAIT_ADAPTIVE) >= 0)
              (void)rig.client.take(0, 0);
          }},
    Stage{"chains that repeat",
          [](const Fd& said) {
            const Rig rig;
            for (bool first = true;; first = false) {
              const std::array<Call, 2> loop = {call(SYS_getppid),
                                                call(SYS_getppid).with(FLEXSC_ENTRY_REPEAT)};
              (void)run_chain(rig.client, By::kWorker, loop);
              if (first) put(said, "s");
            }
          }},
    Stage{"calls with a deadline",
          [](const Fd& said) {
            const Rig rig;
            const Pipe pipe = make_pipe();
            char byte = 0;
            for (unsigned bit = 0; bit < 32; ++bit) {
              rig.client.post(0, bit,
                              call(SYS_read, pipe.reader.get(), &byte, 1).until(from_now(1h)));
            }
            post_for_ever(rig.client, said, 0);
            rig.client.wait(64, -1ns);
          }},
    Stage{"cancels",
          [](const Fd& said) {
            const Rig rig({.concurrency = 2});
            const Pipe pipe = make_pipe();
            char byte = 0;
            for (bool first = true;; first = false) {
              rig.client.post(0, 5, call(SYS_read, pipe.reader.get(), &byte, 1));
              (void)rig.client.cancel(0, 5);
              (void)rig.client.await(0, 5);
              if (first) put(said, "s");
            }
          }},
    Stage{"changes of a pool",
          [](const Fd& said) {
            const Rig rig({.concurrency = 2, .spin_us = 100});
            const Waiters waiters(rig.client, 10, 4);
            for (unsigned i = 0;; ++i) {
              (void)rig.group.update_pool(0, {.concurrency = 1 + i % 4, .spin_us = i % 3 * 100});
              (void)rig.client.run(SYS_getppid);
              if (i == 0) put(said, "s");
            }
          }},
};

TEST_F(Death, KilledAtEveryStage) {
  for (const Stage& stage : kStages) {
    for (int i = 0; i < 5; ++i) {
      const Pipe pipe = make_pipe();
      Child child([&] { stage.reach(pipe.writer); });
      ASSERT_TRUE(eventually([&] { return readable(pipe.reader) > 0; })) << stage.name;
      std::this_thread::sleep_for(std::chrono::milliseconds(i));
      child.kill(SIGKILL);
      ASSERT_EQ(child.join(), "signal 9") << "in " << stage.name;
    }
  }
}

// The same, by one of its own threads, which says how it ended.
TEST_F(Death, ExitGroupAtEveryStage) {
  for (const Stage& stage : kStages) {
    const Pipe pipe = make_pipe();
    EXPECT_EQ(in_child([&] {
                std::thread([&] {
                  eventually([&] { return readable(pipe.reader) > 0; });
                  ::_exit(44);
                }).detach();
                stage.reach(pipe.writer);
              }),
              "exit 44")
        << "in " << stage.name;
  }
}

}  // namespace
}  // namespace flexsc_guest
