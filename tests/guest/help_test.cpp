// SPDX-License-Identifier: MIT
// WAIT with FLEXSC_WAIT_HELP: the waiting thread executes what its client has posted.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <thread>

#include "help_fixture.hpp"

namespace flexsc_guest {
namespace {

TEST_F(Help, ExecutesItsOwnEntries) {
  const Rig rig = asleep();
  for (unsigned bit = 0; bit < 64; ++bit) {
    post_quietly(rig.client, bit, bit % 2 == 0 ? call(SYS_getppid) : call(SYS_close, -1));
  }
  EXPECT_EQ(rig.client.wait(64, -1ns, kHelp), 64);
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(rig.client.take(0, bit), bit % 2 == 0 ? ::getppid() : -EBADF);
  }
  const flexsc_stats stats = rig.group.stats();
  EXPECT_EQ(stats.helped, 64U);
  EXPECT_EQ(stats.executed, 0U);
  EXPECT_EQ(stats.wakes, 0U);
}

// "None": it waits for nothing, and what it can execute at once is executed.
TEST_F(Help, MinZeroWaitsForNothing) {
  const Rig rig = asleep();
  const Pipe empty = make_pipe();
  char byte = 0;
  EXPECT_EQ(rig.client.wait(0, -1ns, kHelp), 0);
  for (unsigned bit = 0; bit < 5; ++bit) post_quietly(rig.client, bit, call(SYS_getppid));
  post_quietly(rig.client, 5, call(SYS_read, empty.reader.get(), &byte, 1));
  EXPECT_EQ(rig.client.wait(0, -1ns, kHelp), 5);
  EXPECT_EQ(rig.client.completed(0), 0x1fU);
  EXPECT_EQ(rig.client.submitted(0), 0U);
}

TEST_F(Help, ServesAllPools) {
  const Group group;
  for (int pool = 0; pool < 3; ++pool) {
    ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 0}), pool);
  }
  ASSERT_TRUE(eventually([&] { return group.stats().parks == 3; })) << "new workers look first";
  const Client client(group);
  for (unsigned bit = 0; bit < 30; ++bit) {
    post_quietly(client, bit, call(SYS_getppid), bit % 3);
  }
  post_quietly(client, 40, call(SYS_getppid), FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(client.wait(30, -1ns, kHelp), 30);
  EXPECT_EQ(group.stats().helped, 30U);
  EXPECT_FALSE(client.done(0, 40)) << "that is flush's";
  EXPECT_EQ(client.flush(), 1);
}

TEST_F(Help, ArmsWhatWouldWait) {
  const Rig rig = asleep(0);
  std::vector<std::unique_ptr<Waitable>> waitables;
  for (unsigned i = 0; i < kKinds; ++i) {
    waitables.push_back(std::make_unique<Waitable>(static_cast<Kind>(i)));
    post_quietly(rig.client, i, waitables[i]->made());
  }
  post_quietly(rig.client, 60, call(SYS_getppid));
  EXPECT_EQ(rig.client.wait(1, -1ns, kHelp), 1);
  EXPECT_EQ(rig.client.take(0, 60), ::getppid());
  EXPECT_EQ(rig.group.stats().waiting, static_cast<unsigned>(kKinds));
  for (unsigned i = 0; i < kKinds; ++i) {
    std::jthread event([&] { waitables[i]->make_ready(); });
    EXPECT_EQ(rig.client.wait(1, -1ns, kHelp), 1) << name_of(static_cast<Kind>(i));
    const long result = rig.client.take(0, i);
    EXPECT_TRUE(waitables[i]->is_right(result)) << name_of(static_cast<Kind>(i)) << ' ' << result;
  }
  EXPECT_EQ(rig.group.stats().waiting, 0U);
  EXPECT_EQ(rig.group.stats().blocked, 0U);
}

// What becomes ready when nobody helps any more is made all the same.
TEST_F(Help, WhatItArmedIsNotForgotten) {
  const Rig rig = asleep();
  const Pipe pipe = make_pipe();
  char byte = 0;
  post_quietly(rig.client, 0, call(SYS_read, pipe.reader.get(), &byte, 1));
  EXPECT_EQ(rig.client.wait(1, 1us, kHelp), 0);
  EXPECT_EQ(rig.group.stats().waiting, 1U);
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.wait(1, -1ns), 1) << "a WAIT that does not help";
  EXPECT_EQ(rig.client.take(0, 0), 1);
}

TEST_F(Help, LeavesSleepersToTheWorkers) {
  const Rig rig = asleep();
  const Pipe empty = make_pipe();
  const timespec nap{0, 30'000'000};
  pollfd watched{empty.reader.get(), POLLIN, 0};
  ::mkdir("/tmp", 01777);
  const std::string fifo = "/tmp/flexsc-help-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  post_quietly(rig.client, 0, call(SYS_nanosleep, &nap, nullptr));
  post_quietly(rig.client, 1, call(SYS_poll, &watched, 1, 30));
  post_quietly(rig.client, 2, call(SYS_openat, AT_FDCWD, fifo.c_str(), O_RDONLY | O_CLOEXEC, 0));
  post_quietly(rig.client, 3, call(SYS_getppid));
  EXPECT_GE(rig.client.wait(1, -1ns, kHelp), 1);
  EXPECT_TRUE(rig.client.done(0, 3));
  EXPECT_EQ(rig.client.wait(3, kLong, kHelp), 3);
  EXPECT_EQ(rig.client.take(0, 0), 0);
  EXPECT_EQ(rig.client.take(0, 1), 0);
  EXPECT_FALSE(rig.client.done(0, 2)) << "it opens when somebody writes";
  const Fd writer(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC));
  const Fd reader(static_cast<int>(rig.client.await(0, 2, kHelp)));
  EXPECT_GE(reader.get(), 0);
  EXPECT_EQ(rig.group.stats().helped, 1U);
  EXPECT_TRUE(rig.group.has_executed(3));
  ::unlink(fifo.c_str());
}

// A write that does not fit, and nobody reads: WAIT ends in time.
TEST_F(Help, LargeWriteDoesNotHoldTheCarrier) {
  const Rig rig = asleep();
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const std::array<Fd, 2> pair = {Fd(ends[0]), Fd(ends[1])};
  const TcpPair tcp;
  const Pipe pipe = make_pipe();
  const std::string large(8 << 20, 'l');
  const std::array<std::pair<int, int>, 3> ways = {std::pair{pair[0].get(), pair[1].get()},
                                                   {tcp.near.get(), tcp.far.get()},
                                                   {pipe.writer.get(), pipe.reader.get()}};
  for (const auto& [to, from] : ways) {
    post_quietly(rig.client, 0, call(SYS_write, to, large.data(), large.size()));
    post_quietly(rig.client, 1, call(SYS_getppid));
    EXPECT_EQ(rig.client.wait(2, 20ms, kHelp), 1);
    EXPECT_EQ(rig.client.take(0, 1), ::getppid());
    std::jthread reader([from = from, &large] {
      std::vector<char> buffer(1 << 20);
      for (std::size_t left = large.size(); left > 0;) {
        const ssize_t n = ::read(from, buffer.data(), buffer.size());
        if (n <= 0) return;
        left -= static_cast<std::size_t>(n);
      }
    });
    EXPECT_EQ(rig.client.await(0, 0, kHelp), static_cast<long>(large.size()));
  }
}

TEST_F(Help, ResultsAreThoseOfDirectCalls) {
  const Rig rig = asleep();
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "help", MFD_CLOEXEC)));
  put(file, "0123456789");
  std::array<char, 64> bytes{};
  struct stat status {};
  const Pipe pipe = make_pipe();
  const std::vector<Call> calls = {
      call(SYS_getpid),
      call(SYS_getppid),
      call(FLEXSC_NR_NOP),
      call(SYS_lseek, file.get(), 4, SEEK_SET),
      call(SYS_pread64, file.get(), bytes.data(), 4, 2),
      call(SYS_pread64, file.get(), bytes.data(), 4, 100),
      call(SYS_read, -1, bytes.data(), 4),
      call(SYS_read, pipe.writer.get(), bytes.data(), 4),
      call(SYS_read, pipe.reader.get(), bytes.data(), 0),
      call(SYS_recvfrom, pipe.reader.get(), bytes.data(), 4, 0, nullptr, nullptr),
      call(SYS_fstat, file.get(), &status),
      call(SYS_fstat, -1, &status),
      call(SYS_fstat, file.get(), 8),
      call(SYS_openat, AT_FDCWD, "/no/such/file", O_RDONLY, 0),
      call(SYS_mmap, 0, 0, 0, 0, 0, 0),
      call(SYS_munmap, 1, 1),
      call(SYS_fcntl, file.get(), F_GETFL),
      call(SYS_uname, bytes.data() - (1L << 60)),
  };
  for (const Call& c : calls) {
    const long wanted = direct(c);
    post_quietly(rig.client, 0, c);
    EXPECT_EQ(rig.client.await(0, 0, kHelp), wanted) << "call number " << c.nr;
  }
  // A helper stands for a worker: what is not for one is not for the other.
  for (const auto& [nr, wanted] : {std::pair{SYS_gettid, -FLEXSC_E_CALLER_ONLY},
                                   {SYS_umask, -FLEXSC_E_CALLER_ONLY},
                                   {SYS_exit, -FLEXSC_E_REFUSED},
                                   {SYS_fork, -FLEXSC_E_REFUSED}}) {
    post_quietly(rig.client, 0, call(nr, 0));
    EXPECT_EQ(rig.client.await(0, 0, kHelp), wanted) << "call number " << nr;
  }
}

TEST_F(Help, SignalEndsTheWaitAndNoCall) {
  const Handler handler(SIGUSR1);
  const Rig rig = asleep();
  const Pipe pipe = make_pipe();
  char byte = 0;
  post_quietly(rig.client, 0, call(SYS_read, pipe.reader.get(), &byte, 1));
  Sleeper sleeper([&] { return rig.client.wait(1, kLong, kHelp); });
  ::pthread_kill(sleeper.handle(), SIGUSR1);
  EXPECT_EQ(sleeper.result(), -EINTR);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(rig.client.completions(), 0U);
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.await(0, 0, kHelp), 1);
}

// Signals all the time: handlers run, calls that would be restarted never say EINTR.
TEST_F(Help, StormOfSignals) {
  const Handler handler(SIGALRM);
  const Rig rig = asleep();
  const Pipe pipe = make_pipe();
  const Pipe sink = make_pipe();
  const itimerval often{{0, 1000}, {0, 1000}};
  std::array<char, 64> bytes{};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  for (int round = 0; round < 100; ++round) {
    for (unsigned bit = 0; bit < 64; bit += 2) {
      post_quietly(rig.client, bit, call(SYS_read, pipe.reader.get(), &bytes[bit], 1));
      post_quietly(rig.client, bit + 1, call(SYS_write, pipe.writer.get(), "x", 1));
    }
    while (rig.client.completions() < 64) {
      const long result = rig.client.wait(64, kLong, kHelp);
      if (result < 0) {
        ASSERT_EQ(result, -EINTR);
      }
    }
    for (unsigned bit = 0; bit < 64; ++bit) ASSERT_EQ(rig.client.take(0, bit), 1) << round;
  }
  ASSERT_TRUE(eventually([] { return handled > 2; }));
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
}

TEST_F(Help, NotifyEndsIt) {
  const Rig rig = asleep();
  Sleeper sleeper([&] { return rig.client.wait(1, kLong, kHelp); });
  EXPECT_EQ(rig.client.notify(), 0);
  EXPECT_EQ(sleeper.result(), 0);
  // Given before, or by a call of its own, which is refused.
  EXPECT_EQ(rig.client.notify(), 0);
  EXPECT_EQ(rig.client.wait(1, -1ns, kHelp), 0);
  post_quietly(rig.client, 0,
               call(SYS_lseek, rig.client.fd(), FLEXSC_CMD(FLEXSC_CMD_NOTIFY, 0), SEEK_SET));
  EXPECT_EQ(rig.client.wait(1, -1ns, kHelp), 1);
  EXPECT_EQ(rig.client.take(0, 0), -FLEXSC_E_REFUSED);
  EXPECT_EQ(rig.client.wait(1, 10ms, kHelp), 0) << "it notified nobody";
}

TEST_F(Help, OneWaiterAtATime) {
  const Rig rig = asleep();
  for (const auto& [first, second] :
       {std::pair{kHelp, kHelp}, {kHelp, 0U}, {0U, kHelp}, {0U, 0U}}) {
    Sleeper sleeper([&, flags = first] { return rig.client.wait(1, kLong, flags); });
    EXPECT_EQ(rig.client.wait(1, 1s, second), -EBUSY);
    EXPECT_EQ(rig.client.notify(), 0);
    EXPECT_EQ(sleeper.result(), 0);
  }
}

// Others post and ring while it sleeps; a worker comes for that.
TEST_F(Help, OthersMayPostMeanwhile) {
  const Rig rig = asleep();
  for (int i = 0; i < 50; ++i) {
    Sleeper sleeper([&] { return rig.client.wait(3, kLong, kHelp); });
    for (unsigned bit = 0; bit < 3; ++bit) rig.client.post(0, bit, call(SYS_getppid));
    EXPECT_EQ(sleeper.result(), 3);
    for (unsigned bit = 0; bit < 3; ++bit) EXPECT_EQ(rig.client.take(0, bit), ::getppid());
  }
}

TEST_F(Help, StoppedGroupEndsIt) {
  Rig rig = asleep();
  const Pipe pipe = make_pipe();
  char byte = 0;
  post_quietly(rig.client, 0, call(SYS_read, pipe.reader.get(), &byte, 1));
  Sleeper sleeper([&] { return rig.client.wait(2, kLong, kHelp); });
  rig.group.close();
  const long result = sleeper.result();
  EXPECT_TRUE(result == -ESHUTDOWN || result == 1) << result;
  ASSERT_TRUE(eventually([&] { return rig.client.done(0, 0); }));
  EXPECT_EQ(rig.client.take(0, 0), -FLEXSC_E_STOPPED);
  post_quietly(rig.client, 1, call(SYS_getppid));
  EXPECT_EQ(rig.client.wait(1, -1ns, kHelp), -ESHUTDOWN);
  EXPECT_FALSE(rig.client.done(0, 1)) << "nothing is executed any more";
}

// Its thread, its process, or another thread's exec ends it.
TEST_F(Help, DeathInIt) {
  for (int i = 0; i < 6; ++i) {
    const SharedBoard board;
    Child child([&] {
      const Rig rig({.concurrency = 1, .spin_us = 0});
      const Pipe pipe = make_pipe();
      std::array<char, 32> bytes{};
      for (unsigned bit = 0; bit < 32; ++bit) {
        post_quietly(rig.client, bit, call(SYS_read, pipe.reader.get(), &bytes[bit], 1));
      }
      board->stage = 1;
      if (i % 3 == 1) {
        std::thread([] {
          std::this_thread::sleep_for(5ms);
          ::_exit(9);
        }).detach();
      }
      rig.client.wait(32, kLong, kHelp);
    });
    ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
    if (i % 3 != 1) child.kill(i % 3 == 0 ? SIGKILL : SIGTERM);
    EXPECT_EQ(child.join(), i % 3 == 0 ? "signal 9" : i % 3 == 1 ? "exit 9" : "signal 15");
  }
}

}  // namespace
}  // namespace flexsc_guest
