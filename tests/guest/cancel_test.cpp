// SPDX-License-Identifier: MIT
// FLEXSC_IOC_CANCEL: wherever the entry is, it completes once, with its own result or -ECANCELED.
#include <sys/stat.h>

#include <thread>

#include "process.hpp"
#include "waitable.hpp"

namespace flexsc_guest {
namespace {

class Cancel : public GuestTest {
 protected:
  static Rig lone_worker(unsigned pages = 1) {
    return sleeping_rig({.concurrency = 1, .standby_max = 0, .spin_us = 0}, pages);
  }
  static bool blocked(const Rig& rig, __u64 times) {
    return eventually([&] { return rig.group.stats().blocked >= times; });
  }
};

TEST_F(Cancel, NothingThere) {
  const Rig rig({}, 2);
  EXPECT_EQ(rig.client.cancel(0, 0), -ENOENT);
  EXPECT_EQ(rig.client.cancel(1, 63), -ENOENT);
  rig.client.post(0, 3, call(SYS_getppid));
  ASSERT_TRUE(eventually([&] { return rig.client.done(0, 3); }));
  EXPECT_EQ(rig.client.cancel(0, 3), -ENOENT) << "completed, not taken";
  EXPECT_EQ(rig.client.take(0, 3), ::getppid());
  EXPECT_EQ(rig.client.cancel(0, 3), -ENOENT) << "and taken";
  const Pipe pipe = make_pipe();
  EXPECT_EQ(rig.client.cancel_fd(pipe.reader.get()), -ENOENT);
  EXPECT_EQ(rig.client.cancel_fd(1 << 20), -ENOENT);
  EXPECT_EQ(rig.group.stats().cancelled, 0U);
}

TEST_F(Cancel, WrongPlacesAndFlagsTouchNothing) {
  const Rig rig({.concurrency = 1, .spin_us = 0}, 2);
  const Waiters waiters(rig.client, 0, 2);
  EXPECT_EQ(rig.client.cancel(2, 0), -EINVAL);
  EXPECT_EQ(rig.client.cancel(0xffffffff, 0), -EINVAL);
  EXPECT_EQ(rig.client.cancel(0, 64), -EINVAL);
  EXPECT_EQ(rig.client.cancel(0, 0xffffffff), -EINVAL);
  flexsc_cancel cancel{};
  cancel.size = sizeof cancel;
  for (unsigned bit = 1; bit < 32; ++bit) {
    cancel.flags = 1U << bit;
    EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_CANCEL, &cancel), -EINVAL) << bit;
  }
  cancel.flags = 0;
  cancel.reserved = 1;
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_CANCEL, &cancel), -EINVAL);
  EXPECT_EQ(rig.client.completions(), 0U);
  waiters.finish(rig.client);
}

TEST_F(Cancel, PostedEntries) {
  const Rig rig = lone_worker(2);
  const Pipe pipe = make_pipe();
  for (const unsigned queue : {0U, unsigned{FLEXSC_QUEUE_FLUSH}}) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      rig.client.fill(1, bit, call(SYS_write, pipe.writer.get(), "x", 1));
    }
    rig.client.set(1, 0xff, queue);  // nobody is told
    EXPECT_EQ(rig.client.cancel(1, 5), 1);
    EXPECT_EQ(rig.client.completed(1), 0x20U);
    EXPECT_EQ(rig.client.submitted(1, queue), 0xdfU);
    EXPECT_EQ(rig.client.take(1, 5), -ECANCELED);
    EXPECT_EQ(rig.client.cancel(1, 5), -ENOENT);
    if (queue == 0) {
      EXPECT_EQ(rig.client.doorbell(), 0);
      EXPECT_EQ(rig.client.wait(7, kLong), 7);
    } else {
      EXPECT_EQ(rig.client.flush(), 7);
    }
    EXPECT_EQ(readable(pipe.reader), 7);
    EXPECT_EQ(drain(pipe), "xxxxxxx");
    for (const unsigned bit : {0U, 1U, 2U, 3U, 4U, 6U, 7U}) EXPECT_EQ(rig.client.take(1, bit), 1);
  }
  EXPECT_EQ(rig.group.stats().cancelled, 2U);
}

// A waiter is told as of any completion.
TEST_F(Cancel, WakesAWaiter) {
  const Rig rig = lone_worker();
  rig.client.fill(0, 0, call(SYS_getppid));
  rig.client.set(0, 1);
  std::atomic<long> result{0};
  std::jthread waiter([&] { result = rig.client.wait(1, kLong); });
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(rig.client.cancel(0, 0), 1);
  waiter.join();
  EXPECT_EQ(result, 1);
  EXPECT_EQ(rig.client.take(0, 0), -ECANCELED);
}

// A chain has one name, its head; it is cancelled as a whole.
TEST_F(Cancel, PostedChains) {
  const Rig rig = lone_worker();
  const Pipe pipe = make_pipe();
  const std::vector<Call> chain(3, call(SYS_write, pipe.writer.get(), "x", 1));
  rig.client.fill_chain(0, 10, chain);
  rig.client.set(0, 1U << 10);
  for (const unsigned bit : {9U, 11U, 12U, 13U}) EXPECT_EQ(rig.client.cancel(0, bit), -ENOENT);
  EXPECT_EQ(rig.client.completions(), 0U);
  EXPECT_EQ(rig.client.cancel(0, 10), 1);
  EXPECT_EQ(rig.client.completed(0), 7U << 10);
  for (const unsigned bit : {10U, 11U, 12U}) EXPECT_EQ(rig.client.take(0, bit), -ECANCELED);
  EXPECT_EQ(rig.client.doorbell(), 0);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(readable(pipe.reader), 0);
}

// What has been done of a chain is done; where it is when it is cancelled, and behind, it is not.
TEST_F(Cancel, ChainsThatWaitOrSleep) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Pipe empty = make_pipe();
  const Pipe sink = make_pipe();
  char byte = 0;
  pollfd watched{empty.reader.get(), POLLIN, 0};
  for (const Call& middle :
       {call(SYS_read, empty.reader.get(), &byte, 1), call(SYS_poll, &watched, 1, -1),
        call(SYS_nanosleep, &kMinute, nullptr)}) {
    const std::array<Call, 3> chain = {call(SYS_write, sink.writer.get(), "x", 1), middle,
                                       call(SYS_write, sink.writer.get(), "y", 1)};
    const __u64 before = rig.group.stats().blocked;
    rig.client.fill_chain(0, 0, chain);
    rig.client.submit(0, 1);
    ASSERT_TRUE(eventually([&] {
      const flexsc_stats stats = rig.group.stats();
      return stats.waiting == 1 || stats.blocked > before;
    }));
    EXPECT_EQ(rig.client.completions(), 0U);
    EXPECT_EQ(rig.client.cancel(0, 1), -ENOENT) << "that is not its name";
    EXPECT_EQ(rig.client.cancel(0, 0), 1);
    EXPECT_EQ(rig.client.await(0, 0), 1);
    EXPECT_EQ(rig.client.await(0, 1), -ECANCELED);
    EXPECT_EQ(rig.client.await(0, 2), -ECANCELED);
    EXPECT_EQ(drain(sink), "x");
  }
}

// The claim of a worker that sleeps in its first call, and whose rest nobody else can take.
TEST_F(Cancel, BehindABlockedCall) {
  const Rig rig = lone_worker();
  const Pipe empty = make_pipe();
  const Pipe sink = make_pipe();
  pollfd watched{empty.reader.get(), POLLIN, 0};
  rig.client.fill(0, 0, call(SYS_poll, &watched, 1, -1));
  for (unsigned bit = 1; bit < 64; ++bit) {
    rig.client.fill(0, bit, call(SYS_write, sink.writer.get(), "x", 1));
  }
  rig.client.submit(0, ~__u64{0});
  ASSERT_TRUE(blocked(rig, 1));
  for (unsigned bit = 1; bit < 64; bit += 2) {
    EXPECT_EQ(rig.client.cancel(0, bit), 1);
    EXPECT_EQ(rig.client.take(0, bit), -ECANCELED);
  }
  put(empty.writer, "x");
  ASSERT_EQ(rig.client.wait(32, kLong), 32);
  EXPECT_EQ(readable(sink.reader), 31);
}

// The claim of a worker that is busy.
TEST_F(Cancel, BehindARunningCall) {
  const Rig rig = lone_worker();
  const Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const Pipe sink = make_pipe();
  std::vector<char> large(48 << 20);
  int cancelled = 0;
  for (int round = 0; round < 10 && cancelled < 3; ++round) {
    rig.client.fill(0, 0, call(SYS_read, zero.get(), large.data(), large.size()));
    for (unsigned bit = 1; bit < 64; ++bit) {
      rig.client.fill(0, bit, call(SYS_write, sink.writer.get(), "x", 1));
    }
    rig.client.submit(0, ~__u64{0});
    ASSERT_TRUE(eventually([&] { return rig.client.submitted(0) == 0; }));
    const long found = rig.client.cancel(0, 40);
    ASSERT_EQ(rig.client.wait(64, kLong), 64);
    const long result = rig.client.take(0, 40);
    if (found == 1 && result == -ECANCELED) {
      ++cancelled;
    } else {
      EXPECT_EQ(result, 1);
    }
    EXPECT_EQ(drain(sink).size(), result == 1 ? 63U : 62U);
    EXPECT_EQ(rig.client.take(0, 0), static_cast<long>(large.size()));
    for (unsigned bit = 1; bit < 64; ++bit) {
      if (bit != 40) {
        EXPECT_EQ(rig.client.take(0, bit), 1);
      }
    }
  }
  EXPECT_GT(cancelled, 0);
}

class CancelWaiting : public Cancel, public testing::WithParamInterface<int> {
 protected:
  static Kind kind() { return static_cast<Kind>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Kind, CancelWaiting, testing::Range(0, kKinds),
                         [](const auto& param) { return name_of(static_cast<Kind>(param.param)); });

TEST_P(CancelWaiting, IsOverAndHasDoneNothing) {
  const Rig rig = lone_worker();
  const Waitable waitable(kind());
  for (unsigned bit = 0; bit < 3; ++bit) rig.client.post(0, bit, waitable.made());
  ASSERT_TRUE(waits(rig, 3));
  EXPECT_EQ(rig.client.cancel(0, 1), 1);
  EXPECT_EQ(rig.client.await(0, 1), -ECANCELED);
  EXPECT_EQ(rig.client.completions(), 0U);
  EXPECT_EQ(rig.client.cancel_fd(waitable.fd()), 2);
  EXPECT_EQ(rig.client.await(0, 0), -ECANCELED);
  EXPECT_EQ(rig.client.await(0, 2), -ECANCELED);
  EXPECT_EQ(rig.group.stats().cancelled, 3U);
  EXPECT_EQ(rig.group.stats().waiting, 0U);
  // What they waited for is still to be had, by another.
  waitable.make_ready();
  EXPECT_PRED1([&](long result) { return waitable.is_right(result); },
               rig.client.run(waitable.made()));
}

// Calls that hold a worker while they sleep.
TEST_F(Cancel, SleepingCalls) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Pipe empty = make_pipe();
  pollfd watched{empty.reader.get(), POLLIN, 0};
  ::mkdir("/tmp", 01777);
  const std::string fifo = "/tmp/flexsc-cancel-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  timespec left{};
  const std::vector<std::pair<const char*, Call>> calls = {
      {"nanosleep", call(SYS_nanosleep, &kMinute, &left)},
      {"clock_nanosleep", call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &kMinute, &left)},
      {"poll", call(SYS_poll, &watched, 1, -1)},
      {"poll with a timeout", call(SYS_poll, &watched, 1, 60'000)},
      {"open of a FIFO", call(SYS_openat, AT_FDCWD, fifo.c_str(), O_RDONLY, 0)},
  };
  for (const auto& [name, made] : calls) {
    const __u64 before = rig.group.stats().blocked;
    rig.client.post(0, 7, made);
    ASSERT_TRUE(blocked(rig, before + 1)) << name;
    EXPECT_EQ(rig.client.cancel(0, 7), 1) << name;
    EXPECT_EQ(rig.client.await(0, 7), -ECANCELED) << name;
    EXPECT_EQ(rig.client.cancel(0, 7), -ENOENT) << name;
    EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid()) << name;
  }
  EXPECT_EQ(rig.group.stats().cancelled, calls.size());
  ::unlink(fifo.c_str());
}

// Bytes that are written are not unwritten.
TEST_F(Cancel, CallWithAnEffectKeepsItsResult) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Pipe pipe = make_pipe();
  const std::string large(1 << 20, 'l');
  rig.client.post(0, 7, call(SYS_write, pipe.writer.get(), large.data(), large.size()));
  ASSERT_TRUE(blocked(rig, 1));
  EXPECT_EQ(rig.client.cancel(0, 7), 1);
  const long written = rig.client.await(0, 7);
  EXPECT_GT(written, 0);
  EXPECT_EQ(readable(pipe.reader), written);
}

TEST_F(Cancel, AllOfADescriptor) {
  const Rig rig = lone_worker(2);
  const Pipe mine = make_pipe();
  const Pipe other = make_pipe();
  const int reader = mine.reader.get();
  const Fd copy(::dup(reader));
  std::array<char, 16> bytes{};
  // Waiting ones, in both pages; of another descriptor of the same file; of another file.
  rig.client.post(0, 0, call(SYS_read, reader, &bytes[0], 1));
  rig.client.post(1, 0, call(SYS_read, reader, &bytes[1], 1));
  rig.client.post(0, 1, call(SYS_read, copy.get(), &bytes[2], 1));
  rig.client.post(0, 2, call(SYS_read, other.reader.get(), &bytes[3], 1));
  // One in a chain.
  const std::array<Call, 2> chain = {call(SYS_getppid), call(SYS_read, reader, &bytes[4], 1)};
  rig.client.fill_chain(1, 10, chain);
  rig.client.submit(1, 1U << 10);
  ASSERT_TRUE(waits(rig, 5));
  // Posted ones: of the descriptor, and with its number as another argument.
  rig.client.fill(0, 20, call(SYS_read, reader, &bytes[5], 1));
  rig.client.fill(0, 21, call(SYS_getppid, reader));
  rig.client.fill(0, 22, call(SYS_dup2, other.reader.get(), reader));
  rig.client.fill(0, 23, call(SYS_fstat, reader, nullptr));
  rig.client.set(0, 0xfU << 20, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(rig.client.cancel_fd(reader), 5);
  EXPECT_EQ(rig.client.await(0, 0), -ECANCELED);
  EXPECT_EQ(rig.client.await(1, 0), -ECANCELED);
  EXPECT_EQ(rig.client.await(1, 10), ::getppid());
  EXPECT_EQ(rig.client.await(1, 11), -ECANCELED);
  EXPECT_EQ(rig.client.await(0, 20), -ECANCELED);
  EXPECT_EQ(rig.client.await(0, 23), -ECANCELED);
  EXPECT_EQ(rig.client.completions(), 0U);
  EXPECT_EQ(rig.client.submitted(0, FLEXSC_QUEUE_FLUSH), 3U << 21);
  EXPECT_EQ(rig.client.cancel_fd(reader), -ENOENT);
  EXPECT_EQ(rig.client.cancel_fd(copy.get()), 1);
  EXPECT_EQ(rig.client.cancel_fd(other.reader.get()), 2) << "dup2 works on it";
  EXPECT_EQ(rig.client.flush(), 1);
}

// What a flush has claimed is its own, but for chains and entries with a deadline.
TEST_F(Cancel, CallOfAFlush) {
  const Rig rig = lone_worker();
  const Pipe before = make_pipe();
  const timespec bounded{0, 300'000'000};
  rig.client.fill(0, 0, call(SYS_write, before.writer.get(), "x", 1));
  rig.client.fill(0, 1, call(SYS_nanosleep, &bounded, nullptr));
  rig.client.fill(0, 2, call(SYS_write, before.writer.get(), "y", 1));
  rig.client.set(0, 7, FLEXSC_QUEUE_FLUSH);
  std::jthread flusher([&] { rig.client.flush(); });
  ASSERT_TRUE(eventually([&] { return readable(before.reader) > 0; }));
  EXPECT_EQ(rig.client.cancel(0, 2), -ENOENT);
  flusher.join();
  EXPECT_EQ(rig.client.take(0, 1), 0);
  EXPECT_EQ(rig.client.take(0, 2), 1);
}

TEST_F(Cancel, OthersOfTheSamePlaceAreNotMeant) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Client other(rig.group);
  const Group foreign_group;
  ASSERT_EQ(foreign_group.create_pool(), 0);
  const Client foreign(foreign_group);
  const Pipe pipe = make_pipe();
  char byte = 0;
  rig.client.post(0, 5, call(SYS_read, pipe.reader.get(), &byte, 1));
  ASSERT_TRUE(waits(rig, 1));
  EXPECT_EQ(other.cancel(0, 5), -ENOENT);
  EXPECT_EQ(other.cancel_fd(pipe.reader.get()), -ENOENT);
  EXPECT_EQ(foreign.cancel_fd(pipe.reader.get()), -ENOENT);
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.await(0, 5), 1);
}

}  // namespace
}  // namespace flexsc_guest
