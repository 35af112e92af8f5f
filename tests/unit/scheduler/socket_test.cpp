// SPDX-License-Identifier: MIT
// Description: servers and clients on loopback sockets, all of them fibers of one carrier.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cstring>
#include <string>

#include "flexsc/posix.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

class SocketTest : public test::OnEngine {
 protected:
  void SetUp() override {
    OnEngine::SetUp();
    if (!calls_overlap()) GTEST_SKIP() << "engine direct blocks the carrier in each call";
  }
};
FLEXSC_ON_EVERY_ENGINE(SocketTest);

sockaddr_in loopback(in_port_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = port;
  return address;
}

/// A listening socket on a free port.
struct Listener {
  int fd = -1;
  sockaddr_in address = loopback();

  void open() {
    fd = flexsc::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(flexsc::bind(fd, any, sizeof(address)), 0);
    socklen_t length = sizeof(address);
    ASSERT_EQ(flexsc::getsockname(fd, any, &length), 0);
    ASSERT_EQ(flexsc::listen(fd, 128), 0);
  }
  [[nodiscard]] int connect() const {
    const int client = flexsc::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_GE(client, 0);
    EXPECT_EQ(flexsc::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
    return client;
  }
};

void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = flexsc::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0);
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string receive(int fd, std::size_t count) {
  std::string text(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    const ssize_t got = flexsc::recv(fd, text.data() + have, count - have, 0);
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  text.resize(have);
  return text;
}

void echo(int fd) {
  std::array<char, 512> buffer{};
  while (true) {
    const ssize_t got = flexsc::read(fd, buffer.data(), buffer.size());
    EXPECT_GE(got, 0);
    if (got <= 0) break;
    send_all(fd, {buffer.data(), static_cast<std::size_t>(got)});
  }
  EXPECT_EQ(flexsc::close(fd), 0);
}

TEST_P(SocketTest, FiftyConnectionsAreEchoedOnOneCarrier) {
  constexpr int kClients = 50;
  constexpr int kMessages = 10;
  Runtime runtime(options());
  int echoed = 0;
  test::in_fiber(runtime, [&] {
    Listener listener;
    listener.open();
    Fiber acceptor = runtime.spawn([&] {
      std::vector<Fiber> servers;
      for (int i = 0; i < kClients; ++i) {
        sockaddr_in peer{};
        socklen_t length = sizeof(peer);
        const int fd = flexsc::accept(listener.fd, reinterpret_cast<sockaddr*>(&peer), &length);
        EXPECT_GE(fd, 0);
        EXPECT_EQ(length, sizeof(peer));
        EXPECT_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
        servers.push_back(runtime.spawn([fd] { echo(fd); }));
      }
      for (Fiber& server : servers) server.join();
    });
    std::vector<Fiber> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(runtime.spawn([&, i] {
        const int fd = listener.connect();
        for (int j = 0; j < kMessages; ++j) {
          const std::string message = std::to_string(i) + " says " + std::to_string(j);
          send_all(fd, message);
          EXPECT_EQ(receive(fd, message.size()), message);
          ++echoed;
        }
        EXPECT_EQ(flexsc::shutdown(fd, SHUT_WR), 0);
        EXPECT_EQ(receive(fd, 1), "");
        EXPECT_EQ(flexsc::close(fd), 0);
      }));
    }
    for (Fiber& client : clients) client.join();
    acceptor.join();
    EXPECT_EQ(flexsc::close(listener.fd), 0);
  });
  EXPECT_EQ(echoed, kClients * kMessages);
}

TEST_P(SocketTest, MessagesOptionsAndDatagrams) {
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    Listener listener;
    listener.open();
    int server = -1;
    Fiber acceptor = runtime.spawn(
        [&] { server = flexsc::accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC); });
    const int client = listener.connect();
    acceptor.join();
    ASSERT_GE(server, 0);

    const int on = 1;
    EXPECT_EQ(flexsc::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    int value = 0;
    socklen_t length = sizeof(value);
    EXPECT_EQ(flexsc::getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
    EXPECT_EQ(value, 1);
    sockaddr_in peer{};
    length = sizeof(peer);
    EXPECT_EQ(flexsc::getpeername(client, reinterpret_cast<sockaddr*>(&peer), &length), 0);
    EXPECT_EQ(peer.sin_port, listener.address.sin_port);

    std::array<char, 3> one{'a', 'b', 'c'};
    std::array<char, 2> two{'d', 'e'};
    std::array<iovec, 2> parts{{{one.data(), one.size()}, {two.data(), two.size()}}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    EXPECT_EQ(flexsc::sendmsg(client, &message, 0), 5);
    one.fill(0);
    two.fill(0);
    EXPECT_EQ(flexsc::recvmsg(server, &message, MSG_WAITALL), 5);
    EXPECT_EQ(one, (std::array<char, 3>{'a', 'b', 'c'}));
    EXPECT_EQ(two, (std::array<char, 2>{'d', 'e'}));
    EXPECT_EQ(flexsc::close(client), 0);
    EXPECT_EQ(flexsc::close(server), 0);
    EXPECT_EQ(flexsc::close(listener.fd), 0);

    const int datagrams = flexsc::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(datagrams, 0);
    sockaddr_in self = loopback();
    auto* address = reinterpret_cast<sockaddr*>(&self);
    EXPECT_EQ(flexsc::bind(datagrams, address, sizeof(self)), 0);
    length = sizeof(self);
    EXPECT_EQ(flexsc::getsockname(datagrams, address, &length), 0);
    std::array<char, 8> buffer{};
    sockaddr_in from{};
    Fiber receiver = runtime.spawn([&] {
      socklen_t size = sizeof(from);
      EXPECT_EQ(flexsc::recvfrom(datagrams, buffer.data(), buffer.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &size),
                4);
    });
    this_fiber::yield();
    EXPECT_EQ(flexsc::sendto(datagrams, "ping", 4, 0, address, sizeof(self)), 4);
    receiver.join();
    EXPECT_STREQ(buffer.data(), "ping");
    EXPECT_EQ(from.sin_port, self.sin_port);
    EXPECT_EQ(flexsc::close(datagrams), 0);
  });
}

TEST_P(SocketTest, PipesAndSplice) {
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    ASSERT_EQ(flexsc::pipe2(in.data(), O_CLOEXEC), 0);
    ASSERT_EQ(flexsc::pipe2(out.data(), O_CLOEXEC), 0);
    Fiber mover =
        runtime.spawn([&] { EXPECT_EQ(splice(in[0], nullptr, out[1], nullptr, 100, 0), 5); });
    this_fiber::yield();
    EXPECT_EQ(flexsc::write(in[1], "moved", 5), 5);
    mover.join();
    std::array<char, 8> buffer{};
    EXPECT_EQ(flexsc::read(out[0], buffer.data(), buffer.size()), 5);
    EXPECT_STREQ(buffer.data(), "moved");
    for (const int fd : {in[0], in[1], out[0], out[1]}) EXPECT_EQ(flexsc::close(fd), 0);
  });
}

}  // namespace
}  // namespace flexsc
