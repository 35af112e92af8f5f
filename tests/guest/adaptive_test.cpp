// SPDX-License-Identifier: MIT
// Wait policies: what ends a WAIT, beyond the number of completions.
#include <pthread.h>

#include <csignal>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

constexpr unsigned kAdaptive = FLEXSC_WAIT_ADAPTIVE;

class Adaptive : public GuestTest, public testing::WithParamInterface<unsigned> {
 protected:
  /// FLEXSC_WAIT_ADAPTIVE, alone or with help.
  static unsigned flags() { return kAdaptive | GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(With, Adaptive, testing::Values(0U, unsigned{FLEXSC_WAIT_HELP}),
                         [](const auto& flags) { return flags.param == 0 ? "Workers" : "Help"; });

TEST_P(Adaptive, ReturnsWithAtLeastOne) {
  const Rig rig({}, 2);
  for (int round = 0; round < 20; ++round) {
    for (unsigned page = 0; page < 2; ++page) {
      for (unsigned bit = 0; bit < 64; ++bit) rig.client.fill(page, bit, call(SYS_getppid));
      rig.client.submit(page, ~__u64{0});
    }
    unsigned taken = 0;
    while (taken < 128) {
      const long result = rig.client.wait(128 - taken, kLong, flags());
      ASSERT_GE(result, 1);
      ASSERT_LE(result, 128 - static_cast<long>(taken));
      for (unsigned i = 0; i < 128; ++i) {
        if (!rig.client.done(i / 64, i % 64)) continue;
        ASSERT_EQ(rig.client.take(i / 64, i % 64), ::getppid());
        ++taken;
      }
    }
  }
}

// The last one does not come for a long time: nobody waits for it.
TEST_P(Adaptive, DoesNotWaitForALateOne) {
  const Rig rig;
  const Pipe pipe = make_pipe();
  char byte = 0;
  for (int round = 0; round < 20; ++round) {
    rig.client.post(0, 0, call(SYS_read, pipe.reader.get(), &byte, 1));
    for (unsigned bit = 1; bit < 20; ++bit) rig.client.post(0, bit, call(SYS_getppid));
    unsigned taken = 0;
    while (taken < 19) {
      ASSERT_GE(rig.client.wait(20 - taken, kLong, flags()), 1);
      for (unsigned bit = 1; bit < 20; ++bit) {
        if (!rig.client.done(0, bit)) continue;
        ASSERT_EQ(rig.client.take(0, bit), ::getppid());
        ++taken;
      }
    }
    EXPECT_FALSE(rig.client.done(0, 0));
    put(pipe.writer, "x");
    ASSERT_EQ(rig.client.wait(1, kLong, flags()), 1);
    ASSERT_EQ(rig.client.take(0, 0), 1);
  }
}

TEST_P(Adaptive, TimeoutsAndLimits) {
  const Rig rig;
  EXPECT_EQ(rig.client.wait(0, -1ns, flags()), 0);
  EXPECT_EQ(rig.client.wait(64, 0ns, flags()), 0);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(rig.client.wait(64, 30ms, flags()), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - before, 30ms);
  EXPECT_EQ(rig.client.wait(65, 0ns, flags()), -EINVAL);
  rig.client.post(0, 3, call(SYS_getppid));
  ASSERT_TRUE(eventually([&] { return rig.client.done(0, 3); }));
  EXPECT_EQ(rig.client.wait(64, -1ns, flags()), 1) << "one is there, no other is on its way";
}

TEST_P(Adaptive, NotifyAndStop) {
  Rig rig;
  EXPECT_EQ(rig.client.notify(), 0);
  EXPECT_EQ(rig.client.wait(5, -1ns, flags()), 0);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(10ms);
    rig.group.close();
  });
  EXPECT_EQ(rig.client.wait(5, -1ns, flags()), -ESHUTDOWN);
}

class WaitEnds : public GuestTest {};

class Ignored {
 public:
  Ignored() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGUSR1, &action, &before_);
  }
  Ignored(const Ignored&) = delete;
  Ignored& operator=(const Ignored&) = delete;
  ~Ignored() { ::sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// What was complete before is no reason to say that something came.
TEST_F(WaitEnds, SignalWithTooFewCompletions) {
  const Ignored handler;
  const Rig rig;
  rig.client.post(0, 0, call(SYS_getppid));
  ASSERT_EQ(rig.client.wait(1, -1ns), 1);
  Sleeper sleeper([&] { return rig.client.wait(2, -1ns); });
  EXPECT_EQ(sleeper.interrupted_by(SIGUSR1), 1) << "what is set is told";
  ASSERT_EQ(rig.client.take(0, 0), ::getppid());
  Sleeper another([&] { return rig.client.wait(2, -1ns); });
  EXPECT_EQ(another.interrupted_by(SIGUSR1), -EINTR);
}

TEST_F(WaitEnds, SignalWithNewCompletions) {
  const Ignored handler;
  const Rig rig;
  Sleeper sleeper([&] { return rig.client.wait(2, -1ns); });
  rig.client.post(0, 0, call(SYS_getppid));
  ASSERT_TRUE(eventually([&] { return rig.client.done(0, 0); }));
  EXPECT_EQ(sleeper.interrupted_by(SIGUSR1), 1);
}

TEST_F(WaitEnds, SomeInTime) {
  const Rig rig;
  const Pipe pipe = make_pipe();
  char byte = 0;
  for (unsigned bit = 0; bit < 3; ++bit) rig.client.post(0, bit, call(SYS_getppid));
  rig.client.post(0, 3, call(SYS_read, pipe.reader.get(), &byte, 1));
  ASSERT_EQ(rig.client.wait(3, kLong), 3);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(rig.client.wait(4, 50ms), 3);
  EXPECT_GE(std::chrono::steady_clock::now() - before, 50ms);
  std::jthread feeder([&] {
    std::this_thread::sleep_for(10ms);
    put(pipe.writer, "x");
  });
  EXPECT_EQ(rig.client.wait(4, kLong), 4);
}

// One waits; for others that have nothing to wait for there is no reason to refuse.
TEST_F(WaitEnds, OneThreadAtATime) {
  const Ignored handler;
  const Rig rig;
  const Client other(rig.group);
  Sleeper sleeper([&] { return rig.client.wait(1, -1ns); });
  EXPECT_EQ(rig.client.wait(1, 10ms), -EBUSY);
  EXPECT_EQ(rig.client.wait(1, -1ns, kAdaptive), -EBUSY);
  EXPECT_EQ(rig.client.wait(0, 0ns), 0);
  EXPECT_EQ(other.wait(1, 1ms), 0) << "each client has its own";
  EXPECT_EQ(sleeper.interrupted_by(SIGUSR1), -EINTR);
}

}  // namespace
}  // namespace flexsc_guest
