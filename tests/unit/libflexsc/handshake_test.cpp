// SPDX-License-Identifier: MIT
/// Description: workers and carriers that go to sleep all the time never miss a call or a
/// completion. A lost one makes these tests hang.
#include <thread>

#include "support.hpp"

namespace flexsc::test {
namespace {

class HandshakeTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    options.spin = std::chrono::microseconds(0);
  }

  /// Fewer where every step is slow: where the module is, which is most likely an emulated machine.
  [[nodiscard]] static int single_calls() {
    static const int kCalls = missing(EngineKind::kernel).empty() ? 4000 : 100000;  // looks once
    return kCalls;
  }
  /// One for a worker: of engine `uring` the carrier makes the others itself.
  [[nodiscard]] static Call call() {
    return GetParam() == EngineKind::uring ? make_call(SYS_getpgrp) : nop();
  }
  [[nodiscard]] static long expected() {
    return GetParam() == EngineKind::uring ? getpgrp() : -ENOSYS;
  }
};
INSTANTIATE_TEST_SUITE_P(, HandshakeTest, worker_engines(), name_of);

TEST_P(HandshakeTest, SingleCallsBetweenSleepingSides) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int i = 0; i < single_calls(); ++i) ASSERT_EQ(call_through(*channel, call()), expected());
  const ChannelStats& stats = channel->stats();
  EXPECT_EQ(stats.posted, static_cast<std::uint64_t>(single_calls()));
  EXPECT_EQ(stats.reaped, stats.posted);
  EXPECT_EQ(stats.direct, 0U);
  // Those of the pages that the channel of engine `uring` does not see are not counted by it.
  if (GetParam() != EngineKind::uring) {
    EXPECT_GT(stats.doorbells, 0U);
  }
  EXPECT_GT(engine->stats().parks, 0U);
}

TEST_P(HandshakeTest, CarrierPollsWorkerSleeps) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int i = 0; i < single_calls() / 4; ++i) {
    ASSERT_TRUE(channel->post(call(), nullptr));
    channel->submit();
    Completion one;
    while (channel->reap({&one, 1}) == 0) std::this_thread::yield();
    ASSERT_EQ(one.result, expected());
  }
  EXPECT_EQ(channel->stats().waits, 0U);
}

TEST_P(HandshakeTest, SeveralCarriersSeveralWorkers) {
  options.concurrency = 3;
  const auto engine = open();
  std::vector<std::thread> carriers;
  carriers.reserve(4);
  for (int t = 0; t < 4; ++t) {
    carriers.emplace_back([&] {
      const auto channel = engine->make_channel();
      for (int i = 0; i < single_calls() / 10; ++i) {
        ASSERT_EQ(call_through(*channel, call()), expected());
      }
    });
  }
  for (std::thread& each : carriers) each.join();
  const auto all = static_cast<std::uint64_t>(single_calls() / 10 * 4);
  EXPECT_EQ(executed(*engine, all), all);
}

TEST_P(HandshakeTest, PublishedBeforeSubmitStillRingsTheDoorbell) {
  // A channel may show calls to the workers before submit(); it owes the look at the
  // doorbell all the same.
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < 2000; ++round) {
    for (int i = 0; i < 16 + round % 3; ++i) ASSERT_TRUE(channel->post(call(), nullptr));
    channel->submit();
    std::array<Completion, 32> out;
    while (channel->in_flight() != 0) {
      if (channel->reap(out) == 0) std::this_thread::yield();
    }
  }
}

}  // namespace
}  // namespace flexsc::test
