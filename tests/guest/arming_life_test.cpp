// SPDX-License-Identifier: MIT
// What becomes of calls that wait when their client, group or process goes.
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "passing.hpp"
#include "process.hpp"
#include "waitable.hpp"

namespace flexsc_guest {
namespace {

class ArmingLife : public GuestTest {};

/// Hundreds of calls of all kinds, waiting.
struct Crowd {
  explicit Crowd(unsigned count = 300)
      : rig({.concurrency = 2, .standby_max = 1, .spin_us = 0}, (count + 63) / 64) {
    for (unsigned i = 0; i < count; ++i) {
      waitables.push_back(std::make_unique<Waitable>(static_cast<Kind>(i % kKinds)));
      rig.client.post(i / 64, i % 64, waitables[i]->made());
    }
    REQUIRE(eventually([&] { return rig.group.stats().waiting == count; }));
  }
  std::vector<std::unique_ptr<Waitable>> waitables;
  Rig rig;
};

TEST_F(ArmingLife, GroupCloses) {
  Crowd crowd;
  crowd.rig.group.close();
  ASSERT_TRUE(eventually([&] { return crowd.rig.client.completions() == crowd.waitables.size(); }));
  for (unsigned i = 0; i < crowd.waitables.size(); ++i) {
    EXPECT_EQ(crowd.rig.client.take(i / 64, i % 64), -FLEXSC_E_STOPPED) << i;
  }
  // Events that come now find nobody.
  for (const auto& waitable : crowd.waitables) waitable->make_ready();
  EXPECT_EQ(crowd.rig.client.completions(), 0U);
}

TEST_F(ArmingLife, EventsComeWhileTheGroupCloses) {
  for (int round = 0; round < 5; ++round) {
    Crowd crowd(100);
    std::jthread events([&] {
      for (const auto& waitable : crowd.waitables) waitable->make_ready();
    });
    crowd.rig.group.close();
    ASSERT_TRUE(
        eventually([&] { return crowd.rig.client.completions() == crowd.waitables.size(); }));
    events.join();
    for (unsigned i = 0; i < crowd.waitables.size(); ++i) {
      const long result = crowd.rig.client.take(i / 64, i % 64);
      EXPECT_TRUE(result == -FLEXSC_E_STOPPED || crowd.waitables[i]->is_right(result))
          << i << ": " << result;
    }
  }
}

// The client's calls let go of their files: the other end notices.
TEST_F(ArmingLife, ClientCloses) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  Pipe pipe = make_pipe();
  std::array<char, 32> bytes{};
  {
    const Client other(rig.group);
    for (unsigned i = 0; i < bytes.size(); ++i) {
      other.post(0, i, call(SYS_read, pipe.reader.get(), &bytes[i], 1));
    }
    ASSERT_TRUE(eventually([&] { return rig.group.stats().waiting == bytes.size(); }));
  }
  ASSERT_TRUE(eventually([&] { return rig.group.stats().waiting == 0; }));
  pipe.reader.reset();
  EXPECT_TRUE(eventually([&] { return ::write(pipe.writer.get(), "x", 1) == -1; }));
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

TEST_F(ArmingLife, ProcessIsKilled) {
  for (int round = 0; round < 5; ++round) {
    const SharedBoard board;
    Child child([&] {
      const Crowd crowd;
      board->stage = 1;
      if (round % 2 == 0) std::this_thread::sleep_for(kLong);
      for (;;) {
        for (const auto& waitable : crowd.waitables) {
          waitable->make_ready();
          waitable->reset();
        }
      }
    });
    ASSERT_TRUE(eventually([&] { return board->stage == 1; }));
    child.kill(SIGKILL);
    ASSERT_EQ(child.join(), "signal 9");
  }
}

TEST_F(ArmingLife, ProcessExits) {
  EXPECT_EQ(in_child([] {
              const Crowd crowd;
              ::_exit(7);
            }),
            "exit 7");
  EXPECT_EQ(in_child([] {
              const Crowd crowd;
              // Only this thread; the workers go with the last one.
              direct(SYS_exit, 8);
            }),
            "exit 8");
}

TEST_F(ArmingLife, ProcessBecomesAnother) {
  EXPECT_EQ(in_child([] {
              const Crowd crowd;
              ::execl("/bin/true", "true", nullptr);
              ::_exit(9);
            }),
            "exit 0");
}

// A child shares the files, not the calls that wait for them.
TEST_F(ArmingLife, ProcessForks) {
  const Crowd crowd(100);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(in_child([&] {
                REQUIRE(workers_of(::getpid()).empty());
                const Rig own({.spin_us = 0});
                char byte = 0;
                const Pipe pipe = make_pipe();
                own.client.post(0, 3, call(SYS_read, pipe.reader.get(), &byte, 1));
                put(pipe.writer, "y");
                REQUIRE_EQ(own.client.await(0, 3), 1);
              }),
              "exit 0");
  }
  EXPECT_EQ(crowd.rig.group.stats().waiting, 100U);
  EXPECT_EQ(crowd.rig.client.completions(), 0U);
  // It is the child's event that ends this one.
  EXPECT_EQ(in_child([&] { crowd.waitables[0]->make_ready(); }), "exit 0");
  EXPECT_PRED1([&](long result) { return crowd.waitables[0]->is_right(result); },
               crowd.rig.client.await(0, 0));
}

// A file that waits for itself in flight: our descriptors in a socket that one of our calls waits
// on, all of them closed.
TEST_F(ArmingLife, SocketWithOurOwnDescriptors) {
  for (int i = 0; i < 5; ++i) {
    {
      const Rig rig({.concurrency = 1, .spin_us = 0});
      std::array<int, 2> ends{};
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
      const Fd near(ends[0]);
      const Fd far(ends[1]);
      char byte = 0;
      rig.client.post(0, 3, call(SYS_recvfrom, near.get(), &byte, 1, 0, nullptr, nullptr));
      ASSERT_TRUE(eventually([&] { return rig.group.stats().waiting == 1; }));
      // The group, the client and the socket itself, on their way to nobody.
      const std::array<int, 3> fds = {rig.group.fd(), rig.client.fd(), near.get()};
      ASSERT_EQ(send_fds(near.get(), fds), 1);
    }
    EXPECT_TRUE(eventually([] {
      std::array<int, 2> more{};
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, more.data()) == 0) {
        ::close(more[0]);
        ::close(more[1]);
      }
      return workers_of(::getpid()).empty();
    }));
  }
}

}  // namespace
}  // namespace flexsc_guest
