// SPDX-License-Identifier: MIT
// A group stops, or a client goes, while calls are in flight.
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Stop : public GuestTest {};

// Begun and cut off, or claimed and not begun: both are told apart from executed ones, and what was
// never claimed stays posted. Nothing is executed afterwards.
TEST_F(Stop, GroupClosedWithBlockedCalls) {
  for (int round = 0; round < 20; ++round) {
    Rig rig({.concurrency = 1});
    const Waiters waiters(rig.client, 0, 16);
    rig.group.close();
    ASSERT_TRUE(eventually([&] { return rig.client.state() == FLEXSC_STATE_CLOSED; }));
    const auto settled = [&] { return rig.client.completed(0) == 0xffff; };
    ASSERT_TRUE(eventually(settled));
    ASSERT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
    for (unsigned i = 0; i < waiters.size(); ++i) {
      EXPECT_EQ(rig.client.take(0, i), -FLEXSC_E_STOPPED) << i;
      waiters.feed(i);
      EXPECT_EQ(readable(waiters.pipe(i).reader), 1);
      EXPECT_EQ(waiters.byte(i), 0);
    }
  }
}

// Each call is executed exactly once, or not at all and says so: bytes in the pipe are counted.
TEST_F(Stop, GroupClosedInAStreamOfCalls) {
  for (int round = 0; round < 50; ++round) {
    Rig rig({.concurrency = 2, .spin_us = static_cast<unsigned>(round) % 3 * 100}, 8);
    const Pipe pipe = make_pipe(O_NONBLOCK);
    for (unsigned i = 0; i < 512; ++i) {
      rig.client.fill(i / 64, i % 64, call(SYS_write, pipe.writer.get(), "x", 1));
    }
    for (unsigned page = 0; page < 8; ++page) rig.client.submit(page, ~__u64{0});
    for (int spin = 0; spin < round * 40; ++spin)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    rig.group.close();
    ASSERT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
    int executed = 0;
    for (unsigned i = 0; i < 512; ++i) {
      const bool posted = (rig.client.submitted(i / 64) >> (i % 64) & 1) != 0;
      ASSERT_NE(posted, rig.client.done(i / 64, i % 64)) << "entry " << i << " is lost or twofold";
      if (posted) continue;
      const long result = rig.client.take(i / 64, i % 64);
      if (result == 1) {
        ++executed;
      } else {
        ASSERT_EQ(result, -FLEXSC_E_STOPPED);
      }
    }
    EXPECT_EQ(readable(pipe.reader), executed);
  }
}

TEST_F(Stop, StoppedGroupRefusesEverythingButWait) {
  Rig rig;
  const Fd copy(::dup(rig.group.fd()));
  // The number stays in use, the group's file does not.
  ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  rig.group.close();
  EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN}) << "a copy of the descriptor is open";
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  ::close(::dup(copy.get()));
  EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN});
  ASSERT_EQ(::dup2(STDERR_FILENO, copy.get()), copy.get());
  ASSERT_TRUE(eventually([&] { return rig.client.state() == FLEXSC_STATE_CLOSED; }));
  EXPECT_EQ(rig.client.doorbell(), -ESHUTDOWN);
  EXPECT_EQ(rig.client.flush(), -ESHUTDOWN);
  EXPECT_EQ(rig.client.wait(1, -1ns), -ESHUTDOWN);
  rig.client.fill(0, 0, call(SYS_getppid));
  rig.client.submit(0, 1);
  EXPECT_EQ(rig.client.submitted(0), 1U) << "stays posted, to be taken back";
}

TEST_F(Stop, PagesStayAfterTheDescriptors) {
  Rig rig;
  rig.client.post(0, 0, call(SYS_getppid));
  ASSERT_EQ(rig.client.wait(1, -1ns), 1);
  rig.client.close();
  rig.group.close();
  ASSERT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
  EXPECT_EQ(rig.client.take(0, 0), ::getppid());
  EXPECT_EQ(rig.client.header().abi_version, __u32{FLEXSC_ABI_VERSION});
}

// What sleeps in a call goes on in pages that nobody else has any more, what waits for its file is
// forgotten and takes nothing from it.
TEST_F(Stop, ClientClosedAndUnmappedWithCallsInFlight) {
  const Rig rig;
  for (int round = 0; round < 30; ++round) {
    std::optional<Client> other(std::in_place, rig.group, 3);
    const Waiters waiters(*other, 7, 8, 2);
    other.reset();
    EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
    // A new client where the old one was: results of the old one must not appear in it.
    const Client next(rig.group, 3);
    for (unsigned i = 0; i < waiters.size(); ++i) waiters.feed(i);
    ASSERT_TRUE(eventually([&] { return rig.group.stats().waiting == 0; }));
    EXPECT_EQ(next.run(SYS_getppid), ::getppid());
    for (unsigned page = 0; page < 3; ++page) {
      EXPECT_EQ(next.completed(page), 0U);
      EXPECT_EQ(next.submitted(page), 0U);
    }
    for (unsigned i = 0; i < waiters.size(); ++i) {
      EXPECT_EQ(readable(waiters.pipe(i).reader), 1) << i;
      EXPECT_EQ(waiters.byte(i), 0) << i;
    }
  }
}

TEST_F(Stop, ClientClosedWithUnclaimedCalls) {
  const Rig rig({.spin_us = 0});
  const Pipe pipe = make_pipe();
  for (int round = 0; round < 200; ++round) {
    const Client other(rig.group, 1);
    for (unsigned bit = 0; bit < 64; ++bit) {
      other.fill(0, bit, call(SYS_getppid));
    }
    other.submit(0, ~__u64{0});
  }
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// Clients are made and closed by some threads while others wait and ring in theirs.
TEST_F(Stop, ClientsComeAndGoInParallel) {
  const Group group;
  ASSERT_EQ(group.create_pool({.concurrency = 2, .spin_us = 50}), 0);
  std::atomic<int> wrong{0};
  std::vector<std::jthread> threads;
  threads.reserve(6);
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 150; ++i) {
        const Client client(group, 1);
        for (int calls = 0; calls < 3; ++calls) {
          if (client.run(SYS_getpid) != ::getpid()) ++wrong;
        }
      }
    });
  }
  for (std::jthread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Stop, GroupClosedWhileThreadsUseIt) {
  for (int round = 0; round < 20; ++round) {
    auto rig = std::make_unique<Rig>(PoolOptions{.concurrency = 2, .spin_us = 20}, 4);
    std::vector<std::jthread> threads;
    std::atomic<int> strange{0};
    std::atomic<int> running{0};
    for (unsigned page = 0; page < 4; ++page) {
      threads.emplace_back([&, page] {
        ++running;
        const Client& client = rig->client;
        for (unsigned i = 0; client.state() == FLEXSC_STATE_OPEN; ++i) {
          const unsigned bit = i % 64;
          const unsigned queue = page == 3 ? FLEXSC_QUEUE_FLUSH : 0;
          client.fill(page, bit, call(SYS_getppid));
          client.submit(page, __u64{1} << bit, queue);
          if (queue != 0) client.flush();
          while (!client.done(page, bit) && client.state() == FLEXSC_STATE_OPEN) {
            std::this_thread::yield();
          }
          if (!client.done(page, bit)) return;
          const long result = client.take(page, bit);
          if (result != ::getppid() && result != -FLEXSC_E_STOPPED) ++strange;
        }
      });
    }
    ASSERT_TRUE(eventually([&] { return running == 4; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(round));
    rig->group.close();
    for (std::jthread& thread : threads) thread.join();
    EXPECT_EQ(strange, 0);
  }
}

TEST_F(Stop, ManyGroupsAtATime) {
  std::vector<std::unique_ptr<Rig>> rigs;
  for (int i = 0; i < 20; ++i) {
    rigs.push_back(std::make_unique<Rig>(PoolOptions{.spin_us = 10}));
    for (const auto& rig : rigs) ASSERT_EQ(rig->client.run(SYS_getppid), ::getppid());
  }
  // Out of order.
  for (std::size_t i = 0; i < rigs.size(); i += 2) rigs[i].reset();
  for (const auto& rig : rigs) {
    if (!rig) continue;
    ASSERT_EQ(rig->client.run(SYS_getppid), ::getppid());
  }
}

}  // namespace
}  // namespace flexsc_guest
