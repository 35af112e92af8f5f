// SPDX-License-Identifier: MIT
/// Description: when the workers refuse a call or stop for good, the carrier makes what
/// they did not begin, each call once, and waits for what they did begin.
#include <sys/syscall.h>

#include <cerrno>
#include <thread>

#include "fake_workers.hpp"
#include "paged_channel.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

using detail::PagedChannel;
using detail::Word;

class StopTest : public testing::Test {
 protected:
  static constexpr unsigned kQueue = 0;

  /// A call whose effect can be counted: writes one byte.
  Call tick() { return make_call(SYS_write, pipe.writer(), "t", 1); }
  /// Bytes written since the last time.
  std::size_t ticks() {
    std::array<char, 1024> bytes{};
    const long count = execute(make_call(SYS_read, pipe.reader(), bytes.data(), bytes.size()));
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  std::size_t reap() {
    const std::size_t count = channel.reap(out);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(out[i].result, 1);
    return count;
  }

  FakeWorkers workers{2};
  PagedChannel channel{std::make_unique<FakeTransport>(workers), workers.pages, 4, open_policy()};
  Pipe pipe{O_NONBLOCK};
  std::array<Completion, 128> out;
};

TEST_F(StopTest, RefusedResultsAreMadeDirectly) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(channel.post(tick(), token(7)));
  channel.submit();
  ASSERT_EQ(workers.claim(0, kQueue), Word{0xF});
  workers.complete(0, 0, -FLEXSC_E_CALLER_ONLY);
  workers.complete(0, 1, -FLEXSC_E_REFUSED);
  workers.complete(0, 2, -FLEXSC_E_STOPPED);
  workers.complete(0, 3, 1);
  EXPECT_EQ(reap(), 4U);
  EXPECT_EQ(ticks(), 3U);
  EXPECT_EQ(channel.stats().direct, 3U);
}

TEST_F(StopTest, OrdinaryErrorsAreNotMadeAgain) {
  ASSERT_TRUE(channel.post(tick(), nullptr));
  ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  ASSERT_EQ(workers.claim(0, kQueue), Word{0x3});
  workers.complete(0, 0, -ECANCELED);
  workers.complete(0, 1, -4095);
  ASSERT_EQ(channel.reap(out), 2U);
  EXPECT_EQ(out[0].result, -ECANCELED);
  EXPECT_EQ(out[1].result, -4095);
  EXPECT_EQ(ticks(), 0U);
}

TEST_F(StopTest, UnclaimedCallsAreWithdrawnAndMadeOnce) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  workers.execute_all(0, workers.claim(0, kQueue));  // 64 of them
  EXPECT_EQ(ticks(), 64U);
  workers.set_state(FLEXSC_STATE_CREDENTIALS);
  EXPECT_EQ(reap(), 100U);
  EXPECT_EQ(ticks(), 36U);
  EXPECT_EQ(channel.stats().direct, 36U);
  EXPECT_EQ(workers.claim(1, kQueue), Word{0}) << "the bits were taken back";
}

TEST_F(StopTest, ClaimedCallsStillComplete) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  const Word claimed = workers.claim(0, kQueue);
  workers.set_state(FLEXSC_STATE_CLOSED);
  EXPECT_EQ(reap(), 0U) << "they belong to the workers";
  EXPECT_EQ(ticks(), 0U);
  workers.execute_all(0, claimed);
  EXPECT_EQ(reap(), 3U);
  EXPECT_EQ(ticks(), 3U);
  EXPECT_EQ(channel.stats().direct, 0U);
}

TEST_F(StopTest, ClaimsHandedBackAfterTheStopAreMadeToo) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  const Word claimed = workers.claim(0, kQueue);
  workers.set_state(FLEXSC_STATE_SECCOMP);
  EXPECT_EQ(reap(), 0U);
  workers.execute_all(0, claimed & 1);
  workers.hand_back(0, claimed & ~Word{1}, kQueue);
  EXPECT_EQ(reap(), 3U);
  EXPECT_EQ(ticks(), 3U);
  EXPECT_EQ(channel.stats().direct, 2U);
}

TEST_F(StopTest, LaterPostsAreDirectAndNothingIsPublished) {
  workers.set_state(FLEXSC_STATE_CLOSED);
  EXPECT_EQ(reap(), 0U);
  for (int i = 0; i < 128; ++i) ASSERT_TRUE(channel.post(tick(), nullptr));
  EXPECT_FALSE(channel.post(tick(), nullptr));
  channel.submit();
  EXPECT_EQ(workers.claim(0, kQueue) | workers.claim(1, kQueue), Word{0});
  channel.wait(kForever);  // what is direct can be reaped
  EXPECT_EQ(reap(), 128U);
  EXPECT_EQ(ticks(), 128U);
  EXPECT_EQ(channel.stats().direct, 128U);
  EXPECT_EQ(workers.doorbells + workers.waits, 0U);
}

TEST_F(StopTest, AFailingDoorbellStops) {
  workers.alive = false;
  detail::set_doorbell(workers.pages.need_doorbell(kQueue), true);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  EXPECT_EQ(workers.doorbells, 1U);
  EXPECT_EQ(reap(), 20U);
  EXPECT_EQ(ticks(), 20U);
  EXPECT_EQ(channel.stats().direct, 20U);
}

TEST_F(StopTest, AFailingWaitStops) {
  workers.alive = false;
  ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.wait(kForever);
  EXPECT_EQ(workers.waits, 1U);
  EXPECT_EQ(reap(), 1U);
  EXPECT_EQ(ticks(), 1U);
}

TEST_F(StopTest, WaitAfterTheStopStillWaitsForClaimedCalls) {
  ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  const Word claimed = workers.claim(0, kQueue);
  workers.set_state(FLEXSC_STATE_CLOSED);
  workers.alive = false;
  std::thread worker([&] { workers.execute_all(0, claimed); });
  while (channel.in_flight() != 0) {
    channel.wait(kForever);
    static_cast<void>(reap());
  }
  worker.join();
  EXPECT_EQ(ticks(), 1U);
  EXPECT_EQ(channel.stats().direct, 0U);
}

TEST_F(StopTest, NotifyEndsAWaitAfterTheStop) {
  workers.set_state(FLEXSC_STATE_CLOSED);
  std::thread notifier([&] { channel.notify(); });
  channel.wait(kForever);
  notifier.join();
  channel.wait(std::chrono::milliseconds(1));
}

TEST_F(StopTest, StopBetweenPostAndSubmit) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(channel.post(tick(), nullptr));
  workers.set_state(FLEXSC_STATE_NAMESPACE);
  EXPECT_EQ(reap(), 5U);
  channel.submit();
  EXPECT_EQ(ticks(), 5U);
  EXPECT_EQ(workers.claim(0, kQueue), Word{0});
}

TEST_F(StopTest, StrayCompletionBitsAreIgnored) {
  ASSERT_TRUE(channel.post(tick(), token(1)));
  channel.submit();
  workers.complete(0, 9, 5);  // never posted
  workers.complete(1, 0, 5);
  EXPECT_EQ(channel.reap(out), 0U);
  workers.execute_all(0, workers.claim(0, kQueue));
  EXPECT_EQ(reap(), 1U);
  EXPECT_EQ(out[0].token, token(1));
}

TEST_F(StopTest, CallsThatWorkersMayNotRunNeverReachThePages) {
  auto policy = open_policy();
  policy->classes[SYS_write] = FLEXSC_CLASS_CALLER;
  PagedChannel careful(std::make_unique<FakeTransport>(workers), workers.pages, 4, policy);
  ASSERT_TRUE(careful.post(tick(), token(5)));
  careful.submit();
  EXPECT_EQ(workers.claim(0, kQueue), Word{0});
  EXPECT_EQ(ticks(), 0U) << "made by reap()";
  careful.wait(kForever);
  ASSERT_EQ(careful.reap(out), 1U);
  EXPECT_EQ(out[0].token, token(5));
  EXPECT_EQ(ticks(), 1U);
  EXPECT_EQ(careful.stats().direct, 1U);
}

TEST_F(StopTest, DoorbellIsRungOnlyWhenNeeded) {
  ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  EXPECT_EQ(workers.doorbells, 0U);
  detail::set_doorbell(workers.pages.need_doorbell(kQueue), true);
  channel.submit();  // nothing new
  EXPECT_EQ(workers.doorbells, 0U);
  ASSERT_TRUE(channel.post(tick(), nullptr));
  channel.submit();
  EXPECT_EQ(workers.doorbells, 1U);
  EXPECT_EQ(channel.stats().doorbells, 1U);
  workers.execute_all(0, workers.claim(0, kQueue));
  EXPECT_EQ(reap(), 2U);
}

TEST_F(StopTest, DestroyingAChannelWithCallsInFlightAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        PagedChannel doomed(std::make_unique<FakeTransport>(workers), workers.pages, 1,
                            open_policy());
        static_cast<void>(doomed.post(tick(), nullptr));
      },
      "destroyed with calls in flight");
}

}  // namespace
}  // namespace flexsc::test
