// SPDX-License-Identifier: MIT
// What ends a chain from outside, and chains that wait.
#include <pthread.h>
#include <sys/eventfd.h>

#include <csignal>
#include <thread>

#include "modes.hpp"

namespace flexsc_guest {
namespace {

/// A chain that goes on for as long as it may, and says that it has begun.
class Loop {
 public:
  explicit Loop(const Client& client) : client_(client) {
    const std::array<Call, 2> calls = {call(SYS_write, begun_.get(), &one_, 8),
                                       call(FLEXSC_NR_NOP).with(kGoOn | kRepeat)};
    client.fill_chain(0, 0, calls);
  }
  [[nodiscard]] bool begins() const {
    return eventually([this] {
      __u64 rounds = 0;
      return ::read(begun_.get(), &rounds, sizeof rounds) == sizeof rounds;
    });
  }
  void start_in_worker() const { REQUIRE_EQ(client_.submit(0, 1), 0); }
  [[nodiscard]] bool done() const { return (client_.completed(0) & 3) == 3; }
  [[nodiscard]] Results results() const { return {client_.take(0, 0), client_.take(0, 1)}; }

 private:
  const Client& client_;
  Fd begun_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  __u64 one_ = 1;
};

/// Has it executed in this thread, or waits for the worker, until it is complete.
void carry(const Client& client, By by) {
  if (by == By::kFlush) {
    client.set(0, 1, FLEXSC_QUEUE_FLUSH);
    client.flush();
  } else {
    if (by == By::kHelp) {
      client.set(0, 1);
    } else {
      client.submit(0, 1);
    }
    while ((client.completed(0) & 3) != 3) {
      client.wait(2, 1s, by == By::kHelp ? FLEXSC_WAIT_HELP : 0);
    }
  }
}

class ChainEnd : public ModesTest {};
FLEXSC_IN_ALL_MODES(ChainEnd);

TEST_P(ChainEnd, RoundsAreBounded) {
  const Rig rig = make_rig();
  EXPECT_EQ(run_one(rig, call(FLEXSC_NR_NOP).with(kGoOn | kRepeat)), -ELOOP);
}

TEST_P(ChainEnd, CancelStopsALoop) {
  const Rig rig = make_rig();
  const Loop loop(rig.client);
  std::jthread carrier([&] { carry(rig.client, GetParam()); });
  ASSERT_TRUE(loop.begins());
  EXPECT_EQ(rig.client.cancel(0, 0), 1);
  ASSERT_TRUE(eventually([&] { return loop.done(); }));
  carrier.join();
  const Results results = loop.results();
  EXPECT_TRUE(results[0] == -ECANCELED || results[1] == -ECANCELED)
      << results[0] << ", " << results[1];
  EXPECT_EQ(rig.client.cancel(0, 0), -ENOENT);
  EXPECT_EQ(run(rig, {call(SYS_getppid)}), Results{::getppid()});
}

TEST_P(ChainEnd, DeadlineStopsALoop) {
  const Rig rig = make_rig();
  const Loop loop(rig.client);
  rig.client.entry(0, 0).flags |= FLEXSC_ENTRY_DEADLINE;
  rig.client.entry(0, 0).result = from_now(50ms);
  carry(rig.client, GetParam());
  const Results results = loop.results();
  EXPECT_TRUE(results[0] == -ETIME || results[1] == -ETIME) << results[0] << ", " << results[1];
}

TEST_P(ChainEnd, DeathStopsALoop) {
  const SharedBoard board;
  Child child([&] {
    const Rig rig = make_rig();
    const Loop loop(rig.client);
    std::thread([&] {
      if (loop.begins()) board->stage = 1;
    }).detach();
    carry(rig.client, GetParam());
  });
  ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
  child.kill(SIGKILL);
  EXPECT_EQ(child.join(), "signal 9");
}

TEST_P(ChainEnd, StoppedGroupStopsALoop) {
  Rig rig = make_rig();
  const Loop loop(rig.client);
  std::jthread carrier([&] {
    // WAIT may say that the group stopped before the chain has ended.
    carry(rig.client, GetParam());
  });
  ASSERT_TRUE(loop.begins());
  rig.group.close();
  EXPECT_TRUE(eventually([&] { return loop.done(); }));
  carrier.join();
  EXPECT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
}

// It holds no worker: others go on.
TEST_P(ChainEnd, MemberThatWaitsIsArmed) {
  if (GetParam() == By::kFlush) GTEST_SKIP() << "a flush waits itself";
  const Rig rig({.concurrency = 1, .standby_max = 0, .spin_us = 0}, 4);
  const Pipe sink = make_pipe();
  std::vector<Pipe> pipes;
  std::array<char, 63> bytes{};
  for (unsigned i = 0; i < 63; ++i) {
    pipes.push_back(make_pipe());
    const unsigned place = i * 3;
    const std::array<Call, 3> chain = {call(SYS_getppid),
                                       call(SYS_read, pipes[i].reader.get(), &bytes[i], 1),
                                       call(SYS_write, sink.writer.get(), &bytes[i], ResultOf{1})};
    rig.client.fill_chain(1 + place / 63, place % 63, chain);
    rig.client.set(1 + place / 63, __u64{1} << place % 63);
  }
  const unsigned flags = GetParam() == By::kHelp ? FLEXSC_WAIT_HELP : 0;
  if (GetParam() == By::kWorker) {
    EXPECT_EQ(rig.client.doorbell(), 0);
  } else {
    EXPECT_EQ(rig.client.wait(1, 1us, flags), 0);
  }
  ASSERT_TRUE(eventually([&] { return rig.group.stats().waiting == 63; }))
      << rig.group.stats().waiting;
  EXPECT_LE(rig.group.stats().workers, 1U);
  EXPECT_EQ(rig.client.completions(), 0U);
  EXPECT_EQ(run(rig, {call(SYS_getppid)}), Results{::getppid()});
  for (unsigned i = 0; i < 63; ++i) {
    put(pipes[i].writer, "x");
    const unsigned place = i * 3;
    const unsigned page = 1 + place / 63;
    EXPECT_EQ(rig.client.await(page, place % 63, flags), ::getppid());
    EXPECT_EQ(rig.client.await(page, place % 63 + 1, flags), 1);
    EXPECT_EQ(rig.client.await(page, place % 63 + 2, flags), 1);
  }
  EXPECT_EQ(drain(sink), std::string(63, 'x'));
  EXPECT_EQ(rig.group.stats().waiting, 0U);
}

// A relay: read what comes and write it on, until the writer has gone. Every round waits.
TEST_P(ChainEnd, RepeatsThroughWaits) {
  const Rig rig = make_rig();
  Pipe source = make_pipe();
  const Pipe sink = make_pipe();
  std::array<char, 64> buffer{};
  std::jthread feeder([writer = std::move(source.writer)] {
    for (int i = 0; i < 200; ++i) {
      put(writer, "seven..");
      if (i % 10 == 0) std::this_thread::sleep_for(1ms);
    }
  });
  const Results results =
      run(rig, {call(SYS_read, source.reader.get(), buffer.data(), 7)
                    .with(FLEXSC_ENTRY_END_ON_ZERO | FLEXSC_ENTRY_SUM),
                call(SYS_write, sink.writer.get(), buffer.data(), ResultOf{0})
                    .with(FLEXSC_ENTRY_SUM | FLEXSC_ENTRY_END_ON_SHORT | kRepeat)});
  EXPECT_EQ(results, (Results{1400, 1400}));
  const std::string relayed = drain(sink);
  ASSERT_EQ(relayed.size(), 1400U);
  for (std::size_t i = 0; i < relayed.size(); i += 7) ASSERT_EQ(relayed.substr(i, 7), "seven..");
}

class ChainSignal : public GuestTest {};

TEST_F(ChainSignal, StopsALoopingFlush) {
  static std::atomic<int> handled;
  handled = 0;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { ++handled; };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR1, &action, &before);
  const Rig rig({.spin_us = 0});
  const Loop loop(rig.client);
  rig.client.fill(0, 2, call(SYS_getppid));
  const pthread_t target = ::pthread_self();
  std::jthread signaller([&] {
    if (loop.begins()) ::pthread_kill(target, SIGUSR1);
  });
  rig.client.set(0, 5, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(rig.client.flush(), 1) << "a chain counts once, and what follows stays posted";
  EXPECT_EQ(handled, 1);
  ASSERT_TRUE(loop.done());
  EXPECT_EQ(loop.results(), (Results{8, -EINTR}));
  EXPECT_EQ(rig.client.submitted(0, FLEXSC_QUEUE_FLUSH), 4U);
  EXPECT_EQ(rig.client.flush(), 1);
  EXPECT_EQ(rig.client.take(0, 2), ::getppid());
  ::sigaction(SIGUSR1, &before, nullptr);
}

// In a worker no handler runs: signals of the process do not end the chain.
TEST_F(ChainSignal, LeavesAWorkersLoopAlone) {
  static std::atomic<int> handled;
  handled = 0;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { ++handled; };
  ::sigaction(SIGUSR1, &action, &before);
  const Rig rig({.spin_us = 0});
  const Loop loop(rig.client);
  loop.start_in_worker();
  ASSERT_TRUE(loop.begins());
  for (int i = 0; i < 5; ++i) {
    ::kill(::getpid(), SIGUSR1);
    for (const pid_t worker : workers_of(::getpid())) {
      direct(SYS_tgkill, ::getpid(), worker, SIGUSR1);
    }
  }
  EXPECT_TRUE(eventually([] { return handled > 0; }));
  EXPECT_FALSE(loop.done());
  EXPECT_EQ(rig.client.cancel(0, 0), 1);
  EXPECT_TRUE(eventually([&] { return loop.done(); }));
  ::sigaction(SIGUSR1, &before, nullptr);
}

// A loop does not keep the worker for itself: other calls of the pool are made meanwhile.
TEST_F(ChainSignal, LoopSharesItsWorker) {
  const Rig rig({.concurrency = 1, .standby_max = 0, .spin_us = 0});
  const Loop loop(rig.client);
  loop.start_in_worker();
  ASSERT_TRUE(loop.begins());
  for (unsigned i = 0; i < 20; ++i) {
    rig.client.post(0, 8, call(SYS_getppid));
    ASSERT_EQ(rig.client.await(0, 8), ::getppid());
  }
  EXPECT_FALSE(loop.done()) << "they were made after it had ended";
  EXPECT_EQ(rig.client.cancel(0, 0), 1);
  EXPECT_TRUE(eventually([&] { return loop.done(); }));
}

}  // namespace
}  // namespace flexsc_guest
