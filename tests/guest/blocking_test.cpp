// SPDX-License-Identifier: MIT
// Calls that block: others go on, and nothing is lost or executed twice.
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Blocking : public GuestTest {
 protected:
  /// Reads of one byte each from its own empty pipe, in places from..from+count of page 0.
  struct Reads {
    Reads(const Client& on, unsigned first, unsigned count) : client(on), from(first), got(count) {
      for (unsigned i = 0; i < count; ++i) {
        pipes.push_back(make_pipe());
        client.fill((from + i) / 64, (from + i) % 64,
                    call(SYS_read, pipes[i].reader.get(), &got[i], 1));
      }
    }
    [[nodiscard]] std::size_t size() const { return pipes.size(); }
    void feed(std::size_t i) const { put(pipes[i].writer, std::string(1, letter(i))); }
    static char letter(std::size_t i) { return static_cast<char>('A' + i % 26); }
    /// Each completed exactly once, with its own byte, which is gone from the pipe.
    void expect_all() const {
      for (std::size_t i = 0; i < size(); ++i) {
        const auto place = from + static_cast<unsigned>(i);
        EXPECT_EQ(client.await(place / 64, place % 64), 1) << i;
        EXPECT_EQ(got[i], letter(i)) << i;
        EXPECT_EQ(readable(pipes[i].reader), 0) << i;
      }
    }
    const Client& client;
    unsigned from;
    std::vector<char> got;
    std::vector<Pipe> pipes;
  };
};

TEST_F(Blocking, OthersProceedWhileReadsBlock) {
  const Rig rig({}, 2);
  const Reads reads(rig.client, 64, 32);
  rig.client.submit(1, 0xffffffff);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.completed(1), 0U);
  for (std::size_t i = 0; i < reads.size(); ++i) reads.feed(reads.size() - 1 - i);
  reads.expect_all();
  EXPECT_TRUE(rig.group.has_executed(1000 + 32));
  EXPECT_EQ(rig.group.stats().stopped, 0U);
}

// One claim takes a whole word. When its first call blocks, the other 63 must not wait for it.
TEST_F(Blocking, ClaimsBehindABlockedCallAreTakenOver) {
  for (unsigned blocked = 0; blocked < 64; blocked += 9) {
    const Rig rig({.concurrency = 1});
    const Pipe pipe = make_pipe();
    pollfd watched{pipe.reader.get(), POLLIN, 0};
    for (unsigned bit = 0; bit < 64; ++bit) rig.client.fill(0, bit, call(SYS_getppid));
    rig.client.fill(0, blocked, call(SYS_poll, &watched, 1, -1));
    rig.client.submit(0, ~__u64{0});
    ASSERT_EQ(rig.client.wait(63, kLong), 63);
    EXPECT_EQ(rig.client.completed(0), ~(__u64{1} << blocked));
    for (unsigned bit = 0; bit < 64; ++bit) {
      if (bit == blocked) continue;
      EXPECT_EQ(rig.client.take(0, bit), ::getppid());
    }
    // The last call of a claim may not have come to sleep yet.
    EXPECT_EQ(settled([&] { return rig.group.stats().blocked; }, 1U), 1U);
    put(pipe.writer, "x");
    EXPECT_EQ(rig.client.await(0, blocked), 1);
    EXPECT_EQ(rig.group.stats().handed_back, 63U - blocked);
  }
}

// Every second call of the claim blocks: each blocked one hands the rest on.
TEST_F(Blocking, ClaimsAreHandedOnAgainAndAgain) {
  const Rig rig({.concurrency = 1});
  std::vector<Pipe> pipes;
  std::array<pollfd, 64> watched{};
  for (unsigned bit = 0; bit < 64; ++bit) {
    rig.client.fill(0, bit, call(SYS_getppid));
    if (bit % 2 != 0) continue;
    pipes.push_back(make_pipe());
    watched[bit] = {pipes.back().reader.get(), POLLIN, 0};
    rig.client.fill(0, bit, call(SYS_poll, &watched[bit], 1, -1));
  }
  rig.client.submit(0, ~__u64{0});
  ASSERT_EQ(rig.client.wait(32, kLong), 32);
  EXPECT_EQ(rig.client.completed(0), 0xaaaaaaaaaaaaaaaaU);
  for (const Pipe& pipe : pipes) put(pipe.writer, "x");
  ASSERT_EQ(rig.client.wait(64, kLong), 64);
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(rig.client.take(0, bit), bit % 2 == 0 ? 1 : ::getppid());
  }
  EXPECT_TRUE(rig.group.has_executed(64));
}

// No more workers than allowed; what finds none waits, and finally completes.
TEST_F(Blocking, StandbyLimitIsKept) {
  const Rig rig({.concurrency = 1, .standby_max = 2}, 2);
  constexpr unsigned kPolls = 40;
  std::vector<Pipe> pipes;
  std::array<pollfd, kPolls> watched{};
  for (unsigned i = 0; i < kPolls; ++i) {
    pipes.push_back(make_pipe());
    watched[i] = {pipes[i].reader.get(), POLLIN, 0};
    rig.client.fill(0, i, call(SYS_poll, &watched[i], 1, -1));
  }
  rig.client.submit(0, (__u64{1} << kPolls) - 1);
  ASSERT_TRUE(eventually([&] { return rig.group.stats().blocked >= 3; }));
  for (unsigned i = 0; i < kPolls; ++i) {
    EXPECT_LE(rig.group.stats().workers, 3U);
    EXPECT_LE(workers_of(::getpid()).size(), 3U);
    put(pipes[i].writer, "x");
  }
  for (unsigned i = 0; i < kPolls; ++i) EXPECT_EQ(rig.client.await(0, i), 1) << i;
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_TRUE(rig.group.has_executed(kPolls + 1));
}

// Opening a FIFO is a blocking call that no poll can foresee.
TEST_F(Blocking, CallsThatCannotBePolled) {
  const Rig rig({.concurrency = 1});
  ::mkdir("/tmp", 01777);
  constexpr unsigned kFifos = 12;
  std::vector<std::string> names;
  for (unsigned i = 0; i < kFifos; ++i) {
    names.push_back("/tmp/flexsc-fifo-" + std::to_string(::getpid()) + "-" + std::to_string(i));
    ASSERT_EQ(::mkfifo(names[i].c_str(), 0600), 0);
  }
  for (unsigned i = 0; i < kFifos; ++i) {
    rig.client.fill(0, i, call(SYS_openat, AT_FDCWD, names[i].c_str(), O_RDONLY | O_CLOEXEC, 0));
  }
  rig.client.fill(0, 63, call(SYS_getppid));
  rig.client.submit(0, (__u64{1} << 63) | ((__u64{1} << kFifos) - 1));
  EXPECT_EQ(rig.client.await(0, 63), ::getppid());
  for (unsigned i = 0; i < kFifos; ++i) {
    EXPECT_FALSE(rig.client.done(0, i));
    const Fd writer(::open(names[i].c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_GE(writer.get(), 0);
    const long reader = rig.client.await(0, i);
    ASSERT_GE(reader, 0) << reader;
    ::close(static_cast<int>(reader));
    ::unlink(names[i].c_str());
  }
}

// Hundreds of calls that block and wake while others run: the switch that a worker takes when it
// blocks happens under the run queue's lock, where a plain wake-up of another worker deadlocked.
TEST_F(Blocking, HundredsOfWorkersBlockAndWake) {
  const Rig rig({.concurrency = 2, .spin_us = 20}, 8);
  constexpr unsigned kReads = 300;
  for (int round = 0; round < 3; ++round) {
    const Reads reads(rig.client, 64, kReads);
    for (unsigned place = 64; place < 64 + kReads; ++place) {
      rig.client.submit(place / 64, __u64{1} << place % 64);
    }
    std::jthread feeder([&] {
      for (std::size_t i = 0; i < kReads; ++i) reads.feed(i * 7 % kReads);
    });
    for (int i = 0; i < 300; ++i) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
    feeder.join();
    reads.expect_all();
  }
}

// Two entries that need each other, in the order that deadlocks a pool of one.
TEST_F(Blocking, WriterBehindItsReader) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Pipe pipe = make_pipe();
  for (int i = 0; i < 100; ++i) {
    std::array<char, 32> got{};
    for (unsigned bit = 0; bit < 32; ++bit) {
      rig.client.fill(0, bit, call(SYS_read, pipe.reader.get(), &got[bit], 1));
      rig.client.fill(0, 32 + bit, call(SYS_write, pipe.writer.get(), "w", 1));
    }
    rig.client.submit(0, ~__u64{0});
    ASSERT_EQ(rig.client.wait(64, kLong), 64) << "round " << i;
    for (unsigned bit = 0; bit < 64; ++bit) ASSERT_EQ(rig.client.take(0, bit), 1);
    ASSERT_EQ(got[31], 'w');
  }
}

// Blocking writes: a full pipe. The bytes come out complete and in their pieces.
TEST_F(Blocking, WritesThatFillAPipe) {
  const Rig rig({.concurrency = 1});
  const Pipe pipe = make_pipe();
  constexpr std::size_t kPiece = 4096;
  constexpr unsigned kPieces = 64;
  std::vector<std::string> pieces;
  for (unsigned i = 0; i < kPieces; ++i) {
    pieces.emplace_back(kPiece, static_cast<char>('0' + i));
    rig.client.fill(0, i, call(SYS_write, pipe.writer.get(), pieces[i].data(), kPiece));
  }
  rig.client.submit(0, ~__u64{0});
  std::array<unsigned, 128> seen{};
  std::vector<char> buffer(kPiece);
  for (std::size_t left = kPiece * kPieces; left > 0;) {
    const ssize_t n = ::read(pipe.reader.get(), buffer.data(), buffer.size());
    ASSERT_GT(n, 0);
    for (ssize_t i = 0; i < n; ++i)
      ++seen[static_cast<unsigned char>(buffer[static_cast<std::size_t>(i)])];
    left -= static_cast<std::size_t>(n);
  }
  for (unsigned i = 0; i < kPieces; ++i) {
    EXPECT_EQ(rig.client.await(0, i), static_cast<long>(kPiece));
    EXPECT_EQ(seen['0' + i], kPiece);
  }
}

TEST_F(Blocking, SocketsBothWays) {
  const Rig rig({.concurrency = 1});
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const Fd near(ends[0]);
  const Fd far(ends[1]);
  for (int i = 0; i < 100; ++i) {
    std::array<char, 2> got{};
    rig.client.post(0, 0, call(SYS_recvfrom, far.get(), &got[0], 1, 0, nullptr, nullptr));
    rig.client.post(0, 1, call(SYS_recvfrom, near.get(), &got[1], 1, 0, nullptr, nullptr));
    rig.client.post(0, 2, call(SYS_sendto, near.get(), "p", 1, 0, nullptr, 0));
    ASSERT_EQ(rig.client.await(0, 0), 1);
    rig.client.post(0, 2 + 1, call(SYS_sendto, far.get(), "q", 1, 0, nullptr, 0));
    ASSERT_EQ(rig.client.await(0, 1), 1);
    ASSERT_EQ(rig.client.await(0, 2), 1);
    ASSERT_EQ(rig.client.await(0, 3), 1);
    ASSERT_EQ(got[0], 'p');
    ASSERT_EQ(got[1], 'q');
  }
}

// No second worker can be had: what was claimed behind the blocked call comes after it.
TEST_F(Blocking, NoSpareCanBeMade) {
  struct stat before {};
  ASSERT_EQ(::stat(FLEXSC_DEVICE, &before), 0);
  if (::geteuid() != 0) GTEST_SKIP() << "changes its user: needs root";
  ASSERT_EQ(::chmod(FLEXSC_DEVICE, 0666), 0);
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::setresuid(54322, 54322, 54322), 0);
              const rlimit two{2, 2};
              REQUIRE_EQ(::setrlimit(RLIMIT_NPROC, &two), 0);
              const Rig rig({.concurrency = 1});
              const Pipe pipe = make_pipe();
              pollfd watched{pipe.reader.get(), POLLIN, 0};
              for (int i = 0; i < 5; ++i) {
                rig.client.fill(0, 0, call(SYS_poll, &watched, 1, -1));
                for (unsigned bit = 1; bit < 64; ++bit) rig.client.fill(0, bit, call(SYS_getppid));
                rig.client.submit(0, ~__u64{0});
                REQUIRE(rig.client.wait(64, 50ms) <= 63);
                REQUIRE_EQ(workers_of(::getpid()).size(), 1U);
                put(pipe.writer, "x");
                REQUIRE_EQ(rig.client.wait(64, kLong), 64);
                REQUIRE_EQ(rig.client.take(0, 0), 1);
                char byte = 0;
                REQUIRE_EQ(::read(pipe.reader.get(), &byte, 1), 1);
                for (unsigned bit = 1; bit < 64; ++bit) {
                  REQUIRE_EQ(rig.client.take(0, bit), ::getppid());
                }
              }
            }),
            "exit 0");
  ::chmod(FLEXSC_DEVICE, before.st_mode & 07777);
}

// Workers that wake up together do not go on together: all but as many as may run are parked.
TEST_F(Blocking, WorkersThatWakeUpTogetherAreParked) {
  for (const unsigned concurrency : {1U, 2U}) {
    const Rig rig({.concurrency = concurrency, .spin_us = 0});
    constexpr unsigned kPolls = 12;
    const Pipe pipe = make_pipe();
    std::array<pollfd, kPolls> watched{};
    for (int round = 0; round < 5; ++round) {
      for (unsigned i = 0; i < kPolls; ++i) {
        watched[i] = {pipe.reader.get(), POLLIN, 0};
        rig.client.fill(0, i, call(SYS_poll, &watched[i], 1, -1));
      }
      const __u64 before = rig.group.stats().blocked;
      rig.client.submit(0, (1U << kPolls) - 1);
      ASSERT_TRUE(eventually([&] { return rig.group.stats().blocked >= before + kPolls; }));
      EXPECT_GE(rig.group.stats().workers, kPolls);
      // One event for all of them, with more work to do at once.
      for (unsigned i = kPolls; i < 64; ++i) rig.client.fill(0, i, call(SYS_getppid));
      put(pipe.writer, "x");
      rig.client.submit(0, ~__u64{0} << kPolls);
      ASSERT_EQ(rig.client.wait(64, kLong), 64);
      ASSERT_TRUE(eventually([&] { return rig.group.stats().running <= concurrency; }));
      for (unsigned i = 0; i < 64; ++i) (void)rig.client.take(0, i);
      char byte = 0;
      ASSERT_EQ(::read(pipe.reader.get(), &byte, 1), 1);
    }
    EXPECT_TRUE(rig.group.has_executed(5 * 64));
  }
}

TEST_F(Blocking, StandbyWorkersRetire) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Waiters waiters(rig.client, 0, 40);
  ASSERT_TRUE(eventually([&] { return rig.group.stats().blocked >= 20; }));
  EXPECT_GE(rig.group.stats().workers, 20U);
  waiters.finish(rig.client);
  EXPECT_TRUE(eventually([&] { return rig.group.stats().workers <= 2; }));
  EXPECT_TRUE(eventually([] { return workers_of(::getpid()).size() <= 2; }));
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// A worker that is blocked cannot take over from another, so it does not make one superfluous.
TEST_F(Blocking, TheLastSpareStays) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Waiters waiters(rig.client, 0, 8);
  ASSERT_TRUE(eventually([&] { return rig.group.stats().blocked >= 4; }));
  // Longer than a worker that nobody needs stays.
  EXPECT_FALSE(eventually([&] { return rig.group.stats().workers <= 4; }, 8s));
  EXPECT_EQ(rig.client.post(0, 8, call(SYS_getppid)), 0);
  EXPECT_TRUE(eventually([&] { return rig.client.done(0, 8); }));
  waiters.finish(rig.client);
}

// Workers that were needed once do not stay for ever in the way: all of them leave with the group.
TEST_F(Blocking, AllWorkersLeaveAfterAStorm) {
  {
    const Rig rig({.concurrency = 1}, 3);
    const Reads reads(rig.client, 0, 128);
    rig.client.submit(0, ~__u64{0});
    rig.client.submit(1, ~__u64{0});
    for (std::size_t i = 0; i < reads.size(); ++i) reads.feed(i);
    reads.expect_all();
  }
  EXPECT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
}

}  // namespace
}  // namespace flexsc_guest
