// SPDX-License-Identifier: MIT
// Calls that would break a worker, the flush or the process if they were let through.
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <csignal>

#include "process.hpp"

namespace flexsc_guest {
namespace {

/// The parameter: through flush instead of a worker.
class Refused : public GuestTest, public testing::WithParamInterface<bool> {
 protected:
  static long through(const Client& client, const Call& c) {
    return GetParam() ? client.run_flushed(c) : client.run(c);
  }
  /// The group is as before and executes on.
  static void expect_unharmed(const Rig& rig) {
    EXPECT_EQ(through(rig.client, call(SYS_getppid)), ::getppid());
    EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
    EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN});
    EXPECT_FALSE(workers_of(::getpid()).empty());
  }
};

INSTANTIATE_TEST_SUITE_P(Both, Refused, testing::Bool(),
                         [](const auto& mode) { return mode.param ? "Flush" : "Worker"; });

// A flush inside an entry of a flush, 64 deep, overran the kernel's stack.
TEST_P(Refused, OurOwnIoctls) {
  const Rig rig;
  flexsc_pool_params pool{};
  pool.size = sizeof pool;
  flexsc_client_params client{};
  client.size = sizeof client;
  client.nr_pages = 1;
  flexsc_cancel cancel{};
  cancel.size = sizeof cancel;
  const int group_fd = rig.group.fd();
  const int client_fd = rig.client.fd();
  const std::array<Call, 7> calls = {
      call(SYS_ioctl, client_fd, FLEXSC_IOC_CANCEL, &cancel),
      call(SYS_ioctl, group_fd, FLEXSC_IOC_POOL_CREATE, &pool),
      call(SYS_ioctl, group_fd, FLEXSC_IOC_POOL_UPDATE, &pool),
      call(SYS_ioctl, group_fd, FLEXSC_IOC_CLIENT_CREATE, &client),
      call(SYS_ioctl, group_fd, FLEXSC_IOC_QUERY, &pool),
      call(SYS_ioctl, group_fd, FLEXSC_IOC_STATS, &pool),
      // The kernel takes a command from 32 bits: the upper ones must not hide it.
      call(SYS_ioctl, client_fd, FLEXSC_IOC_CANCEL | 0xabcdef0000000000UL, &cancel),
  };
  for (const Call& c : calls) {
    EXPECT_EQ(through(rig.client, c), -FLEXSC_E_REFUSED) << "command " << std::hex << c.args[1];
  }
  expect_unharmed(rig);
}

TEST_P(Refused, NestedFlushesDoNotPileUp) {
  const Rig rig;
  std::vector<Client> clients;
  clients.reserve(63);
  for (int i = 0; i < 63; ++i) clients.emplace_back(rig.group);
  const auto flush_of = [](int client) {
    return call(SYS_lseek, client, FLEXSC_CMD(FLEXSC_CMD_FLUSH, 0), SEEK_SET);
  };
  // Each one's only call flushes the next.
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const int next = i + 1 < clients.size() ? clients[i + 1].fd() : rig.client.fd();
    clients[i].post(0, 0, flush_of(next), FLEXSC_QUEUE_FLUSH);
  }
  EXPECT_EQ(through(rig.client, flush_of(clients[0].fd())), -FLEXSC_E_REFUSED);
  EXPECT_EQ(clients[0].completions(), 0U);
  EXPECT_EQ(clients[0].flush(), 1);
  EXPECT_EQ(clients[0].take(0, 0), -FLEXSC_E_REFUSED);
  EXPECT_EQ(clients[1].completions(), 0U);
  expect_unharmed(rig);
}

// A child of a worker would be a process that cannot be killed.
TEST_P(Refused, MakingProcesses) {
  EXPECT_EQ(in_child([] {
              const Rig rig;
              std::array<__u64, 11> args{};
              args[4] = SIGCHLD;
              const std::array<Call, 6> calls = {
                  call(SYS_fork),
                  call(SYS_vfork),
                  call(SYS_clone, SIGCHLD, 0, 0, 0, 0),
                  call(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
                       0, 0, 0, 0),
                  call(SYS_clone3, args.data(), sizeof args),
                  call(SYS_execve, "/proc/self/exe", nullptr, nullptr),
              };
              for (const Call& c : calls) {
                REQUIRE_EQ(through(rig.client, c), -FLEXSC_E_REFUSED);
              }
              REQUIRE_EQ(::waitpid(-1, nullptr, WNOHANG | __WALL), -1);
              REQUIRE_EQ(errno, ECHILD);
              // No thread but this one and workers; a new worker gets its name a little later.
              REQUIRE(eventually([] {
                return thread_states(::getpid()).size() == 1 + workers_of(::getpid()).size();
              }));
              REQUIRE_EQ(through(rig.client, call(SYS_getppid)), ::getppid());
            }),
            "exit 0");
}

// A thread that ends inside the dispatch keeps its references for ever: no rmmod after that.
TEST_P(Refused, EndingTheThread) {
  const Rig rig;
  for (const long nr : {SYS_exit, SYS_exit_group}) {
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(through(rig.client, call(nr, 0)), -FLEXSC_E_REFUSED);
    }
  }
  expect_unharmed(rig);
}

TEST_P(Refused, StateOfTheThread) {
  const Rig rig;
  std::array<__u64, 8> memory{};
  const std::array<Call, 14> calls = {
      call(SYS_rt_sigprocmask, SIG_SETMASK, memory.data(), nullptr, 8),
      call(SYS_rt_sigsuspend, memory.data(), 8),
      call(SYS_rt_sigtimedwait, memory.data(), nullptr, nullptr, 8),
      call(SYS_sigaltstack, nullptr, memory.data()),
      call(SYS_rt_sigreturn),
      call(SYS_restart_syscall),
      call(SYS_set_robust_list, memory.data(), 24),
      call(SYS_set_tid_address, memory.data()),
      call(SYS_rseq, memory.data(), 32, 0, 0x53053053),
      call(SYS_arch_prctl, 0x1002, memory.data()),  // ARCH_SET_FS
      call(SYS_unshare, CLONE_FILES),
      call(SYS_setns, 0, 0),
      call(SYS_setuid, ::getuid()),
      call(SYS_seccomp, 0, 0, nullptr),
  };
  for (const Call& c : calls) {
    EXPECT_EQ(through(rig.client, c), -FLEXSC_E_REFUSED) << "call number " << c.nr;
  }
  expect_unharmed(rig);
}

class RefusedInWorker : public GuestTest {};

bool not_in_worker(long result) {
  return result == -FLEXSC_E_CALLER_ONLY || result == -FLEXSC_E_REFUSED;
}

// A worker with another mask takes signals that are meant for the application.
TEST_F(RefusedInWorker, TemporarySignalMasks) {
  const Rig rig;
  const Pipe pipe = make_pipe();
  sigset_t none;
  ::sigemptyset(&none);
  pollfd descriptor{pipe.reader.get(), POLLIN, 0};
  timespec zero{};
  const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  const std::array<__u64, 2> pselect_mask = {arg(&none), 8};
  const std::array<Call, 4> calls = {
      call(SYS_ppoll, &descriptor, 1, &zero, &none, 8),
      call(SYS_pselect6, 0, nullptr, nullptr, nullptr, &zero, pselect_mask.data()),
      call(SYS_epoll_pwait, epoll.get(), &event, 1, 0, &none, 8),
      call(SYS_epoll_pwait2, epoll.get(), &event, 1, &zero, &none, 8),
  };
  for (const Call& c : calls) {
    EXPECT_PRED1(not_in_worker, rig.client.run(c)) << "call number " << c.nr;
  }
}

// All workers would sit in calls that wait for something another entry has to bring.
TEST_F(RefusedInWorker, WaitingForOtherEntries) {
  const Rig rig;
  const Pipe pipe = make_pipe();
  const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  int word = 0;
  pollfd descriptor{pipe.reader.get(), POLLIN, 0};
  epoll_event event{};
  int status = 0;
  const std::array<Call, 5> calls = {
      call(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, nullptr, nullptr, 0),
      call(SYS_futex, &word, 9 | 128 /* WAIT_BITSET, private */, 0, nullptr, nullptr, 1),
      call(SYS_epoll_wait, epoll.get(), &event, 1, -1),
      call(SYS_wait4, -1, &status, 0, nullptr),
      call(SYS_fcntl, pipe.reader.get(), F_SETLKW, nullptr),
  };
  for (const Call& c : calls) {
    EXPECT_PRED1(not_in_worker, rig.client.run(c)) << "call number " << c.nr;
  }
  // Those that only look are fine.
  EXPECT_EQ(rig.client.run(SYS_poll, &descriptor, 1, 0), 0);
  EXPECT_EQ(rig.client.run(SYS_epoll_wait, epoll.get(), &event, 1, 0), 0);
  EXPECT_EQ(rig.client.run(SYS_wait4, -1, &status, WNOHANG, nullptr), -ECHILD);
}

}  // namespace
}  // namespace flexsc_guest
