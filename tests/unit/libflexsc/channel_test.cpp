// SPDX-License-Identifier: MIT
/// Description: a channel completes every posted call exactly once, with the result of
/// the direct call and the token of its post, on every engine.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>
#include <thread>

#include "support.hpp"

namespace flexsc::test {
namespace {

class ChannelTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, ChannelTest, all_engines(), name_of);

TEST_P(ChannelTest, CompletesEveryCallOnceWithItsToken) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  std::uint64_t expected = 0;
  for (std::size_t round = 1; round <= 200; ++round) {
    const std::size_t calls = round % 97 + 1;
    std::set<std::uintptr_t> tokens;
    for (std::size_t i = 0; i < calls; ++i) {
      const std::uintptr_t mine = round * 1000 + i;
      const Call call = i % 2 == 0 ? make_call(SYS_getpid) : nop();
      ASSERT_TRUE(channel->post(call, token(mine)));
      tokens.insert(mine);
    }
    EXPECT_EQ(channel->in_flight(), calls);
    for (const Completion& each : drain(*channel)) {
      EXPECT_EQ(each.result, number(each.token) % 1000 % 2 == 0 ? getpid() : -ENOSYS);
      EXPECT_EQ(tokens.erase(number(each.token)), 1U) << "twice, or never posted";
    }
    EXPECT_TRUE(tokens.empty());
    expected += calls;
    EXPECT_EQ(channel->stats().posted, expected);
    EXPECT_EQ(channel->stats().reaped, expected);
  }
  EXPECT_EQ(channel->stats().full, 0U);
  std::array<Completion, 4> none;
  EXPECT_EQ(channel->reap(none), 0U);
}

TEST_P(ChannelTest, ResultsAreThoseOfTheDirectCall) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe(O_NONBLOCK);
  struct stat status {};
  std::array<char, 8> buffer{};
  const std::vector<Call> calls = {
      make_call(SYS_getppid),
      make_call(SYS_geteuid),
      make_call(SYS_close, -1),
      make_call(SYS_read, pipe.reader(), buffer.data(), buffer.size()),   // EAGAIN
      make_call(SYS_read, pipe.writer(), buffer.data(), buffer.size()),   // EBADF
      make_call(SYS_openat, AT_FDCWD, "/does/not/exist", O_RDONLY),       // ENOENT
      make_call(SYS_openat, AT_FDCWD, "/", O_WRONLY),                     // EISDIR
      make_call(SYS_newfstatat, AT_FDCWD, "/", &status, 0),               // 0
      make_call(SYS_newfstatat, AT_FDCWD, "/", 1, 0),                     // EFAULT
      make_call(SYS_lseek, pipe.reader(), 0, SEEK_CUR),                   // ESPIPE
      make_call(SYS_fcntl, pipe.reader(), F_GETFL),                       // flags
      make_call(SYS_socket, -1, SOCK_STREAM, 0),                          // EAFNOSUPPORT
      make_call(SYS_mmap, 0, 0, 0, 0, -1, 0),                             // EINVAL
      make_call(SYS_gettid),                                              // the carrier's
      make_call(SYS_sched_getaffinity, 0, buffer.size(), buffer.data()),  // the carrier's
      make_call(100000),                                                  // ENOSYS
  };
  for (const Call& call : calls) {
    EXPECT_EQ(call_through(*channel, call), execute(call)) << "call " << call.nr;
  }
}

TEST_P(ChannelTest, LongResultsAreNotCut) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Call map = make_call(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const long address = call_through(*channel, map);
  ASSERT_GT(address, 0xFFFFFFFFL);
  EXPECT_EQ(call_through(*channel, make_call(SYS_munmap, address, 4096)), 0);
}

TEST_P(ChannelTest, FullTableRefusesAndLosesNothing) {
  options.pages_per_channel = 2;
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < 3; ++round) {
    for (std::uintptr_t i = 0; i < 128; ++i) ASSERT_TRUE(channel->post(nop(), token(i)));
    EXPECT_FALSE(channel->post(nop(), token(999)));
    EXPECT_EQ(channel->in_flight(), 128U);
    std::array<Completion, 5> some;
    std::size_t count = 0;
    while ((count = channel->reap(some)) == 0) channel->wait(kForever);
    EXPECT_EQ(channel->in_flight(), 128 - count);
    for (std::uintptr_t i = 0; i < count; ++i) {  // as many as were reaped, no more
      ASSERT_TRUE(channel->post(nop(), number(some[i].token) == 999 ? nullptr : some[i].token));
    }
    EXPECT_FALSE(channel->post(nop(), token(999)));
    std::vector<bool> seen(128);
    for (const Completion& each : drain(*channel)) {
      ASSERT_LT(number(each.token), 128U);
      EXPECT_FALSE(seen[number(each.token)]);
      seen[number(each.token)] = true;
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 128);
  }
  EXPECT_EQ(channel->stats().full, 6U);
}

TEST_P(ChannelTest, TheLargestChannelUsesAllOfItsEntries) {
  constexpr std::uintptr_t kEntries = std::uintptr_t{256} * 64;
  options.pages_per_channel = 256;
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int round = 0; round < 2; ++round) {
    for (std::uintptr_t i = 0; i < kEntries; ++i) ASSERT_TRUE(channel->post(nop(), token(i)));
    EXPECT_FALSE(channel->post(nop(), nullptr));
    std::vector<bool> seen(kEntries);
    for (const Completion& each : drain(*channel)) {
      EXPECT_EQ(each.result, -ENOSYS);
      EXPECT_FALSE(seen[number(each.token)]);
      seen[number(each.token)] = true;
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), static_cast<long>(kEntries));
  }
}

TEST_P(ChannelTest, NoChannelIsLargerOrEmpty) {
  options.pages_per_channel = 257;
  EXPECT_THROW(static_cast<void>(open()), std::system_error);
  options.pages_per_channel = 0;
  EXPECT_THROW(static_cast<void>(open()), std::system_error);
}

TEST_P(ChannelTest, ReapFillsNoMoreThanItsSpan) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (std::uintptr_t i = 0; i < 100; ++i) ASSERT_TRUE(channel->post(nop(), token(i)));
  EXPECT_EQ(channel->reap({}), 0U);
  std::set<std::uintptr_t> seen;
  while (channel->in_flight() != 0) {
    Completion one;
    channel->wait(kForever);
    const std::size_t before = channel->in_flight();
    const std::size_t count = channel->reap({&one, 1});
    ASSERT_LE(count, 1U);
    EXPECT_EQ(channel->in_flight(), before - count);
    if (count == 1) {
      EXPECT_TRUE(seen.insert(number(one.token)).second);
    }
  }
  EXPECT_EQ(seen.size(), 100U);
}

TEST_P(ChannelTest, ManyChannelsOnManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 300;
  options.concurrency = 2;
  const auto engine = open();
  std::atomic<int> completed{0};
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const auto channel = engine->make_channel();
      for (int round = 0; round < kRounds; ++round) {
        for (int i = 0; i <= round % 20; ++i) {
          ASSERT_TRUE(channel->post(make_call(SYS_getppid), channel.get()));
        }
        for (const Completion& each : drain(*channel)) {
          EXPECT_EQ(each.result, getppid());
          EXPECT_EQ(each.token, channel.get()) << "somebody else's completion";
          completed.fetch_add(1);
        }
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(completed.load(), kThreads * (kRounds / 20) * 210);
}

TEST_P(ChannelTest, ChannelsComeAndGo) {
  const auto engine = open();
  for (int round = 0; round < 200; ++round) {
    const auto first = engine->make_channel();
    const auto second = engine->make_channel();
    EXPECT_EQ(call_through(*first, nop()), -ENOSYS);
    EXPECT_EQ(call_through(*second, make_call(SYS_getpid)), getpid());
  }
}

TEST_P(ChannelTest, WaitEndsAtItsTimeout) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  channel->wait(std::chrono::nanoseconds(0));
  channel->wait(std::chrono::milliseconds(1));
  EXPECT_EQ(channel->in_flight(), 0U);
  EXPECT_EQ(channel->stats().waits, 2U);
}

TEST_P(ChannelTest, WaitReturnsAtOnceWhenSomethingCanBeReaped) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  ASSERT_TRUE(channel->post(nop(), nullptr));
  channel->wait(kForever);
  channel->wait(kForever);  // the completion is still there
  EXPECT_EQ(drain(*channel).size(), 1U);
}

TEST_P(ChannelTest, NotifyIsSticky) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  channel->notify();
  channel->notify();
  channel->wait(kForever);  // both at once
  channel->wait(std::chrono::milliseconds(1));
}

TEST_P(ChannelTest, EveryNotifyIsSeen) {
  constexpr int kNotes = 20000;
  const auto engine = open();
  const auto channel = engine->make_channel();
  std::atomic<int> sent{0};
  std::atomic<int> seen{0};
  std::thread sender([&] {
    for (int i = 1; i <= kNotes; ++i) {
      sent.store(i);
      channel->notify();
      // In lock step now and then, so that the sleeper really sleeps.
      while (i % 8 == 0 && seen.load() < i) std::this_thread::yield();
    }
  });
  while (seen.load() < kNotes) {
    const int now = sent.load();
    if (now > seen.load()) {
      seen.store(now);
    } else {
      channel->wait(kForever);  // for ever, if a notification could be lost
    }
  }
  sender.join();
}

TEST_P(ChannelTest, NotifyInterruptsAWaitForCompletions) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  if (GetParam() == EngineKind::direct) GTEST_SKIP() << "a direct call is over before the wait";
  const Pipe pipe;
  char byte = 0;
  ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &byte, 1), token(1)));
  std::thread notifier([&] { channel->notify(); });
  channel->wait(kForever);
  notifier.join();
  EXPECT_EQ(channel->in_flight(), 1U);
  ASSERT_EQ(write(pipe.writer(), "x", 1), 1);
  const auto all = drain(*channel);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].result, 1);
  EXPECT_EQ(byte, 'x');
}

TEST_P(ChannelTest, BrokenPipeIsEpipe) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const auto before = signal(SIGPIPE, SIG_IGN);  // for the engine direct
  Pipe pipe;
  pipe.close_reader();
  EXPECT_EQ(call_through(*channel, make_call(SYS_write, pipe.writer(), "x", 1)), -EPIPE);
  signal(SIGPIPE, before);
}

TEST_P(ChannelTest, FilesAreWrittenAndReadBack) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  const long fd = call_through(*channel, make_call(SYS_memfd_create, "libflexsc", 0));
  ASSERT_GE(fd, 0);
  std::vector<std::uint32_t> values(4096);
  for (std::uint32_t i = 0; i < values.size(); ++i) values[i] = i * 2654435761U;
  for (std::size_t i = 0; i < values.size(); i += 16) {  // 64 bytes each
    const Call write = make_call(SYS_pwrite64, fd, &values[i], 64, i * 4);
    while (!channel->post(write, nullptr)) ASSERT_EQ(drain(*channel).size(), 512U);
  }
  for (const Completion& each : drain(*channel)) EXPECT_EQ(each.result, 64);
  std::vector<std::uint32_t> back(values.size());
  EXPECT_EQ(call_through(*channel, make_call(SYS_pread64, fd, back.data(), 16384, 0)), 16384);
  EXPECT_EQ(back, values);
  EXPECT_EQ(call_through(*channel, make_call(SYS_close, fd)), 0);
  EXPECT_EQ(call_through(*channel, make_call(SYS_close, fd)), -EBADF);
}

}  // namespace
}  // namespace flexsc::test
