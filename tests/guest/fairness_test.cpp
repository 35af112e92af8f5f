// SPDX-License-Identifier: MIT
// Who floods a pool does not keep it for himself, and what one worker need not do alone it shares.
// Counts, not times: what must not starve has to come to an end while the flood goes on.
#include <map>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

constexpr unsigned kFloodPages = 16;

/// Keeps all entries of a client posted: what completes is posted again at once.
class Flood {
 public:
  Flood(const Group& group, const Call& c, unsigned queue = 0)
      : client_(group, kFloodPages), queue_(queue), thread_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) post_again();
        }) {
    for (unsigned i = 0; i < kFloodPages * 64; ++i) client_.fill(i / 64, i % 64, c);
    started_ = true;
    REQUIRE(eventually([this] { return rounds_ > 10; }));
  }
  [[nodiscard]] long rounds() const { return rounds_; }
  [[nodiscard]] const Client& client() const { return client_; }

 private:
  void post_again() {
    if (!started_) return;
    for (unsigned page = 0; page < kFloodPages; ++page) {
      __u64 bits = ~__u64{0};
      if (primed_) {
        bits = std::atomic_ref(client_.header().completion.page[page])
                   .exchange(0, std::memory_order_acquire);
      }
      if (bits == 0) continue;
      client_.submit(page, bits, queue_);
      ++rounds_;
    }
    primed_ = true;
  }
  Client client_;
  unsigned queue_;
  bool primed_ = false;
  std::atomic<bool> started_{false};
  std::atomic<long> rounds_{0};
  std::jthread thread_;
};

class Fairness : public GuestTest {};

/// The other client's calls come to their ends while the flood goes on behind and before them.
void expect_served(const Client& client, const Flood& flood, unsigned page = 0,
                   unsigned queue = 0) {
  const long before = flood.rounds();
  for (int i = 0; i < 100; ++i) {
    client.fill(page, 3, call(SYS_getppid));
    client.submit(page, 8, queue);
    ASSERT_TRUE(eventually([&] { return client.done(page, 3); }, 20s)) << "starved, call " << i;
    ASSERT_EQ(client.take(page, 3), ::getppid());
  }
  EXPECT_TRUE(eventually([&] { return flood.rounds() > before; })) << "the flood had dried up";
}

TEST_F(Fairness, FloodingClientDoesNotStarveAnother) {
  for (const unsigned concurrency : {1U, 2U}) {
    const Group group;
    ASSERT_EQ(group.create_pool({.concurrency = concurrency, .spin_us = 0}), 0);
    // One on each side of the flood in the order in which clients were made.
    const Client earlier(group);
    const Flood flood(group, call(SYS_getppid));
    const Client later(group);
    expect_served(earlier, flood);
    expect_served(later, flood);
  }
}

TEST_F(Fairness, FloodedPagesDoNotStarveOthersOfTheClient) {
  const Group group;
  ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 0}), 0);
  const Flood flood(group, call(SYS_getppid));
  // Of another pool's queue, and by flush, in the same client: nobody else posts there.
  ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 0}), 1);
  const Client other(group, 3);
  expect_served(other, flood, 2);
  expect_served(other, flood, 1, 1);
}

TEST_F(Fairness, FloodOfChainsDoesNotStarve) {
  const Group group;
  ASSERT_EQ(group.create_pool({.concurrency = 1, .spin_us = 0}), 0);
  const Client loops(group);
  // Chains that go on and on.
  for (unsigned bit = 0; bit < 8; ++bit) {
    loops.fill(0, bit, call(FLEXSC_NR_NOP).with(FLEXSC_ENTRY_GO_ON | FLEXSC_ENTRY_REPEAT));
  }
  loops.submit(0, 0xff);
  const Client other(group);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(other.run(SYS_getppid), ::getppid());
    ASSERT_EQ(loops.completions(), 0U) << "it was served after they had ended";
  }
  for (unsigned bit = 0; bit < 8; ++bit) EXPECT_EQ(loops.cancel(0, bit), 1);
  EXPECT_EQ(loops.wait(8, kLong), 8);
}

// Many that want one call each, beside the flood: all of them get it.
TEST_F(Fairness, ManyModestClients) {
  const Group group;
  ASSERT_EQ(group.create_pool({.concurrency = 2, .spin_us = 0}), 0);
  const Flood flood(group, call(SYS_getppid));
  std::vector<Client> clients;
  clients.reserve(40);
  for (int i = 0; i < 40; ++i) clients.emplace_back(group);
  for (int round = 0; round < 10; ++round) {
    for (const Client& client : clients) client.post(0, 0, call(SYS_getppid));
    for (const Client& client : clients) {
      ASSERT_TRUE(eventually([&] { return client.done(0, 0); }, 20s)) << "starved";
      ASSERT_EQ(client.take(0, 0), ::getppid());
    }
  }
}

// Two workers that are awake, on two CPUs: both execute some of what is posted together.
TEST_F(Fairness, BatchIsShared) {
  if (::sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "needs two CPUs";
  const Rig rig({.concurrency = 2, .spin_us = 500'000}, 8);
  constexpr unsigned kCalls = 512;
  std::vector<std::array<char, 32>> names(kCalls);
  std::size_t most_workers = 0;
  unsigned best_share = 0;
  for (int round = 0; round < 50 && best_share < kCalls / 8; ++round) {
    for (unsigned i = 0; i < kCalls; ++i) {
      names[i].fill(0);
      rig.client.fill(i / 64, i % 64,
                      call(SYS_readlink, "/proc/thread-self", names[i].data(), names[i].size()));
    }
    for (unsigned page = 0; page < 8; ++page) rig.client.submit(page, ~__u64{0});
    ASSERT_EQ(rig.client.wait(kCalls, kLong), kCalls);
    std::map<std::string, unsigned> shares;
    for (unsigned i = 0; i < kCalls; ++i) {
      ASSERT_GT(rig.client.take(i / 64, i % 64), 0);
      ++shares[names[i].data()];
    }
    most_workers = std::max(most_workers, shares.size());
    unsigned least = kCalls;
    for (const auto& [name, share] : shares) least = std::min(least, share);
    if (shares.size() > 1) best_share = std::max(best_share, least);
  }
  EXPECT_GE(most_workers, 2U);
  EXPECT_GE(best_share, kCalls / 8);
}

}  // namespace
}  // namespace flexsc_guest
