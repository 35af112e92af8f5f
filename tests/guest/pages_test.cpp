// SPDX-License-Identifier: MIT
// User space may write anything anywhere in the pages: the kernel trusts none of it.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <stop_token>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Pages : public GuestTest {};

// The header tells, it does not command.
TEST_F(Pages, HeaderWordsAreNotRead) {
  const Rig rig({.spin_us = 50}, 2);
  flexsc_client_header& header = rig.client.header();
  header.abi_version = 0;
  header.header_bytes = 0xffffffff;
  header.nr_pages = 0xffffffff;
  header.features = 0;
  header.state.value = 77;
  for (int i = 0; i < 100; ++i) ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.run_flushed(call(SYS_getppid)), ::getppid());
  header.nr_pages = 0;
  header.state.value = FLEXSC_STATE_CLOSED;
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.run_flushed(call(SYS_getppid)), ::getppid());
}

TEST_F(Pages, SubmissionBeyondThePagesIsNotLookedAt) {
  const Rig rig({}, 2);
  flexsc_client_header& header = rig.client.header();
  header.used_pages.value = FLEXSC_MAX_PAGES;
  for (unsigned page = 2; page < FLEXSC_MAX_PAGES; ++page) {
    header.submission[0].page[page] = ~__u64{0};
    header.submission[FLEXSC_QUEUE_FLUSH].page[page] = ~__u64{0};
  }
  EXPECT_EQ(rig.client.doorbell(), 0);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.flush(), 0);
  for (unsigned page = 2; page < FLEXSC_MAX_PAGES; ++page) {
    EXPECT_EQ(header.submission[0].page[page], ~__u64{0});
    EXPECT_EQ(header.completion.page[page], 0U);
  }
  // Nor are completion bits there counted.
  header.completion.page[63] = ~__u64{0};
  EXPECT_EQ(rig.client.wait(1, 0ns), 0);
}

// What a client says of the pages that it uses is believed as far as it makes less work.
TEST_F(Pages, NothingIsLookedAtBeyondThoseInUse) {
  const Rig rig({.spin_us = 0}, 4);
  const auto use = [&](__u32 pages) {
    std::atomic_ref(rig.client.header().used_pages.value).store(pages);
  };
  use(2);
  EXPECT_EQ(rig.client.post(3, 0, call(SYS_getppid)), 0);
  EXPECT_EQ(rig.client.post(3, 1, call(SYS_getppid), FLEXSC_QUEUE_FLUSH), 0);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(rig.client.doorbell(), 0);
    EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
    EXPECT_EQ(rig.client.wait(0, 0ns, FLEXSC_WAIT_HELP), 0);
  }
  // Nobody sees that it is posted, so nobody stays awake for it either.
  EXPECT_TRUE(eventually(
      [&] { return std::atomic_ref(rig.client.header().need_doorbell[0].value).load() != 0; }));
  EXPECT_EQ(rig.client.flush(), 0);
  EXPECT_EQ(rig.client.submitted(3), 1U);
  EXPECT_EQ(rig.client.submitted(3, FLEXSC_QUEUE_FLUSH), 2U);
  use(4);
  EXPECT_EQ(rig.client.flush(), 1);
  EXPECT_EQ(rig.client.doorbell(), 0);
  EXPECT_EQ(rig.client.await(3, 0), ::getppid());
  EXPECT_EQ(rig.client.await(3, 1), ::getppid());
  for (const __u32 all : {0U, 5U, 256U, 257U, 0x80000000U, 0xffffffffU}) {
    use(all);
    EXPECT_EQ(rig.client.post(3, 0, call(SYS_getppid)), 0) << all;
    EXPECT_EQ(rig.client.await(3, 0), ::getppid()) << all;
  }
}

TEST_F(Pages, QueuesWithoutAPoolStayPosted) {
  const Rig rig;
  for (unsigned queue = 1; queue < FLEXSC_MAX_POOLS; ++queue) {
    rig.client.header().submission[queue].page[0] = ~__u64{0};
  }
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.flush(), 0);
  for (unsigned queue = 1; queue < FLEXSC_MAX_POOLS; ++queue) {
    EXPECT_EQ(rig.client.submitted(0, queue), ~__u64{0});
  }
}

TEST_F(Pages, LiesAboutTheDoorbell) {
  const Rig rig({.spin_us = 0});
  auto& need = rig.client.header().need_doorbell[0].value;
  for (int i = 0; i < 100; ++i) {
    // Zero while the worker sleeps: our own loss, until we ring all the same.
    std::atomic_ref(need).store(0);
    rig.client.fill(0, 0, call(SYS_getppid));
    rig.client.submit(0, 1);
    ASSERT_EQ(rig.client.doorbell(), 0);
    ASSERT_EQ(rig.client.await(0, 0), ::getppid());
    std::atomic_ref(need).store(0xdeadbeef);
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  }
}

TEST_F(Pages, CompletionBitsSetByUserSpace) {
  const Rig rig;
  std::atomic_ref(rig.client.header().completion.page[0]).store(~__u64{0});
  EXPECT_EQ(rig.client.wait(64, -1ns), 64);
  rig.client.fill(0, 0, call(SYS_getppid));
  rig.client.submit(0, 1);
  ASSERT_TRUE(eventually([&] { return rig.client.submitted(0) == 0; }));
  ASSERT_TRUE(eventually([&] { return rig.client.entry(0, 0).result == ::getppid(); }));
  std::atomic_ref(rig.client.header().completion.page[0]).store(0);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// The bit of a call that is in flight is set once more: two executions of one entry at a time.
TEST_F(Pages, PostedTwice) {
  const Rig rig({.concurrency = 2});
  const Pipe pipe = make_pipe();
  std::array<char, 2> bytes{};
  for (int i = 0; i < 50; ++i) {
    wait_in_read(rig.client, 0, 1, pipe, bytes.data());
    rig.client.submit(0, 2);
    put(pipe.writer, "ab");
    ASSERT_TRUE(eventually([&] { return readable(pipe.reader) == 0; }));
    ASSERT_TRUE(eventually([&] { return rig.client.done(0, 1); }));
    ASSERT_TRUE(rig.group.has_executed(2L * (i + 1)));
    std::atomic_ref(rig.client.header().completion.page[0]).store(0);
  }
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// The entry changes between the kernel's look at the number and the call: what was checked must be
// what runs. A refused call that slipped through would end this process or its worker.
TEST_F(Pages, EntryRewrittenWhileItIsClaimed) {
  EXPECT_EQ(in_child(
                [] {
                  const Rig rig({.concurrency = 1, .spin_us = 1000});
                  rig.client.fill(0, 0, call(SYS_getppid));
                  const std::jthread writer([&](const std::stop_token& stop) {
                    std::atomic_ref<__u32> nr(rig.client.entry(0, 0).nr);
                    while (!stop.stop_requested()) {
                      nr.store(SYS_getppid, std::memory_order_relaxed);
                      nr.store(SYS_exit_group, std::memory_order_relaxed);
                    }
                  });
                  unsigned executed = 0;
                  unsigned refused = 0;
                  for (int i = 0; i < 20'000; ++i) {
                    // Only the bit: the number is the other thread's.
                    rig.client.submit(0, 1, i % 2 == 0 ? 0 : FLEXSC_QUEUE_FLUSH);
                    if (i % 2 != 0) REQUIRE_EQ(rig.client.flush(), 1);
                    const long result = rig.client.await(0, 0);
                    if (result == ::getppid()) {
                      ++executed;
                    } else {
                      REQUIRE_EQ(result, -FLEXSC_E_REFUSED);
                      ++refused;
                    }
                  }
                  REQUIRE_EQ(executed + refused, 20'000U);
                },
                120s),
            "exit 0");
}

// Entries as another program left them: every field at its limits.
TEST_F(Pages, ExtremeEntries) {
  const Rig rig;
  flexsc_entry& entry = rig.client.entry(0, 0);
  for (const int byte : {0xff, 0x80, 0x7f, 0x01}) {
    std::memset(&entry, byte, sizeof entry);
    entry.nr = FLEXSC_NR_NOP;
    rig.client.submit(0, 1);
    EXPECT_EQ(rig.client.await(0, 0), -EINVAL);
    if ((byte & FLEXSC_ENTRY_LINK) != 0) {
      EXPECT_EQ(rig.client.await(0, 1), -ECANCELED) << byte;
    }
    std::memset(&entry, byte, sizeof entry);
    entry.flags = 0;
    entry.from = 0;
    rig.client.submit(0, 1);
    EXPECT_EQ(rig.client.await(0, 0), -FLEXSC_E_REFUSED) << byte;
  }
}

}  // namespace
}  // namespace flexsc_guest
