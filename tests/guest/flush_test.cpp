// SPDX-License-Identifier: MIT
// FLEXSC_CMD_FLUSH: everything posted, now, in order, in the calling thread.
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Flush : public GuestTest {
 protected:
  static void fill(const Client& client, unsigned bit, const Call& c) { client.fill(0, bit, c); }
  static void post(const Client& client, unsigned page, unsigned bit, const Call& c) {
    REQUIRE_EQ(client.post(page, bit, c, FLEXSC_QUEUE_FLUSH), 0);
  }
};

/// Counts the signal, and sends one when this thread sleeps in a call.
class Interrupter {
 public:
  explicit Interrupter(int flags) : handler_(SIGUSR1, flags) {}
  /// Once condition holds and the calling thread sleeps.
  void when(std::function<bool()> condition) {
    const pid_t tid = ::gettid();
    const pthread_t target = ::pthread_self();
    thread_ = std::jthread([tid, target, condition = std::move(condition)] {
      const auto sleeps = [&] {
        const std::string stat = read_file("/proc/self/task/" + std::to_string(tid) + "/stat");
        return condition() && stat[stat.rfind(") ") + 2] == 'S';
      };
      if (eventually(sleeps)) ::pthread_kill(target, SIGUSR1);
    });
  }

 private:
  Handler handler_;
  std::jthread thread_;  // ends before it
};

TEST_F(Flush, NothingPostedIsZero) {
  const Group group;
  const Client client(group, 4);
  EXPECT_EQ(client.flush(), 0);
  EXPECT_EQ(client.completions(), 0U);
}

TEST_F(Flush, NeedsNoPool) {
  const Group group;
  const Client client(group);
  EXPECT_EQ(client.run_flushed(call(SYS_getppid)), ::getppid());
  EXPECT_TRUE(workers_of(::getpid()).empty());
}

// Ascending (page, bit), whatever the order of posting.
TEST_F(Flush, OrderIsThatOfThePlaces) {
  const Group group;
  const Client client(group, 3);
  const Pipe pipe = make_pipe();
  std::array<char, 192> letters{};
  for (unsigned i = 0; i < letters.size(); ++i) letters[i] = static_cast<char>(i + 1);
  for (unsigned i = 0; i < letters.size(); ++i) {
    const unsigned at = i * 77 % 192;  // 77 and 192 have no common factor: each place once
    post(client, at / 64, at % 64, call(SYS_write, pipe.writer.get(), &letters[at], 1));
  }
  EXPECT_EQ(client.flush(), 192);
  std::array<char, 256> got{};
  ASSERT_EQ(::read(pipe.reader.get(), got.data(), got.size()), 192);
  for (unsigned i = 0; i < letters.size(); ++i) {
    EXPECT_EQ(got[i], letters[i]) << i;
    EXPECT_EQ(client.take(i / 64, i % 64), 1);
  }
  EXPECT_EQ(client.flush(), 0) << "they are not executed again";
}

// One call sees the effect of the one before it.
TEST_F(Flush, CallsBuildOnEachOther) {
  const Group group;
  const Client client(group);
  std::array<int, 2> ends{-1, -1};
  fill(client, 0, call(SYS_pipe2, ends.data(), 0));
  client.submit(0, 1, FLEXSC_QUEUE_FLUSH);
  ASSERT_EQ(client.flush(), 1);
  ASSERT_EQ(client.take(0, 0), 0);
  std::array<char, 8> got{};
  fill(client, 10, call(SYS_write, ends[1], "flexsc", 6));
  fill(client, 11, call(SYS_close, ends[1]));
  fill(client, 12, call(SYS_read, ends[0], got.data(), 8));
  fill(client, 13, call(SYS_read, ends[0], got.data() + 6, 2));
  fill(client, 14, call(SYS_close, ends[0]));
  fill(client, 15, call(SYS_read, ends[0], got.data(), 1));
  client.submit(0, 0xfc00, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(client.flush(), 6);
  const std::array<long, 6> wanted = {6, 0, 6, 0, 0, -EBADF};
  for (unsigned i = 0; i < wanted.size(); ++i) EXPECT_EQ(client.take(0, 10 + i), wanted[i]) << i;
  EXPECT_STREQ(got.data(), "flexsc");
}

TEST_F(Flush, ErrorsAreKeptAndDoNotStopTheRest) {
  const Group group;
  const Client client(group);
  for (unsigned bit = 0; bit < 64; ++bit) {
    fill(client, bit, bit % 2 == 0 ? call(SYS_close, -1) : call(SYS_getppid));
  }
  fill(client, 31, call(SYS_exit, 0));
  client.submit(0, ~__u64{0}, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(client.flush(), 64);
  EXPECT_EQ(client.completed(0), ~__u64{0});
  for (unsigned bit = 0; bit < 64; ++bit) {
    const long wanted = bit == 31 ? -FLEXSC_E_REFUSED : bit % 2 == 0 ? -EBADF : ::getppid();
    EXPECT_EQ(client.take(0, bit), wanted) << bit;
  }
}

TEST_F(Flush, RunsInTheCallingThread) {
  const Rig rig;
  EXPECT_EQ(rig.client.run_flushed(call(SYS_gettid)), ::gettid());
  std::thread([&] { EXPECT_EQ(rig.client.run_flushed(call(SYS_gettid)), ::gettid()); }).join();
  EXPECT_EQ(rig.client.run(SYS_gettid), -FLEXSC_E_CALLER_ONLY);
  std::array<char, 2> umask_result{};
  (void)umask_result;
  const long old = rig.client.run_flushed(call(SYS_umask, 0027));
  EXPECT_EQ(rig.client.run_flushed(call(SYS_umask, old)), 0027);
}

// The worker's queues and flush's do not see each other's calls.
TEST_F(Flush, TakesOnlyItsOwnQueue) {
  const Group group;
  const Client client(group);
  client.fill(0, 0, call(SYS_getppid));
  client.submit(0, 1, 0);
  client.fill(0, 1, call(SYS_getppid));
  client.submit(0, 2, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(client.flush(), 1);
  EXPECT_EQ(client.completed(0), 2U);
  EXPECT_EQ(client.submitted(0, 0), 1U);
  EXPECT_EQ(client.submitted(0, FLEXSC_QUEUE_FLUSH), 0U);
}

TEST_F(Flush, FromManyThreadsExecutesEachOnce) {
  const Group group;
  const Client client(group, 4);
  const Pipe pipe = make_pipe(O_NONBLOCK);
  for (int round = 0; round < 100; ++round) {
    for (unsigned i = 0; i < 256; ++i) {
      client.fill(i / 64, i % 64, call(SYS_write, pipe.writer.get(), "x", 1));
    }
    for (unsigned page = 0; page < 4; ++page) {
      client.submit(page, ~__u64{0}, FLEXSC_QUEUE_FLUSH);
    }
    std::atomic<long> total{0};
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { total += client.flush(); });
    for (std::jthread& thread : threads) thread.join();
    ASSERT_EQ(total, 256);
    ASSERT_EQ(client.completions(), 256U);
    ASSERT_EQ(readable(pipe.reader), 256);
    std::array<char, 256> drained{};
    ASSERT_EQ(::read(pipe.reader.get(), drained.data(), drained.size()), 256);
    for (unsigned i = 0; i < 256; ++i) ASSERT_EQ(client.take(i / 64, i % 64), 1);
  }
}

// A signal during a call: its handler runs before the rest, which stays posted.
TEST_F(Flush, SignalStopsItAndALaterFlushGoesOn) {
  for (const int flags : {0, SA_RESTART}) {
    const Group group;
    const Client client(group, 2);
    const Pipe before = make_pipe();
    const Pipe empty = make_pipe();
    const Pipe after = make_pipe();
    char byte = 0;
    post(client, 0, 0, call(SYS_write, before.writer.get(), "x", 1));
    post(client, 0, 7, call(SYS_read, empty.reader.get(), &byte, 1));
    post(client, 0, 8, call(SYS_write, after.writer.get(), "x", 1));
    post(client, 1, 0, call(SYS_write, after.writer.get(), "x", 1));
    Interrupter interrupter(flags);
    interrupter.when([&] { return readable(before.reader) == 1; });
    EXPECT_EQ(client.flush(), 2);
    EXPECT_EQ(handled, 1);
    EXPECT_EQ(client.take(0, 0), 1);
    EXPECT_EQ(client.take(0, 7), -EINTR);
    EXPECT_EQ(client.completions(), 0U);
    EXPECT_EQ(client.submitted(0, FLEXSC_QUEUE_FLUSH), __u64{1} << 8);
    EXPECT_EQ(client.submitted(1, FLEXSC_QUEUE_FLUSH), 1U);
    EXPECT_EQ(readable(after.reader), 0);
    EXPECT_EQ(client.flush(), 2);
    EXPECT_EQ(readable(after.reader), 2);
    EXPECT_EQ(client.take(0, 8), 1);
    EXPECT_EQ(client.take(1, 0), 1);
  }
}

// The mask of ppoll is put back only on the way to user space: nothing may run before that.
TEST_F(Flush, TemporarySignalMaskIsRestored) {
  const Group group;
  const Client client(group);
  const Pipe empty = make_pipe();
  const Pipe after = make_pipe();
  sigset_t usr1;
  sigset_t before;
  sigset_t now;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &usr1, &before);
  {
    const Interrupter interrupter(0);
    ::pthread_kill(::pthread_self(), SIGUSR1);
    pollfd descriptor{empty.reader.get(), POLLIN, 0};
    post(client, 0, 0, call(SYS_ppoll, &descriptor, 1, nullptr, &before, 8));
    post(client, 0, 1, call(SYS_write, after.writer.get(), "x", 1));
    EXPECT_EQ(client.flush(), 1);
    EXPECT_EQ(client.take(0, 0), -EINTR);
    EXPECT_EQ(handled, 1);
    EXPECT_EQ(readable(after.reader), 0);
    ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_TRUE(::sigismember(&now, SIGUSR1) == 1) << "blocked again";
    EXPECT_EQ(client.flush(), 1);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// An ioctl on a descriptor that only this thread uses holds no reference to the file. If a flushed
// call closes that file, the flush goes on in memory that was freed.
TEST_F(Flush, ClosingItsOwnClient) {
  EXPECT_EQ(in_child([] {
              for (int round = 0; round < 50; ++round) {
                const Group group;
                Client client(group);
                for (unsigned bit = 0; bit < 64; ++bit) fill(client, bit, call(SYS_getppid));
                fill(client, 0, call(SYS_munmap, client.base(), client.bytes()));
                fill(client, 1, call(SYS_close, client.fd()));
                for (unsigned bit = 2; bit < 10; ++bit) {
                  // Something new where the client was.
                  fill(client, bit, call(SYS_socket, 1, 1, 0));
                }
                client.submit(0, ~__u64{0}, FLEXSC_QUEUE_FLUSH);
                REQUIRE_EQ(client.flush(), 64);
                ::close_range(static_cast<unsigned>(group.fd()) + 1, ~0U, 0);
              }
            }),
            "exit 0");
}

TEST_F(Flush, ClosingItsGroupFinishesThisFlush) {
  const Group group;
  const Client client(group);
  const int copy = ::dup(group.fd());
  for (unsigned bit = 0; bit < 64; ++bit) fill(client, bit, call(SYS_getppid));
  fill(client, 3, call(SYS_close, group.fd()));
  fill(client, 4, call(SYS_close, copy));
  client.submit(0, ~__u64{0}, FLEXSC_QUEUE_FLUSH);
  const long flushed = client.flush();
  // Claimed entries complete: executed, or refused because the group stopped under them.
  EXPECT_EQ(flushed, 64);
  for (unsigned bit = 0; bit < 64; ++bit) {
    const long result = client.take(0, bit);
    if (bit <= 4) {
      EXPECT_EQ(result, bit >= 3 ? 0 : ::getppid()) << bit;
    } else {
      EXPECT_TRUE(result == ::getppid() || result == -FLEXSC_E_STOPPED) << bit << ": " << result;
    }
  }
  EXPECT_EQ(client.state(), __u32{FLEXSC_STATE_CLOSED});
  EXPECT_EQ(client.flush(), -ESHUTDOWN);
  // Group's destructor must not close a descriptor that is somebody else's by now.
  ASSERT_EQ(::dup2(STDERR_FILENO, group.fd()), group.fd());
}

TEST_F(Flush, OneCallAtATimeManyTimes) {
  const Group group;
  const Client client(group);
  const long parent = ::getppid();
  for (int i = 0; i < 50'000; ++i) ASSERT_EQ(client.run_flushed(call(SYS_getppid)), parent);
  const flexsc_stats stats = group.stats();
  EXPECT_EQ(stats.flushes, 50'000U);
  EXPECT_EQ(stats.flushed, 50'000U);
}

}  // namespace
}  // namespace flexsc_guest
