// SPDX-License-Identifier: MIT
// CANCEL against everything that ends a call by itself: each entry completes exactly once, and says
// truly whether it was made.
#include <iostream>
#include <random>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class CancelRace : public GuestTest {
 protected:
  /// Posts and cancels one entry, again and again, while others execute it. What a flush has
  /// claimed is not found before it is complete.
  template <class Post>
  static void play(const Client& client, int rounds, Post post, const Pipe& sink,
                   bool by_flush = false) {
    std::minstd_rand random(20260127);  // NOLINT: the same delays each time
    long made = 0;
    long cancelled = 0;
    long late = 0;
    // On a busy machine one side may win for long: until both have, within reason.
    int i = 0;
    for (; i < rounds || (cancelled == 0 && i < 50 * rounds); ++i) {
      ASSERT_EQ(client.completed(0), 0U) << "completed twice, round " << i;
      post();
      for (auto delay = random() % 3000; delay > 0; --delay)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      const long found = client.cancel(0, 0);
      ASSERT_TRUE(found == 1 || found == -ENOENT) << found << ", round " << i;
      if (found == -ENOENT) {
        ++late;
        ASSERT_TRUE(by_flush || client.done(0, 0)) << "neither found nor complete, round " << i;
      }
      const long result = client.await(0, 0);
      ASSERT_TRUE(result == 1 || (result == -ECANCELED && found == 1))
          << result << ", found " << found << ", round " << i;
      ++(result == 1 ? made : cancelled);
      if (i % 64 == 0) {
        ASSERT_EQ(static_cast<long>(drain(sink).size()), made);
        made = 0;
      }
    }
    EXPECT_EQ(static_cast<long>(drain(sink).size()), made);
    EXPECT_GT(cancelled, 0);
    std::cout << i << " rounds, " << cancelled << " cancelled, " << late << " too late\n";
  }
};

TEST_F(CancelRace, WorkersThatAreAwake) {
  const Rig rig({.concurrency = 2, .spin_us = 1000});
  const Pipe sink = make_pipe();
  play(
      rig.client, 2000, [&] { rig.client.post(0, 0, call(SYS_write, sink.writer.get(), "x", 1)); },
      sink);
}

TEST_F(CancelRace, WorkersThatAreWoken) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const Pipe sink = make_pipe();
  play(
      rig.client, 1000, [&] { rig.client.post(0, 0, call(SYS_write, sink.writer.get(), "x", 1)); },
      sink);
}

// The event comes while the read is armed, fired, made and cancelled: the byte is either in the
// pipe or in the buffer.
TEST_F(CancelRace, EventOfAWaitingCall) {
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
  int cancelled = 0;
  for (int i = 1; i <= 1500; ++i) {
    char byte = 0;
    ASSERT_EQ(rig.client.completed(0), 0U) << "completed twice";
    rig.client.post(0, 0, call(SYS_read, pipe.reader.get(), &byte, 1));
    posted = i;
    for (int delay = i % 100 * 30; delay > 0; --delay)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    const long found = rig.client.cancel(0, 0);
    const long result = rig.client.await(0, 0);
    ASSERT_TRUE(result == 1 || (result == -ECANCELED && found == 1)) << result << ", " << found;
    while (fed < i) std::this_thread::yield();
    ASSERT_EQ(readable(pipe.reader), result == 1 ? 0 : 1) << "round " << i;
    ASSERT_EQ(byte, result == 1 ? 'e' : 0);
    (void)drain(pipe);
    if (result != 1) ++cancelled;
  }
  EXPECT_GT(cancelled, 0);
}

TEST_F(CancelRace, SleepsThatEnd) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  const timespec nap{0, 100'000};
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(rig.client.completed(0), 0U);
    rig.client.post(0, 0, call(SYS_nanosleep, &nap, nullptr));
    for (int delay = 0; delay < i * 20; ++delay)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    const long found = rig.client.cancel(0, 0);
    const long result = rig.client.await(0, 0);
    ASSERT_TRUE(result == 0 || (result == -ECANCELED && found == 1)) << result << ", " << found;
  }
}

TEST_F(CancelRace, FlushInAnotherThread) {
  const Rig rig({.spin_us = 0});
  const Pipe sink = make_pipe();
  std::jthread flusher([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) rig.client.flush();
  });
  play(
      rig.client, 1000,
      [&] {
        rig.client.fill(0, 0, call(SYS_write, sink.writer.get(), "x", 1));
        rig.client.set(0, 1, FLEXSC_QUEUE_FLUSH);
      },
      sink, true);
}

// By descriptor, with a whole page in flight.
TEST_F(CancelRace, WholePagesOfADescriptor) {
  const Rig rig({.concurrency = 2, .spin_us = 200});
  const Pipe sink = make_pipe();
  long made_in_all = 0;
  long cancelled_in_all = 0;
  for (int i = 0; i < 300; ++i) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      rig.client.fill(0, bit, call(SYS_write, sink.writer.get(), "x", 1));
    }
    rig.client.submit(0, ~__u64{0});
    for (int delay = 0; delay < i * 10; ++delay)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    const long found = rig.client.cancel_fd(sink.writer.get());
    ASSERT_TRUE(found == -ENOENT || (found > 0 && found <= 64)) << found;
    ASSERT_EQ(rig.client.wait(64, kLong), 64) << "round " << i;
    long made = 0;
    for (unsigned bit = 0; bit < 64; ++bit) {
      const long result = rig.client.take(0, bit);
      ASSERT_TRUE(result == 1 || result == -ECANCELED) << result;
      if (result == 1) ++made;
    }
    ASSERT_LE(64 - made, found > 0 ? found : 0);
    ASSERT_EQ(static_cast<long>(drain(sink).size()), made);
    made_in_all += made;
    cancelled_in_all += 64 - made;
  }
  std::cout << made_in_all << " made, " << cancelled_in_all << " cancelled\n";
}

}  // namespace
}  // namespace flexsc_guest
