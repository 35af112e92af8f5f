// SPDX-License-Identifier: MIT
// Waiting for a file holds no worker, whatever the file and the call.
#include <thread>

#include "process.hpp"
#include "waitable.hpp"

namespace flexsc_guest {
namespace {

class Arming : public GuestTest, public testing::WithParamInterface<int> {
 protected:
  static Kind kind() { return static_cast<Kind>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Kind, Arming, testing::Range(0, kKinds),
                         [](const auto& param) { return name_of(static_cast<Kind>(param.param)); });

TEST_P(Arming, HoldsNoWorker) {
  const Rig rig = lone_worker();
  const Waitable waitable(kind());
  rig.client.post(0, 5, waitable.made());
  ASSERT_TRUE(waits(rig, 1));
  for (int i = 0; i < 10; ++i) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_FALSE(rig.client.done(0, 5));
  EXPECT_EQ(workers_of(::getpid()).size(), 1U);
  waitable.make_ready();
  EXPECT_PRED1([&](long result) { return waitable.is_right(result); }, rig.client.await(0, 5));
  const flexsc_stats stats = rig.group.stats();
  EXPECT_EQ(stats.waiting, 0U);
  EXPECT_GE(stats.armed, 1U);
  EXPECT_EQ(stats.blocked, 0U);
}

TEST_P(Arming, ReadyFileIsNotWaitedFor) {
  const Rig rig = lone_worker();
  const Waitable waitable(kind());
  waitable.make_ready();
  if (kind() == Kind::kTimerfdRead) std::this_thread::sleep_for(10ms);
  EXPECT_PRED1([&](long result) { return waitable.is_right(result); },
               rig.client.run(waitable.made()));
  EXPECT_EQ(rig.group.stats().armed, 0U);
}

TEST_P(Arming, NonBlockingFileSaysSo) {
  const Rig rig = lone_worker();
  const Waitable waitable(kind());
  ASSERT_EQ(::fcntl(waitable.fd(), F_SETFL, ::fcntl(waitable.fd(), F_GETFL) | O_NONBLOCK), 0);
  EXPECT_EQ(rig.client.run(waitable.made()), -EAGAIN);
  EXPECT_EQ(rig.group.stats().armed, 0U);
}

// The event comes before, while and after the call looks at the file.
TEST_P(Arming, RacesWithTheEvent) {
  const Rig rig({.concurrency = 2, .spin_us = 50});
  const Waitable waitable(kind());
  std::atomic<int> round{0};
  constexpr int kRounds = 40;
  std::jthread other([&](const std::stop_token& stop) {
    for (int i = 1; i <= kRounds; ++i) {
      while (round < i && !stop.stop_requested()) std::this_thread::yield();
      if (stop.stop_requested()) return;
      for (int spin = 0; spin < i % 8 * 500; ++spin)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      waitable.make_ready();
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    rig.client.fill(0, 0, waitable.made());
    round = i;
    rig.client.submit(0, 1);
    const long result = rig.client.await(0, 0);
    ASSERT_TRUE(waitable.is_right(result)) << result << " in round " << i;
    waitable.reset();
  }
}

TEST_P(Arming, ClosedDescriptorIsNotMistaken) {
  const Rig rig = lone_worker();
  const Waitable waitable(kind());
  rig.client.post(0, 5, waitable.made());
  ASSERT_TRUE(waits(rig, 1));
  // Another file takes its number, and it is ready.
  const Fd kept(::dup(waitable.fd()));
  const Pipe other = make_pipe();
  put(other.writer, "not for this call");
  ASSERT_EQ(::dup2(other.reader.get(), waitable.fd()), waitable.fd());
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_FALSE(rig.client.done(0, 5));
  EXPECT_EQ(rig.client.cancel(0, 5), 1);
  EXPECT_EQ(rig.client.await(0, 5), -ECANCELED);
  EXPECT_EQ(readable(other.reader), 17);
}

class ArmingTogether : public GuestTest {};

// A hundred of all kinds, all waiting at a time, for one worker.
TEST_F(ArmingTogether, ManyOfAllKinds) {
  const Rig rig = lone_worker(3);
  constexpr unsigned kMany = 100;
  std::vector<std::unique_ptr<Waitable>> waitables;
  for (unsigned i = 0; i < kMany; ++i) {
    waitables.push_back(std::make_unique<Waitable>(static_cast<Kind>(i % kKinds)));
    rig.client.post(1 + i / 64, i % 64, waitables[i]->made());
  }
  ASSERT_TRUE(waits(rig, kMany)) << rig.group.stats().waiting;
  EXPECT_EQ(rig.group.stats(FLEXSC_STATS_POOL, 0).waiting, kMany);
  const auto fd = static_cast<__u32>(rig.client.fd());
  EXPECT_EQ(rig.group.stats(FLEXSC_STATS_CLIENT, fd).waiting, kMany);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.completions(), 0U);
  EXPECT_EQ(workers_of(::getpid()).size(), 1U);
  for (unsigned i = 0; i < kMany; ++i) {
    const unsigned which = i * 37 % kMany;
    const Waitable& waitable = *waitables[which];
    waitable.make_ready();
    const long result = rig.client.await(1 + which / 64, which % 64);
    EXPECT_TRUE(waitable.is_right(result)) << name_of(static_cast<Kind>(which % kKinds)) << result;
  }
  EXPECT_EQ(rig.group.stats().waiting, 0U);
}

}  // namespace
}  // namespace flexsc_guest
