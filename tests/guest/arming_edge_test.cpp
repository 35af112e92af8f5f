// SPDX-License-Identifier: MIT
// What a call must not wait for, what else ends its wait, and several that wait for one thing.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "process.hpp"
#include "waitable.hpp"

namespace flexsc_guest {
namespace {

struct SocketPair {
  explicit SocketPair(int type = SOCK_STREAM) {
    std::array<int, 2> ends{};
    REQUIRE_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()), 0);
    near = Fd(ends[0]);
    far = Fd(ends[1]);
  }
  Fd near, far;
};

class ArmingEdge : public GuestTest {};

// What a direct call answers at once, it answers at once here, and the same.
TEST_F(ArmingEdge, AnswersThatNeedNoWaitComeAtOnce) {
  const Rig rig = lone_worker();
  const Pipe pipe = make_pipe();
  Pipe broken = make_pipe();
  broken.reader.reset();
  const SocketPair pair;
  const SocketPair half;
  ::shutdown(half.near.get(), SHUT_RDWR);
  const Fd listener = tcp_listener();
  const TcpPair tcp;
  const Fd unconnected(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Fd event(::eventfd(0, EFD_CLOEXEC));
  const Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  sigset_t usr1;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  const Fd signals(::signalfd(-1, &usr1, SFD_CLOEXEC));
  const Fd path(::open("/", O_PATH | O_CLOEXEC));
  const Fd directory(::open("/", O_RDONLY | O_CLOEXEC));
  std::array<char, 64> bytes{};
  iovec nothing{bytes.data(), 0};
  iovec nowhere{reinterpret_cast<void*>(std::uintptr_t{1} << 63), 8};
  msghdr empty{};
  const int reader = pipe.reader.get();
  const int socket = pair.near.get();
  constexpr __u64 kKernel = __u64{1} << 63;
  const std::vector<std::pair<const char*, Call>> calls = {
      {"no descriptor", call(SYS_read, -1, bytes.data(), 8)},
      {"closed descriptor", call(SYS_read, 1 << 19, bytes.data(), 8)},
      {"read of a write end", call(SYS_read, pipe.writer.get(), bytes.data(), 8)},
      {"write to a read end", call(SYS_write, reader, bytes.data(), 8)},
      {"read of a path", call(SYS_read, path.get(), bytes.data(), 8)},
      {"read of a directory", call(SYS_read, directory.get(), bytes.data(), 8)},
      {"read of nothing, pipe", call(SYS_read, reader, bytes.data(), 0)},
      {"read of nothing, socket", call(SYS_read, socket, bytes.data(), 0)},
      {"readv of nothing", call(SYS_readv, reader, &nothing, 1)},
      {"readv of no vectors", call(SYS_readv, reader, &nothing, 0)},
      {"readv of too many vectors", call(SYS_readv, reader, &nothing, 1025)},
      {"readv of vectors nowhere", call(SYS_readv, reader, 8, 1)},
      {"readv to the kernel", call(SYS_readv, reader, &nowhere, 1)},
      {"read to the kernel", call(SYS_read, reader, kKernel, 8)},
      {"read of too much", call(SYS_read, reader, bytes.data(), -1)},
      {"recvmsg without a header", call(SYS_recvmsg, socket, nullptr, 0)},
      {"recvmsg with a header nowhere", call(SYS_recvmsg, socket, 8, 0)},
      {"recvfrom of a pipe", call(SYS_recvfrom, reader, bytes.data(), 8, 0, nullptr, nullptr)},
      {"recvfrom of a listener",
       call(SYS_recvfrom, listener.get(), bytes.data(), 8, 0, nullptr, nullptr)},
      {"read of a listener", call(SYS_read, listener.get(), bytes.data(), 8)},
      {"recvfrom, unconnected",
       call(SYS_recvfrom, unconnected.get(), bytes.data(), 8, 0, nullptr, nullptr)},
      {"sendto, unconnected",
       call(SYS_sendto, unconnected.get(), bytes.data(), 8, MSG_NOSIGNAL, nullptr, 0)},
      {"recvfrom, shut down",
       call(SYS_recvfrom, half.near.get(), bytes.data(), 8, 0, nullptr, nullptr)},
      {"sendto, shut down",
       call(SYS_sendto, half.near.get(), bytes.data(), 8, MSG_NOSIGNAL, nullptr, 0)},
      {"recvfrom, MSG_DONTWAIT",
       call(SYS_recvfrom, socket, bytes.data(), 8, MSG_DONTWAIT, nullptr, nullptr)},
      {"recvmsg, MSG_DONTWAIT", call(SYS_recvmsg, socket, &empty, MSG_DONTWAIT)},
      {"recvfrom, MSG_OOB",
       call(SYS_recvfrom, tcp.near.get(), bytes.data(), 8, MSG_OOB, nullptr, nullptr)},
      {"recvfrom, MSG_ERRQUEUE",
       call(SYS_recvfrom, tcp.near.get(), bytes.data(), 8, MSG_ERRQUEUE, nullptr, nullptr)},
      {"accept, not listening", call(SYS_accept, unconnected.get(), nullptr, nullptr)},
      {"accept, connected", call(SYS_accept4, tcp.near.get(), nullptr, nullptr, 0)},
      {"accept of a pair", call(SYS_accept4, socket, nullptr, nullptr, 0)},
      {"accept of a pipe", call(SYS_accept, reader, nullptr, nullptr)},
      {"accept with unknown flags", call(SYS_accept4, listener.get(), nullptr, nullptr, 1)},
      {"eventfd, small buffer", call(SYS_read, event.get(), bytes.data(), 7)},
      {"eventfd, small value", call(SYS_write, event.get(), bytes.data(), 7)},
      {"timerfd, small buffer", call(SYS_read, timer.get(), bytes.data(), 4)},
      {"signalfd, small buffer", call(SYS_read, signals.get(), bytes.data(), 64)},
      {"read of an epoll", call(SYS_read, epoll.get(), bytes.data(), 64)},
      {"write to a broken pipe", call(SYS_write, broken.writer.get(), bytes.data(), 8)},
      {"write of nothing, broken pipe", call(SYS_write, broken.writer.get(), bytes.data(), 0)},
  };
  for (const auto& [name, made] : calls) {
    const long wanted = direct(made);
    rig.client.post(0, 7, made);
    const bool at_once = eventually([&] { return rig.client.done(0, 7); }, 5s);
    EXPECT_TRUE(at_once) << name << " waits, a direct call says " << wanted;
    if (!at_once) {
      EXPECT_EQ(rig.client.cancel(0, 7), 1) << name;
      (void)rig.client.await(0, 7);
      continue;
    }
    EXPECT_EQ(rig.client.take(0, 7), wanted) << name;
  }
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

TEST_F(ArmingEdge, TimeLimitOfTheSocketIsHonoured) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const TcpPair tcp;
  const timeval limit{0, 50'000};
  ASSERT_EQ(::setsockopt(tcp.near.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  char byte = 0;
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(rig.client.run(SYS_recvfrom, tcp.near.get(), &byte, 1, 0, nullptr, nullptr), -EAGAIN);
  EXPECT_GE(std::chrono::steady_clock::now() - before, 40ms);
  const Fd listener = tcp_listener();
  ASSERT_EQ(::setsockopt(listener.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  EXPECT_EQ(rig.client.run(SYS_accept, listener.get(), nullptr, nullptr), -EAGAIN);
  // The other way round it has none.
  put(tcp.far, "x");
  EXPECT_EQ(rig.client.run(SYS_read, tcp.near.get(), &byte, 1), 1);
}

// One description for both directions has two wait queues.
TEST_F(ArmingEdge, PipeOpenedForBothDirections) {
  const Rig rig = lone_worker();
  const Pipe pipe = make_pipe();
  const std::string name = "/proc/self/fd/" + std::to_string(pipe.reader.get());
  const Fd both(::open(name.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_GE(both.get(), 0);
  ASSERT_EQ(::fcntl(both.get(), F_SETPIPE_SZ, 4096), 4096);
  std::vector<char> buffer(4096);
  for (int i = 0; i < 20; ++i) {
    rig.client.post(0, 5, call(SYS_read, both.get(), buffer.data(), 4096));
    ASSERT_TRUE(waits(rig, 1));
    put(both, std::string(4096, 'p'));
    ASSERT_EQ(rig.client.await(0, 5), 4096);
    put(both, std::string(4096, 'q'));
    rig.client.post(0, 5, call(SYS_write, both.get(), buffer.data(), 4096));
    ASSERT_TRUE(waits(rig, 1));
    std::vector<char> taken(4096);
    ASSERT_EQ(::read(both.get(), taken.data(), 4096), 4096);
    ASSERT_EQ(rig.client.await(0, 5), 4096);
    ASSERT_EQ(drain(pipe), std::string(4096, 'p'));
  }
}

TEST_F(ArmingEdge, EndOfTheOtherSideEndsTheWait) {
  const Rig rig = lone_worker();
  std::array<char, 8> bytes{};
  const auto ends_with = [&](const Call& made, const std::function<void()>& end) {
    rig.client.post(0, 5, made);
    REQUIRE(waits(rig, 1));
    end();
    return rig.client.await(0, 5);
  };
  {
    Pipe pipe = make_pipe();
    EXPECT_EQ(
        ends_with(call(SYS_read, pipe.reader.get(), bytes.data(), 8), [&] { pipe.writer.reset(); }),
        0);
  }
  {
    Waitable full(Kind::kPipeWrite);
    Pipe pipe = make_pipe(O_NONBLOCK);
    while (::write(pipe.writer.get(), bytes.data(), 8) > 0) {
    }
    ASSERT_EQ(::fcntl(pipe.writer.get(), F_SETFL, O_WRONLY), 0);
    EXPECT_EQ(ends_with(call(SYS_write, pipe.writer.get(), bytes.data(), 8),
                        [&] { pipe.reader.reset(); }),
              -EPIPE);
  }
  {
    SocketPair pair;
    EXPECT_EQ(ends_with(call(SYS_recvfrom, pair.near.get(), bytes.data(), 8, 0, nullptr, nullptr),
                        [&] { pair.far.reset(); }),
              0);
  }
  {
    SocketPair pair(SOCK_SEQPACKET);
    EXPECT_EQ(ends_with(call(SYS_read, pair.near.get(), bytes.data(), 8),
                        [&] { ::shutdown(pair.far.get(), SHUT_WR); }),
              0);
  }
  {
    TcpPair tcp;
    EXPECT_EQ(ends_with(call(SYS_read, tcp.near.get(), bytes.data(), 8), [&] { tcp.far.reset(); }),
              0);
  }
  {
    // An abortive close.
    TcpPair tcp;
    const linger none{1, 0};
    ::setsockopt(tcp.far.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    EXPECT_EQ(ends_with(call(SYS_read, tcp.near.get(), bytes.data(), 8), [&] { tcp.far.reset(); }),
              -ECONNRESET);
  }
  {
    const Fd listener = tcp_listener();
    EXPECT_EQ(ends_with(call(SYS_accept4, listener.get(), nullptr, nullptr, SOCK_CLOEXEC),
                        [&] { ::shutdown(listener.get(), SHUT_RDWR); }),
              -EINVAL);
  }
}

// Several wait for one byte each on one socket: each byte ends exactly one of them.
TEST_F(ArmingEdge, OneByteForManyReaders) {
  for (const unsigned concurrency : {1U, 2U}) {
    const Rig rig({.concurrency = concurrency, .standby_max = 1, .spin_us = 0});
    const SocketPair pair;
    constexpr unsigned kReaders = 20;
    std::array<char, kReaders> bytes{};
    for (unsigned i = 0; i < kReaders; ++i) {
      rig.client.post(0, i, call(SYS_recvfrom, pair.near.get(), &bytes[i], 1, 0, nullptr, nullptr));
    }
    ASSERT_TRUE(waits(rig, kReaders));
    for (unsigned sent = 1; sent <= kReaders; ++sent) {
      put(pair.far, "b");
      ASSERT_TRUE(eventually([&] { return rig.client.completions() == sent; })) << sent;
      ASSERT_TRUE(waits(rig, kReaders - sent)) << sent;
      ASSERT_EQ(rig.client.completions(), sent);
    }
    for (unsigned i = 0; i < kReaders; ++i) EXPECT_EQ(rig.client.take(0, i), 1);
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), std::string(kReaders, 'b'));
  }
}

TEST_F(ArmingEdge, OneConnectionForManyAccepts) {
  const Rig rig({.concurrency = 2, .standby_max = 1, .spin_us = 0});
  const Fd listener = tcp_listener();
  constexpr unsigned kAccepts = 20;
  for (unsigned i = 0; i < kAccepts; ++i) {
    rig.client.post(0, i, call(SYS_accept4, listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  ASSERT_TRUE(waits(rig, kAccepts));
  std::vector<Fd> clients;
  for (unsigned made = 1; made <= kAccepts; ++made) {
    clients.push_back(tcp_connect(listener));
    ASSERT_TRUE(eventually([&] { return rig.client.completions() == made; })) << made;
    ASSERT_TRUE(waits(rig, kAccepts - made)) << made;
  }
  for (unsigned i = 0; i < kAccepts; ++i) {
    const Fd accepted(static_cast<int>(rig.client.take(0, i)));
    EXPECT_GE(accepted.get(), 0);
  }
}

// Of those that wait for datagrams, or for connections, one is woken. If that one ends before it
// takes what has come, another one does.
TEST_F(ArmingEdge, WhatACancelledCallLeavesIsForTheNext) {
  for (const bool datagrams : {true, false}) {
    // Nobody helps, or works, between the event and the CANCEL.
    const Rig rig = sleeping_rig({.concurrency = 1, .standby_max = 0, .spin_us = 0});
    const SocketPair pair(SOCK_DGRAM);
    const Fd listener = tcp_listener();
    char byte = 0;
    for (unsigned i = 0; i < 3; ++i) {
      rig.client.fill(0, i,
                      datagrams
                          ? call(SYS_read, pair.near.get(), &byte, 1)
                          : call(SYS_accept4, listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
    rig.client.set(0, 7);
    ASSERT_EQ(rig.client.wait(1, 1us, FLEXSC_WAIT_HELP), 0);
    ASSERT_EQ(rig.group.stats().waiting, 3U);
    Fd connection;
    if (datagrams) {
      put(pair.far, "x");
    } else {
      connection = tcp_connect(listener);
    }
    ASSERT_TRUE(waits(rig, 2)) << "one of them is woken";
    EXPECT_EQ(rig.client.cancel(0, 0), 1) << "the first that came";
    EXPECT_EQ(rig.client.wait(2, kLong, FLEXSC_WAIT_HELP), 2);
    EXPECT_EQ(rig.client.take(0, 0), -ECANCELED);
    const long taken = rig.client.take(0, 1);
    const Fd accepted(datagrams ? -1 : static_cast<int>(taken));
    EXPECT_GE(taken, datagrams ? 1 : 0);
    EXPECT_EQ(rig.group.stats().waiting, 1U);
    EXPECT_EQ(rig.client.cancel(0, 2), 1);
    EXPECT_EQ(rig.client.await(0, 2, FLEXSC_WAIT_HELP), -ECANCELED);
  }
}

// A burst that comes while the calls are being armed and made again.
TEST_F(ArmingEdge, NoEventOfABurstIsLost) {
  const Rig rig({.concurrency = 2, .spin_us = 20});
  const SocketPair pair;
  constexpr unsigned kReaders = 32;
  std::array<char, kReaders> bytes{};
  for (int round = 0; round < 30; ++round) {
    for (unsigned i = 0; i < kReaders; ++i) {
      rig.client.fill(0, i, call(SYS_recvfrom, pair.near.get(), &bytes[i], 1, 0, nullptr, nullptr));
    }
    std::jthread sender([&] {
      for (unsigned i = 0; i < kReaders; ++i) put(pair.far, "b");
    });
    rig.client.submit(0, (__u64{1} << kReaders) - 1);
    ASSERT_EQ(rig.client.wait(kReaders, kLong), static_cast<long>(kReaders)) << "round " << round;
    for (unsigned i = 0; i < kReaders; ++i) ASSERT_EQ(rig.client.take(0, i), 1);
  }
}

// A terminal decides itself when a read is over: it may hold a worker, and must not hold others up.
TEST_F(ArmingEdge, TerminalsAreReadTheirOwnWay) {
  const Fd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (master.get() < 0) GTEST_SKIP() << "no terminals here";
  ASSERT_EQ(::unlockpt(master.get()), 0);
  std::array<char, 64> name{};
  ASSERT_EQ(::ptsname_r(master.get(), name.data(), name.size()), 0);
  const Fd slave(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_GE(slave.get(), 0);
  const Rig rig({.concurrency = 1, .spin_us = 0});
  std::array<char, 64> line{};
  rig.client.post(0, 5, call(SYS_read, slave.get(), line.data(), line.size()));
  for (int i = 0; i < 10; ++i) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  put(master, "half a line");
  ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_FALSE(rig.client.done(0, 5));
  put(master, "\n");
  EXPECT_EQ(rig.client.await(0, 5), 12);
  EXPECT_STREQ(line.data(), "half a line\n");
}

// The wait queue of a signalfd is the process's, and may go before the file (POLLFREE).
TEST_F(ArmingEdge, SignalfdAndTheEndOfTheProcess) {
  for (const bool killed : {false, true}) {
    EXPECT_EQ(in_child([&] {
                sigset_t usr1;
                ::sigemptyset(&usr1);
                ::sigaddset(&usr1, SIGUSR1);
                REQUIRE_EQ(::sigprocmask(SIG_BLOCK, &usr1, nullptr), 0);
                const Fd signals(::signalfd(-1, &usr1, SFD_CLOEXEC));
                const Rig rig({.concurrency = 1, .spin_us = 0});
                std::array<signalfd_siginfo, 4> infos{};
                for (unsigned i = 0; i < 4; ++i) {
                  rig.client.post(0, 10 + i, call(SYS_read, signals.get(), &infos[i], 128));
                }
                REQUIRE_EQ(::kill(::getpid(), SIGUSR1), 0);
                REQUIRE(eventually([&] { return rig.client.completions() == 1; }));
                if (killed) ::kill(::getpid(), SIGKILL);
              }),
              killed ? "signal 9" : "exit 0");
  }
}

}  // namespace
}  // namespace flexsc_guest
