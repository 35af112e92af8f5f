// SPDX-License-Identifier: MIT
/// Description: a chain means the same on every engine: which calls it makes, when it ends, and
/// what its members' results are.
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <numeric>

#include "flexsc/chain.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

/// An anonymous file.
struct File {
  explicit File(const std::vector<char>& bytes = {}) : fd(memfd_create("chain", 0)) {
    EXPECT_EQ(write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(fd); }
  [[nodiscard]] std::vector<char> contents() const {
    struct stat status {};
    EXPECT_EQ(fstat(fd, &status), 0);
    std::vector<char> bytes(static_cast<std::size_t>(status.st_size));
    EXPECT_EQ(pread(fd, bytes.data(), bytes.size(), 0), status.st_size);
    return bytes;
  }
  int fd;
};

std::vector<char> pattern(std::size_t size) {
  std::vector<char> bytes(size);
  std::iota(bytes.begin(), bytes.end(), '\0');
  return bytes;
}

class ChainTest : public EngineTest {
 protected:
  /// Posts it, takes its one completion, and returns the results.
  std::vector<long> run(const Chain& chain, const PostOptions& how = {}) {
    if (engine_ == nullptr) {
      engine_ = open();
      channel_ = engine_->make_channel();
    }
    std::vector<long> results(chain.size(), 12345);
    EXPECT_TRUE(channel_->post_chain(chain, results, token(7), how));
    EXPECT_EQ(channel_->in_flight(), 1U);
    const std::vector<Completion> all = drain(*channel_);
    EXPECT_EQ(all.size(), 1U);
    if (!all.empty()) {
      EXPECT_EQ(all[0].token, token(7));
      EXPECT_EQ(all[0].result, results.back());
    }
    return results;
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Channel> channel_;
};
INSTANTIATE_TEST_SUITE_P(, ChainTest, all_engines(), name_of);

using Results = std::vector<long>;

TEST_P(ChainTest, MakesItsCallsInOrder) {
  const File file;
  Chain chain;
  chain.add(SYS_write, file.fd, "one", 3);
  chain.add(SYS_write, file.fd, "two", 3);
  chain.add(SYS_getppid);
  EXPECT_EQ(run(chain), (Results{3, 3, getppid()}));
  EXPECT_EQ(file.contents(), (std::vector<char>{'o', 'n', 'e', 't', 'w', 'o'}));
}

TEST_P(ChainTest, AnErrorEndsIt) {
  const File file;
  Chain chain;
  chain.add(SYS_getppid);
  chain.add(SYS_close, -1);
  chain.add(SYS_write, file.fd, "x", 1);
  EXPECT_EQ(run(chain), (Results{getppid(), -EBADF, -ECANCELED}));
  EXPECT_TRUE(file.contents().empty());
}

TEST_P(ChainTest, GoesOnAfterAnErrorWhereItSaysSo) {
  Chain chain;
  chain.add(SYS_close, -1).go_on();
  chain.add(SYS_getppid);
  EXPECT_EQ(run(chain), (Results{-EBADF, getppid()}));
}

TEST_P(ChainTest, GoesOnOnlyIfWhatItComparesIsTheSame) {
  const File file(pattern(100));
  struct stat status {};
  struct stat expected {};
  ASSERT_EQ(fstat(file.fd, &expected), 0);
  expected.st_nlink += 1;  // word 2
  const auto goes_on = [&](std::uint64_t words) {
    Chain chain;
    chain.add(SYS_fstat, file.fd, &status);
    chain.compare(&status, &expected, words);
    chain.add(SYS_getppid);
    return run(chain);
  };
  EXPECT_EQ(goes_on(0b1000011), (Results{0, 0, getppid()}));
  EXPECT_EQ(goes_on(0b1000111), (Results{0, -ESTALE, -ECANCELED}));
  EXPECT_EQ(goes_on(0), (Results{0, 0, getppid()}));
  expected.st_size += 1;  // word 6
  EXPECT_EQ(goes_on(0b1000011), (Results{0, -ESTALE, -ECANCELED}));
  EXPECT_EQ(goes_on(0b0000011), (Results{0, 0, getppid()}));
}

TEST_P(ChainTest, PassesResultsOn) {
  const auto name = std::string("/dev/null");
  Chain chain;
  const auto fd = chain.add(SYS_openat, AT_FDCWD, name.c_str(), O_WRONLY | O_CLOEXEC);
  const auto sent = chain.add(SYS_write, fd.result(), "12345", 5);
  chain.add(SYS_write, fd.result(), "12345", sent.result());
  chain.add(SYS_close, fd.result());
  const Results results = run(chain);
  EXPECT_GE(results[0], 0);
  EXPECT_EQ(results[1], 5);
  EXPECT_EQ(results[2], 5);
  EXPECT_EQ(results[3], 0);
  EXPECT_EQ(fcntl(static_cast<int>(results[0]), F_GETFD), -1);
}

TEST_P(ChainTest, CopiesAFileInRounds) {
  const std::vector<char> bytes = pattern(10000);
  const File in(bytes);
  const File out;
  std::array<char, 512> buffer{};
  Chain chain;
  const auto got = chain.add(SYS_read, in.fd, buffer.data(), buffer.size()).end_on_zero().sum();
  chain.add(SYS_write, out.fd, buffer.data(), got.result()).end_on_short().sum();
  chain.repeat();
  EXPECT_EQ(run(chain), (Results{10000, 10000}));
  EXPECT_EQ(out.contents(), bytes);
}

TEST_P(ChainTest, SumBeginsAnewAfterAnError) {
  const File three(pattern(3));
  std::array<int, 2> pipe{};
  ASSERT_EQ(pipe2(pipe.data(), O_NONBLOCK | O_CLOEXEC), 0);
  std::array<char, 4> buffer{};
  char byte = 0;
  Chain chain;
  chain.add(SYS_read, pipe[0], buffer.data(), buffer.size()).go_on().sum();
  chain.add(SYS_write, pipe[1], "four", 4).sum();
  chain.add(SYS_read, three.fd, &byte, 1).end_on_zero().sum();
  chain.repeat();
  EXPECT_EQ(run(chain), (Results{12, 16, 3})) << "the first round finds nothing to read";
  for (const int end : pipe) close(end);
}

TEST_P(ChainTest, EndsWhereACallFallsShort) {
  constexpr long kSize = 1000;
  for (const long asked : {kSize, kSize + 1}) {
    const File in(pattern(kSize));
    const File out;
    off_t offset = 0;
    Chain sent;
    sent.add(SYS_sendfile, out.fd, in.fd, &offset, asked).end_on_short();
    sent.add(SYS_getppid);
    const long next = asked == kSize ? getppid() : -ECANCELED;
    EXPECT_EQ(run(sent), (Results{kSize, next}));
    Chain copied;
    copied.add(SYS_copy_file_range, in.fd, nullptr, out.fd, nullptr, asked, 0).end_on_short();
    copied.add(SYS_getppid);
    EXPECT_EQ(run(copied), (Results{kSize, next}));
  }
}

TEST_P(ChainTest, WithoutSumTheLastRoundCounts) {
  const File in(pattern(1000));
  std::array<char, 300> buffer{};
  Chain chain;
  chain.add(SYS_read, in.fd, buffer.data(), buffer.size()).end_on_short();
  chain.repeat();
  EXPECT_EQ(run(chain), (Results{100}));
}

TEST_P(ChainTest, RepeatsOnlySoOften) {
  if (GetParam() == EngineKind::kernel) GTEST_SKIP() << "a million rounds in an emulated guest";
  Chain chain;
  chain.add(SYS_getppid);
  chain.add(400).go_on();  // FLEXSC_NR_NOP
  chain.repeat();
  EXPECT_EQ(run(chain), (Results{getppid(), -ELOOP}));
}

TEST_P(ChainTest, WithACallThatNoWorkerRunsIsRunByTheCarrier) {
  Chain chain;
  chain.add(SYS_getppid);
  chain.add(SYS_gettid);
  EXPECT_EQ(run(chain), (Results{getppid(), gettid()}));
}

TEST_P(ChainTest, WaitsInTheMiddle) {
  if (GetParam() == EngineKind::direct) GTEST_SKIP() << "a direct call would wait for ever";
  engine_ = open();
  channel_ = engine_->make_channel();
  const Pipe pipe;
  char byte = 0;
  Chain chain;
  chain.add(SYS_getppid);
  chain.add(SYS_read, pipe.reader(), &byte, 1);
  chain.add(SYS_getppid);
  std::array<long, 3> results{};
  ASSERT_TRUE(channel_->post_chain(chain, results, token(1)));
  ASSERT_TRUE(channel_->post(make_call(SYS_getppid), token(2)));
  Completion one;
  while (channel_->reap({&one, 1}) == 0) channel_->wait(kForever);
  EXPECT_EQ(one.token, token(2)) << "it does not keep other calls";
  ASSERT_EQ(write(pipe.writer(), "x", 1), 1);
  ASSERT_EQ(drain(*channel_).size(), 1U);
  EXPECT_EQ(results, (std::array<long, 3>{getppid(), 1, getppid()}));
  EXPECT_EQ(byte, 'x');
}

TEST_P(ChainTest, EndsWhereItIsCancelled) {
  if (GetParam() == EngineKind::direct) GTEST_SKIP() << "a direct call would wait for ever";
  engine_ = open();
  channel_ = engine_->make_channel();
  const Pipe pipe;
  char byte = 0;
  Chain chain;
  chain.add(SYS_read, pipe.reader(), &byte, 1);
  chain.add(SYS_getppid);
  for (int round = 0; round < 50; ++round) {
    std::array<long, 2> results{};
    ASSERT_TRUE(channel_->post_chain(chain, results, token(1)));
    if (round % 2 == 0) channel_->submit();
    EXPECT_TRUE(channel_->cancel(token(1)));
    ASSERT_EQ(drain(*channel_).size(), 1U);
    EXPECT_EQ(results, (std::array<long, 2>{-ECANCELED, -ECANCELED}));
  }
  // All of its entries are free again.
  for (std::size_t i = 0; i < std::size_t{options.pages_per_channel} * 64; ++i) {
    ASSERT_TRUE(channel_->post(nop(), nullptr));
  }
  EXPECT_FALSE(channel_->post(nop(), nullptr));
  drain(*channel_);
}

TEST_P(ChainTest, EndsAtItsDeadline) {
  const Pipe pipe;
  char byte = 0;
  Chain chain;
  chain.add(SYS_getppid);
  chain.add(SYS_read, pipe.reader(), &byte, 1);
  chain.add(SYS_getppid);
  const PostOptions how{
      .pool = 0, .deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50)};
  const Results results = run(chain, how);
  EXPECT_TRUE(results[0] == getppid() || results[0] == -ETIME);  // late before it began
  EXPECT_EQ(results[1], results[0] == -ETIME ? -ECANCELED : -ETIME);
  EXPECT_EQ(results[2], -ECANCELED);
}

TEST_P(ChainTest, ThatBreaksARuleMakesNoCall) {
  const File file;
  Chain chain;
  chain.add(SYS_write, file.fd, "x", 1);
  chain.add(SYS_getppid);
  chain.repeat();
  chain.add(SYS_getppid);  // the second one repeats, and is not the last any more
  EXPECT_EQ(run(chain), (Results{-ECANCELED, -EINVAL, -ECANCELED}));
  EXPECT_TRUE(file.contents().empty());
}

TEST_P(ChainTest, IsRefusedWithoutCallsOrPlaces) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  Chain chain;
  std::array<long, 1> results{};
  EXPECT_THROW(static_cast<void>(channel->post_chain(chain, results, nullptr)), std::system_error);
  chain.add(SYS_getppid);
  chain.add(SYS_getppid);
  EXPECT_THROW(static_cast<void>(channel->post_chain(chain, results, nullptr)), std::system_error);
}

TEST_P(ChainTest, NeedsPlacesNextToEachOther) {
  options.pages_per_channel = 1;
  const auto engine = open();
  const auto channel = engine->make_channel();
  Chain chain;
  for (std::size_t i = 0; i < Chain::kMembers; ++i) chain.add(SYS_getppid);
  EXPECT_THROW(chain.add(SYS_getppid), std::length_error);
  std::vector<long> results(chain.size());
  ASSERT_TRUE(channel->post(nop(), nullptr));
  EXPECT_FALSE(channel->post_chain(chain, results, nullptr));
  drain(*channel);
  ASSERT_TRUE(channel->post_chain(chain, results, nullptr));
  drain(*channel);
  EXPECT_EQ(results, Results(chain.size(), getppid()));
}

TEST(Chain, KnowsOnlyEarlierMembers) {
  Chain chain;
  EXPECT_THROW(chain.add(SYS_getppid, ResultOf{0}), std::invalid_argument);
  EXPECT_THROW(chain.repeat(), std::logic_error);
  chain.add(SYS_getppid);
  EXPECT_THROW(chain.add(SYS_close, ResultOf{0}, ResultOf{1}), std::invalid_argument);
  ASSERT_EQ(chain.size(), 1U) << "what is refused is not in it";
  EXPECT_EQ(chain.add(SYS_close, ResultOf{0}).result().position, 1U);
}

TEST(Chain, CanBeUsedAgain) {
  Chain chain;
  chain.add(SYS_getppid).go_on();
  for (int i = 0; i < 20; ++i) chain.add(chain.members()[0]);
  EXPECT_EQ(chain.members()[20].call.nr, static_cast<std::uint32_t>(SYS_getppid));
  chain.clear();
  EXPECT_EQ(chain.size(), 0U);
  chain.add(SYS_close, -1);
  ASSERT_EQ(chain.size(), 1U);
  EXPECT_EQ(chain.members()[0].flags, 0);
  std::array<long, 1> results{};
  EXPECT_EQ(run_chain_directly(chain, results), -EBADF);
}

TEST(Chain, RunsInAPlainThread) {
  Chain chain;
  chain.add(SYS_gettid);
  chain.add(SYS_close, -1);
  std::array<long, 2> results{};
  EXPECT_EQ(run_chain_directly(chain, results), -EBADF);
  EXPECT_EQ(results[0], gettid());
}

}  // namespace
}  // namespace flexsc::test
