// SPDX-License-Identifier: MIT
// execve with workers: the kernel waits for them to leave, and the new program has none of it.
#include <cstdlib>
#include <cstring>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {

namespace {

constexpr const char* kNewProgram = "--after-exec";

/// Runs in the new program: 0 if nothing of the group is left.
int after_exec(int group_fd, int client_fd, bool group_inherited) {
  if (!workers_of(::getpid()).empty()) return 10;
  if (thread_states(::getpid()).size() != 1) return 11;
  if (::fcntl(client_fd, F_GETFD) != -1) return 12;
  if ((::fcntl(group_fd, F_GETFD) != -1) != group_inherited) return 13;
  if (group_inherited) {
    flexsc_client_params params{};
    params.size = sizeof params;
    params.nr_pages = 1;
    if (control(group_fd, FLEXSC_IOC_CLIENT_CREATE, &params) != -EPERM) return 14;
    flexsc_pool_params pool{};
    pool.size = sizeof pool;
    if (control(group_fd, FLEXSC_IOC_POOL_CREATE, &pool) != -EPERM) return 15;
  }
  // And a new group works.
  const Rig rig;
  return rig.client.run(SYS_getppid) == ::getppid() ? 0 : 16;
}

void exec_new_program(const Rig& rig, bool inherited) {
  const std::string group = std::to_string(rig.group.fd());
  const std::string client = std::to_string(rig.client.fd());
  ::execl("/proc/self/exe", "flexsc-guest-tests", kNewProgram, group.c_str(), client.c_str(),
          inherited ? "1" : "0", nullptr);
  fail(__FILE__, __LINE__, std::string("execl: ") + std::strerror(errno));
}

class Exec : public GuestTest {};

TEST_F(Exec, WithCallsInFlight) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(in_child([i] {
                const Rig rig(
                    {.concurrency = 2, .spin_us = i % 2 == 0 ? 0U : unsigned{FLEXSC_MAX_SPIN_US}});
                const Waiters waiters(rig.client, 0, 8);
                exec_new_program(rig, false);
              }),
              "exit 0");
  }
}

TEST_F(Exec, WhileCallsAreExecuted) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(in_child([] {
                const Rig rig({.concurrency = 2});
                std::thread([&] {
                  for (;;) (void)rig.client.run(SYS_getppid);
                }).detach();
                REQUIRE_EQ(std::min(rig.client.wait(0, 1ms), 0L), 0);
                exec_new_program(rig, false);
              }),
              "exit 0");
  }
}

// The kernel lets the thread that execs become the leader; the owner is killed.
TEST_F(Exec, FromAThreadThatIsNotTheOwner) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(in_child([] {
                const Rig rig;
                const Waiters waiters(rig.client, 0, 2);
                std::thread([&] { exec_new_program(rig, false); }).join();
              }),
              "exit 0");
  }
}

// A descriptor without close-on-exec comes through and is dead there.
TEST_F(Exec, InheritedDescriptorIsInert) {
  EXPECT_EQ(in_child([] {
              const Rig rig;
              ::fcntl(rig.group.fd(), F_SETFD, 0);
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
              exec_new_program(rig, true);
            }),
            "exit 0");
}

TEST_F(Exec, FailedExecLeavesTheGroup) {
  const Rig rig;
  EXPECT_EQ(::execl("/no/such/program", "x", nullptr), -1);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

}  // namespace

int exec_entry(int argc, char** argv) {
  if (argc != 5 || std::strcmp(argv[1], kNewProgram) != 0) return -1;
  try {
    return after_exec(std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]) != 0);
  } catch (const std::exception&) {
    return 17;
  }
}

}  // namespace flexsc_guest
