// SPDX-License-Identifier: MIT
// Core dumps: the kernel waits until every thread of the process has come to rest, workers too, and
// writes the memory out. It must come to an end, whatever calls are in flight.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

constexpr const char* kPattern = "/proc/sys/kernel/core_pattern";

class Dump : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    if (module_file().empty()) GTEST_SKIP() << "sets where dumps go: in a guest only";
    before_ = read_file(kPattern);
    ::mkdir("/tmp", 01777);
    ::mkdir(kPlace, 0700);
    ASSERT_TRUE(write_file(kPattern, kFile));
  }
  void TearDown() override {
    write_file(kPattern, before_);
    ::unlink(kFile);
    ::rmdir(kPlace);
    GuestTest::TearDown();
  }

  /// Runs body in a child that may dump, until it dies of the signal.
  static void expect_dump(const char* name, int signal,
                          const std::function<void(const SharedBoard&)>& body) {
    const SharedBoard board;
    ::unlink(kFile);
    Child child([&] {
      const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
      REQUIRE_EQ(::setrlimit(RLIMIT_CORE, &unlimited), 0);
      ::prctl(PR_SET_DUMPABLE, 1);
      for (const int fatal : {SIGSEGV, SIGABRT}) ::signal(fatal, SIG_DFL);
      body(board);
    });
    const int status = child.wait_status(0);
    if (status == -1) {
      FAIL() << name << ": " << child.join(1s);
    }
    child.reaped();
    ASSERT_TRUE(WIFSIGNALED(status)) << name << ": status " << status;
    EXPECT_EQ(WTERMSIG(status), signal) << name;
    EXPECT_TRUE(WCOREDUMP(status)) << name;
  }
  static void expect_file(const char* name) {
    const Fd file(::open(kFile, O_RDONLY | O_CLOEXEC));
    ASSERT_GE(file.get(), 0) << name;
    std::array<char, 4> magic{};
    EXPECT_EQ(::read(file.get(), magic.data(), magic.size()), 4) << name;
    EXPECT_EQ(std::string(magic.data(), magic.size()),
              "\x7f"
              "ELF")
        << name;
  }

  static constexpr const char* kPlace = "/tmp/flexsc-dump";
  static constexpr const char* kFile = "/tmp/flexsc-dump/core";
  std::string before_;
};

[[noreturn]] void crash() {
  ::raise(SIGSEGV);
  ::abort();
}

struct Case {
  const char* name;
  int signal;
  void (*body)(const SharedBoard&);
};

/// A thread that makes a command which does not return; goes on when it has begun.
template <class Command>
void begin(const Client& client, const Pipe& pipe, unsigned queue, Command command) {
  static pollfd never;
  static Pipe silent = make_pipe();
  never = {silent.reader.get(), POLLIN, 0};
  client.fill(0, 20, call(SYS_write, pipe.writer.get(), "b", 1));
  client.fill(0, 21, call(SYS_poll, &never, 1, -1));
  client.submit(0, 3 << 20, queue);
  std::thread(command).detach();
  REQUIRE(eventually([&] { return readable(pipe.reader) == 1; }));
}

constexpr std::array kCases = {
    Case{"workers asleep in calls and calls armed", SIGSEGV,
         [](const SharedBoard&) {
           const Rig rig({.concurrency = 2});
           const Waiters waiters(rig.client, 0, 8);
           crash();
         }},
    Case{"workers that spin", SIGSEGV,
         [](const SharedBoard&) {
           const Rig rig({.concurrency = 2, .spin_us = FLEXSC_MAX_SPIN_US});
           REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
           crash();
         }},
    Case{"workers in the middle of calls", SIGSEGV,
         [](const SharedBoard& board) {
           const Rig rig({.concurrency = 2});
           std::thread([&] {
             for (;;) {
               (void)rig.client.run(SYS_getppid);
               ++board->count;
             }
           }).detach();
           REQUIRE(eventually([&] { return board->count > 100; }));
           crash();
         }},
    Case{"another thread in a flush", SIGSEGV,
         [](const SharedBoard&) {
           const Rig rig;
           const Pipe pipe = make_pipe();
           begin(rig.client, pipe, FLEXSC_QUEUE_FLUSH, [&] { rig.client.flush(); });
           crash();
         }},
    Case{"another thread that helps", SIGSEGV,
         [](const SharedBoard&) {
           const Rig rig = sleeping_rig();
           const Pipe pipe = make_pipe();
           begin(rig.client, pipe, 0, [&] { rig.client.wait(64, -1ns, FLEXSC_WAIT_HELP); });
           crash();
         }},
    Case{"by a call of a worker", SIGABRT,
         [](const SharedBoard&) {
           const Rig rig;
           const Waiters waiters(rig.client, 1, 4);
           rig.client.post(0, 0, call(SYS_kill, ::getpid(), SIGABRT));
           std::this_thread::sleep_for(kLong);
         }},
    Case{"by a call of a flush", SIGABRT,
         [](const SharedBoard&) {
           const Rig rig;
           const Waiters waiters(rig.client, 1, 4);
           (void)rig.client.run_flushed(call(SYS_kill, ::getpid(), SIGABRT));
         }},
    Case{"in a thread that does not own the group", SIGSEGV,
         [](const SharedBoard&) {
           const Rig rig({.concurrency = 2});
           const Waiters waiters(rig.client, 0, 4);
           std::thread([] { crash(); }).join();
         }},
};

TEST_F(Dump, ToAFile) {
  for (const Case& test : kCases) {
    expect_dump(test.name, test.signal, test.body);
    if (!HasFatalFailure()) expect_file(test.name);
  }
}

// The program that takes it is waited for.
TEST_F(Dump, ToAProgram) {
  if (::access("/bin/cat", X_OK) != 0) GTEST_SKIP() << "no /bin/cat";
  ASSERT_TRUE(write_file(kPattern, "|/bin/cat"));
  for (const Case& test : kCases) expect_dump(test.name, test.signal, test.body);
}

// In the middle of it the process is killed: no thread may keep it.
TEST_F(Dump, KilledWhileItIsWritten) {
  for (int i = 0; i < 10; ++i) {
    const SharedBoard board;
    Child child([&] {
      const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
      REQUIRE_EQ(::setrlimit(RLIMIT_CORE, &unlimited), 0);
      const Rig rig({.concurrency = 2});
      const Waiters waiters(rig.client, 0, 8);
      ::signal(SIGSEGV, SIG_DFL);
      board->stage = 1;
      crash();
    });
    ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    child.kill(SIGKILL);
    const std::string end = child.join();
    EXPECT_TRUE(end == "signal 11" || end == "signal 9") << end;
  }
}

}  // namespace
}  // namespace flexsc_guest
