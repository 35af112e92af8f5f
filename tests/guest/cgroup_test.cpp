// SPDX-License-Identifier: MIT
// What a group uses is the cgroup's of the process: memory of its pages, threads and time of
// workers.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <sstream>

#include "cgroup.hpp"
#include "process.hpp"

namespace flexsc_guest {
namespace {

class Charged : public GuestTest {
 protected:
  /// A child that is in the cgroup before it begins.
  static std::unique_ptr<Child> child_in(const Cgroup& cgroup, const SharedBoard& board,
                                         const std::function<void()>& body) {
    auto child = std::make_unique<Child>([&board, body] {
      reach(board, 1);
      body();
    });
    REQUIRE(cgroup.write("cgroup.procs", std::to_string(child->pid())));
    board->stage = 1;
    return child;
  }
  /// Both sides wait for each other's stages.
  static void reach(const SharedBoard& board, int stage) {
    if (!eventually([&] { return board->stage >= stage; })) {
      throw Failure("stage " + std::to_string(stage) + " was never reached");
    }
  }
  static long create_client(const Group& group, unsigned pages) {
    flexsc_client_params params{};
    params.size = sizeof params;
    params.nr_pages = pages;
    return control(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params);
  }
};

constexpr long kClientBytes = FLEXSC_HEADER_BYTES + FLEXSC_MAX_PAGES * FLEXSC_PAGE_BYTES;
/// The kernel charges in batches, by CPU, and other things come and go.
constexpr long kSlack = 2L << 20;

TEST_F(Charged, MemoryOfClients) {
  const Cgroup cgroup("+memory");
  if (!cgroup.usable()) GTEST_SKIP() << "no memory controller of cgroup v2 here";
  const SharedBoard board;
  const auto child = child_in(cgroup, board, [&] {
    const Group group;
    board->stage = 2;
    reach(board, 3);
    {
      // Not mapped, and never touched: what counts is what was allocated.
      std::vector<Fd> clients;
      for (int i = 0; i < 16; ++i) {
        clients.emplace_back(static_cast<int>(create_client(group, FLEXSC_MAX_PAGES)));
        REQUIRE(clients.back().get() >= 0);
      }
      board->stage = 4;
      reach(board, 5);
    }
    board->stage = 6;
    reach(board, 7);
  });
  reach(board, 2);
  const long before = cgroup.number("memory.current");
  board->stage = 3;
  reach(board, 4);
  EXPECT_GE(cgroup.number("memory.current"), before + 16 * kClientBytes - kSlack);
  board->stage = 5;
  reach(board, 6);
  EXPECT_TRUE(eventually([&] { return cgroup.number("memory.current") <= before + kSlack; }))
      << cgroup.number("memory.current") << " bytes are still charged, of " << before;
  board->stage = 7;
  EXPECT_EQ(child->join(), "exit 0");
}

// A client is large and asked for from outside: beyond the limit it is an error, and nobody is
// killed for it.
TEST_F(Charged, ClientBeyondTheMemoryLimit) {
  const Cgroup cgroup("+memory");
  if (!cgroup.usable()) GTEST_SKIP() << "no memory controller of cgroup v2 here";
  const SharedBoard board;
  const auto child = child_in(cgroup, board, [&] {
    const Group group;
    board->stage = 2;
    reach(board, 3);
    for (int i = 0; i < 20; ++i) {
      std::vector<Fd> clients;
      long made = 0;
      // One fits at most.
      for (int n = 0; n < 3 && made >= 0; ++n) {
        made = create_client(group, FLEXSC_MAX_PAGES);
        if (made >= 0) clients.emplace_back(static_cast<int>(made));
      }
      REQUIRE_EQ(made, -ENOMEM);
    }
    board->stage = 4;
    reach(board, 5);
    const Client fits(group, FLEXSC_MAX_PAGES);
    REQUIRE_EQ(group.create_pool(), 0);
    REQUIRE_EQ(fits.run(SYS_getppid), ::getppid());
  });
  reach(board, 2);
  ASSERT_TRUE(cgroup.write("memory.max",
                           std::to_string(cgroup.number("memory.current") + kClientBytes * 3 / 2)));
  board->stage = 3;
  reach(board, 4);
  EXPECT_EQ(cgroup.number("memory.events", "oom_kill"), 0);
  EXPECT_GT(cgroup.number("memory.events", "max"), 0) << "the limit was never met";
  ASSERT_TRUE(cgroup.write("memory.max", "max"));
  board->stage = 5;
  EXPECT_EQ(child->join(), "exit 0");
}

TEST_F(Charged, WorkersCountAsThreads) {
  const Cgroup cgroup("+pids");
  if (!cgroup.usable()) GTEST_SKIP() << "no pids controller of cgroup v2 here";
  ASSERT_TRUE(cgroup.write("pids.max", "1"));
  const SharedBoard board;
  const auto child = child_in(cgroup, board, [&] {
    REQUIRE_EQ(Group().create_pool(), -EAGAIN);
    board->stage = 2;
    reach(board, 3);
    const Rig rig;
    REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
    board->stage = 4;
    reach(board, 5);
  });
  reach(board, 2);
  ASSERT_TRUE(cgroup.write("pids.max", "max"));
  board->stage = 3;
  reach(board, 4);
  EXPECT_GE(cgroup.number("pids.current"), 2);
  std::istringstream threads(cgroup.read("cgroup.threads"));
  const std::vector<pid_t> members{std::istream_iterator<pid_t>(threads), {}};
  for (const pid_t worker : workers_of(child->pid())) {
    EXPECT_EQ(std::ranges::count(members, worker), 1) << "worker " << worker;
  }
  board->stage = 5;
  EXPECT_EQ(child->join(), "exit 0");
}

/// Work that takes a processor for a while.
long busy_call(const Client& client, std::vector<char>& buffer) {
  return client.run(SYS_getrandom, buffer.data(), buffer.size(), 0);
}

/// Time that a thread of this process has had, rounded down to clock ticks.
std::chrono::microseconds time_of(pid_t thread) {
  const std::string stat = read_file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(") ") + 2));
  std::string skipped;
  // utime and stime are the fields 14 and 15; the third is the first after the name.
  for (int field = 3; field < 14; ++field) fields >> skipped;
  long user = 0;
  long system = 0;
  fields >> user >> system;
  return std::chrono::microseconds((user + system) * 1'000'000 / ::sysconf(_SC_CLK_TCK));
}

TEST_F(Charged, TimeOfWorkers) {
  const Cgroup cgroup("+cpu");
  if (!cgroup.usable()) GTEST_SKIP() << "no cpu controller of cgroup v2 here";
  const SharedBoard board;
  const auto child = child_in(cgroup, board, [&] {
    const Rig rig({.concurrency = 1, .spin_us = 0});
    std::vector<char> buffer(1 << 20);
    const auto worked = [&] {
      std::chrono::microseconds sum{0};
      for (const pid_t worker : workers_of(::getpid())) sum += time_of(worker);
      return sum;
    };
    while (worked() < 300ms) REQUIRE_EQ(busy_call(rig.client, buffer), 1 << 20);
    board->value = worked().count();
    board->stage = 2;
    reach(board, 3);
  });
  reach(board, 2);
  // In a moment all that has been used is in the sum.
  EXPECT_TRUE(eventually([&] { return cgroup.number("cpu.stat", "usage_usec") >= board->value; }))
      << cgroup.number("cpu.stat", "usage_usec") << " us, the workers alone have used "
      << board->value;
  board->stage = 3;
  EXPECT_EQ(child->join(), "exit 0");
}

// The limit holds for workers, and a throttled process can be killed.
TEST_F(Charged, WorkersAreThrottled) {
  const Cgroup cgroup("+cpu");
  if (!cgroup.usable() || !cgroup.write("cpu.max", "5000 50000")) {
    GTEST_SKIP() << "no cpu controller of cgroup v2 here, or without limits";
  }
  const SharedBoard board;
  const auto child = child_in(cgroup, board, [&] {
    const Rig rig({.concurrency = 1, .spin_us = 0});
    std::vector<char> buffer(1 << 20);
    for (;;) {
      REQUIRE_EQ(busy_call(rig.client, buffer), 1 << 20);
      ++board->count;
    }
  });
  EXPECT_TRUE(eventually([&] { return cgroup.number("cpu.stat", "nr_throttled") > 3; }));
  const long count = board->count;
  EXPECT_TRUE(eventually([&] { return board->count > count; })) << "it does not go on";
  child->kill(SIGKILL);
  EXPECT_EQ(child->join(), "signal 9");
}

}  // namespace
}  // namespace flexsc_guest
