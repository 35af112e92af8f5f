// SPDX-License-Identifier: MIT
// WAIT with FLEXSC_WAIT_HELP: chains, which the waiting thread makes as far as they do not sleep.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <thread>

#include "help_fixture.hpp"

namespace flexsc_guest {
namespace {

// A chain is made by the helper as far as it goes, also where it opens and looks.
TEST_F(Help, ChainsAreItsOwnUntilOneOfTheirCallsSleeps) {
  const Rig rig = asleep();
  const Pipe pipe = make_pipe();
  ::mkdir("/tmp", 01777);
  const std::string fifo = "/tmp/flexsc-chain-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  struct stat status {};
  char byte = 0;
  const auto opens = [&](const char* path) {
    return std::array<Call, 4>{
        call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0),
        call(SYS_fstat, ResultOf{0}, &status),
        call(SYS_write, pipe.writer.get(), "x", 1),
        call(SYS_read, pipe.reader.get(), &byte, 1),
    };
  };
  rig.client.fill_chain(0, 0, opens("/"));
  rig.client.set(0, 1);
  EXPECT_EQ(rig.client.wait(4, -1ns, kHelp), 4);
  const Fd root(static_cast<int>(rig.client.take(0, 0)));
  EXPECT_GE(root.get(), 0);
  EXPECT_EQ(rig.client.take(0, 1), 0);
  EXPECT_TRUE(S_ISDIR(status.st_mode));
  EXPECT_EQ(rig.client.take(0, 2), 1);
  EXPECT_EQ(rig.client.take(0, 3), 1);
  EXPECT_EQ(rig.group.stats().helped, 4U);
  EXPECT_EQ(rig.group.stats().armed, 0U);

  rig.client.fill_chain(0, 0, opens(fifo.c_str()));
  rig.client.set(0, 1);
  post_quietly(rig.client, 4, call(SYS_getppid));
  EXPECT_EQ(rig.client.wait(1, -1ns, kHelp), 1) << "the FIFO has no writer";
  EXPECT_EQ(rig.client.take(0, 4), ::getppid());
  const Fd writer(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC));
  const Fd reader(static_cast<int>(rig.client.await(0, 0, kHelp)));
  EXPECT_GE(reader.get(), 0);
  EXPECT_EQ(rig.client.await(0, 1, kHelp), 0);
  EXPECT_TRUE(S_ISFIFO(status.st_mode));
  EXPECT_EQ(rig.client.await(0, 2, kHelp), 1);
  EXPECT_EQ(rig.client.await(0, 3, kHelp), 1);
  ::unlink(fifo.c_str());
}

// What a chain that has to wait in the middle has done stays done, and is known to the rest.
TEST_F(Help, RestOfAChainThatWaitsKnowsWhatCameBefore) {
  const Rig rig = asleep();
  const Pipe in = make_pipe();
  const Pipe out = make_pipe();
  std::array<char, 8> bytes{};
  const std::array<Call, 6> calls{
      call(SYS_dup, out.writer.get()),
      call(SYS_getppid),
      call(SYS_read, in.reader.get(), bytes.data(), bytes.size()),
      call(SYS_write, ResultOf{0}, bytes.data(), ResultOf{2}),
      call(SYS_close, ResultOf{0}),
      call(SYS_write, out.writer.get(), bytes.data(), ResultOf{3}),
  };
  for (const __u64 round : {1U, 2U}) {
    rig.client.fill_chain(0, 3, calls);
    rig.client.set(0, 1U << 3);
    EXPECT_EQ(rig.client.wait(6, 10ms, kHelp), 0);
    EXPECT_EQ(rig.group.stats().helped, (round - 1) * 6) << "counted when it is complete";
    put(in.writer, "four");
    EXPECT_EQ(rig.client.wait(6, -1ns, kHelp), 6);
    const Fd copy(static_cast<int>(rig.client.take(0, 3)));
    EXPECT_GE(copy.get(), 0);
    EXPECT_EQ(::fcntl(copy.get(), F_GETFD), -1);
    EXPECT_EQ(rig.client.take(0, 4), ::getppid());
    for (const unsigned i : {5U, 6U, 8U}) EXPECT_EQ(rig.client.take(0, i), 4) << i;
    EXPECT_EQ(rig.client.take(0, 7), 0);
    EXPECT_EQ(drain(out), "fourfour");
    EXPECT_EQ(rig.group.stats().helped, round * 6);
  }
}

// The room that was found for a call of a chain counts for the next one only as far as it goes, and
// as long as the descriptor is the same file's.
TEST_F(Help, LargeSendfileOfAChainDoesNotHoldTheCarrier) {
  const Rig rig = asleep();
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "large", MFD_CLOEXEC)));
  constexpr long kSize = 8 << 20;
  ASSERT_EQ(::ftruncate(file.get(), kSize), 0);
  for (const long size : {kSize, 1L}) {
    const TcpPair tcp;
    const TcpPair full;
    const std::string bytes(1 << 20, 'f');
    long taken = 0;
    const auto fill = [&] {
      return ::send(full.near.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    };
    for (ssize_t n = fill(); n >= 0; n = fill()) taken += n;
    ASSERT_EQ(errno, EAGAIN);
    const int to = tcp.near.get();
    const bool replaced = size == 1;
    const std::array<Call, 3> calls{
        call(SYS_sendto, to, "head", 4, MSG_NOSIGNAL, 0, 0),
        replaced ? call(SYS_dup2, full.near.get(), to) : call(SYS_getppid),
        call(SYS_sendfile, to, file.get(), 0, size),
    };
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
    rig.client.fill_chain(0, 0, calls);
    rig.client.set(0, 1);
    post_quietly(rig.client, 3, call(SYS_getppid));
    EXPECT_EQ(rig.client.wait(4, 20ms, kHelp), 1) << size;
    EXPECT_EQ(rig.client.take(0, 3), ::getppid());
    std::jthread reader([&] {
      std::vector<char> buffer(1 << 20);
      for (long left = replaced ? taken + 1 : 4 + kSize; left > 0;) {
        const ssize_t n =
            ::read(replaced ? full.far.get() : tcp.far.get(), buffer.data(), buffer.size());
        if (n <= 0) return;
        left -= n;
      }
    });
    EXPECT_EQ(rig.client.await(0, 0, kHelp), 4);
    EXPECT_EQ(rig.client.await(0, 1, kHelp), replaced ? to : ::getppid());
    EXPECT_EQ(rig.client.await(0, 2, kHelp), size);
  }
}

// Signals all the time: the helper leaves chains in the middle, and goes on with them.
TEST_F(Help, StormOfSignalsAndChains) {
  const Handler handler(SIGALRM);
  const Rig rig = asleep();
  const Pipe pipe = make_pipe();
  const itimerval often{{0, 1000}, {0, 1000}};
  std::array<char, 16> bytes{};
  const auto chain = [&](unsigned i) {
    return std::array<Call, 4>{call(SYS_read, pipe.reader.get(), &bytes[i], 1),
                               call(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_CLOEXEC, 0),
                               call(SYS_close, ResultOf{1}), call(SYS_getppid)};
  };
  ::setitimer(ITIMER_REAL, &often, nullptr);
  for (int round = 0; round < 100; ++round) {
    for (unsigned i = 0; i < 12; ++i) {
      rig.client.fill_chain(0, i * 4, chain(i));
      rig.client.set(0, __u64{1} << i * 4);
      post_quietly(rig.client, 48 + i, call(SYS_write, pipe.writer.get(), "x", 1));
    }
    while (rig.client.completions() < 60) {
      const long result = rig.client.wait(60, kLong, kHelp);
      if (result < 0) {
        ASSERT_EQ(result, -EINTR);
      }
    }
    for (unsigned i = 0; i < 12; ++i) {
      ASSERT_EQ(rig.client.take(0, i * 4), 1) << round;
      ASSERT_GE(rig.client.take(0, i * 4 + 1), 0) << round;
      ASSERT_EQ(rig.client.take(0, i * 4 + 2), 0) << round;
      ASSERT_EQ(rig.client.take(0, i * 4 + 3), ::getppid()) << round;
      ASSERT_EQ(rig.client.take(0, 48 + i), 1) << round;
    }
  }
  ASSERT_TRUE(eventually([] { return handled > 2; }));
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
}

}  // namespace
}  // namespace flexsc_guest
