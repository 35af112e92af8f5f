// SPDX-License-Identifier: MIT
// Filters see no call that we execute. So a filtered process gets nothing, and one that is filtered
// later gets nothing from then on.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Seccomp : public GuestTest {};

/// A filter that allows everything: that there is one is enough.
void install_filter(unsigned flags = 0) {
  sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog program{1, &allow};
  REQUIRE_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  REQUIRE_EQ(direct(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program), 0);
}

TEST_F(Seccomp, FilteredProcessCannotOpen) {
  EXPECT_EQ(in_child([] {
              install_filter();
              REQUIRE_EQ(direct(SYS_openat, AT_FDCWD, FLEXSC_DEVICE, O_RDWR, 0), -EACCES);
            }),
            "exit 0");
}

TEST_F(Seccomp, FilteredThreadCannotUseItsGroup) {
  EXPECT_EQ(in_child([] {
              const Rig rig;
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
              install_filter();
              flexsc_client_params params{};
              params.size = sizeof params;
              params.nr_pages = 1;
              REQUIRE_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params), -EACCES);
              REQUIRE_EQ(rig.group.update_pool(0, {.spin_us = 0}), -EACCES);
              REQUIRE_EQ(rig.client.cancel(0, 0), -EACCES);
              REQUIRE_EQ(rig.client.flush(), -EACCES);
              REQUIRE_EQ(rig.client.doorbell(), -EACCES);
              REQUIRE_EQ(rig.client.wait(1, -1ns), -EACCES);
              REQUIRE_EQ(rig.client.notify(), -EACCES);
            }),
            "exit 0");
}

/// After change() in the owner, workers execute nothing more.
std::string worker_stops(const std::function<void()>& change, unsigned spin_us) {
  return in_child([&] {
    const Rig rig({.spin_us = spin_us});
    const Pipe sink = make_pipe();
    REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
    std::atomic<bool> filtered{false};
    // Rings for the owner, who may not any more.
    std::jthread ringer([&] {
      while (!filtered) std::this_thread::yield();
      for (unsigned bit = 0; bit < 8; ++bit) {
        rig.client.fill(0, bit, call(SYS_write, sink.writer.get(), "x", 1));
      }
      rig.client.submit(0, 0xff);
      rig.client.doorbell();
    });
    change();
    filtered = true;
    ringer.join();
    REQUIRE(eventually([&] { return rig.client.state() == FLEXSC_STATE_SECCOMP; }));
    REQUIRE(eventually([] { return workers_of(::getpid()).empty(); }));
    REQUIRE_EQ(readable(sink.reader), 0);
  });
}

TEST_F(Seccomp, FilterOfTheOwnerStopsTheWorkers) {
  for (const unsigned spin_us : {0U, unsigned{FLEXSC_MAX_SPIN_US}}) {
    EXPECT_EQ(worker_stops([] { install_filter(); }, spin_us), "exit 0");
  }
}

// A filter for all threads reaches the workers too; the doorbell then comes from a filtered thread.
TEST_F(Seccomp, FilterOfAllThreadsStopsTheWorkers) {
  EXPECT_EQ(in_child([] {
              const Rig rig({.spin_us = FLEXSC_MAX_SPIN_US});
              const Pipe sink = make_pipe();
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
              install_filter(SECCOMP_FILTER_FLAG_TSYNC);
              rig.client.fill(0, 0, call(SYS_write, sink.writer.get(), "x", 1));
              rig.client.submit(0, 1);
              // If they sleep already nobody can wake them: then nothing is executed either.
              eventually([&] { return rig.client.state() == FLEXSC_STATE_SECCOMP; }, 5s);
              REQUIRE_EQ(readable(sink.reader), 0);
            }),
            "exit 0");
}

TEST_F(Seccomp, StrictModeCannotEvenAsk) {
  EXPECT_EQ(in_child([] {
              const Rig rig;
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
              REQUIRE_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
              direct(SYS_exit, 0);
            }),
            "exit 0");
}

// System calls of this thread go to a handler (Wine and the like): same rule.
TEST_F(Seccomp, UserDispatch) {
  EXPECT_EQ(in_child([] {
              constexpr int kSetDispatch = 59;
              static char selector = 0;
              const Rig rig;
              REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
              REQUIRE_EQ(::prctl(kSetDispatch, 1, 0, 0, &selector), 0);
              REQUIRE_EQ(rig.group.update_pool(0, {.spin_us = 0}), -EACCES);
              REQUIRE_EQ(rig.client.cancel(0, 0), -EACCES);
              REQUIRE_EQ(rig.client.flush(), -EACCES);
            }),
            "exit 0");
}

}  // namespace
}  // namespace flexsc_guest
