// SPDX-License-Identifier: MIT
// Other processes that get hold of the descriptors can do nothing with them.
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "passing.hpp"
#include "process.hpp"

namespace flexsc_guest {
namespace {

class Inherit : public GuestTest {};

/// Every ioctl and mmap of a foreign process fails with EPERM.
void require_inert(int group_fd, int client_fd, std::size_t bytes) {
  flexsc_pool_params pool{};
  pool.size = sizeof pool;
  flexsc_client_params client{};
  client.size = sizeof client;
  client.nr_pages = 1;
  flexsc_stats stats{};
  stats.size = sizeof stats;
  flexsc_cancel cancel{};
  cancel.size = sizeof cancel;
  REQUIRE_EQ(control(group_fd, FLEXSC_IOC_POOL_CREATE, &pool), -EPERM);
  REQUIRE_EQ(control(group_fd, FLEXSC_IOC_CLIENT_CREATE, &client), -EPERM);
  REQUIRE_EQ(control(group_fd, FLEXSC_IOC_STATS, &stats), -EPERM);
  REQUIRE_EQ(control(group_fd, FLEXSC_IOC_POOL_UPDATE, &pool), -EPERM);
  REQUIRE_EQ(control(client_fd, FLEXSC_IOC_CANCEL, &cancel), -EPERM);
  REQUIRE_EQ(command(client_fd, FLEXSC_CMD_WAIT, FLEXSC_WAIT(0, 0, 0)), -EPERM);
  REQUIRE_EQ(command(client_fd, FLEXSC_CMD_FLUSH, 0), -EPERM);
  REQUIRE_EQ(command(client_fd, FLEXSC_CMD_DOORBELL, 0), -EPERM);
  REQUIRE_EQ(command(client_fd, FLEXSC_CMD_NOTIFY, 0), -EPERM);
  REQUIRE_EQ(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, client_fd, 0), MAP_FAILED);
  REQUIRE_EQ(errno, EPERM);
}

TEST_F(Inherit, ForkedChildHasNeitherPagesNorRights) {
  const Rig rig;
  const Waiters waiters(rig.client, 9, 2);
  EXPECT_EQ(in_child([&] {
              unsigned char resident = 0;
              REQUIRE_EQ(::mincore(rig.client.base(), 4096, &resident), -1);
              REQUIRE_EQ(errno, ENOMEM);
              require_inert(rig.group.fd(), rig.client.fd(), rig.client.bytes());
              REQUIRE(workers_of(::getpid()).empty());
            }),
            "exit 0");
  EXPECT_EQ(in_child([&] {
              ::signal(SIGSEGV, SIG_DFL);
              rig.client.header().state.value = 1;
            }),
            "signal 11");
  // The child closed its copies when it ended: the parent does not notice.
  EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN});
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  waiters.finish(rig.client);
}

TEST_F(Inherit, ForksUnderLoad) {
  const Rig rig({.spin_us = 200});
  const auto end = [&] { return rig.client.run(SYS_getppid) == ::getppid(); };
  for (int i = 0; i < 50; ++i) {
    for (unsigned bit = 1; bit < 64; ++bit) rig.client.fill(0, bit, call(SYS_getppid));
    rig.client.submit(0, ~__u64{1});
    ASSERT_EQ(in_child([] { ::_exit(3); }), "exit 3");
    ASSERT_EQ(rig.client.wait(63, kLong), 63);
    for (unsigned bit = 1; bit < 64; ++bit) ASSERT_EQ(rig.client.take(0, bit), ::getppid());
    ASSERT_TRUE(end());
  }
}

TEST_F(Inherit, ForkedChildOpensItsOwn) {
  const Rig rig;
  EXPECT_EQ(in_child([] {
              const Rig own;
              REQUIRE_EQ(own.client.run(SYS_getpid), ::getpid());
            }),
            "exit 0");
  EXPECT_EQ(rig.client.run(SYS_getpid), ::getpid());
}

// As vfork() and posix_spawn() make one: it runs in our memory, but is another process.
TEST_F(Inherit, ChildInOurMemoryHasNoRights) {
  const Rig rig;
  struct {
    const Client& client;
    long flushed, waited;
  } seen{rig.client, 1, 1};
  std::vector<char> stack(1 << 16);
  const auto body = [](void* argument) {
    auto* to = static_cast<decltype(seen)*>(argument);
    to->flushed = to->client.flush();
    to->waited = to->client.wait(0, 0ns);
    return 5;
  };
  const pid_t pid =
      ::clone(body, stack.data() + stack.size(), CLONE_VM | CLONE_VFORK | SIGCHLD, &seen);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 5);
  EXPECT_EQ(seen.flushed, -EPERM);
  EXPECT_EQ(seen.waited, -EPERM);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

std::array<int, 2> receive_fds(int socket) {
  std::array<int, 2> fds{-1, -1};
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control_data{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control_data.data();
  message.msg_controllen = control_data.size();
  REQUIRE_EQ(::recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
  REQUIRE(CMSG_FIRSTHDR(&message) != nullptr);
  std::memcpy(fds.data(), CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
  return fds;
}

// The receiver exists before the group does and keeps the descriptors after the sender's death.
TEST_F(Inherit, PassedDescriptorsAreInert) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const Fd here(ends[0]);
  const Fd there(ends[1]);
  const SharedBoard board;
  Child receiver([&] {
    const auto fds = receive_fds(there.get());
    require_inert(fds[0], fds[1], FLEXSC_HEADER_BYTES + FLEXSC_PAGE_BYTES);
    board->stage = 1;
    REQUIRE(eventually([&] { return board->stage == 2; }));
    require_inert(fds[0], fds[1], FLEXSC_HEADER_BYTES + FLEXSC_PAGE_BYTES);
  });
  EXPECT_EQ(in_child([&] {
              const Rig rig;
              const Waiters waiters(rig.client, 10, 2);
              REQUIRE_EQ(send_fds(here.get(), std::array{rig.group.fd(), rig.client.fd()}), 1);
              REQUIRE(eventually([&] { return board->stage == 1; }));
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
            }),
            "exit 0");
  board->stage = 2;
  EXPECT_EQ(receiver.join(), "exit 0");
}

// In flight in a socket that nobody reads, closed on both sides: the garbage collector of unix
// sockets drops the last reference to the group.
TEST_F(Inherit, DescriptorsLostInASocket) {
  for (int i = 0; i < 20; ++i) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    {
      const Rig rig;
      const Waiters waiters(rig.client, 0, 2);
      REQUIRE_EQ(send_fds(ends[0], std::array{rig.group.fd(), rig.client.fd()}), 1);
      REQUIRE_EQ(send_fds(ends[1], std::array{ends[0], ends[1]}), 1);
    }
    ::close(ends[0]);
    ::close(ends[1]);
    // The collector runs when a socket is closed while others are in flight.
    EXPECT_TRUE(eventually([] {
      std::array<int, 2> more{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, more.data()) == 0) {
        ::close(more[0]);
        ::close(more[1]);
      }
      return workers_of(::getpid()).empty();
    }));
  }
}

}  // namespace
}  // namespace flexsc_guest
