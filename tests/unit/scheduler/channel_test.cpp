// SPDX-License-Identifier: MIT
// Description: bounded channels and selects among fibers and plain threads.
#include "flexsc/channel.hpp"

#include <atomic>
#include <memory>
#include <string>

#include "support.hpp"

namespace flexsc {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

using test::carriers;

TEST(BoundedChannelTest, KeepsTheOrderAndItsBound) {
  BoundedChannel<int> channel(2);
  int value = 3;
  EXPECT_TRUE(channel.send(1));
  EXPECT_TRUE(channel.send(2));
  EXPECT_EQ(channel.try_send(value), ChannelStatus::timeout);
  EXPECT_EQ(channel.send_for(value, milliseconds(1)), ChannelStatus::timeout);
  EXPECT_EQ(channel.size(), 2U);
  EXPECT_EQ(channel.capacity(), 2U);
  EXPECT_EQ(channel.receive(), 1);
  EXPECT_EQ(channel.try_send(value), ChannelStatus::done);
  EXPECT_EQ(channel.receive(), 2);
  EXPECT_EQ(channel.receive(), 3);
  std::optional<int> none = 7;
  EXPECT_EQ(channel.try_receive(none), ChannelStatus::timeout);
  EXPECT_EQ(channel.receive_until(none, Clock::now() + milliseconds(1)), ChannelStatus::timeout);
  EXPECT_EQ(none, 7);
}

TEST(BoundedChannelTest, AClosedOneIsReadToItsEnd) {
  BoundedChannel<std::string> channel(2);
  EXPECT_TRUE(channel.send("kept"));
  channel.close();
  channel.close();
  EXPECT_TRUE(channel.closed());
  EXPECT_FALSE(channel.send("lost"));
  std::string mine = "mine";
  EXPECT_EQ(channel.try_send(mine), ChannelStatus::closed);
  EXPECT_EQ(mine, "mine");
  EXPECT_EQ(channel.receive(), "kept");
  EXPECT_EQ(channel.receive(), std::nullopt);
  std::optional<std::string> none;
  EXPECT_EQ(channel.receive_for(none, hours(1)), ChannelStatus::closed);
}

TEST(BoundedChannelTest, CloseEndsAllWaits) {
  Runtime runtime(carriers(2));
  BoundedChannel<int> empty(1);
  BoundedChannel<int> full(0);
  std::atomic<int> ended{0};
  const auto wait = [&] {
    EXPECT_EQ(empty.receive(), std::nullopt);
    ++ended;
  };
  const auto offer = [&] {
    EXPECT_FALSE(full.send(1));
    ++ended;
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 3; ++i) {
    fibers.push_back(runtime.spawn(wait));
    fibers.push_back(runtime.spawn(offer));
  }
  std::thread waiting(wait);
  std::thread offering(offer);
  std::this_thread::sleep_for(milliseconds(2));
  EXPECT_EQ(ended, 0);
  empty.close();
  full.close();
  for (Fiber& fiber : fibers) fiber.join();
  waiting.join();
  offering.join();
  EXPECT_EQ(ended, 8);
}

TEST(BoundedChannelTest, WithoutABufferBothSidesMeet) {
  Runtime runtime(carriers(1));
  BoundedChannel<int> channel(0);
  std::string order;
  test::in_fiber(runtime, [&] {
    Fiber sender = runtime.spawn([&] {
      EXPECT_TRUE(channel.send(1));
      order += 's';
    });
    this_fiber::yield();
    EXPECT_EQ(order, "");  // nobody took it
    EXPECT_EQ(channel.receive(), 1);
    sender.join();
    EXPECT_EQ(order, "s");
    int value = 2;
    EXPECT_EQ(channel.try_send(value), ChannelStatus::timeout);
  });
}

TEST(BoundedChannelTest, MovesWhatCannotBeCopied) {
  BoundedChannel<std::unique_ptr<int>> channel(1);
  EXPECT_TRUE(channel.send(std::make_unique<int>(5)));
  auto kept = std::make_unique<int>(6);
  EXPECT_EQ(channel.send_for(kept, milliseconds(1)), ChannelStatus::timeout);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(**channel.receive(), 5);
}

class FlowTest : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Capacity, FlowTest, ::testing::Values(0U, 1U, 16U));

// Every value arrives once, whoever sends and receives, and whatever is given up on the way.
TEST_P(FlowTest, NothingIsLostOrDoubled) {
  Runtime runtime(carriers(2));
  BoundedChannel<int> channel(GetParam());
  constexpr int kEach = 300;
  constexpr int kSenders = 4;
  std::atomic<long> sum{0};
  std::atomic<int> received{0};
  const auto send = [&] {
    for (int i = 1; i <= kEach; ++i) {
      int value = i;
      while (channel.send_for(value, microseconds(i % 2 == 0 ? 5 : 1000)) != ChannelStatus::done) {
      }
    }
  };
  const auto receive = [&] {
    std::optional<int> value;
    while (true) {
      const ChannelStatus status = channel.receive_for(value, microseconds(5));
      if (status == ChannelStatus::closed) return;
      if (status == ChannelStatus::timeout) continue;
      sum += *value;
      ++received;
    }
  };
  std::vector<Fiber> senders;
  std::vector<Fiber> receivers;
  for (int i = 0; i < kSenders - 1; ++i) senders.push_back(runtime.spawn(send));
  for (int i = 0; i < 3; ++i) receivers.push_back(runtime.spawn(receive));
  std::thread sender(send);
  std::thread receiver(receive);
  for (Fiber& fiber : senders) fiber.join();
  sender.join();
  channel.close();
  for (Fiber& fiber : receivers) fiber.join();
  receiver.join();
  EXPECT_EQ(received, kSenders * kEach);
  EXPECT_EQ(sum, 1L * kSenders * kEach * (kEach + 1) / 2);
}

TEST(SelectTest, DoesOneOfWhatCanBeDoneEachInItsTurn) {
  BoundedChannel<int> a(8);
  BoundedChannel<int> b(8);
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(a.send(1));
    EXPECT_TRUE(b.send(2));
  }
  std::array<int, 2> chosen{};
  std::optional<int> got;
  for (int i = 0; i < 8; ++i) {
    const Selected done = try_select(a.receiving(got), b.receiving(got));
    ASSERT_EQ(done.status, ChannelStatus::done);
    EXPECT_EQ(got, static_cast<int>(done.which) + 1);
    ++chosen[done.which];
    if (i == 3) {
      EXPECT_TRUE(chosen[0] > 0 && chosen[1] > 0) << "one starves the other";
    }
  }
  EXPECT_EQ(chosen[0], 4);
  EXPECT_EQ(try_select(a.receiving(got), b.receiving(got)).which, Selected::kNone);
}

TEST(SelectTest, TimesOutAndLeavesNothingBehind) {
  Runtime runtime(carriers(1));
  const auto check = [] {
    BoundedChannel<int> a(0);
    BoundedChannel<int> b(0);
    std::optional<int> got;
    int value = 1;
    const Selected none = select_for(milliseconds(1), a.receiving(got), b.sending(value));
    EXPECT_EQ(none.which, Selected::kNone);
    EXPECT_EQ(none.status, ChannelStatus::timeout);
    EXPECT_EQ(a.try_send(value), ChannelStatus::timeout);
    EXPECT_EQ(b.try_receive(got), ChannelStatus::timeout);
    EXPECT_EQ(select_until(Clock::now(), a.receiving(got)).which, Selected::kNone);
  };
  check();
  test::in_fiber(runtime, check);
}

TEST(SelectTest, WaitsForTheFirstOfSeveral) {
  Runtime runtime(carriers(1));
  test::in_fiber(runtime, [&] {
    BoundedChannel<int> numbers(0);
    BoundedChannel<std::string> words(0);
    BoundedChannel<int> out(0);
    std::optional<int> number;
    std::optional<std::string> word;
    Fiber sender = runtime.spawn([&] { EXPECT_TRUE(words.send("hello")); });
    int value = 9;
    Selected done = select(numbers.receiving(number), words.receiving(word), out.sending(value));
    EXPECT_EQ(done.which, 1U);
    EXPECT_EQ(word, "hello");
    EXPECT_EQ(number, std::nullopt);
    sender.join();
    Fiber receiver = runtime.spawn([&] { EXPECT_EQ(out.receive(), 9); });
    done = select(numbers.receiving(number), words.receiving(word), out.sending(value));
    EXPECT_EQ(done.which, 2U);
    receiver.join();
    Fiber closer = runtime.spawn([&] { numbers.close(); });
    done = select(numbers.receiving(number), words.receiving(word));
    EXPECT_EQ(done.which, 0U);
    EXPECT_EQ(done.status, ChannelStatus::closed);
    closer.join();
  });
}

// A select may name a channel twice, even both ways; it does not meet itself.
TEST(SelectTest, DoesNotMeetItself) {
  Runtime runtime(carriers(1));
  test::in_fiber(runtime, [&] {
    BoundedChannel<int> channel(0);
    std::optional<int> got;
    int value = 1;
    EXPECT_EQ(select_for(milliseconds(1), channel.sending(value), channel.receiving(got)).which,
              Selected::kNone);
    Fiber other = runtime.spawn([&] { EXPECT_TRUE(channel.send(5)); });
    EXPECT_EQ(select(channel.sending(value), channel.receiving(got)).which, 1U);
    EXPECT_EQ(got, 5);
    other.join();
  });
}

// Selects on the same channels in different orders, of fibers and threads, with timeouts.
TEST(SelectTest, SelectsMeetEachOther) {
  Runtime runtime(carriers(2));
  BoundedChannel<int> a(0);
  BoundedChannel<int> b(1);
  std::atomic<long> sent{0};
  std::atomic<long> received{0};
  std::atomic<int> running{0};
  constexpr int kRounds = 300;
  const auto work = [&](bool a_first) {
    ++running;
    for (int i = 1; i <= kRounds; ++i) {
      std::optional<int> got;
      int value = i;
      const Selected done = a_first
                                ? select_for(microseconds(50), a.receiving(got), b.sending(value))
                                : select_for(microseconds(50), b.receiving(got), a.sending(value));
      if (done.which == 0) received += *got;
      if (done.which == 1) sent += i;
    }
    --running;
  };
  std::vector<Fiber> fibers;
  for (int i = 0; i < 4; ++i) fibers.push_back(runtime.spawn([&work, i] { work(i % 2 == 0); }));
  std::thread one(work, true);
  std::thread other(work, false);
  for (Fiber& fiber : fibers) fiber.join();
  one.join();
  other.join();
  std::optional<int> rest;
  while (b.try_receive(rest) == ChannelStatus::done) received += *rest;
  EXPECT_GT(sent, 0);
  EXPECT_EQ(sent, received);
}

TEST(BoundedChannelTest, MayBeDestroyedByWhoReceivedTheLast) {
  Runtime runtime(carriers(2));
  for (int i = 0; i < 200; ++i) {
    auto channel = std::make_unique<BoundedChannel<int>>(0);
    Fiber fiber = runtime.spawn([own = channel.get()] { EXPECT_TRUE(own->send(1)); });
    EXPECT_EQ(channel->receive(), 1);
    fiber.join();
    channel.reset();
  }
}

}  // namespace
}  // namespace flexsc
