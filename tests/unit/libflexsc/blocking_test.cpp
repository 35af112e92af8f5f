// SPDX-License-Identifier: MIT
/// Description: a call that blocks stops no other call, whether the worker could know it
/// beforehand or not.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <ctime>
#include <thread>

#include "support.hpp"

namespace flexsc::test {
namespace {

class BlockingTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, BlockingTest, worker_engines(), name_of);

TEST_P(BlockingTest, HundredsOfReadsWaitForLaterWrites) {
  constexpr std::uintptr_t kPipes = 300;
  options.concurrency = 1;
  const auto engine = open();
  const auto channel = engine->make_channel();
  std::vector<Pipe> pipes(kPipes);
  std::vector<char> bytes(kPipes);
  for (std::uintptr_t i = 0; i < kPipes; ++i) {
    ASSERT_TRUE(channel->post(make_call(SYS_read, pipes[i].reader(), &bytes[i], 1), token(i)));
  }
  channel->submit();
  // The writes come after all the reads, through the same worker.
  std::array<Completion, 16> out;
  ASSERT_EQ(channel->reap(out), 0U);
  std::size_t reads = 0;
  std::size_t writes = 0;
  std::vector<char> sent(kPipes);
  const auto account = [&](const Completion& each) {
    EXPECT_EQ(each.result, 1);
    number(each.token) < kPipes ? ++reads : ++writes;
  };
  for (std::uintptr_t i = 0; i < kPipes; ++i) {
    sent[i] = static_cast<char>('a' + i % 26);
    const Call call = make_call(SYS_write, pipes[i].writer(), &sent[i], 1);
    while (!channel->post(call, token(kPipes + i))) {
      channel->wait(kForever);
      const std::size_t count = channel->reap(out);
      for (std::size_t k = 0; k < count; ++k) account(out[k]);
    }
  }
  for (const Completion& each : drain(*channel)) account(each);
  EXPECT_EQ(reads, kPipes);
  EXPECT_EQ(writes, kPipes);
  EXPECT_EQ(bytes, sent);
  EXPECT_EQ(executed(*engine, 2 * kPipes), 2 * kPipes);
  // The kernel lets them wait without a worker.
  if (GetParam() == EngineKind::threads) {
    EXPECT_GE(engine->stats().blocked, 1U);
  } else {
    EXPECT_EQ(engine->stats().blocked, 0U);
  }
}

TEST_P(BlockingTest, ClaimedCallsAreHandedBackByAWorkerThatBlocks) {
  options.concurrency = 1;
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  // Two, as engine `uring` needs no worker for one.
  pollfd readable[2] = {{pipe.reader(), POLLIN, 0}, {-1, 0, 0}};
  // One claim: a call that holds its worker first, then calls that do not block.
  ASSERT_TRUE(channel->post(make_call(SYS_poll, &readable[0], 2, -1), token(1)));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(channel->post(make_call(SYS_getpgrp), token(2)));
  std::size_t done = 0;
  while (done < 10) {
    Completion one;
    channel->wait(kForever);
    if (channel->reap({&one, 1}) == 1) {
      EXPECT_EQ(one.token, token(2));
      EXPECT_EQ(one.result, getpgrp());
      ++done;
    }
  }
  EXPECT_EQ(channel->in_flight(), 1U);
  EXPECT_GE(engine->stats().blocked, 1U);
  EXPECT_GE(engine->stats().handed_back, 1U);
  ASSERT_EQ(write(pipe.writer(), "y", 1), 1);
  EXPECT_EQ(drain(*channel).size(), 1U);
  EXPECT_EQ(readable[0].revents, POLLIN);
}

TEST_P(BlockingTest, SleepsDoNotStopOthers) {
  options.concurrency = 1;
  const auto engine = open();
  const auto channel = engine->make_channel();
  const timespec moment{0, 1000000};
  const Pipe pipe;
  char byte = 0;
  ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &byte, 1), token(1)));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(channel->post(make_call(SYS_nanosleep, &moment, nullptr), token(2)));
  }
  ASSERT_TRUE(channel->post(make_call(SYS_write, pipe.writer(), "z", 1), token(3)));
  EXPECT_EQ(drain(*channel).size(), 52U);
  EXPECT_EQ(byte, 'z');
}

TEST_P(BlockingTest, UnforeseenBlockingDoesNotStopOthers) {
  // A write that its pipe cannot hold polls as writable and blocks all the same; the read
  // that would free it comes later.
  options.concurrency = 1;
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  ASSERT_EQ(fcntl(pipe.writer(), F_SETPIPE_SZ, 8192), 8192);
  std::vector<char> data(20000, 'd');
  std::vector<char> back(20000);
  ASSERT_TRUE(
      channel->post(make_call(SYS_write, pipe.writer(), data.data(), data.size()), token(1)));
  channel->submit();
  std::size_t received = 0;
  bool written = false;
  bool reading = false;
  while (received < data.size() || !written) {
    if (!reading && received < data.size()) {
      ASSERT_TRUE(channel->post(
          make_call(SYS_read, pipe.reader(), &back[received], data.size() - received), token(2)));
      reading = true;
    }
    channel->wait(kForever);
    Completion one;
    if (channel->reap({&one, 1}) == 0) continue;
    if (one.token == token(1)) {
      EXPECT_EQ(one.result, static_cast<long>(data.size()));
      written = true;
    } else {
      ASSERT_GT(one.result, 0);
      received += static_cast<std::size_t>(one.result);
      reading = false;
    }
  }
  EXPECT_EQ(channel->in_flight(), 0U);
  EXPECT_EQ(back, data);
}

TEST_P(BlockingTest, TwoReadersOfOneDescriptor) {
  // Both may find it ready, one of them then blocks.
  options.concurrency = 2;
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  for (int round = 0; round < 200; ++round) {
    std::array<char, 2> bytes{};
    ASSERT_EQ(write(pipe.writer(), "1", 1), 1);
    ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &bytes[0], 1), token(0)));
    channel->submit();
    ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &bytes[1], 1), token(1)));
    ASSERT_TRUE(channel->post(make_call(SYS_write, pipe.writer(), "2", 1), token(2)));
    EXPECT_EQ(drain(*channel).size(), 3U);
    EXPECT_EQ(bytes[0] + bytes[1], '1' + '2');
  }
}

TEST_P(BlockingTest, AtTheStandbyLimitCallsWaitButNoneIsLost) {
  constexpr std::uintptr_t kPipes = 12;
  options.concurrency = 1;
  options.standby_max = 1;
  const auto engine = open();
  const auto channel = engine->make_channel();
  std::vector<Pipe> pipes(kPipes);
  std::array<char, kPipes> bytes{};
  for (std::uintptr_t i = 0; i < kPipes; ++i) {
    ASSERT_TRUE(channel->post(make_call(SYS_read, pipes[i].reader(), &bytes[i], 1), token(i)));
    ASSERT_TRUE(channel->post(nop(), token(kPipes)));
  }
  channel->submit();
  for (const Pipe& pipe : pipes) ASSERT_EQ(write(pipe.writer(), "w", 1), 1);
  std::size_t reads = 0;
  for (const Completion& each : drain(*channel)) {
    EXPECT_EQ(each.result, number(each.token) < kPipes ? 1 : -ENOSYS);
    if (number(each.token) < kPipes) ++reads;
  }
  EXPECT_EQ(reads, kPipes);
  EXPECT_LE(engine->stats().workers, 2U);
}

TEST_P(BlockingTest, AcceptConnectAndEcho) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const auto through = [&](const Call& call) { return call_through(*channel, call); };
  const auto listener = static_cast<int>(through(make_call(SYS_socket, AF_UNIX, SOCK_STREAM, 0)));
  const sa_family_t address = AF_UNIX;  // an abstract name of the kernel's choice
  ASSERT_EQ(through(make_call(SYS_bind, listener, &address, sizeof address)), 0);
  ASSERT_EQ(through(make_call(SYS_listen, listener, 8)), 0);
  std::array<char, 128> name{};
  socklen_t length = name.size();
  ASSERT_EQ(through(make_call(SYS_getsockname, listener, name.data(), &length)), 0);

  ASSERT_TRUE(
      channel->post(make_call(SYS_accept4, listener, nullptr, nullptr, SOCK_CLOEXEC), token(1)));
  const auto client = static_cast<int>(execute(make_call(SYS_socket, AF_UNIX, SOCK_STREAM, 0)));
  ASSERT_TRUE(channel->post(make_call(SYS_connect, client, name.data(), length), token(2)));
  int server = -1;
  for (const Completion& each : drain(*channel)) {
    ASSERT_GE(each.result, 0);
    if (each.token == token(1)) server = static_cast<int>(each.result);
  }
  std::array<char, 5> echoed{};
  ASSERT_TRUE(channel->post(
      make_call(SYS_recvfrom, server, echoed.data(), echoed.size(), MSG_WAITALL, nullptr, nullptr),
      token(3)));
  ASSERT_TRUE(channel->post(make_call(SYS_sendto, client, "he", 2, 0, nullptr, 0), token(4)));
  Completion one;
  do {
    channel->wait(kForever);
  } while (channel->reap({&one, 1}) == 0);
  EXPECT_EQ(one.token, token(4)) << "the receiver waits for five bytes";
  EXPECT_EQ(one.result, 2);
  ASSERT_TRUE(channel->post(make_call(SYS_sendto, client, "llo", 3, 0, nullptr, 0), token(4)));
  for (const Completion& each : drain(*channel)) {
    EXPECT_EQ(each.result, each.token == token(3) ? 5 : 3);
  }
  EXPECT_EQ(std::string(echoed.data(), echoed.size()), "hello");
  close(client);
  close(server);
  close(listener);
}

}  // namespace
}  // namespace flexsc::test
