// SPDX-License-Identifier: MIT
/// Description: a batch keeps the order of add(), whatever the module executes, refuses,
/// interrupts or leaves.
#include <sys/syscall.h>

#include <cerrno>

#include "fake_workers.hpp"
#include "kernel_batch.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

using detail::KernelBatch;
using detail::Word;

/// A stand-in for FLEXSC_CMD_FLUSH: executes what is posted in ascending order.
class KernelBatchTest : public testing::Test {
 protected:
  static constexpr unsigned kPages = 2;

  /// Executes up to `limit` entries; hands the rest back, as the kernel does.
  long flush(unsigned limit) {
    long count = 0;
    for (unsigned page = 0; page < kPages; ++page) {
      Word bits = workers.claim(page, FLEXSC_QUEUE_FLUSH);
      for (; bits != 0 && limit != 0; bits &= bits - 1, --limit, ++count) {
        const auto bit = static_cast<unsigned>(std::countr_zero(bits));
        const Call call = detail::call_in(workers.pages.entry(page, bit));
        const bool refused = call.nr == SYS_fcntl;
        workers.complete(page, bit, refused ? -FLEXSC_E_REFUSED : execute(call));
      }
      if (bits != 0) workers.hand_back(page, bits, FLEXSC_QUEUE_FLUSH);
    }
    return count;
  }
  /// Writes one character: what was executed, in which order.
  Call note(char which) {
    static constexpr auto letters = [] {
      std::array<char, 128> all{};
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i);
      return all;
    }();
    return make_call(SYS_write, pipe.writer(), &letters[static_cast<unsigned char>(which)], 1);
  }
  std::string notes() {
    std::array<char, 1024> bytes{};
    const long count = execute(make_call(SYS_read, pipe.reader(), bytes.data(), bytes.size()));
    return {bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
  }
  static std::shared_ptr<detail::Policy> policy() {
    auto classes = open_policy();
    classes->classes[SYS_gettid] = FLEXSC_CLASS_CALLER;
    classes->classes[SYS_dup] = FLEXSC_CLASS_REFUSED;
    classes->classes[SYS_fcntl] = FLEXSC_CLASS_ARGS;
    return classes;
  }

  FakeWorkers workers{kPages};
  Pipe pipe{O_NONBLOCK};
  std::function<long()> enter = [this] { return flush(~0U); };
  KernelBatch batch{workers.pages, policy(), [this] { return enter(); }};
};

TEST_F(KernelBatchTest, OneCrossingForAll) {
  for (char c = 'a'; c <= 'z'; ++c) ASSERT_TRUE(batch.add(note(c)));
  EXPECT_EQ(batch.size(), 26U);
  EXPECT_EQ(notes(), "");
  EXPECT_EQ(batch.flush().size(), 26U);
  EXPECT_EQ(notes(), "abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(batch.crossings(), 1U);
  EXPECT_EQ(batch.size(), 0U);
  EXPECT_EQ(batch.flush().size(), 0U);
  EXPECT_EQ(batch.crossings(), 1U) << "an empty flush enters nothing";
}

TEST_F(KernelBatchTest, CallsOfTheCallerAreFlushedToo) {
  ASSERT_TRUE(batch.add(make_call(SYS_gettid)));
  const auto results = batch.flush();
  EXPECT_EQ(results[0].result, execute(make_call(SYS_gettid)));
  EXPECT_EQ(batch.crossings(), 1U);
}

TEST_F(KernelBatchTest, RefusedNumbersAreMadeInTheirPlace) {
  ASSERT_TRUE(batch.add(note('1')));
  ASSERT_TRUE(batch.add(make_call(SYS_dup, -1)));
  ASSERT_TRUE(batch.add(note('2')));
  ASSERT_TRUE(batch.add(note('3')));
  ASSERT_TRUE(batch.add(make_call(SYS_dup, -1)));
  unsigned entered = 0;
  enter = [&] {
    EXPECT_EQ(notes(), entered++ == 0 ? "" : "1");
    return flush(~0U);
  };
  const auto results = batch.flush();
  EXPECT_EQ(notes(), "23");
  EXPECT_EQ(results[1].result, -EBADF);
  EXPECT_EQ(results[4].result, -EBADF);
  EXPECT_EQ(batch.crossings(), 4U);
}

TEST_F(KernelBatchTest, NothingOvertakesACallRefusedForItsArguments) {
  ASSERT_TRUE(batch.add(note('1')));
  ASSERT_TRUE(batch.add(make_call(SYS_fcntl, pipe.writer(), F_GETFD)));
  ASSERT_TRUE(batch.add(note('2')));
  enter = [&] {
    const std::string before = notes();
    EXPECT_TRUE(before.empty() || before == "1");
    return flush(~0U);
  };
  const auto results = batch.flush();
  EXPECT_EQ(results[1].result, execute(make_call(SYS_fcntl, pipe.writer(), F_GETFD)));
  EXPECT_EQ(notes(), "2");
  EXPECT_EQ(batch.crossings(), 3U);
}

TEST_F(KernelBatchTest, AnInterruptedFlushGoesOn) {
  for (char c = 'A'; c <= 'Z'; ++c) ASSERT_TRUE(batch.add(note(c)));
  unsigned entered = 0;
  enter = [&]() -> long { return entered++ == 1 ? -EINTR : flush(10); };
  for (const FlushedCall& each : batch.flush()) EXPECT_EQ(each.result, 1);
  EXPECT_EQ(notes(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  EXPECT_EQ(batch.crossings(), 4U);
}

TEST_F(KernelBatchTest, AfterAStopTheRestIsMadeDirectlyInOrder) {
  for (char c = '0'; c <= '9'; ++c) ASSERT_TRUE(batch.add(note(c)));
  unsigned entered = 0;
  enter = [&]() -> long { return entered++ == 0 ? flush(4) : -ESHUTDOWN; };
  for (const FlushedCall& each : batch.flush()) EXPECT_EQ(each.result, 1);
  EXPECT_EQ(notes(), "0123456789");
  EXPECT_EQ(batch.crossings(), 2U + 6U);
  ASSERT_TRUE(batch.add(note('x')));
  ASSERT_TRUE(batch.add(note('y')));
  EXPECT_EQ(batch.flush().size(), 2U);
  EXPECT_EQ(notes(), "xy");
  EXPECT_EQ(entered, 2U) << "the module is not asked again";
}

TEST_F(KernelBatchTest, AFlushThatDoesNothingIsNotRepeatedForEver) {
  ASSERT_TRUE(batch.add(note('1')));
  enter = [] { return 0L; };
  EXPECT_EQ(batch.flush()[0].result, 1);
  EXPECT_EQ(notes(), "1");
}

TEST_F(KernelBatchTest, FullBatchRefuses) {
  EXPECT_EQ(batch.capacity(), 128U);
  for (std::size_t i = 0; i < batch.capacity(); ++i) ASSERT_TRUE(batch.add(note('.')));
  EXPECT_FALSE(batch.add(note('!')));
  EXPECT_EQ(batch.flush().size(), 128U);
  EXPECT_EQ(notes(), std::string(128, '.'));
  EXPECT_TRUE(batch.add(note('!')));
}

}  // namespace
}  // namespace flexsc::test
