// SPDX-License-Identifier: MIT
/// Description: a wait lasts until as much is complete as its policy says, and a channel that
/// helps executes what is posted in the wait, without a doorbell.
#include <algorithm>
#include <atomic>
#include <thread>

#include "support.hpp"

namespace flexsc::test {
namespace {

constexpr std::chrono::hours kLong{1};

/// Pipes, and a read posted on each; the token of a read is its pipe's number.
struct Reads {
  Reads(Channel& channel, std::size_t count) : pipes(count), bytes(count) {
    for (std::size_t i = 0; i < count; ++i) {
      const Call call = make_call(SYS_read, pipes[i].reader(), &bytes[i], 1);
      EXPECT_TRUE(channel.post(call, token(i)));
    }
  }
  void feed(std::size_t first, std::size_t end) const {
    for (std::size_t i = first; i < end; ++i) EXPECT_EQ(write(pipes[i].writer(), "x", 1), 1);
  }

  std::vector<Pipe> pipes;
  std::vector<char> bytes;
};

std::size_t reap_some(Channel& channel) {
  std::array<Completion, 64> out;
  const std::size_t count = channel.reap(out);
  for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(out[i].result, 1);
  return count;
}

class WaitTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, WaitTest, worker_engines(), name_of);

TEST_P(WaitTest, NoneDoesNotWait) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Reads reads(*channel, 3);
  channel->wait(WaitPolicy::none(), kForever);
  EXPECT_EQ(reap_some(*channel), 0U);
  reads.feed(0, 3);
  EXPECT_EQ(drain(*channel).size(), 3U);
}

TEST_P(WaitTest, AnyAndAdaptiveEndWithTheFirst) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (const WaitPolicy& policy : {WaitPolicy::any(), WaitPolicy::adaptive()}) {
    const Reads reads(*channel, 3);
    std::thread feeder([&] { reads.feed(1, 2); });
    channel->wait(policy, kForever);
    EXPECT_EQ(reap_some(*channel), 1U);
    feeder.join();
    reads.feed(0, 1);
    reads.feed(2, 3);
    EXPECT_EQ(drain(*channel).size(), 2U);
  }
}

TEST_P(WaitTest, SomeWaitsForThatMany) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < 20; ++round) {
    const Reads reads(*channel, 4);
    std::thread feeder([&] {
      reads.feed(0, 1);
      std::this_thread::yield();
      reads.feed(1, 3);
    });
    channel->wait(WaitPolicy::some(3, kLong), kForever);
    EXPECT_EQ(reap_some(*channel), 3U);
    feeder.join();
    reads.feed(3, 4);
    EXPECT_EQ(drain(*channel).size(), 1U);
  }
}

TEST_P(WaitTest, SomeIsNeverMoreThanWhatIsInFlight) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Reads reads(*channel, 2);
  reads.feed(0, 2);
  channel->wait(WaitPolicy::some(50, kLong), kForever);
  EXPECT_EQ(reap_some(*channel), 2U);
}

TEST_P(WaitTest, SomeEndsWithItsPatience) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Reads reads(*channel, 3);
  reads.feed(0, 1);
  channel->wait(WaitPolicy::some(3, std::chrono::milliseconds(1)), kForever);  // or for ever
  reads.feed(1, 3);
  EXPECT_EQ(drain(*channel).size(), 3U);
}

TEST_P(WaitTest, AllWaitsForEverything) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < 20; ++round) {
    const Reads reads(*channel, 70);
    std::thread feeder([&] {
      reads.feed(0, 69);
      std::this_thread::yield();
      reads.feed(69, 70);
    });
    channel->wait(WaitPolicy::all(), kForever);
    const std::size_t first = reap_some(*channel);
    EXPECT_EQ(first + reap_some(*channel), 70U);
    feeder.join();
  }
}

TEST_P(WaitTest, WithNothingInFlightEveryPolicyWaitsForNotify) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (const WaitPolicy& policy :
       {WaitPolicy::any(), WaitPolicy::some(3, kLong), WaitPolicy::all(), WaitPolicy::adaptive()}) {
    const auto waits = channel->stats().waits;
    std::thread notifier([&] { channel->notify(); });
    channel->wait(policy, kForever);
    notifier.join();
    EXPECT_EQ(channel->stats().waits, waits + 1);
  }
}

// One wait stands for all that came before it. Found by ThreadSanitizer alone, as the threads are
// given their order by what orders nothing else.
TEST_P(WaitTest, WhatIsDoneBeforeAnyNotifyIsSeenAfterTheWait) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  std::atomic<int> turn{0};
  const auto await = [&turn](int wanted) {
    while (turn.load(std::memory_order_relaxed) != wanted) std::this_thread::yield();
  };
  int done = 0;
  std::thread first([&] {
    done = 1;
    channel->notify();
    turn.store(1, std::memory_order_relaxed);
  });
  std::thread second([&] {
    await(1);
    channel->notify();
    turn.store(2, std::memory_order_relaxed);
  });
  await(2);
  channel->wait(WaitPolicy::any(), kForever);
  EXPECT_EQ(done, 1);
  first.join();
  second.join();
}

class HelpTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    options.help = Help::always;
    options.spin = std::chrono::microseconds(0);
  }
};
INSTANTIATE_TEST_SUITE_P(, HelpTest, testing::Values(EngineKind::kernel), name_of);

TEST_P(HelpTest, PostingAndWaitingIsOneCrossing) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  ASSERT_TRUE(channel->helps());
  for (int round = 1; round <= 100; ++round) {
    for (std::uintptr_t i = 0; i < 40; ++i) {
      ASSERT_TRUE(channel->post(make_call(SYS_getppid), token(i)));
    }
    channel->wait(WaitPolicy::all(), kForever);
    std::array<Completion, 64> out;
    EXPECT_EQ(channel->reap(out), 40U);
    EXPECT_EQ(channel->stats().waits, static_cast<std::uint64_t>(round));
  }
  EXPECT_EQ(channel->stats().doorbells, 0U);
  // A worker that has just been made looks for a moment before it sleeps.
  EXPECT_LT(engine->stats().executed, 2000U) << "by a worker";
}

TEST_P(HelpTest, CallsThatSleepAreLeftToTheWorkers) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const timespec moment{.tv_sec = 0, .tv_nsec = 1000000};
  ASSERT_TRUE(channel->post(make_call(SYS_nanosleep, &moment, nullptr), token(1)));
  ASSERT_TRUE(channel->post(nop(), token(2)));
  channel->wait(WaitPolicy::all(), kForever);
  std::array<Completion, 4> out;
  EXPECT_EQ(channel->reap(out), 2U);
  EXPECT_GE(executed(*engine, 1), 1U);
}

TEST_P(HelpTest, WaitsThatEndAtOnceExecuteWhatIsPosted) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  ASSERT_TRUE(channel->post(nop(), token(1)));
  // A call of the carrier's own is complete without a wait, every time.
  for (int others = 0;; ++others) {
    ASSERT_LT(others, 10) << "they keep the first call from ever being executed";
    ASSERT_TRUE(channel->post(make_call(SYS_gettid), token(2)));
    channel->wait(kForever);
    std::array<Completion, 4> out;
    const auto end = out.begin() + static_cast<std::ptrdiff_t>(channel->reap(out));
    if (std::any_of(out.begin(), end,
                    [](const Completion& each) { return each.token == token(1); })) {
      break;
    }
  }
}

TEST_P(HelpTest, WhoNeverWaitsSubmits) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(channel->post(nop(), nullptr));
    channel->submit();
    Completion one;
    while (channel->reap({&one, 1}) == 0) std::this_thread::yield();
    ASSERT_EQ(one.result, -ENOSYS);
  }
  EXPECT_EQ(channel->stats().waits, 0U);
}

}  // namespace
}  // namespace flexsc::test
