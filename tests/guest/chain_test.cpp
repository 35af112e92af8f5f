// SPDX-License-Identifier: MIT
// Chains: several calls behind one submission bit. Each rule of struct flexsc_entry, whoever
// executes it.
#include <sys/mman.h>

#include "modes.hpp"

namespace flexsc_guest {
namespace {

class Chain : public ModesTest {};
FLEXSC_IN_ALL_MODES(Chain);

TEST_P(Chain, CallsAreMadeInOrder) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  EXPECT_EQ(run(rig, {write_byte(pipe, "a"), write_byte(pipe, "b"), write_byte(pipe, "c")}),
            (Results{1, 1, 1}));
  EXPECT_EQ(drain(pipe), "abc");
  // What it did was counted as what it is.
  const flexsc_stats stats = rig.group.stats();
  const __u64 counted = GetParam() == By::kWorker ? stats.executed
                        : GetParam() == By::kHelp ? stats.helped
                                                  : stats.flushed;
  EXPECT_TRUE(GetParam() != By::kWorker ? counted == 3 : rig.group.has_executed(3)) << counted;
}

TEST_P(Chain, ErrorEndsIt) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  EXPECT_EQ(run(rig, {write_byte(pipe, "a"), call(SYS_close, -1), write_byte(pipe, "b"),
                      write_byte(pipe, "c")}),
            (Results{1, -EBADF, -ECANCELED, -ECANCELED}));
  EXPECT_EQ(drain(pipe), "a");
  EXPECT_EQ(run(rig, {call(SYS_close, -1), write_byte(pipe, "b")}), (Results{-EBADF, -ECANCELED}));
  EXPECT_EQ(drain(pipe), "");
}

TEST_P(Chain, GoOnIgnoresErrors) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  EXPECT_EQ(run(rig, {call(SYS_close, -1).with(kGoOn), write_byte(pipe, "a"),
                      call(SYS_close, -1).with(kGoOn), write_byte(pipe, "b")}),
            (Results{-EBADF, 1, -EBADF, 1}));
  EXPECT_EQ(drain(pipe), "ab");
}

TEST_P(Chain, EndOnZero) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  char byte = 0;
  const Call eof = call(SYS_read, null.get(), &byte, 1);
  EXPECT_EQ(run(rig, {eof.with(kEndOnZero), write_byte(pipe, "a")}), (Results{0, -ECANCELED}));
  EXPECT_EQ(run(rig, {eof, write_byte(pipe, "b")}), (Results{0, 1}));
  EXPECT_EQ(run(rig, {write_byte(pipe, "c").with(kEndOnZero), write_byte(pipe, "d")}),
            (Results{1, 1}));
  EXPECT_EQ(drain(pipe), "bcd");
}

TEST_P(Chain, EndOnShort) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  const Pipe sink = make_pipe();
  std::array<char, 8> bytes{};
  put(pipe.writer, "four");
  EXPECT_EQ(run(rig, {call(SYS_read, pipe.reader.get(), bytes.data(), 4).with(kEndOnShort),
                      write_byte(sink, "a")}),
            (Results{4, 1}));
  put(pipe.writer, "four");
  EXPECT_EQ(run(rig, {call(SYS_read, pipe.reader.get(), bytes.data(), 8).with(kEndOnShort),
                      write_byte(sink, "b")}),
            (Results{4, -ECANCELED}));
  // All 64 bits of the argument count, whatever the call makes of it.
  const long parent = ::getppid();
  EXPECT_EQ(run(rig, {call(SYS_getppid, 0, 0, parent).with(kEndOnShort), write_byte(sink, "c")}),
            (Results{parent, 1}));
  EXPECT_EQ(run(rig, {call(SYS_getppid, 0, 0, parent | 1L << 32).with(kEndOnShort),
                      write_byte(sink, "d")}),
            (Results{parent, -ECANCELED}));
  EXPECT_EQ(drain(sink), "ac");
}

// Some calls have the size that they are asked for elsewhere.
TEST_P(Chain, EndOnShortGoesByTheSize) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  const Pipe sink = make_pipe();
  const Fd file(::memfd_create("short", MFD_CLOEXEC));
  const Fd copy(::memfd_create("copy", MFD_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "seven b", 7, 0), 7);
  off_t offset = 0;
  const auto sent = [&](long size) {
    offset = 0;
    return call(SYS_sendfile, pipe.writer.get(), file.get(), &offset, size).with(kEndOnShort);
  };
  EXPECT_EQ(run(rig, {sent(7), write_byte(sink, "a")}), (Results{7, 1}));
  EXPECT_EQ(run(rig, {sent(8), write_byte(sink, "b")}), (Results{7, -ECANCELED}));
  const auto spliced = [&](long size) {
    return call(SYS_splice, pipe.reader.get(), nullptr, copy.get(), nullptr, size, 0)
        .with(kEndOnShort);
  };
  EXPECT_EQ(run(rig, {spliced(14), write_byte(sink, "c")}), (Results{14, 1}));
  put(pipe.writer, "four");
  EXPECT_EQ(run(rig, {spliced(5), write_byte(sink, "d")}), (Results{4, -ECANCELED}));
  const auto copied = [&](long size) {
    offset = 0;
    return call(SYS_copy_file_range, file.get(), &offset, copy.get(), nullptr, size, 0)
        .with(kEndOnShort);
  };
  EXPECT_EQ(run(rig, {copied(7), write_byte(sink, "e")}), (Results{7, 1}));
  EXPECT_EQ(run(rig, {copied(8), write_byte(sink, "f")}), (Results{7, -ECANCELED}));
  EXPECT_EQ(drain(sink), "ace");
}

// A refused call ends the chain like one that failed; what was made before it was made, and says
// so.
TEST_P(Chain, RefusedCallEndsIt) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  for (const Call& refused : {call(SYS_exit, 0), call(SYS_exit_group, 0), call(SYS_fork),
                              call(SYS_lseek, rig.client.fd(), FLEXSC_CMD(FLEXSC_CMD_FLUSH, 0), 0),
                              call(SYS_ioctl, rig.client.fd(), FLEXSC_IOC_CANCEL, nullptr)}) {
    const Results results = run(rig, {write_byte(pipe, "a"), refused, write_byte(pipe, "b")});
    EXPECT_EQ(results[1], -FLEXSC_E_REFUSED) << refused.nr;
    EXPECT_EQ(results[2], -ECANCELED) << refused.nr;
    EXPECT_EQ(drain(pipe), results[0] == 1 ? "a" : "") << refused.nr;
    EXPECT_TRUE(results[0] == 1 || results[0] == -ECANCELED) << results[0];
  }
  EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN});
}

TEST_P(Chain, WholePageAndItsEnd) {
  const Rig rig = make_rig(2);
  const Pipe pipe = make_pipe();
  std::vector<Call> calls(64, write_byte(pipe, "x"));
  EXPECT_EQ(run_chain(rig.client, GetParam(), calls, 1), Results(64, 1));
  EXPECT_EQ(drain(pipe), std::string(64, 'x'));
  calls.resize(2);
  EXPECT_EQ(run_chain(rig.client, GetParam(), calls, 0, 62), (Results{1, 1}));
  EXPECT_EQ(drain(pipe), "xx");
}

TEST_P(Chain, SeveralInOneWordBesideSingleCalls) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  __u64 heads = 0;
  __u64 all = 0;
  for (unsigned bit = 0; bit < 64; bit += 4) {
    const std::array<Call, 3> chain = {write_byte(pipe, "c"), call(SYS_close, -1),
                                       write_byte(pipe, "C")};
    all |= rig.client.fill_chain(0, bit, chain) | __u64{8} << bit;
    rig.client.fill(0, bit + 3, write_byte(pipe, "s"));
    heads |= __u64{9} << bit;
  }
  execute(rig.client, GetParam(), 0, heads, all);
  for (unsigned bit = 0; bit < 64; bit += 4) {
    EXPECT_EQ(rig.client.take(0, bit), 1);
    EXPECT_EQ(rig.client.take(0, bit + 1), -EBADF);
    EXPECT_EQ(rig.client.take(0, bit + 2), -ECANCELED);
    EXPECT_EQ(rig.client.take(0, bit + 3), 1);
  }
  const std::string written = drain(pipe);
  EXPECT_EQ(written.size(), 32U);
  EXPECT_EQ(written.find('C'), std::string::npos);
}

// An entry of a chain breaks a rule: it says so, and no call is made.
class ChainRules : public Chain {
 protected:
  void expect_invalid(const Rig& rig, std::vector<Call> calls, unsigned culprit, unsigned bit = 0) {
    Results wanted(calls.size(), -ECANCELED);
    wanted[culprit] = -EINVAL;
    EXPECT_EQ(run_chain(rig.client, GetParam(), calls, 0, bit), wanted) << "entry " << culprit;
    EXPECT_EQ(readable(pipe_.reader), 0) << "a call was made";
    EXPECT_EQ(run(rig, {call(SYS_getppid)}), Results{::getppid()});
  }
  [[nodiscard]] Call harmless() const { return write_byte(pipe_, "x"); }
  Pipe pipe_ = make_pipe();
};
FLEXSC_IN_ALL_MODES(ChainRules);

TEST_P(ChainRules, UnknownFlags) {
  const Rig rig = make_rig();
  for (unsigned bit = 0; bit < 16; ++bit) {
    if ((FLEXSC_ENTRY_FLAGS >> bit & 1) != 0) continue;
    expect_invalid(rig, {harmless(), harmless().with(1 << bit), harmless()}, 1);
  }
}

TEST_P(ChainRules, ArgumentsThatAreNot) {
  const Rig rig = make_rig();
  for (unsigned bit = 6; bit < 16; ++bit) {
    Call odd = harmless();
    odd.from = static_cast<__u16>(1U << bit);
    expect_invalid(rig, {harmless(), odd}, 1);
  }
}

TEST_P(ChainRules, ResultsThatAreNotEarlier) {
  const Rig rig = make_rig();
  // Of itself, of later ones, of none, of what looks small in 8 or 32 bits.
  for (const __u64 position : {1UL, 2UL, 3UL, 63UL, 64UL, 256UL, 1UL << 32, ~0UL}) {
    for (unsigned argument = 0; argument < 6; ++argument) {
      Call later = harmless();
      later.from = static_cast<__u16>(1U << argument);
      later.args[argument] = position;
      expect_invalid(rig, {harmless(), later, harmless()}, 1);
    }
  }
  // The head has nothing before it; the entry before it in the page is not of its chain.
  rig.client.fill(0, 9, harmless());
  expect_invalid(rig, {call(SYS_close, ResultOf{0}), harmless()}, 0, 10);
  // In a circle: 1 takes from 2 and 2 from 1.
  expect_invalid(
      rig, {harmless(), call(SYS_close, ResultOf{2}), call(SYS_close, ResultOf{1}), harmless()}, 1);
}

TEST_P(ChainRules, RepeatIsForTheLast) {
  const Rig rig = make_rig();
  expect_invalid(rig, {harmless().with(kRepeat), harmless()}, 0);
  expect_invalid(rig, {harmless(), harmless().with(kRepeat), harmless().with(kRepeat)}, 1);
}

TEST_P(ChainRules, DeadlineIsForTheHead) {
  const Rig rig = make_rig();
  expect_invalid(rig, {harmless(), harmless().until(from_now(1h))}, 1);
}

// A chain cannot go on in the next page.
TEST_P(ChainRules, PageEnd) {
  const Rig rig = make_rig(2);
  rig.client.fill(1, 0, harmless());
  for (unsigned length = 1; length <= 64; length += 21) {
    std::vector<Call> calls(length, harmless());
    calls.back() = harmless().with(kLink);
    expect_invalid(rig, calls, length - 1, 64 - length);
    EXPECT_EQ(rig.client.completed(1), 0U);
  }
}

}  // namespace
}  // namespace flexsc_guest
