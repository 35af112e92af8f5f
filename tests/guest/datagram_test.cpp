// SPDX-License-Identifier: MIT
// Chains that serve datagrams: what one look has seen of a socket counts for their later calls,
// as far as it goes.
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "modes.hpp"
#include "waitable.hpp"

namespace flexsc_guest {
namespace {

/// Two connected UDP sockets on the loopback device.
struct UdpPair {
  UdpPair() : near(bound()), far(bound()) {
    connect(near, far);
    connect(far, near);
  }
  static Fd bound() {
    Fd made(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE_EQ(::bind(made.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
    return made;
  }
  static void connect(const Fd& from, const Fd& to) {
    const sockaddr_in address = address_of(to);
    REQUIRE_EQ(::connect(from.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
               0);
  }

  /// How many come, which is as many as there are.
  [[nodiscard]] unsigned answers() const {
    std::array<char, 4096> buffer{};
    unsigned n = 0;
    while (::recv(far.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) ++n;
    return n;
  }
  void request(std::size_t size = 64) const { put(far, std::string(size, 'd')); }

  Fd near;
  Fd far;
};

/// A datagram from far to near whose checksum is wrong: it is thrown away when somebody takes it.
void request_in_vain(const UdpPair& pair) {
  struct Packet {
    iphdr ip;
    udphdr udp;
    std::array<char, 8> content;
  } packet{};
  sockaddr_in to = address_of(pair.near);
  packet.ip.version = 4;
  packet.ip.ihl = sizeof packet.ip / 4;
  packet.ip.ttl = 64;
  packet.ip.protocol = IPPROTO_UDP;
  packet.ip.saddr = to.sin_addr.s_addr;
  packet.ip.daddr = to.sin_addr.s_addr;
  packet.udp.source = address_of(pair.far).sin_port;
  packet.udp.dest = to.sin_port;
  packet.udp.len = htons(sizeof packet.udp + sizeof packet.content);
  packet.udp.check = 0x1234;
  const Fd raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  REQUIRE(raw.get() >= 0);
  to.sin_port = 0;
  REQUIRE_EQ(
      ::sendto(raw.get(), &packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
      static_cast<ssize_t>(sizeof packet));
}

class Datagram : public GuestTest {
 protected:
  static Rig asleep() { return sleeping_rig({.concurrency = 1, .spin_us = 0}); }

  /// Posts the echo at (0, 0): three calls.
  void post_echo(const Client& client, const UdpPair& pair) {
    const std::array<Call, 3> calls{
        call(SYS_recvfrom, pair.near.get(), buffer_.data(), buffer_.size(), 0, 0, 0),
        call(SYS_fstat, pair.near.get(), &status_),
        call(SYS_sendto, pair.near.get(), buffer_.data(), ResultOf{0}, 0, 0, 0).with(kRepeat)};
    client.fill_chain(0, 0, calls);
    client.set(0, 1);
  }
  static void end_echo(const Client& client, unsigned flags) {
    EXPECT_EQ(client.cancel(0, 0), 1);
    EXPECT_EQ(client.await(0, 0, flags), -ECANCELED);
  }
  std::array<char, 4096> buffer_{};
  struct stat status_ {};
};

class DatagramBy : public Datagram, public testing::WithParamInterface<By> {
 protected:
  [[nodiscard]] static unsigned flags() { return GetParam() == By::kHelp ? kHelp : 0; }
  /// Lets it be served for a while.
  static void serve(const Client& client) { client.wait(64, 1ms, flags()); }
};
INSTANTIATE_TEST_SUITE_P(By, DatagramBy, testing::Values(By::kWorker, By::kHelp),
                         [](const auto& mode) { return name_of(mode.param); });

TEST_P(DatagramBy, BurstsAreAnsweredWhateverTheBuffer) {
  for (const int buffer : {0, 1}) {  // as usual, and the smallest
    const Rig rig = asleep();
    const UdpPair pair;
    if (buffer != 0) {
      ASSERT_EQ(::setsockopt(pair.near.get(), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer), 0);
    }
    post_echo(rig.client, pair);
    if (GetParam() == By::kWorker) rig.client.doorbell();
    for (const std::size_t size : {0UL, 1UL, 64UL, 1000UL, 2000UL}) {
      for (unsigned i = 0; i < 30; ++i) pair.request(size);
      unsigned answers = 0;
      EXPECT_TRUE(eventually([&] {
        serve(rig.client);
        return (answers += pair.answers()) == 30;
      })) << size
          << " bytes: " << answers;
    }
    end_echo(rig.client, flags());
  }
}

// What a look has seen is taken by others meanwhile: each datagram is had once, and nobody is held.
TEST_P(DatagramBy, OthersTakeWhatWasSeen) {
  const Rig rig = asleep();
  const UdpPair pair;
  std::atomic<unsigned> taken{0};
  std::atomic<bool> over{false};
  std::jthread thief([&] {
    char byte = 0;
    while (!over) {
      if (::recv(pair.near.get(), &byte, 1, MSG_DONTWAIT) >= 0) ++taken;
    }
  });
  post_echo(rig.client, pair);
  if (GetParam() == By::kWorker) rig.client.doorbell();
  unsigned answers = 0;
  unsigned sent = 0;
  for (int burst = 0; burst < 100; ++burst) {
    for (unsigned i = 0; i < 50; ++i) pair.request();
    sent += 50;
    EXPECT_TRUE(eventually([&] {
      serve(rig.client);
      answers += pair.answers();
      return answers + taken == sent;
    })) << answers
        << " answered and " << taken << " taken of " << sent;
  }
  over = true;
  end_echo(rig.client, flags());
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// The second datagram turns out to be none, when it is taken.
TEST_F(Datagram, OneThatIsThrownAwayDoesNotHoldTheCarrier) {
  const Rig rig = asleep();
  const UdpPair pair;
  pair.request();
  request_in_vain(pair);
  post_echo(rig.client, pair);
  rig.client.fill(0, 3, call(SYS_getppid));
  rig.client.set(0, 8);
  EXPECT_EQ(rig.client.wait(1, kLong, kHelp), 1);
  EXPECT_EQ(rig.client.take(0, 3), ::getppid());
  EXPECT_EQ(pair.answers(), 1U);
  EXPECT_EQ(rig.group.stats().waiting, 1U);
  pair.request();
  EXPECT_EQ(rig.client.wait(1, 20ms, kHelp), 0);
  EXPECT_EQ(pair.answers(), 1U);
  end_echo(rig.client, kHelp);
}

// The descriptor is another file's by then, into which nothing goes.
TEST_F(Datagram, RoomIsThatOfTheFile) {
  const Rig rig = asleep();
  const UdpPair pair;
  const TcpPair full;
  const std::string bytes(1 << 20, 'f');
  std::size_t left = 1;
  const auto fill = [&] {
    return ::send(full.near.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  };
  for (ssize_t n = fill(); n >= 0; n = fill()) left += static_cast<std::size_t>(n);
  for (int i = 0; i < 2; ++i) pair.request();
  const int near = pair.near.get();
  const std::array<Call, 3> calls{
      call(SYS_recvfrom, near, buffer_.data(), buffer_.size(), 0, 0, 0),
      call(SYS_dup2, full.near.get(), near),
      call(SYS_sendto, near, buffer_.data(), 1, 0, 0, 0).with(kRepeat),
  };
  rig.client.fill_chain(0, 0, calls);
  rig.client.fill(0, 3, call(SYS_getppid));
  rig.client.set(0, 9);
  EXPECT_EQ(rig.client.wait(1, kLong, kHelp), 1);
  EXPECT_EQ(rig.client.take(0, 3), ::getppid());
  EXPECT_EQ(rig.group.stats().waiting, 1U) << "to send";
  while (left > 0) {
    const ssize_t n = ::recv(full.far.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0) rig.client.wait(1, 1ms, kHelp);
    left -= static_cast<std::size_t>(std::max<ssize_t>(n, 0));
  }
  EXPECT_EQ(rig.client.cancel(0, 0), 1) << "the second round waits to receive";
  EXPECT_EQ(rig.client.await(0, 0, kHelp), -ECANCELED);
  EXPECT_EQ(rig.client.take(0, 1), near);
  EXPECT_EQ(rig.client.take(0, 2), 1);
}

}  // namespace
}  // namespace flexsc_guest
