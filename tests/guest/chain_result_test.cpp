// SPDX-License-Identifier: MIT
// Chains that hand results on, and chains that repeat.
#include <sys/mman.h>

#include <cstring>

#include "modes.hpp"

namespace flexsc_guest {
namespace {

Fd memory_file(const std::string& content = "") {
  Fd file(static_cast<int>(direct(SYS_memfd_create, "chain", MFD_CLOEXEC)));
  put(file, content);
  REQUIRE_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  return file;
}

std::string content_of(const Fd& file) {
  std::string bytes(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
  REQUIRE_EQ(::pread(file.get(), bytes.data(), bytes.size(), 0),
             static_cast<ssize_t>(bytes.size()));
  return bytes;
}

/// Bytes among which a lost, doubled or moved one is noticed.
std::string varied(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

class ChainResult : public ModesTest {
 protected:
  /// A call whose result is a number of our choice.
  [[nodiscard]] Call value(__s64 number) const {
    return call(SYS_lseek, offsets_.get(), number, SEEK_SET);
  }
  Fd offsets_ = memory_file();
};
FLEXSC_IN_ALL_MODES(ChainResult);

// mmap depends on each of its six arguments.
TEST_P(ChainResult, BecomesAnyArgument) {
  const Rig rig = make_rig();
  std::string pages(3 * 4096, 'A');
  std::memset(pages.data() + 4096, 'B', 4096);
  const Fd file = memory_file(pages);
  void* room = ::mmap(nullptr, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(room, MAP_FAILED);
  const std::array<__u64, 6> plain = {
      arg(room), 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, arg(file.get()), 4096};
  for (unsigned i = 0; i < 6; ++i) {
    Call map = call(SYS_mmap);
    map.args = plain;
    map.args[i] = 0;  // the position
    map.from = static_cast<__u16>(1U << i);
    ASSERT_EQ(::mmap(room, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), room);
    EXPECT_EQ(run(rig, {value(static_cast<__s64>(plain[i])), map}),
              (Results{static_cast<long>(plain[i]), static_cast<long>(arg(room))}))
        << "argument " << i;
    auto* bytes = static_cast<volatile char*>(room);
    EXPECT_EQ(bytes[0], 'B');
    EXPECT_EQ(bytes[4096], 'A');
    bytes[0] = 'W';
  }
  EXPECT_EQ(content_of(file), pages) << "they were private";
  ::munmap(room, 8192);
}

TEST_P(ChainResult, SeveralAtOnceAndFromFarBack) {
  const Rig rig = make_rig();
  const Fd file = memory_file("0123456789");
  std::array<char, 8> got{};
  std::vector<Call> calls = {value(static_cast<__s64>(arg(got.data()))), value(4),
                             value(file.get())};
  while (calls.size() < 63) calls.push_back(call(SYS_getppid));
  calls.push_back(call(SYS_pread64, ResultOf{2}, ResultOf{0}, ResultOf{1}, ResultOf{1}));
  const Results results = run(rig, calls);
  EXPECT_EQ(results.back(), 4);
  EXPECT_EQ(std::string(got.data()), "4567");
}

TEST_P(ChainResult, HandedOnAgainAndAgainInAll64Bits) {
  const Rig rig = make_rig();
  constexpr long kFar = 0x123456789abcdefL;
  std::vector<Call> calls = {value(kFar)};
  for (unsigned i = 0; i < 20; ++i) {
    calls.push_back(call(SYS_lseek, offsets_.get(), ResultOf{i}, SEEK_SET));
  }
  EXPECT_EQ(run(rig, calls), Results(21, kFar));
}

TEST_P(ChainResult, ErrorIsAResultToo) {
  const Rig rig = make_rig();
  ASSERT_EQ(::lseek(offsets_.get(), 100, SEEK_SET), 100);
  EXPECT_EQ(run(rig, {call(SYS_close, -1).with(kGoOn),
                      call(SYS_lseek, offsets_.get(), ResultOf{0}, SEEK_CUR)}),
            (Results{-EBADF, 100 - EBADF}));
}

// What makes a call forbidden may come as a result: it is forbidden all the same.
TEST_P(ChainResult, IsJudgedLikeAnyArgument) {
  const Rig rig = make_rig();
  const int client = rig.client.fd();
  flexsc_cancel cancel{};
  cancel.size = sizeof cancel;
  EXPECT_EQ(run(rig, {value(FLEXSC_IOC_CANCEL), call(SYS_ioctl, client, ResultOf{0}, &cancel)})[1],
            -FLEXSC_E_REFUSED);
  EXPECT_EQ(run(rig, {value(SEEK_SET),
                      call(SYS_lseek, client, FLEXSC_CMD(FLEXSC_CMD_FLUSH, 0), ResultOf{0})})[1],
            -FLEXSC_E_REFUSED);
  EXPECT_EQ(run(rig, {value(client),
                      call(SYS_lseek, ResultOf{0}, FLEXSC_CMD(FLEXSC_CMD_NOTIFY, 0), SEEK_SET)})[1],
            -FLEXSC_E_REFUSED);
  EXPECT_EQ(run(rig, {value(4 /* CLOSE_RANGE_UNSHARE is 2 */ | 2),
                      call(SYS_close_range, 1000, 1000, ResultOf{0})})[1],
            -FLEXSC_E_REFUSED);
  // And what is not is not.
  const Pipe pipe = make_pipe();
  put(pipe.writer, "four");
  int waiting = 0;
  EXPECT_EQ(run(rig, {value(0x541B /* FIONREAD */),
                      call(SYS_ioctl, pipe.reader.get(), ResultOf{0}, &waiting)})[1],
            0);
  EXPECT_EQ(waiting, 4);
}

// A result that changes from round to round is handed on as it is in each.
TEST_P(ChainResult, RepeatUntilZeroCopiesAFile) {
  const Rig rig = make_rig();
  for (const std::size_t block : {512UL, 4096UL}) {
    const std::string content = varied((1UL << 18) + 123);
    const Fd from = memory_file(content);
    const Fd to = memory_file();
    std::vector<char> buffer(block);
    const auto size = static_cast<long>(content.size());
    EXPECT_EQ(run(rig, {call(SYS_read, from.get(), buffer.data(), block).with(kEndOnZero | kSum),
                        call(SYS_write, to.get(), buffer.data(), ResultOf{0})
                            .with(kEndOnShort | kRepeat | kSum)}),
              (Results{size, size}));
    EXPECT_TRUE(content_of(to) == content) << "block " << block;
  }
}

TEST_P(ChainResult, WithoutSumTheLastRoundCounts) {
  const Rig rig = make_rig();
  const Fd from = memory_file(varied(2500));
  const Fd to = memory_file();
  std::vector<char> buffer(1000);
  EXPECT_EQ(run(rig, {call(SYS_read, from.get(), buffer.data(), 1000).with(kEndOnZero),
                      call(SYS_write, to.get(), buffer.data(), ResultOf{0}).with(kRepeat)}),
            (Results{0, 500}));
  EXPECT_TRUE(content_of(to) == varied(2500));
}

TEST_P(ChainResult, ErrorReplacesTheSum) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe(O_NONBLOCK);
  const Fd to = memory_file();
  put(pipe.writer, "0123456789");
  std::array<char, 4> buffer{};
  EXPECT_EQ(run(rig, {call(SYS_read, pipe.reader.get(), buffer.data(), 4).with(kSum),
                      call(SYS_write, to.get(), buffer.data(), ResultOf{0}).with(kSum | kRepeat)}),
            (Results{-EAGAIN, 10}));
  EXPECT_EQ(content_of(to), "0123456789");
}

// An error that does not end the chain replaces it as well; later rounds do not bring it back.
TEST_P(ChainResult, NegativeResultsAreNotSummed) {
  const Rig rig = make_rig();
  const Fd three = memory_file("abc");
  char byte = 0;
  const Results results = run(rig, {call(SYS_close, -1).with(kGoOn | kSum),
                                    call(SYS_read, three.get(), &byte, 1).with(kEndOnZero | kSum),
                                    call(SYS_getppid).with(kSum | kRepeat)});
  EXPECT_EQ(results, (Results{-EBADF, 3, 3 * ::getppid()}));
}

// The first round finds nothing to read, later ones what the round before wrote.
TEST_P(ChainResult, SumBeginsAnewAfterAnError) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe(O_NONBLOCK);
  const Fd three = memory_file("abc");
  std::array<char, 4> buffer{};
  char byte = 0;
  EXPECT_EQ(run(rig, {call(SYS_read, pipe.reader.get(), buffer.data(), 4).with(kGoOn | kSum),
                      call(SYS_write, pipe.writer.get(), "four", 4).with(kSum),
                      call(SYS_read, three.get(), &byte, 1).with(kEndOnZero | kSum | kRepeat)}),
            (Results{12, 16, 3}));
}

TEST_P(ChainResult, SingleEntryRepeats) {
  const Rig rig = make_rig();
  const Fd file = memory_file(varied(777));
  std::array<char, 10> buffer{};
  EXPECT_EQ(
      run_one(rig, call(SYS_read, file.get(), buffer.data(), 10).with(kEndOnZero | kSum | kRepeat)),
      777);
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(run_one(rig, call(SYS_read, file.get(), buffer.data(), 10).with(kEndOnZero | kRepeat)),
            0);
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(
      run_one(rig,
              call(SYS_read, file.get(), buffer.data(), 10).with(kEndOnShort | kSum | kRepeat)),
      777);
}

// An entry that is reached in the first round only keeps what it got there.
TEST_P(ChainResult, EndInALaterRoundKeepsEarlierResults) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe(O_NONBLOCK);
  put(pipe.writer, "ab");
  char byte = 0;
  EXPECT_EQ(run(rig, {call(SYS_getppid), call(SYS_read, pipe.reader.get(), &byte, 1),
                      call(SYS_getpid).with(kRepeat)}),
            (Results{::getppid(), -EAGAIN, ::getpid()}));
  // In the first round, what comes behind was never executed.
  EXPECT_EQ(run(rig, {call(SYS_getppid), call(SYS_read, pipe.reader.get(), &byte, 1),
                      call(SYS_getpid).with(kRepeat)}),
            (Results{::getppid(), -EAGAIN, -ECANCELED}));
}

// The writer takes less than it is given: what it did not take is still in the buffer.
TEST_P(ChainResult, ShortWriteLosesNothing) {
  const Rig rig = make_rig();
  const std::string content = varied(60'000);
  const Fd from = memory_file(content);
  const Pipe pipe = make_pipe(O_NONBLOCK);
  ASSERT_EQ(::fcntl(pipe.writer.get(), F_SETPIPE_SZ, 16384), 16384);
  constexpr std::size_t kBlock = 6000;
  std::vector<char> buffer(kBlock);
  std::string received;
  std::size_t left = 0;  // in the buffer, at its end
  for (int i = 0; i < 100 && received.size() < content.size(); ++i) {
    if (left > 0) {
      const ssize_t n = ::write(pipe.writer.get(), buffer.data() + kBlock - left, left);
      if (n > 0) left -= static_cast<std::size_t>(n);
    } else {
      const Results results =
          run(rig, {call(SYS_read, from.get(), buffer.data(), kBlock).with(kEndOnZero | kSum),
                    call(SYS_write, pipe.writer.get(), buffer.data(), ResultOf{0})
                        .with(kEndOnShort | kSum | kRepeat)});
      ASSERT_GE(results[0], 0);
      // A pipe that takes nothing more is an error, which replaces the sum.
      left = results[1] >= 0 ? static_cast<std::size_t>(results[0] - results[1]) : kBlock;
      ASSERT_LE(left, kBlock) << results[0] << " read, " << results[1] << " written";
      ASSERT_TRUE(results[1] >= 0 || results[1] == -EAGAIN) << results[1];
    }
    received += drain(pipe);
  }
  EXPECT_EQ(received.size(), content.size());
  EXPECT_TRUE(received == content);
}

}  // namespace
}  // namespace flexsc_guest
