// SPDX-License-Identifier: MIT
// FLEXSC_CMD_WAIT and FLEXSC_CMD_NOTIFY.
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Wait : public GuestTest {};

/// A thread that makes one call and tells its thread id first.
template <class F>
struct Caller {
  explicit Caller(F body)
      : thread([this, body] {
          tid = ::gettid();
          result = body();
        }) {
    while (tid == 0) std::this_thread::yield();
  }
  std::atomic<pid_t> tid{0};
  std::atomic<long> result{0};
  std::jthread thread;
};

TEST_F(Wait, ZeroReturnsAtOnceWithTheCount) {
  const Rig rig;
  EXPECT_EQ(rig.client.wait(0, -1ns), 0);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  rig.client.post(0, 3, call(SYS_getppid));
  rig.client.post(0, 9, call(SYS_getppid));
  ASSERT_TRUE(eventually([&] { return rig.client.completions() == 2; }));
  EXPECT_EQ(rig.client.wait(0, -1ns), 2);
}

TEST_F(Wait, AnySomeAll) {
  const Rig rig({}, 2);
  for (unsigned bit = 0; bit < 64; ++bit) {
    rig.client.fill(0, bit, call(SYS_getppid));
    rig.client.fill(1, bit, call(SYS_getppid));
  }
  ASSERT_EQ(rig.client.submit(0, 1), 0);
  EXPECT_EQ(rig.client.wait(1, -1ns), 1);
  ASSERT_EQ(rig.client.submit(0, 0xfe), 0);
  EXPECT_GE(rig.client.wait(5, -1ns), 5);
  EXPECT_EQ(rig.client.wait(8, -1ns), 8);
  ASSERT_EQ(rig.client.submit(0, ~__u64{0xff}), 0);
  ASSERT_EQ(rig.client.submit(1, ~__u64{0}), 0);
  EXPECT_EQ(rig.client.wait(128, -1ns), 128);
}

TEST_F(Wait, MoreThanThereAreEntriesIsInvalid) {
  const Rig rig({}, 2);
  EXPECT_EQ(rig.client.wait(129, 0ns), -EINVAL);
  EXPECT_EQ(rig.client.wait(0xffff, 0ns), -EINVAL);
  EXPECT_EQ(rig.client.wait(128, 0ns), 0);
}

TEST_F(Wait, TimeoutReturnsTheCount) {
  const Rig rig;
  EXPECT_EQ(rig.client.wait(1, 0ns), 0);
  EXPECT_EQ(rig.client.wait(1, 1ns), 0);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(rig.client.wait(1, 50ms), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - before, 50ms) << "never early";
  rig.client.post(0, 0, call(SYS_getppid));
  ASSERT_EQ(rig.client.wait(1, -1ns), 1);
  EXPECT_EQ(rig.client.wait(2, 10ms), 1);
}

TEST_F(Wait, LongestTimeoutIsNotShort) {
  const Rig rig;
  Caller waiter(
      [&] { return rig.client.wait(1, std::chrono::microseconds(FLEXSC_WAIT_FOREVER - 1)); });
  ASSERT_TRUE(asleep(waiter.tid));
  rig.client.post(0, 0, call(SYS_getppid));
  waiter.thread.join();
  EXPECT_EQ(waiter.result, 1);
}

TEST_F(Wait, CompletionWakesASleeper) {
  const Rig rig({.spin_us = 0});
  const Pipe pipe = make_pipe();
  char byte = 0;
  for (int i = 0; i < 50; ++i) {
    wait_in_read(rig.client, 0, 0, pipe, &byte);
    Caller waiter([&] { return rig.client.wait(1, -1ns); });
    if (i % 2 == 0) {
      ASSERT_TRUE(asleep(waiter.tid));
    }
    put(pipe.writer, "x");
    waiter.thread.join();
    ASSERT_EQ(waiter.result, 1);
    ASSERT_EQ(rig.client.take(0, 0), 1);
  }
}

// Completed in the same claim as a call that blocks: the waiter must not wait for that one too.
TEST_F(Wait, CompletionBeforeABlockedCallWakesASleeper) {
  const Rig rig({.concurrency = 1});
  const Pipe pipe = make_pipe();
  char byte = 0;
  for (int i = 0; i < 50; ++i) {
    rig.client.fill(0, 0, call(SYS_getppid));
    rig.client.fill(0, 1, call(SYS_read, pipe.reader.get(), &byte, 1));
    Caller waiter([&] { return rig.client.wait(1, -1ns); });
    ASSERT_TRUE(asleep(waiter.tid));
    rig.client.submit(0, 3);
    waiter.thread.join();
    ASSERT_EQ(waiter.result, 1);
    ASSERT_EQ(rig.client.completed(0), 1U);
    put(pipe.writer, "x");
    ASSERT_EQ(rig.client.await(0, 1), 1);
    ASSERT_EQ(rig.client.take(0, 0), ::getppid());
  }
}

TEST_F(Wait, WaiterForSomeIsNotHappyWithFewer) {
  const Rig rig;
  Pipe pipe = make_pipe();
  std::array<char, 3> bytes{};
  for (unsigned bit = 0; bit < 3; ++bit) wait_in_read(rig.client, 0, bit, pipe, &bytes[bit]);
  Caller waiter([&] { return rig.client.wait(3, -1ns); });
  ASSERT_TRUE(asleep(waiter.tid));
  put(pipe.writer, "a");
  ASSERT_TRUE(eventually([&] { return rig.client.completions() == 1; }));
  put(pipe.writer, "b");
  ASSERT_TRUE(eventually([&] { return rig.client.completions() == 2; }));
  EXPECT_EQ(waiter.result, 0) << "still waiting";
  put(pipe.writer, "c");
  waiter.thread.join();
  EXPECT_EQ(waiter.result, 3);
}

TEST_F(Wait, NotifyEndsAWait) {
  const Rig rig;
  Caller waiter([&] { return rig.client.wait(1, -1ns) + 100; });
  ASSERT_TRUE(asleep(waiter.tid));
  EXPECT_EQ(rig.client.notify(), 0);
  waiter.thread.join();
  EXPECT_EQ(waiter.result, 100);
}

// Sticky: a NOTIFY between the caller's decision to wait and the WAIT itself is not lost.
TEST_F(Wait, NotifyWithoutAWaiterEndsTheNextWaitOnly) {
  const Rig rig;
  EXPECT_EQ(rig.client.notify(), 0);
  EXPECT_EQ(rig.client.notify(), 0);
  EXPECT_EQ(rig.client.wait(1, -1ns), 0);
  EXPECT_EQ(rig.client.wait(1, 20ms), 0) << "and one is enough for one";
  const Client other(rig.group);
  EXPECT_EQ(rig.client.notify(), 0);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(other.wait(1, 30ms), 0) << "of another client";
  EXPECT_GE(std::chrono::steady_clock::now() - before, 30ms);
}

TEST_F(Wait, NotifyIsNeverLost) {
  const Rig rig;
  std::atomic<long> notified{0};
  constexpr long kRounds = 5'000;
  Caller waiter([&] {
    for (long seen = 0; seen < kRounds;) {
      const long result = rig.client.wait(1, -1ns);
      if (result != 0) return result;
      seen = notified;
    }
    return 0L;
  });
  for (long i = 1; i <= kRounds; ++i) {
    notified = i;
    ASSERT_EQ(rig.client.notify(), 0);
  }
  waiter.thread.join();
  EXPECT_EQ(waiter.result, 0);
}

TEST_F(Wait, SignalInterrupts) {
  const Rig rig;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;  // WAIT is not restarted all the same: its timeout is relative
  ::sigaction(SIGUSR1, &action, &before);
  Caller waiter([&] { return rig.client.wait(1, -1ns); });
  ASSERT_TRUE(asleep(waiter.tid));
  ::pthread_kill(waiter.thread.native_handle(), SIGUSR1);
  waiter.thread.join();
  EXPECT_EQ(waiter.result, -EINTR);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(Wait, StoppedGroupEndsTheWait) {
  Rig rig;
  Caller waiter([&] { return rig.client.wait(1, -1ns); });
  ASSERT_TRUE(asleep(waiter.tid));
  rig.group.close();
  waiter.thread.join();
  EXPECT_EQ(waiter.result, -ESHUTDOWN);
  EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_CLOSED});
  EXPECT_EQ(rig.client.wait(1, -1ns), -ESHUTDOWN);
}

TEST_F(Wait, ResultsCanBeTakenAfterTheGroupStopped) {
  Rig rig;
  rig.client.post(0, 5, call(SYS_getppid));
  ASSERT_EQ(rig.client.wait(1, -1ns), 1);
  rig.group.close();
  EXPECT_EQ(rig.client.wait(1, -1ns), 1);
  EXPECT_EQ(rig.client.wait(2, -1ns), 1) << "more will never come";
  EXPECT_EQ(rig.client.take(0, 5), ::getppid());
  EXPECT_EQ(rig.client.wait(1, -1ns), -ESHUTDOWN);
}

}  // namespace
}  // namespace flexsc_guest
