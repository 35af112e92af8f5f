// SPDX-License-Identifier: MIT
// The group belongs to the thread that opened it and ends with that thread.
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Owner : public GuestTest {};

[[noreturn]] void exit_thread(int code) {
  direct(SYS_exit, code);
  ::abort();
}

// The last user thread makes a plain exit while a worker sleeps in a read: the worker kept the
// process as a zombie for ever, and the parent waited with it.
TEST_F(Owner, LastThreadExitsWhileAWorkerIsBlocked) {
  for (int round = 0; round < 10; ++round) {
    EXPECT_EQ(in_child([] {
                const Rig rig;
                const Waiters waiters(rig.client, 0, 2);
                exit_thread(7);
              }),
              "exit 7");
  }
}

TEST_F(Owner, LastThreadExitsWhileWorkersSpinOrSleep) {
  for (const unsigned spin_us : {0U, 1000U, unsigned{FLEXSC_MAX_SPIN_US}}) {
    EXPECT_EQ(in_child([spin_us] {
                const Rig rig({.spin_us = spin_us});
                REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
                exit_thread(8);
              }),
              "exit 8");
  }
}

TEST_F(Owner, OtherThreadsSeeTheGroupClosed) {
  std::unique_ptr<Group> group;
  std::unique_ptr<Client> client;
  std::optional<Waiters> waiters;
  std::thread([&] {
    group = std::make_unique<Group>();
    ASSERT_EQ(group->create_pool(), 0);
    client = std::make_unique<Client>(*group);
    ASSERT_EQ(client->run(SYS_getppid), ::getppid());
    waiters.emplace(*client, 5, 2);
  }).join();
  EXPECT_TRUE(eventually([&] { return client->state() == FLEXSC_STATE_CLOSED; }));
  EXPECT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }));
  for (unsigned bit = 5; bit < 7; ++bit) {
    EXPECT_TRUE(eventually([&] { return client->done(0, bit); }));
    EXPECT_EQ(client->take(0, bit), -FLEXSC_E_STOPPED);
  }
  EXPECT_EQ(client->flush(), -ESHUTDOWN);
  EXPECT_EQ(client->wait(1, -1ns), -ESHUTDOWN);
}

TEST_F(Owner, WaiterIsWokenWhenTheOwnerLeaves) {
  std::unique_ptr<Group> group;
  std::unique_ptr<Client> client;
  std::atomic<bool> ready{false};
  std::atomic<bool> leave{false};
  std::jthread owner([&] {
    group = std::make_unique<Group>();
    group->create_pool();
    client = std::make_unique<Client>(*group);
    ready = true;
    while (!leave) std::this_thread::yield();
  });
  ASSERT_TRUE(eventually([&] { return ready.load(); }));
  std::atomic<long> result{1};
  std::jthread waiter([&] { result = client->wait(1, -1ns); });
  std::this_thread::sleep_for(20ms);
  leave = true;
  owner.join();
  waiter.join();
  EXPECT_EQ(result, -ESHUTDOWN);
}

// Any thread of the process may use the group. Only pools are the owner's to make: workers get the
// identity of the thread that makes them.
TEST_F(Owner, OtherThreadsMayUseTheGroup) {
  const Group group;
  std::thread([&] { EXPECT_EQ(group.create_pool(), -EPERM); }).join();
  ASSERT_EQ(group.create_pool(), 0);
  std::thread([&] {
    const Client client(group);
    EXPECT_EQ(client.run(SYS_getppid), ::getppid());
    EXPECT_EQ(client.run_flushed(call(SYS_getppid)), ::getppid());
  }).join();
  const Client client(group);
  EXPECT_EQ(client.run(SYS_getppid), ::getppid());
}

// The leader exits, the owner is another thread and works on.
TEST_F(Owner, LeaderMayLeave) {
  const SharedBoard board;
  EXPECT_EQ(in_child([&] {
              std::thread([&] {
                const Rig rig;
                while (thread_states(::getpid()).find('Z') == std::string::npos) {
                  std::this_thread::sleep_for(1ms);
                }
                for (int i = 0; i < 100; ++i) {
                  if (rig.client.run(SYS_getpid) == ::getpid()) ++board->count;
                }
                ::_exit(board->count == 100 ? 0 : 1);
              }).detach();
              exit_thread(0);
            }),
            "exit 0");
  EXPECT_EQ(board->count, 100);
}

/// How a process ends whose threads all make a plain exit: the leader first (with 5), or last; the
/// owner of the group, if there is one, with 6.
std::string end_by_plain_exits(bool leader_first, bool with_group) {
  return in_child([=] {
    static std::atomic<bool> begun;
    const pid_t leader = ::getpid();
    begun = false;
    const auto own = [=] {
      std::optional<Rig> rig;
      if (with_group) {
        rig.emplace(PoolOptions{.concurrency = 2});
        REQUIRE_EQ(rig->client.run(SYS_getpid), leader);
      }
      begun = true;
      if (leader_first) {
        REQUIRE(
            eventually([] { return thread_states(::getpid()).find('Z') != std::string::npos; }));
        if (with_group) REQUIRE_EQ(rig->client.run(SYS_getpid), leader);
      }
      std::optional<Waiters> waiters;
      if (with_group) waiters.emplace(rig->client, 1, 4);
      exit_thread(6);
    };
    std::thread(own).detach();
    REQUIRE(eventually([] { return begun.load(); }));
    if (!leader_first) {
      // Twice: a worker may have made another, and ended, between the list of threads and the look
      // at each.
      const auto alone = [] { return thread_states(::getpid()).size() == 1; };
      REQUIRE(eventually([&] { return alone() && alone(); }));
    }
    exit_thread(5);
  });
}

// No exit_group() anywhere; the process ends with its last user thread, and as that, whether there
// are workers or not.
TEST_F(Owner, AllThreadsLeaveByPlainExit) {
  for (const bool leader_first : {true, false}) {
    const std::string without = end_by_plain_exits(leader_first, false);
    EXPECT_EQ(without, leader_first ? "exit 6" : "exit 5");
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(end_by_plain_exits(leader_first, true), without)
          << (leader_first ? "the leader went first" : "the owner went first");
    }
  }
}

}  // namespace
}  // namespace flexsc_guest
