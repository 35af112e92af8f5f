// SPDX-License-Identifier: MIT
/// Description: calls about the calling thread are made by the carrier itself, never by a
/// worker thread.
#include "policy.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <csignal>
#include <ctime>

#include "support.hpp"

namespace flexsc::test {
namespace {

bool worker_may(const Call& call) {
  return detail::threads_policy().worker_may_run(call);
}

TEST(ThreadsPolicy, CallsAboutTheThreadAreNotForWorkers) {
  for (const long nr : {SYS_gettid,
                        SYS_rt_sigprocmask,
                        SYS_sigaltstack,
                        SYS_rt_sigreturn,
                        SYS_rt_sigtimedwait,
                        SYS_rt_sigsuspend,
                        SYS_pause,
                        SYS_exit,
                        SYS_exit_group,
                        SYS_fork,
                        SYS_vfork,
                        SYS_clone,
                        SYS_clone3,
                        SYS_execve,
                        SYS_execveat,
                        SYS_setns,
                        SYS_unshare,
                        SYS_prctl,
                        SYS_arch_prctl,
                        SYS_rseq,
                        SYS_set_robust_list,
                        SYS_set_tid_address,
                        SYS_sched_setaffinity,
                        SYS_sched_getaffinity,
                        SYS_sched_yield,
                        SYS_setpriority,
                        SYS_seccomp,
                        SYS_setuid,
                        SYS_capset,
                        SYS_restart_syscall,
                        SYS_io_uring_enter,
                        SYS_ptrace,
                        SYS_getrusage}) {
    EXPECT_FALSE(worker_may(make_call(nr))) << "call " << nr;
  }
  EXPECT_FALSE(worker_may(make_call(511)));
  EXPECT_FALSE(worker_may(make_call(0xFFFFFFFF)));
}

TEST(ThreadsPolicy, OrdinaryCallsAreForWorkers) {
  for (const long nr : {SYS_read, SYS_write, SYS_openat, SYS_close, SYS_accept4, SYS_recvfrom,
                        SYS_sendto, SYS_connect, SYS_fsync, SYS_newfstatat, SYS_sendfile,
                        SYS_getpid, SYS_nanosleep, SYS_poll, SYS_mmap, SYS_getppid}) {
    EXPECT_TRUE(worker_may(make_call(nr))) << "call " << nr;
  }
}

TEST(ThreadsPolicy, ArgumentsDecide) {
  EXPECT_TRUE(worker_may(make_call(SYS_fcntl, 0, F_GETFL)));
  EXPECT_FALSE(worker_may(make_call(SYS_fcntl, 0, F_SETOWN)));
  EXPECT_TRUE(worker_may(make_call(SYS_futex, 1, FUTEX_WAKE_PRIVATE)));
  EXPECT_FALSE(worker_may(make_call(SYS_futex, 1, FUTEX_LOCK_PI_PRIVATE)));
  EXPECT_TRUE(worker_may(make_call(SYS_clock_gettime, CLOCK_MONOTONIC)));
  EXPECT_FALSE(worker_may(make_call(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID)));
  EXPECT_FALSE(worker_may(make_call(SYS_clock_gettime, -6)));
  EXPECT_TRUE(worker_may(make_call(SYS_ppoll, 1, 1, nullptr, nullptr)));
  EXPECT_FALSE(worker_may(make_call(SYS_ppoll, 1, 1, nullptr, 1)));
  EXPECT_TRUE(worker_may(make_call(SYS_close_range, 3, 4, 0)));
  EXPECT_FALSE(worker_may(make_call(SYS_close_range, 3, 4, 2)));
  EXPECT_FALSE(worker_may(make_call(SYS_ioctl, 0, 0xF510)));
}

class CarrierTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, CarrierTest, all_engines(), name_of);

TEST_P(CarrierTest, ThreadCallsActOnTheCarrier) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  EXPECT_EQ(call_through(*channel, make_call(SYS_gettid)), gettid());
  EXPECT_EQ(channel->stats().direct, 1U);

  sigset_t blocked;
  sigset_t before;
  sigset_t after;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  EXPECT_EQ(call_through(*channel, make_call(SYS_rt_sigprocmask, SIG_BLOCK, &blocked, &before, 8)),
            0);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, &after), 0);
  EXPECT_EQ(sigismember(&after, SIGUSR2), 1);

  char mine[16];
  ASSERT_EQ(prctl(PR_GET_NAME, mine), 0);
  EXPECT_EQ(call_through(*channel, make_call(SYS_prctl, PR_SET_NAME, "carrier")), 0);
  char name[16];
  ASSERT_EQ(prctl(PR_GET_NAME, name), 0);
  EXPECT_STREQ(name, "carrier");
  ASSERT_EQ(prctl(PR_SET_NAME, mine), 0);
  EXPECT_EQ(channel->stats().direct, 3U);
}

TEST_P(CarrierTest, DirectAndWorkersCallsMix) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(channel->post(i % 3 == 0 ? make_call(SYS_gettid) : nop(), token(i % 3 == 0)));
  }
  for (const Completion& each : drain(*channel)) {
    EXPECT_EQ(each.result, number(each.token) == 1 ? gettid() : -ENOSYS);
  }
  EXPECT_EQ(channel->stats().direct, GetParam() == EngineKind::direct ? 200U : 67U);
}

TEST_P(CarrierTest, SignalsAreDeliveredToTheProgramsThreads) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  static volatile std::sig_atomic_t receiver = 0;
  const auto before = signal(SIGUSR1, [](int) { receiver = gettid(); });
  EXPECT_EQ(call_through(*channel, nop()), -ENOSYS);
  for (int i = 0; i < 50; ++i) {
    receiver = 0;
    ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
    while (receiver == 0) call_through(*channel, nop());
    EXPECT_EQ(receiver, gettid());
  }
  signal(SIGUSR1, before);
}

}  // namespace
}  // namespace flexsc::test
