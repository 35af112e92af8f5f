// SPDX-License-Identifier: MIT
/// Description: in a batch segment the deferrable calls answer at once and are made by the
/// flush, in order; no error and no short transfer is lost.
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>
#include <thread>

#include "flexsc/batch.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

class SegmentTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (!IsSkipped()) engine = open();
  }
  void TearDown() override { static_cast<void>(batch_flush()); }

  /// What recording the call promises; -1 if it is not recorded.
  static long record(const Call& call) {
    long promised = -1;
    const bool recorded = batch_record(call, promised);
    EXPECT_EQ(recorded, promised != -1);
    return promised;
  }
  std::string received() {
    std::array<char, 4096> bytes{};
    const long count = execute(make_call(SYS_read, pipe.reader(), bytes.data(), bytes.size()));
    return {bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
  }

  std::unique_ptr<Engine> engine;
  Pipe pipe{O_NONBLOCK};
};
INSTANTIATE_TEST_SUITE_P(, SegmentTest, all_engines(), name_of);

TEST_P(SegmentTest, OutsideASegmentNothingIsRecorded) {
  EXPECT_FALSE(in_batch());
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), "x", 1)), -1);
  const BatchResult result = batch_flush();
  EXPECT_EQ(result.executed, 0U);
  EXPECT_TRUE(result.failures.empty());
}

TEST_P(SegmentTest, SegmentsDoNotNest) {
  EXPECT_EQ(batch_start(*engine), 0);
  EXPECT_TRUE(in_batch());
  EXPECT_EQ(batch_start(*engine), EBUSY);
  static_cast<void>(batch_flush());
  EXPECT_FALSE(in_batch());
  EXPECT_EQ(batch_start(*engine), 0);
}

TEST_P(SegmentTest, DeferrableCallsAreMadeByTheFlushInOrder) {
  std::array<int, 2> sockets{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()), 0);
  const Pipe file;  // sendfile needs a file: a memfd
  const auto memory = static_cast<int>(execute(make_call(SYS_memfd_create, "sent", 0)));
  ASSERT_EQ(write(memory, "fg", 2), 2);
  ASSERT_EQ(lseek(memory, 0, SEEK_SET), 0);
  const std::uint64_t crossings = batch_crossings();

  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_EQ(record(make_call(SYS_write, sockets[0], "a", 1)), 1);
  {
    // The vector and the header may go away, the data stays.
    iovec parts[2] = {{const_cast<char*>("b"), 1}, {const_cast<char*>("c"), 1}};
    EXPECT_EQ(record(make_call(SYS_writev, sockets[0], parts, 2)), 2);
    iovec more{const_cast<char*>("d"), 1};
    msghdr header{};
    header.msg_iov = &more;
    header.msg_iovlen = 1;
    EXPECT_EQ(record(make_call(SYS_sendmsg, sockets[0], &header, 0)), 1);
    parts[0].iov_base = parts[1].iov_base = more.iov_base = nullptr;
    header = {};
  }
  EXPECT_EQ(record(make_call(SYS_sendto, sockets[0], "e", 1, MSG_NOSIGNAL, nullptr, 0)), 1);
  EXPECT_EQ(record(make_call(SYS_sendfile, sockets[0], memory, nullptr, 2)), 2);
  EXPECT_EQ(record(make_call(SYS_shutdown, sockets[0], SHUT_WR)), 0);
  EXPECT_EQ(record(make_call(SYS_close, sockets[0])), 0);

  std::array<char, 16> bytes{};
  EXPECT_EQ(recv(sockets[1], bytes.data(), bytes.size(), MSG_DONTWAIT), -1) << "nothing was sent";
  const BatchResult result = batch_flush();
  EXPECT_EQ(result.executed, 7U);
  EXPECT_TRUE(result.failures.empty());
  EXPECT_EQ(batch_crossings() - crossings, GetParam() == EngineKind::kernel ? 1U : 7U);
  EXPECT_EQ(recv(sockets[1], bytes.data(), bytes.size(), MSG_WAITALL), 7);
  EXPECT_EQ(std::string(bytes.data()), "abcdefg");
  EXPECT_EQ(fcntl(sockets[0], F_GETFD), -1) << "closed";
  close(sockets[1]);
  close(memory);
}

TEST_P(SegmentTest, OtherCallsFlushFirst) {
  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), "1", 1)), 1);
  EXPECT_EQ(received(), "");
  EXPECT_EQ(record(make_call(SYS_read, pipe.reader(), nullptr, 0)), -1);
  EXPECT_EQ(received(), "1");
  EXPECT_TRUE(in_batch());
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), "2", 1)), 1);
  EXPECT_EQ(batch_flush().executed, 2U);
  EXPECT_EQ(received(), "2");
}

TEST_P(SegmentTest, WhatCannotBePromisedIsNotDeferred) {
  long offset = 0;
  iovec huge{nullptr, 1UL << 40};
  sockaddr address{};
  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), "x", -1L)), -1);
  EXPECT_EQ(record(make_call(SYS_writev, pipe.writer(), &huge, 1)), -1);
  EXPECT_EQ(record(make_call(SYS_writev, pipe.writer(), &huge, 1025)), -1);
  EXPECT_EQ(record(make_call(SYS_writev, pipe.writer(), nullptr, 1)), -1);
  EXPECT_EQ(record(make_call(SYS_sendmsg, pipe.writer(), nullptr, 0)), -1);
  EXPECT_EQ(record(make_call(SYS_sendfile, pipe.writer(), 0, &offset, 1)), -1);
  EXPECT_EQ(record(make_call(SYS_sendto, pipe.writer(), "x", 1, 0, &address, 2)), -1);
  EXPECT_EQ(batch_flush().executed, 0U);
}

TEST_P(SegmentTest, FailuresAreReported) {
  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_EQ(record(make_call(SYS_write, -1, "x", 1)), 1);
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), "ok", 2)), 2);
  EXPECT_EQ(record(make_call(SYS_close, -1)), 0);
  const BatchResult result = batch_flush();
  EXPECT_EQ(result.executed, 3U);
  ASSERT_EQ(result.failures.size(), 2U);
  EXPECT_EQ(result.failures[0].call.nr, static_cast<std::uint32_t>(SYS_write));
  EXPECT_EQ(result.failures[0].promised, 1);
  EXPECT_EQ(result.failures[0].result, -EBADF);
  EXPECT_EQ(result.failures[1].call.nr, static_cast<std::uint32_t>(SYS_close));
  EXPECT_EQ(result.failures[1].result, -EBADF);
  EXPECT_EQ(received(), "ok");

  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_TRUE(batch_flush().failures.empty()) << "of the last segment only";
}

TEST_P(SegmentTest, ShortWritesAreReported) {
  ASSERT_EQ(fcntl(pipe.writer(), F_SETPIPE_SZ, 4096), 4096);
  const std::vector<char> data(3000, 'x');
  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), data.data(), data.size())), 3000);
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), data.data(), data.size())), 3000);
  const std::vector<char> big(8192, 'y');
  const BatchResult result = batch_flush();
  EXPECT_EQ(result.executed, 2U);
  ASSERT_EQ(result.failures.size(), 1U);
  EXPECT_EQ(result.failures[0].promised, 3000);
  EXPECT_EQ(result.failures[0].result, -EAGAIN);
  EXPECT_EQ(received().size(), 3000U);

  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), big.data(), big.size())), 8192);
  const BatchResult shorter = batch_flush();
  ASSERT_EQ(shorter.failures.size(), 1U);
  EXPECT_EQ(shorter.failures[0].promised, 8192);
  EXPECT_EQ(shorter.failures[0].result, 4096);
}

TEST_P(SegmentTest, AFullSegmentIsFlushedAndItsFailuresKept) {
  options.pages_per_channel = 1;
  const auto small = open();
  ASSERT_EQ(batch_start(*small), 0);
  EXPECT_EQ(record(make_call(SYS_write, -1, "x", 1)), 1);
  for (int i = 0; i < 199; ++i) {
    iovec one{const_cast<char*>("v"), 1};
    EXPECT_EQ(record(make_call(SYS_writev, pipe.writer(), &one, 1)), 1);
  }
  EXPECT_EQ(received().size(), 191U) << "three full ones";
  const BatchResult result = batch_flush();
  EXPECT_EQ(result.executed, 200U);
  EXPECT_EQ(result.failures.size(), 1U);
  EXPECT_EQ(received().size(), 8U);
  // The kept batch belongs to `small`; another engine gets another.
  ASSERT_EQ(batch_start(*engine), 0);
}

TEST_P(SegmentTest, SegmentsBelongToTheirThread) {
  ASSERT_EQ(batch_start(*engine), 0);
  EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), "m", 1)), 1);
  std::thread other([&] {
    EXPECT_FALSE(in_batch());
    EXPECT_EQ(batch_start(*engine), 0);
    EXPECT_EQ(record(make_call(SYS_write, pipe.writer(), "o", 1)), 1);
    EXPECT_EQ(batch_flush().executed, 1U);
  });
  other.join();
  EXPECT_EQ(received(), "o");
  EXPECT_EQ(batch_flush().executed, 1U);
  EXPECT_EQ(received(), "m");
}

}  // namespace
}  // namespace flexsc::test
