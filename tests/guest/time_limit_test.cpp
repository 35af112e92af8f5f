// SPDX-License-Identifier: MIT
// SO_RCVTIMEO and SO_SNDTIMEO: a call on such a socket waits as long as a direct one would, and
// holds no worker meanwhile.
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "modes.hpp"
#include "waitable.hpp"

namespace flexsc_guest {
namespace {

constexpr timeval kShort{0, 60'000};
constexpr timeval kMinutes{600, 0};

void limit(const Fd& socket, int which, const timeval& time) {
  REQUIRE_EQ(::setsockopt(socket.get(), SOL_SOCKET, which, &time, sizeof time), 0);
}

Call receive(const Fd& socket, char& byte, int flags = 0) {
  return call(SYS_recvfrom, socket.get(), &byte, 1, flags, nullptr, nullptr);
}

class TimeLimit : public ModesTest {};
FLEXSC_IN_ALL_MODES(TimeLimit);

TEST_P(TimeLimit, Ends) {
  const Rig rig = make_rig();
  const TcpPair tcp;
  char byte = 0;
  limit(tcp.near, SO_RCVTIMEO, kShort);
  const __s64 end = from_now(55ms);
  EXPECT_EQ(run_one(rig, receive(tcp.near, byte)), -EAGAIN);
  EXPECT_GE(from_now(0ns), end);
  EXPECT_EQ(run_one(rig, call(SYS_read, tcp.near.get(), &byte, 1)), -EAGAIN);
  const Fd listener = tcp_listener();
  limit(listener, SO_RCVTIMEO, kShort);
  EXPECT_EQ(run_one(rig, call(SYS_accept4, listener.get(), nullptr, nullptr, 0)), -EAGAIN);
  EXPECT_EQ(rig.group.stats().blocked, 0U);
  EXPECT_EQ(rig.group.stats().waiting, 0U);
  // The socket is as it was.
  put(tcp.far, "x");
  EXPECT_EQ(run_one(rig, receive(tcp.near, byte)), 1);
}

TEST_P(TimeLimit, OfSending) {
  const Rig rig = make_rig();
  const TcpPair tcp;
  limit(tcp.near, SO_SNDTIMEO, kShort);
  const std::string much(64 << 10, 'm');
  while (::send(tcp.near.get(), much.data(), much.size(), MSG_DONTWAIT) > 0) {
  }
  EXPECT_EQ(run_one(rig, call(SYS_sendto, tcp.near.get(), "x", 1, 0, nullptr, 0)), -EAGAIN);
}

TEST_P(TimeLimit, ErrorsAndDataComeFirst) {
  const Rig rig = make_rig();
  TcpPair tcp;
  char byte = 0;
  limit(tcp.near, SO_RCVTIMEO, kMinutes);
  put(tcp.far, "x");
  EXPECT_EQ(run_one(rig, receive(tcp.near, byte)), 1);
  EXPECT_EQ(run_one(rig, receive(tcp.near, byte, MSG_DONTWAIT)), -EAGAIN);
  tcp.far = Fd();
  EXPECT_EQ(run_one(rig, receive(tcp.near, byte)), 0);
  const Fd fresh(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  limit(fresh, SO_RCVTIMEO, kMinutes);
  EXPECT_EQ(run_one(rig, receive(fresh, byte)), -ENOTCONN);
}

TEST_P(TimeLimit, IsAResultOfAChain) {
  const Rig rig = make_rig();
  const TcpPair tcp;
  char byte = 0;
  limit(tcp.near, SO_RCVTIMEO, kShort);
  EXPECT_EQ(run(rig, {receive(tcp.near, byte), call(SYS_getppid)}), (Results{-EAGAIN, -ECANCELED}));
  EXPECT_EQ(run(rig, {receive(tcp.near, byte).with(FLEXSC_ENTRY_GO_ON),
                      receive(tcp.near, byte).with(FLEXSC_ENTRY_GO_ON), call(SYS_getppid)}),
            (Results{-EAGAIN, -EAGAIN, ::getppid()}));
}

TEST_P(TimeLimit, WhicheverEndsFirst) {
  const Rig rig = make_rig();
  const TcpPair tcp;
  char byte = 0;
  limit(tcp.near, SO_RCVTIMEO, kMinutes);
  EXPECT_EQ(run_one(rig, receive(tcp.near, byte).until(from_now(40ms))), -ETIME);
  limit(tcp.near, SO_RCVTIMEO, kShort);
  EXPECT_EQ(run_one(rig, receive(tcp.near, byte).until(from_now(1h))), -EAGAIN);
}

class TimeLimitOfWorkers : public GuestTest {};

TEST_F(TimeLimitOfWorkers, HoldsNone) {
  const Rig rig = lone_worker();
  const TcpPair tcp;
  char byte = 0;
  limit(tcp.near, SO_RCVTIMEO, kMinutes);
  rig.client.post(0, 5, receive(tcp.near, byte));
  ASSERT_TRUE(waits(rig, 1));
  for (int i = 0; i < 10; ++i) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  put(tcp.far, "x");
  EXPECT_EQ(rig.client.await(0, 5), 1);
  EXPECT_EQ(rig.group.stats().blocked, 0U);
}

TEST_F(TimeLimitOfWorkers, CancelAndClose) {
  const Rig rig = lone_worker();
  const TcpPair tcp;
  char byte = 0;
  limit(tcp.near, SO_RCVTIMEO, kMinutes);
  rig.client.post(0, 5, receive(tcp.near, byte));
  ASSERT_TRUE(waits(rig, 1));
  EXPECT_EQ(rig.client.cancel(0, 5), 1);
  EXPECT_EQ(rig.client.await(0, 5), -ECANCELED);
  {
    const Client other(rig.group);
    other.post(0, 5, receive(tcp.near, byte));
    ASSERT_TRUE(waits(rig, 1));
  }
  EXPECT_TRUE(waits(rig, 0));
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// Whoever is woken and finds that another took the data waits on, as long as was left.
TEST_F(TimeLimitOfWorkers, DoesNotBeginAgain) {
  const Rig rig = lone_worker();
  const TcpPair tcp;
  limit(tcp.near, SO_RCVTIMEO, kShort);
  std::array<char, 8> bytes{};
  for (unsigned bit = 0; bit < 8; ++bit) rig.client.post(0, bit, receive(tcp.near, bytes[bit]));
  ASSERT_TRUE(waits(rig, 8));
  put(tcp.far, "x");
  ASSERT_EQ(rig.client.wait(8, kLong), 8);
  long taken = 0;
  for (unsigned bit = 0; bit < 8; ++bit) {
    const long result = rig.client.take(0, bit);
    ASSERT_TRUE(result == 1 || result == -EAGAIN) << result;
    taken += result == 1 ? 1 : 0;
  }
  EXPECT_EQ(taken, 1);
}

// Data, the end of the time and CANCEL together: one of them, and no byte is lost.
TEST_F(TimeLimitOfWorkers, EndsRace) {
  const Rig rig = lone_worker();
  const TcpPair tcp;
  char byte = 0;
  limit(tcp.near, SO_RCVTIMEO, {0, 4'000});
  for (int i = 0; i < 200; ++i) {
    rig.client.post(0, 0, receive(tcp.near, byte));
    std::this_thread::sleep_for(std::chrono::microseconds(i % 8 * 1000));
    put(tcp.far, "x");
    if (i % 2 != 0) (void)rig.client.cancel(0, 0);
    const long result = rig.client.await(0, 0);
    ASSERT_TRUE(result == 1 || result == -EAGAIN || (result == -ECANCELED && i % 2 != 0)) << result;
    ASSERT_EQ(rig.client.completed(0), 0U);
    if (result != 1) {
      ASSERT_EQ(::recv(tcp.near.get(), &byte, 1, 0), 1);
    }
  }
}

}  // namespace
}  // namespace flexsc_guest
