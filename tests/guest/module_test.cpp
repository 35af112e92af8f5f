// SPDX-License-Identifier: MIT
// Loading and unloading. These come last: they take the device away for a moment.
#include <cstdlib>
#include <thread>

#include "module_fixture.hpp"

namespace flexsc_guest {
namespace {

// Running text of a module that was freed: every kind of user of it must hold it.
TEST_F(Module, InUseCannotBeUnloaded) {
  {
    const Group group;
    EXPECT_EQ(unload(), -EWOULDBLOCK) << "an open group";
  }
  {
    auto group = std::make_unique<Group>();
    const Client client(*group);
    group.reset();
    EXPECT_EQ(unload(), -EWOULDBLOCK) << "a client without its group";
  }
  {
    auto group = std::make_unique<Group>();
    Client client(*group);
    group.reset();
    client.close();
    EXPECT_EQ(unload(), -EWOULDBLOCK) << "a mapping without descriptors";
  }
  {
    const Rig rig;
    const Waiters waiters(rig.client, 1, 2);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(unload(), -EWOULDBLOCK) << "workers";
    EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid()) << "and it still works";
  }
}

TEST_F(Module, LoadedAndUnloadedTenTimes) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(unload_soon()) << "round " << i << ": somebody still holds it";
    ASSERT_EQ(::open(FLEXSC_DEVICE, O_RDWR), -1);
    ASSERT_EQ(load(), 0) << "round " << i;
    make_node();
    const Rig rig;
    const Waiters waiters(rig.client, 1, 2);
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  }
}

// The unload comes as soon as the last worker lets go, while that is still on its way out.
TEST_F(Module, UnloadedUnderLeavingWorkers) {
  for (int i = 0; i < 10; ++i) {
    std::thread([] {
      std::vector<std::unique_ptr<Rig>> rigs;
      for (int n = 0; n < 5; ++n) {
        rigs.push_back(std::make_unique<Rig>(PoolOptions{.concurrency = 4, .spin_us = 0}));
        (void)rigs.back()->client.run(SYS_getppid);
      }
    }).join();
    ASSERT_TRUE(unload_soon()) << "round " << i;
    ASSERT_EQ(load(), 0);
    make_node();
  }
  // Killed processes leave nothing behind that would hold it.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(in_child([] {
                const Rig rig;
                const Waiters waiters(rig.client, 0, 2);
                ::kill(::getpid(), SIGKILL);
              }),
              "signal 9");
    ASSERT_TRUE(unload_soon());
    ASSERT_EQ(load(), 0);
    make_node();
  }
}

// An administrator looks at it; that is a user too.
TEST_F(Module, NotUnloadedUnderAnOpenListOfGroups) {
  {
    const Fd list(::open(kGroups, O_RDONLY | O_CLOEXEC));
    ASSERT_GE(list.get(), 0);
    EXPECT_EQ(unload(), -EWOULDBLOCK) << "not read yet";
    char byte = 0;
    ASSERT_EQ(::read(list.get(), &byte, 1), 1);
    EXPECT_EQ(unload(), -EWOULDBLOCK) << "in the middle of a reading";
  }
  ASSERT_TRUE(unload_soon());
  EXPECT_EQ(::open(kGroups, O_RDONLY), -1);
  EXPECT_EQ(errno, ENOENT);
  ASSERT_EQ(load(), 0);
  make_node();
  EXPECT_TRUE(read_file(kGroups).starts_with("flexsc format="));
}

TEST_F(Module, UnloadedUnderReaders) {
  const SharedBoard board;
  std::vector<std::unique_ptr<Child>> readers;
  readers.reserve(2);
  for (int i = 0; i < 2; ++i) {
    readers.push_back(std::make_unique<Child>([&] {
      while (board->stage == 0) {
        const Fd list(::open(kGroups, O_RDONLY | O_CLOEXEC));
        if (list.get() < 0) {
          REQUIRE(errno == ENOENT || errno == ENXIO);  // gone; going
          ++board->value;
          continue;
        }
        std::array<char, 64> text{};
        ssize_t got = 1;
        while (got > 0) got = ::read(list.get(), text.data(), text.size());
        REQUIRE_EQ(got, 0);
        ++board->count;
      }
    }));
  }
  for (int i = 0; i < 10; ++i) {
    const long count = board->count;
    ASSERT_TRUE(eventually([&] { return board->count > count; })) << "nobody reads it";
    ASSERT_TRUE(unload_soon()) << "round " << i;
    ASSERT_EQ(load(), 0);
    make_node();
  }
  board->stage = 1;
  for (const auto& reader : readers) EXPECT_EQ(reader->join(), "exit 0");
}

TEST_F(Module, SecondLoadIsRefused) {
  EXPECT_EQ(load(), -EEXIST);
  const Rig rig;
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

}  // namespace
}  // namespace flexsc_guest
