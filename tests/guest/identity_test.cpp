// SPDX-License-Identifier: MIT
// No call runs with an identity older than its caller's: a change closes the group. Without that a
// worker stays root after the server dropped its privileges.
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Identity : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (!IsSkipped() && ::geteuid() != 0) GTEST_SKIP() << "changes its user: needs root";
  }
};

/// In a child: after change(), no posted call is executed, and the group tells why. The workers
/// are parked, spinning, or blocked in a call when it happens.
std::string closes_with(flexsc_state state, const std::function<void()>& change, unsigned spin_us) {
  return in_child([&] {
    const Rig rig({.spin_us = spin_us});
    const Pipe sink = make_pipe();
    REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
    const Waiters waiters(rig.client, 60, 2);
    change();
    for (unsigned bit = 0; bit < 8; ++bit) {
      rig.client.fill(0, bit, call(SYS_write, sink.writer.get(), "x", 1));
    }
    rig.client.submit(0, 0xff);
    REQUIRE(eventually([&] { return rig.client.state() == state; }));
    REQUIRE(eventually([] { return workers_of(::getpid()).empty(); }));
    REQUIRE_EQ(readable(sink.reader), 0);
    for (unsigned bit = 0; bit < 8; ++bit) {
      const bool posted = (rig.client.submitted(0) >> bit & 1) != 0;
      if (!posted) REQUIRE_EQ(rig.client.take(0, bit), -FLEXSC_E_STOPPED);
    }
    // Those that waited or slept are over too, and have done nothing.
    for (unsigned bit = 60; bit < 62; ++bit) {
      REQUIRE(eventually([&] { return rig.client.done(0, bit); }));
      REQUIRE_EQ(rig.client.take(0, bit), -FLEXSC_E_STOPPED);
    }
    REQUIRE_EQ(rig.client.doorbell() < 0, true);
    REQUIRE_EQ(rig.client.wait(1, -1ns) < 0, true);
  });
}

void expect_closes(flexsc_state state, const std::function<void()>& change) {
  for (const unsigned spin_us : {0U, 200U, unsigned{FLEXSC_MAX_SPIN_US}}) {
    EXPECT_EQ(closes_with(state, change, spin_us), "exit 0") << "spin " << spin_us;
  }
}

TEST_F(Identity, EffectiveUser) {
  expect_closes(FLEXSC_STATE_CREDENTIALS, [] { REQUIRE_EQ(::seteuid(kNobody), 0); });
}

TEST_F(Identity, AllUsers) {
  expect_closes(FLEXSC_STATE_CREDENTIALS,
                [] { REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0); });
}

TEST_F(Identity, Groups) {
  expect_closes(FLEXSC_STATE_CREDENTIALS,
                [] { REQUIRE_EQ(::setresgid(kNobody, kNobody, kNobody), 0); });
}

TEST_F(Identity, FileSystemUser) {
  expect_closes(FLEXSC_STATE_CREDENTIALS, [] { ::setfsuid(kNobody); });
}

TEST_F(Identity, Capabilities) {
  expect_closes(FLEXSC_STATE_CREDENTIALS, [] {
    struct {
      __u32 version, pid;
    } header{0x20080522, 0};
    const std::array<__u32, 6> none{};
    REQUIRE_EQ(direct(SYS_capset, &header, none.data()), 0);
  });
}

// Going back to what one was does not reopen it: the objects differ.
// What was posted before the change and has not begun: a call that is armed, and what follows in a
// chain whose member waits for a file, or sleeps in a worker.
TEST_F(Identity, NothingGoesOnAsWhoItWas) {
  EXPECT_EQ(in_child([] {
              static constexpr timespec kNap{0, 400'000'000};
              const Rig rig({.concurrency = 2, .spin_us = 0});
              const Pipe source = make_pipe();
              const Pipe sink = make_pipe();
              char byte = 0;
              const Call reads = call(SYS_read, source.reader.get(), &byte, 1);
              const Call writes = call(SYS_write, sink.writer.get(), "x", 1);
              rig.client.fill(0, 0, reads);
              const std::array waits{reads, writes};
              rig.client.fill_chain(0, 10, waits);
              const std::array sleeps{call(SYS_nanosleep, &kNap, nullptr), writes};
              rig.client.fill_chain(0, 20, sleeps);
              const __u64 heads = 1 | __u64{1} << 10 | __u64{1} << 20;
              rig.client.submit(0, heads);
              REQUIRE(eventually([&] { return rig.group.stats().waiting == 2; }));
              REQUIRE(eventually([&] { return rig.client.submitted(0) == 0; }));
              REQUIRE_EQ(::seteuid(kNobody), 0);
              put(source.writer, "ab");
              REQUIRE(eventually([&] { return rig.client.state() == FLEXSC_STATE_CREDENTIALS; }));
              REQUIRE(eventually([&] { return rig.client.completions() == 5; }));
              REQUIRE_EQ(rig.client.take(0, 0), -FLEXSC_E_STOPPED);
              REQUIRE_EQ(rig.client.take(0, 10), -FLEXSC_E_STOPPED);
              REQUIRE_EQ(rig.client.take(0, 11), -ECANCELED);
              const long slept = rig.client.take(0, 20);
              REQUIRE(slept == 0 || slept == -FLEXSC_E_STOPPED);
              REQUIRE_EQ(rig.client.take(0, 21), slept == 0 ? -FLEXSC_E_STOPPED : -ECANCELED);
              REQUIRE_EQ(readable(source.reader), 2);
              REQUIRE_EQ(readable(sink.reader), 0);
            }),
            "exit 0");
}

// The same with nothing else that would find it: the sleeper alone.
TEST_F(Identity, ChainBehindASleepIsNotGoneOnWith) {
  EXPECT_EQ(in_child([] {
              static constexpr timespec kNap{0, 200'000'000};
              const Rig rig({.spin_us = 0});
              const Pipe sink = make_pipe();
              const std::array sleeps{call(SYS_nanosleep, &kNap, nullptr),
                                      call(SYS_write, sink.writer.get(), "x", 1)};
              rig.client.fill_chain(0, 0, sleeps);
              rig.client.submit(0, 1);
              REQUIRE(eventually([&] { return rig.group.stats().blocked == 1; }));
              REQUIRE_EQ(::seteuid(kNobody), 0);
              REQUIRE(eventually([&] { return rig.client.completions() == 2; }));
              REQUIRE_EQ(rig.client.take(0, 0), 0);
              REQUIRE_EQ(rig.client.take(0, 1), -FLEXSC_E_STOPPED);
              REQUIRE_EQ(readable(sink.reader), 0);
              REQUIRE_EQ(rig.client.state(), unsigned{FLEXSC_STATE_CREDENTIALS});
            }),
            "exit 0");
}

TEST_F(Identity, ThereAndBack) {
  expect_closes(FLEXSC_STATE_CREDENTIALS, [] {
    REQUIRE_EQ(::seteuid(kNobody), 0);
    REQUIRE_EQ(::seteuid(0), 0);
  });
}

TEST_F(Identity, SharedDirectoryGivenUp) {
  expect_closes(FLEXSC_STATE_NAMESPACE, [] { REQUIRE_EQ(::unshare(CLONE_FS), 0); });
}

TEST_F(Identity, SharedDescriptorsGivenUp) {
  expect_closes(FLEXSC_STATE_NAMESPACE, [] { REQUIRE_EQ(::unshare(CLONE_FILES), 0); });
}

TEST_F(Identity, Namespaces) {
  expect_closes(FLEXSC_STATE_NAMESPACE, [] { REQUIRE_EQ(::unshare(CLONE_NEWUTS), 0); });
  expect_closes(FLEXSC_STATE_NAMESPACE, [] { REQUIRE_EQ(::unshare(CLONE_NEWNET), 0); });
  expect_closes(FLEXSC_STATE_NAMESPACE, [] { REQUIRE_EQ(::unshare(CLONE_NEWNS), 0); });
}

// chroot and chdir change what all threads share: the calls follow, nothing closes.
TEST_F(Identity, RootDirectoryIsShared) {
  EXPECT_EQ(in_child([] {
              const Rig rig;
              const std::string root = "/tmp/flexsc-root-" + std::to_string(::getpid());
              ::mkdir("/tmp", 01777);
              REQUIRE_EQ(::mkdir(root.c_str(), 0700), 0);
              REQUIRE_EQ(rig.client.run(SYS_access, "/proc/self", F_OK), 0);
              REQUIRE_EQ(::chroot(root.c_str()), 0);
              REQUIRE_EQ(rig.client.run(SYS_access, "/proc/self", F_OK), -ENOENT);
              REQUIRE_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN});
            }),
            "exit 0");
}

// A new group after the change has the new identity.
TEST_F(Identity, NewGroupHasTheNewIdentity) {
  struct stat before {};
  ASSERT_EQ(::stat(FLEXSC_DEVICE, &before), 0);
  ASSERT_EQ(::chmod(FLEXSC_DEVICE, 0666), 0);
  EXPECT_EQ(in_child([] {
              const Rig old;
              REQUIRE_EQ(old.client.run(SYS_geteuid), 0);
              REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
              const Rig rig;
              REQUIRE_EQ(rig.client.run(SYS_geteuid), long{kNobody});
              REQUIRE_EQ(rig.client.run_flushed(call(SYS_geteuid)), long{kNobody});
              REQUIRE_EQ(rig.client.run(SYS_openat, AT_FDCWD, "/proc/1/environ", O_RDONLY),
                         -EACCES);
            }),
            "exit 0");
  ::chmod(FLEXSC_DEVICE, before.st_mode & 07777);
}

// Credentials belong to threads. A thread that is not the owner and has others must not make
// workers that execute with them, nor may its calls run as somebody it no longer is.
TEST_F(Identity, PoolMadeByAThreadWithOtherCredentials) {
  EXPECT_EQ(in_child([] {
              const Group group;
              const Client client(group);
              long created = -1;
              std::thread([&] {
                // The raw call changes this thread only.
                REQUIRE_EQ(direct(SYS_setresuid, kNobody, kNobody, kNobody), 0);
                created = group.create_pool();
              }).join();
              if (created < 0) return;  // refused: right
              client.fill(0, 0, call(SYS_geteuid));
              client.submit(0, 1);
              REQUIRE(eventually(
                  [&] { return client.done(0, 0) || client.state() != FLEXSC_STATE_OPEN; }));
              if (client.done(0, 0)) {
                const long euid = client.take(0, 0);
                REQUIRE(euid == 0 || euid == -FLEXSC_E_STOPPED);
              }
            }),
            "exit 0");
}

TEST_F(Identity, PoolMadeByAThreadWithAnotherDirectory) {
  EXPECT_EQ(in_child([] {
              const Group group;
              const Client client(group);
              long created = -1;
              std::thread([&] {
                REQUIRE_EQ(::unshare(CLONE_FS | CLONE_FILES), 0);
                REQUIRE_EQ(::chdir("/proc"), 0);
                created = group.create_pool();
              }).join();
              if (created < 0) return;
              std::array<char, 64> seen{};
              client.fill(0, 0, call(SYS_getcwd, seen.data(), seen.size()));
              client.submit(0, 1);
              REQUIRE(eventually(
                  [&] { return client.done(0, 0) || client.state() != FLEXSC_STATE_OPEN; }));
              REQUIRE(std::string(seen.data()) != "/proc");
            }),
            "exit 0");
}

// Shared pages count as locked memory of the process, and are given back.
TEST_F(Identity, MemoryIsChargedToTheProcess) {
  const auto locked = [] {
    const std::string status = read_file("/proc/self/status");
    return std::stol(status.substr(status.find("VmLck:") + 6));
  };
  const long before = locked();
  {
    const Rig rig({}, FLEXSC_MAX_PAGES);
    EXPECT_GE(locked(), before + 4L * FLEXSC_MAX_PAGES);
  }
  EXPECT_TRUE(eventually([&] { return locked() == before; })) << locked() << " and " << before;

  struct stat mode {};
  ASSERT_EQ(::stat(FLEXSC_DEVICE, &mode), 0);
  ASSERT_EQ(::chmod(FLEXSC_DEVICE, 0666), 0);
  EXPECT_EQ(in_child([] {
              REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
              const rlimit little{65536, 65536};
              REQUIRE_EQ(::setrlimit(RLIMIT_MEMLOCK, &little), 0);
              const Group group;
              flexsc_client_params params{};
              params.size = sizeof params;
              params.nr_pages = 32;
              REQUIRE_EQ(control(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params), -ENOMEM);
              const Client fits(group, 4);
              REQUIRE_EQ(fits.run_flushed(call(SYS_getppid)), ::getppid());
            }),
            "exit 0");
  ::chmod(FLEXSC_DEVICE, mode.st_mode & 07777);
}

}  // namespace
}  // namespace flexsc_guest
