// SPDX-License-Identifier: MIT
/// Description: a batch of any engine executes its calls in order, in the calling thread,
/// and keeps every result.
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>

#include "support.hpp"

namespace flexsc::test {
namespace {

class BatchTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, BatchTest, all_engines(), name_of);

TEST_P(BatchTest, ExecutesInOrderAndKeepsResults) {
  const auto engine = open();
  const auto batch = engine->make_batch();
  const Pipe pipe(O_NONBLOCK);
  std::string expected;
  std::array<char, 256> letters{};
  for (std::size_t round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < letters.size(); ++i) {
      letters[i] = static_cast<char>('a' + (i * 7 + round) % 26);
      ASSERT_TRUE(batch->add(make_call(SYS_write, pipe.writer(), &letters[i], 1)));
    }
    EXPECT_EQ(batch->size(), letters.size());
    const auto results = batch->flush();
    ASSERT_EQ(results.size(), letters.size());
    for (const FlushedCall& each : results) {
      EXPECT_EQ(each.result, 1);
      EXPECT_EQ(each.call.nr, static_cast<std::uint32_t>(SYS_write));
    }
    EXPECT_EQ(batch->size(), 0U);
    std::array<char, 257> back{};
    ASSERT_EQ(read(pipe.reader(), back.data(), back.size()), 256);
    EXPECT_EQ(std::string(back.data(), 256), std::string(letters.data(), 256));
  }
  EXPECT_EQ(batch->crossings(), GetParam() == EngineKind::kernel ? 3U : 768U);
}

TEST_P(BatchTest, AllAreExecutedAlsoAfterOneThatFails) {
  const auto engine = open();
  const auto batch = engine->make_batch();
  const Pipe pipe(O_NONBLOCK);
  ASSERT_TRUE(batch->add(make_call(SYS_write, -1, "x", 1)));
  ASSERT_TRUE(batch->add(make_call(SYS_write, pipe.writer(), "y", 1)));
  ASSERT_TRUE(batch->add(make_call(SYS_gettid)));                            // the caller's
  ASSERT_TRUE(batch->add(make_call(SYS_sched_getaffinity, 0, 0, nullptr)));  // EINVAL, refused
  ASSERT_TRUE(batch->add(make_call(SYS_read, pipe.writer(), nullptr, 0)));
  const auto results = batch->flush();
  ASSERT_EQ(results.size(), 5U);
  EXPECT_EQ(results[0].result, -EBADF);
  EXPECT_EQ(results[1].result, 1);
  EXPECT_EQ(results[2].result, execute(make_call(SYS_gettid)));
  EXPECT_EQ(results[3].result, -EINVAL);
  EXPECT_EQ(results[4].result, -EBADF);
}

TEST_P(BatchTest, CapacityFollowsThePages) {
  for (const unsigned pages : {1U, 16U, 64U}) {
    options.pages_per_channel = pages;
    const auto engine = open();
    const auto batch = engine->make_batch();
    const std::size_t capacity = std::min(1024U, pages * 64);
    EXPECT_EQ(batch->capacity(), capacity);
    for (std::size_t i = 0; i < capacity; ++i) ASSERT_TRUE(batch->add(nop()));
    EXPECT_FALSE(batch->add(nop()));
    EXPECT_EQ(batch->flush().size(), capacity);
    EXPECT_TRUE(batch->add(nop()));
  }
}

}  // namespace
}  // namespace flexsc::test
