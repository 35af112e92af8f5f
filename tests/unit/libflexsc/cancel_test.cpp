// SPDX-License-Identifier: MIT
/// Description: a call that is cancelled, or late for its deadline, completes exactly once: with
/// its own result or with -ECANCELED, -ETIME; and no other call is harmed. On every engine.
#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <thread>

#include "support.hpp"

namespace flexsc::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr timespec kLongSleep{.tv_sec = 3600, .tv_nsec = 0};

PostOptions by(Clock::time_point deadline) {
  return {.pool = 0, .deadline = deadline};
}
PostOptions soon() {
  return by(Clock::now() + std::chrono::milliseconds(2));
}

/// Results by token.
std::map<std::uintptr_t, long> results_of(Channel& channel) {
  std::map<std::uintptr_t, long> results;
  for (const Completion& each : drain(channel)) {
    EXPECT_TRUE(results.emplace(number(each.token), each.result).second) << "completed twice";
  }
  return results;
}

class CancelTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, CancelTest, worker_engines(), name_of);

TEST_P(CancelTest, EndsAReadThatWaits) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  const Pipe other;
  char bytes[2] = {};
  ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &bytes[0], 1), token(1)));
  ASSERT_TRUE(channel->post(make_call(SYS_read, other.reader(), &bytes[1], 1), token(2)));
  channel->submit();
  EXPECT_TRUE(channel->cancel(token(1)));
  Completion one;
  while (channel->reap({&one, 1}) == 0) channel->wait(kForever);
  EXPECT_EQ(one.token, token(1));
  EXPECT_EQ(one.result, -ECANCELED);
  EXPECT_EQ(channel->in_flight(), 1U);
  // Nothing of it is left behind that would take this byte.
  ASSERT_EQ(write(pipe.writer(), "x", 1), 1);
  EXPECT_EQ(read(pipe.reader(), &bytes[0], 1), 1);
  ASSERT_EQ(write(other.writer(), "y", 1), 1);
  EXPECT_EQ(results_of(*channel)[2], 1);
  EXPECT_EQ(bytes[1], 'y');
}

TEST_P(CancelTest, EndsSleepsAndOtherCallsThatAreNotForFiles) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  timespec rest{};
  ASSERT_TRUE(channel->post(make_call(SYS_nanosleep, &kLongSleep, &rest), token(1)));
  channel->submit();
  // Sometimes before a worker has begun, mostly after.
  channel->wait(std::chrono::milliseconds(1));
  EXPECT_TRUE(channel->cancel(token(1)));
  EXPECT_EQ(results_of(*channel)[1], -ECANCELED);
}

TEST_P(CancelTest, OfWhatIsNotShownYet) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  ASSERT_TRUE(channel->post(make_call(SYS_getppid), token(1)));
  ASSERT_TRUE(channel->post(make_call(SYS_gettid), token(2)));  // the carrier's
  ASSERT_TRUE(channel->post(make_call(SYS_getppid), token(3)));
  EXPECT_TRUE(channel->cancel(token(1)));
  EXPECT_TRUE(channel->cancel(token(2)));
  const auto results = results_of(*channel);
  EXPECT_EQ(results.at(1), -ECANCELED);
  EXPECT_EQ(results.at(2), -ECANCELED);
  EXPECT_EQ(results.at(3), getppid());
}

TEST_P(CancelTest, OfWhatIsNotThereFindsNothing) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  EXPECT_FALSE(channel->cancel(token(1)));
  EXPECT_EQ(call_through(*channel, nop()), -ENOSYS);
  EXPECT_FALSE(channel->cancel(nullptr));
  EXPECT_EQ(channel->cancel_descriptor(0), 0U);
}

TEST_P(CancelTest, OfADescriptorEndsItsCallsAndNoOthers) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  const Pipe other;
  char bytes[4] = {};
  for (std::uintptr_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &bytes[i], 1), token(i)));
  }
  ASSERT_TRUE(channel->post(make_call(SYS_read, other.reader(), &bytes[3], 1), token(3)));
  channel->submit();
  EXPECT_EQ(channel->cancel_descriptor(pipe.reader()), 3U);
  ASSERT_EQ(write(other.writer(), "x", 1), 1);
  const auto results = results_of(*channel);
  for (std::uintptr_t i = 0; i < 3; ++i) EXPECT_EQ(results.at(i), -ECANCELED);
  EXPECT_EQ(results.at(3), 1);
}

// Cancels race with completions: every byte that was written is read by exactly one call, and the
// reads that got none say so.
TEST_P(CancelTest, RacesLoseNothing) {
  constexpr int kRounds = 300;
  options.concurrency = 2;
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < kRounds; ++round) {
    const Pipe pipe;
    char bytes[4] = {};
    for (std::uintptr_t i = 0; i < 4; ++i) {
      ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &bytes[i], 1), token(i)));
    }
    channel->submit();
    std::thread writer([&] { EXPECT_EQ(write(pipe.writer(), "ab", 2), 2); });
    for (std::uintptr_t i = 0; i < 4; ++i) channel->cancel(token(i));
    const auto results = results_of(*channel);
    writer.join();
    ASSERT_EQ(fcntl(pipe.reader(), F_SETFL, O_NONBLOCK), 0);
    long got = 0;
    for (const auto& [which, result] : results) {
      EXPECT_TRUE(result == 1 || result == -ECANCELED) << result;
      if (result == 1) got += 1;
    }
    char left[4];
    got += std::max<long>(read(pipe.reader(), left, sizeof left), 0);
    ASSERT_EQ(got, 2);
  }
}

class DeadlineTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, DeadlineTest, all_engines(), name_of);

TEST_P(DeadlineTest, EndsAReadThatWaits) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  char byte = 0;
  ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &byte, 1), token(1), soon()));
  EXPECT_EQ(results_of(*channel)[1], -ETIME);
}

TEST_P(DeadlineTest, EndsASleep) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const auto end = Clock::now() + std::chrono::milliseconds(5);
  ASSERT_TRUE(channel->post(make_call(SYS_nanosleep, &kLongSleep, nullptr), token(1), by(end)));
  EXPECT_EQ(results_of(*channel)[1], -ETIME);
  EXPECT_GE(Clock::now(), end);
}

TEST_P(DeadlineTest, ThatHasPassedMakesNoCall) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  ASSERT_TRUE(channel->post(make_call(SYS_write, pipe.writer(), "x", 1), token(1),
                            by(Clock::now() - std::chrono::seconds(1))));
  EXPECT_EQ(results_of(*channel)[1], -ETIME);
  ASSERT_EQ(fcntl(pipe.reader(), F_SETFL, O_NONBLOCK), 0);
  char byte = 0;
  EXPECT_EQ(read(pipe.reader(), &byte, 1), -1);
}

TEST_P(DeadlineTest, ThatIsFarAwayChangesNothing) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < 300; ++round) {
    const Pipe pipe;
    char byte = 0;
    const PostOptions how = by(Clock::now() + std::chrono::hours(1));
    ASSERT_TRUE(channel->post(make_call(SYS_write, pipe.writer(), "x", 1), token(1), how));
    EXPECT_EQ(results_of(*channel)[1], 1);
    ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &byte, 1), token(2), how));
    EXPECT_EQ(results_of(*channel)[2], 1);
    // The place is used again without one.
    ASSERT_EQ(call_through(*channel, make_call(SYS_getppid)), getppid());
  }
}

TEST_P(DeadlineTest, OfManyCallsEndsThoseThatAreLate) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  if (GetParam() == EngineKind::direct) GTEST_SKIP() << "a direct call is over when it is posted";
  std::vector<Pipe> pipes(20);
  char bytes[20] = {};
  for (std::uintptr_t i = 0; i < 20; ++i) {
    const auto when = Clock::now() + std::chrono::milliseconds(i % 2 == 0 ? 1 + i : 3600000);
    ASSERT_TRUE(
        channel->post(make_call(SYS_read, pipes[i].reader(), &bytes[i], 1), token(i), by(when)));
  }
  std::map<std::uintptr_t, long> late;
  while (late.size() < 10) {
    std::array<Completion, 32> out;
    const std::size_t count = channel->reap(out);
    for (std::size_t i = 0; i < count; ++i) late[number(out[i].token)] = out[i].result;
    if (count == 0) channel->wait(kForever);
  }
  for (const auto& [which, result] : late) {
    EXPECT_EQ(which % 2, 0U);
    EXPECT_EQ(result, -ETIME);
  }
  for (const Pipe& pipe : pipes) EXPECT_EQ(write(pipe.writer(), "x", 1), 1);
  for (const auto& [which, result] : results_of(*channel)) EXPECT_EQ(result, 1);
}

}  // namespace
}  // namespace flexsc::test
