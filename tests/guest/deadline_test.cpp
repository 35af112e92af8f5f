// SPDX-License-Identifier: MIT
// FLEXSC_ENTRY_DEADLINE: what has not happened by then completes with -ETIME, and does not happen.
#include <climits>
#include <thread>

#include "modes.hpp"

namespace flexsc_guest {
namespace {

class Deadline : public ModesTest {};
FLEXSC_IN_ALL_MODES(Deadline);

TEST_P(Deadline, InThePast) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  unsigned count = 0;
  for (const __s64 when : {from_now(-1ns), from_now(-1h), __s64{1}, __s64{0}, __s64{-1},
                           static_cast<__s64>(LONG_MIN)}) {
    EXPECT_EQ(run_one(rig, write_byte(pipe).until(when)), -ETIME) << when;
    ++count;
  }
  EXPECT_EQ(readable(pipe.reader), 0);
  EXPECT_EQ(rig.group.stats().timed_out, count);
}

TEST_P(Deadline, InTime) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  for (const __s64 when : {from_now(1h), static_cast<__s64>(LONG_MAX)}) {
    EXPECT_EQ(run_one(rig, write_byte(pipe).until(when)), 1) << when;
    EXPECT_EQ(run_one(rig, call(SYS_close, -1).until(when)), -EBADF) << when;
    EXPECT_EQ(run_one(rig, call(SYS_exit, 0).until(when)), -FLEXSC_E_REFUSED) << when;
  }
  EXPECT_EQ(readable(pipe.reader), 2);
  EXPECT_EQ(rig.group.stats().timed_out, 0U);
}

TEST_P(Deadline, OfACallThatWaitsForItsFile) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  char byte = 0;
  const __s64 when = from_now(60ms);
  EXPECT_EQ(run_one(rig, call(SYS_read, pipe.reader.get(), &byte, 1).until(when)), -ETIME);
  EXPECT_GE(from_now(0ns), when);
  put(pipe.writer, "x");
  EXPECT_EQ(run_one(rig, call(SYS_getppid)), ::getppid());
  EXPECT_EQ(readable(pipe.reader), 1) << "it is over";
  EXPECT_EQ(rig.group.stats().waiting, 0U);
  // And one that comes in time.
  EXPECT_EQ(run_one(rig, call(SYS_read, pipe.reader.get(), &byte, 1).until(from_now(1h))), 1);
}

TEST_P(Deadline, OfACallThatSleeps) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  pollfd watched{pipe.reader.get(), POLLIN, 0};
  for (const Call& sleep :
       {call(SYS_nanosleep, &kMinute, nullptr), call(SYS_poll, &watched, 1, -1)}) {
    const __s64 when = from_now(60ms);
    EXPECT_EQ(run_one(rig, sleep.until(when)), -ETIME) << sleep.nr;
    EXPECT_GE(from_now(0ns), when);
    EXPECT_EQ(run_one(rig, call(SYS_getppid)), ::getppid());
  }
  EXPECT_EQ(rig.group.stats().timed_out, 2U);
}

TEST_P(Deadline, OfAChain) {
  const Rig rig = make_rig();
  const Pipe empty = make_pipe();
  const Pipe sink = make_pipe();
  char byte = 0;
  for (const Call& middle :
       {call(SYS_nanosleep, &kMinute, nullptr), call(SYS_read, empty.reader.get(), &byte, 1)}) {
    EXPECT_EQ(run(rig, {write_byte(sink).until(from_now(60ms)), middle, write_byte(sink),
                        write_byte(sink)}),
              (Results{1, -ETIME, -ECANCELED, -ECANCELED}));
    EXPECT_EQ(drain(sink), "x");
  }
  EXPECT_EQ(run(rig, {write_byte(sink).until(from_now(-1ns)), write_byte(sink)}),
            (Results{-ETIME, -ECANCELED}));
  EXPECT_EQ(run(rig, {write_byte(sink).until(from_now(1h)), write_byte(sink)}), (Results{1, 1}));
  EXPECT_EQ(drain(sink), "xx");
  // _GO_ON is about results of calls; after the deadline there are none.
  EXPECT_EQ(
      run(rig, {write_byte(sink).until(from_now(60ms)),
                call(SYS_nanosleep, &kMinute, nullptr).with(FLEXSC_ENTRY_GO_ON), write_byte(sink)}),
      (Results{1, -ETIME, -ECANCELED}));
  EXPECT_EQ(drain(sink), "x");
}

// Bytes that are written are not unwritten.
TEST_P(Deadline, EffectIsKept) {
  const Rig rig = make_rig();
  const Pipe pipe = make_pipe();
  const std::string large(1 << 18, 'l');
  const long written = run_one(
      rig, call(SYS_write, pipe.writer.get(), large.data(), large.size()).until(from_now(100ms)));
  EXPECT_GT(written, 0);
  EXPECT_EQ(readable(pipe.reader), written);
}

// Other entries have nothing to do with it.
TEST_P(Deadline, IsOfOneEntry) {
  const Rig rig = make_rig();
  const Pipe sink = make_pipe();
  for (unsigned bit = 0; bit < 64; ++bit) {
    const Call c = write_byte(sink);
    rig.client.fill(0, bit, bit % 3 == 0 ? c.until(from_now(-1ms)) : c);
  }
  execute(rig.client, GetParam(), 0, ~__u64{0}, ~__u64{0});
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(rig.client.take(0, bit), bit % 3 == 0 ? -ETIME : 1) << bit;
  }
  EXPECT_EQ(readable(sink.reader), 42);
}

// It passes while the entry is posted, or behind another call of a flush.
TEST_P(Deadline, PassesBeforeTheCallBegins) {
  const Rig rig = make_rig();
  const Pipe sink = make_pipe();
  const timespec nap{0, 40'000'000};
  rig.client.fill(0, 0, call(SYS_nanosleep, &nap, nullptr));
  rig.client.fill(0, 1, write_byte(sink).until(from_now(10ms)));
  if (GetParam() != By::kFlush) ::nanosleep(&nap, nullptr);
  execute(rig.client, GetParam(), 0, 3, 3);
  EXPECT_EQ(rig.client.take(0, 0), 0);
  EXPECT_EQ(rig.client.take(0, 1), -ETIME);
  EXPECT_EQ(readable(sink.reader), 0);
}

class DeadlineRace : public GuestTest {};

// The event and the deadline come together: one of them counts, once.
TEST_F(DeadlineRace, WithTheEvent) {
  const Rig rig({.concurrency = 1, .spin_us = 100});
  const Pipe pipe = make_pipe();
  std::atomic<int> posted{0};
  std::atomic<int> fed{0};
  std::jthread events([&](const std::stop_token& stop) {
    for (int i = 1; !stop.stop_requested(); ++i) {
      while (posted < i && !stop.stop_requested()) std::this_thread::yield();
      if (stop.stop_requested()) return;
      put(pipe.writer, "e");
      fed = i;
    }
  });
  for (int i = 1; i <= 1000; ++i) {
    char byte = 0;
    ASSERT_EQ(rig.client.completed(0), 0U) << "completed twice";
    const auto delay = std::chrono::microseconds(i % 50 * 10);
    rig.client.post(0, 0, call(SYS_read, pipe.reader.get(), &byte, 1).until(from_now(delay)));
    posted = i;
    const long result = rig.client.await(0, 0);
    ASSERT_TRUE(result == 1 || result == -ETIME) << result;
    while (fed < i) std::this_thread::yield();
    ASSERT_EQ(readable(pipe.reader), result == 1 ? 0 : 1) << "round " << i;
    ASSERT_EQ(byte, result == 1 ? 'e' : 0);
    (void)drain(pipe);
  }
}

TEST_F(DeadlineRace, WithACancel) {
  const Rig rig({.concurrency = 1, .spin_us = 100});
  const Pipe pipe = make_pipe();
  char byte = 0;
  for (int i = 1; i <= 500; ++i) {
    ASSERT_EQ(rig.client.completed(0), 0U) << "completed twice";
    const auto delay = std::chrono::microseconds(i % 50 * 10);
    rig.client.post(0, 0, call(SYS_read, pipe.reader.get(), &byte, 1).until(from_now(delay)));
    for (int n = 0; n < i % 20 * 300; ++n) std::atomic_signal_fence(std::memory_order_seq_cst);
    const long found = rig.client.cancel(0, 0);
    const long result = rig.client.await(0, 0);
    ASSERT_TRUE(result == -ETIME || (result == -ECANCELED && found == 1)) << result << found;
  }
  const flexsc_stats stats = rig.group.stats();
  EXPECT_EQ(stats.timed_out + stats.cancelled, 500U);
}

TEST_F(DeadlineRace, ManyAtOnce) {
  const Rig rig({.concurrency = 1, .standby_max = 0, .spin_us = 0}, 4);
  std::vector<Pipe> pipes;
  std::array<char, 256> bytes{};
  const __s64 begin = from_now(50ms);
  for (unsigned i = 0; i < 256; ++i) {
    pipes.push_back(make_pipe());
    rig.client.fill(i / 64, i % 64,
                    call(SYS_read, pipes[i].reader.get(), &bytes[i], 1)
                        .until(begin + (i * 37 % 256) * 200'000));
  }
  for (unsigned page = 0; page < 4; ++page) rig.client.submit(page, ~__u64{0});
  ASSERT_EQ(rig.client.wait(256, kLong), 256);
  for (unsigned i = 0; i < 256; ++i) EXPECT_EQ(rig.client.take(i / 64, i % 64), -ETIME);
  EXPECT_EQ(rig.group.stats().timed_out, 256U);
  EXPECT_EQ(rig.group.stats().waiting, 0U);
}

// Timers of a process that dies, or of a group that closes, find nobody.
TEST_F(DeadlineRace, WithTheEndOfEverything) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(in_child([&] {
                Rig rig({.concurrency = 1, .spin_us = 0});
                const Pipe pipe = make_pipe();
                std::array<char, 64> bytes{};
                for (unsigned bit = 0; bit < 64; ++bit) {
                  rig.client.fill(0, bit,
                                  call(SYS_read, pipe.reader.get(), &bytes[bit], 1)
                                      .until(from_now(2ms + i * 1ms + bit * 20us)));
                }
                rig.client.submit(0, ~__u64{0});
                std::this_thread::sleep_for(std::chrono::milliseconds(2 + i));
                if (i % 2 == 0) ::_exit(5);
                rig.group.close();
                REQUIRE(eventually(
                    [&] { return (rig.client.completed(0) | rig.client.submitted(0)) == ~0UL; }));
                for (unsigned bit = 0; bit < 64; ++bit) {
                  if (!rig.client.done(0, bit)) continue;
                  const long result = rig.client.take(0, bit);
                  REQUIRE(result == -ETIME || result == -FLEXSC_E_STOPPED);
                }
              }),
              i % 2 == 0 ? "exit 5" : "exit 0");
  }
}

}  // namespace
}  // namespace flexsc_guest
