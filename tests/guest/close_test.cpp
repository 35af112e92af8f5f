// SPDX-License-Identifier: MIT
// close() through a worker. The last reference to a file is dropped in work that a thread does on
// its way to user space, where a worker never goes: the peer saw no end of file.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include "modes.hpp"

namespace flexsc_guest {
namespace {

class Close : public GuestTest {
 protected:
  static bool hung_up(const Fd& fd) {
    pollfd descriptor{fd.get(), POLLIN | POLLRDHUP, 0};
    constexpr int kLimit = 60'000;
    return ::poll(&descriptor, 1, kLimit) == 1 && (descriptor.revents & (POLLHUP | POLLRDHUP)) != 0;
  }
};

int release(Fd& fd) {
  const int number = ::dup(fd.get());
  fd.reset();
  return number;
}

struct Pair {
  Fd one = Fd();
  Fd other = Fd();
};

Pair unix_pair() {
  std::array<int, 2> ends{};
  REQUIRE_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

Pair tcp_pair() {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  socklen_t length = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE_EQ(::bind(listener.get(), generic, length), 0);
  REQUIRE_EQ(::listen(listener.get(), 1), 0);
  REQUIRE_EQ(::getsockname(listener.get(), generic, &length), 0);
  Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(client.get(), generic, length) < 0) return Pair{};
  return Pair{std::move(client), Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC))};
}

TEST_F(Close, PipeEndIsSeenAtOnce) {
  for (const unsigned spin_us : {0U, unsigned{FLEXSC_MAX_SPIN_US}}) {
    const Rig rig({.spin_us = spin_us});
    for (int i = 0; i < 20; ++i) {
      Pipe pipe = make_pipe();
      ASSERT_EQ(rig.client.run(SYS_close, release(pipe.writer)), 0);
      ASSERT_TRUE(hung_up(pipe.reader));
    }
  }
}

TEST_F(Close, SocketEndIsSeenAtOnce) {
  const Rig rig;
  for (int i = 0; i < 20; ++i) {
    Pair local = unix_pair();
    ASSERT_EQ(rig.client.run(SYS_close, release(local.one)), 0);
    ASSERT_TRUE(hung_up(local.other));
  }
  Pair remote = tcp_pair();
  if (remote.one.get() < 0) GTEST_SKIP() << "the loopback interface is down";
  ASSERT_EQ(rig.client.run(SYS_close, release(remote.one)), 0);
  ASSERT_TRUE(hung_up(remote.other));
  char byte = 0;
  EXPECT_EQ(::recv(remote.other.get(), &byte, 1, 0), 0);
}

// In one claimed batch: the close, then a call that blocks until the peer has seen the close.
TEST_F(Close, EndIsSeenThoughTheNextCallOfTheBatchBlocks) {
  for (int i = 0; i < 20; ++i) {
    const Rig rig({.concurrency = 1, .spin_us = 0});
    Pipe closed = make_pipe();
    const Pipe answer = make_pipe();
    char byte = 0;
    rig.client.fill(0, 0, call(SYS_close, release(closed.writer)));
    rig.client.fill(0, 1, call(SYS_read, answer.reader.get(), &byte, 1));
    rig.client.submit(0, 3);
    ASSERT_TRUE(hung_up(closed.reader));
    put(answer.writer, "k");
    EXPECT_EQ(rig.client.await(0, 1), 1);
    EXPECT_EQ(rig.client.await(0, 0), 0);
  }
}

// dup2 over the last descriptor and close_range drop files too.
TEST_F(Close, OtherWaysToDropAFile) {
  const Rig rig;
  Pipe first = make_pipe();
  const int number = release(first.writer);
  ASSERT_EQ(rig.client.run(SYS_dup2, STDERR_FILENO, number), number);
  EXPECT_TRUE(hung_up(first.reader));
  ::close(number);

  Pipe second = make_pipe();
  const int other = release(second.writer);
  ASSERT_EQ(rig.client.run(SYS_close_range, other, other, 0), 0);
  EXPECT_TRUE(hung_up(second.reader));
}

TEST_F(Close, FlushedCloseIsSeenWithinTheFlush) {
  const Group group;
  const Client client(group);
  Pipe closed = make_pipe();
  char byte = 0;
  // The read would wait for ever if the writer were not gone by then.
  client.fill(0, 0, call(SYS_close, release(closed.writer)));
  client.fill(0, 1, call(SYS_read, closed.reader.get(), &byte, 1));
  client.submit(0, 3, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(client.flush(), 2);
  EXPECT_EQ(client.take(0, 0), 0);
  EXPECT_EQ(client.take(0, 1), 0);
}

/// Whoever executes: what the next call of a batch sees of a file that was closed by the one
/// before.
class CloseInABatch : public ModesTest {};
FLEXSC_IN_ALL_MODES(CloseInABatch);

TEST_P(CloseInABatch, IsSeenByTheNextCall) {
  const Rig rig = make_rig();
  Pipe closed = make_pipe();
  pollfd watched{closed.reader.get(), POLLIN, 0};
  rig.client.fill(0, 0, call(SYS_close, release(closed.writer)));
  rig.client.fill(0, 1, call(SYS_poll, &watched, 1, 0));
  execute(rig.client, GetParam(), 0, 3, 3);
  EXPECT_EQ(rig.client.take(0, 0), 0);
  EXPECT_EQ(rig.client.take(0, 1), 1);
  EXPECT_EQ(watched.revents, POLLHUP);
}

// The descriptors of FlexSC itself.
TEST_F(Close, GroupClosedByItsOwnWorker) {
  for (int i = 0; i < 20; ++i) {
    const Group group;
    ASSERT_EQ(group.create_pool(), 0);
    const Client client(group);
    // Keep Group's number occupied, so that its destructor closes nothing else.
    const int number = ::dup(group.fd());
    ASSERT_EQ(::dup2(STDERR_FILENO, group.fd()), group.fd());
    client.post(0, 0, call(SYS_close, number));
    // A WAIT may say that the group stopped before this call, which is begun, is complete.
    ASSERT_TRUE(eventually([&] { return client.done(0, 0); }));
    EXPECT_EQ(client.take(0, 0), 0);
    EXPECT_TRUE(eventually([&] { return client.state() == FLEXSC_STATE_CLOSED; }));
    EXPECT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
  }
}

// The ioctl that makes the first worker of a process began with a descriptor table that nobody
// shared, so it holds no reference to its file; the worker closes that file under it.
TEST_F(Close, GroupClosedWhileItsPoolIsMade) {
  // The worker runs at once on the other CPU, the ioctl has to share its own.
  const auto pin = [](std::size_t cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::sched_setaffinity(0, sizeof one, &one);
  };
  const bool two = ::sysconf(_SC_NPROCESSORS_ONLN) > 1;
  const Child rival([&] {
    pin(0);
    for (;;) ::getppid();
  });
  EXPECT_EQ(in_child([&] {
              pin(0);
              for (int i = 0; i < 100; ++i) {
                Group group;
                Client client(group);
                client.fill(0, 0, call(SYS_munmap, client.base(), client.bytes()));
                client.fill(0, 1, call(SYS_close, client.fd()));
                client.fill(0, 2, call(SYS_close, group.fd()));
                client.submit(0, 7);
                const auto cpu = static_cast<unsigned char>(two ? 2 : 1);
                REQUIRE_EQ(group.create_pool({.spin_us = 0, .cpus = CpuMask{cpu}}), 0);
                REQUIRE(eventually([] { return workers_of(::getpid()).empty(); }));
                // What the worker did not get to.
                group.close();
              }
            }),
            "exit 0");
}

TEST_F(Close, ClientClosedByAWorker) {
  const Rig rig;
  for (int i = 0; i < 20; ++i) {
    Client other(rig.group);
    const int number = ::dup(other.fd());
    other.close();
    EXPECT_EQ(rig.client.run(SYS_close, number), 0);
    EXPECT_EQ(rig.client.run(SYS_munmap, other.base(), other.bytes()), 0);
  }
  // And by a call of its own.
  Client last(rig.group);
  const int number = ::dup(last.fd());
  last.close();
  last.fill(0, 0, call(SYS_close, number));
  last.submit(0, 1);
  // DOORBELL needs the descriptor: ring through another client.
  rig.client.doorbell();
  EXPECT_TRUE(eventually([&] { return last.done(0, 0); }));
  EXPECT_EQ(last.take(0, 0), 0);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

}  // namespace
}  // namespace flexsc_guest
