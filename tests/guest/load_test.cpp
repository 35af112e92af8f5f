// SPDX-License-Identifier: MIT
// Many calls: none is lost, none runs twice, whatever the interleaving of posting and sleeping.
#include <atomic>
#include <bit>
#include <cstring>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Load : public GuestTest {};

TEST_F(Load, HundredThousandRoundTrips) {
  const Rig rig({.spin_us = 1000});
  constexpr unsigned kCalls = 100'000;
  const long parent = ::getppid();
  for (unsigned i = 0; i < kCalls; ++i) {
    // All places in turn, so that neighbours of a busy one are used too.
    const unsigned bit = i % 64;
    ASSERT_EQ(rig.client.post(0, bit, call(SYS_getppid)), 0);
    while (!rig.client.done(0, bit)) std::this_thread::yield();
    ASSERT_EQ(rig.client.take(0, bit), parent) << i;
  }
  EXPECT_TRUE(rig.group.has_executed(kCalls));
}

// Without spinning the worker goes to sleep after every call: the store of the submission bit and
// the look at need_doorbell race with its last look around. A lost wake-up hangs here.
TEST_F(Load, DoorbellHandshakeWithoutSpinning) {
  const Rig rig({.spin_us = 0});
  constexpr unsigned kCalls = 5'000;
  const long parent = ::getppid();
  for (unsigned i = 0; i < kCalls; ++i) {
    ASSERT_EQ(rig.client.post(0, i % 64, call(SYS_getppid)), 0);
    // Now and then give the worker time to get to any point of going to sleep.
    for (unsigned spin = 0; spin < i % 97; ++spin)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    ASSERT_EQ(rig.client.await(0, i % 64), parent) << i;
  }
}

// The same, and the client does not go to the kernel to wait: nothing but the doorbell wakes.
TEST_F(Load, DoorbellHandshakeWithPollingClient) {
  const Rig rig({.spin_us = 0});
  const long parent = ::getppid();
  for (unsigned i = 0; i < 5'000; ++i) {
    ASSERT_EQ(rig.client.post(0, i % 64, call(SYS_getppid)), 0);
    const auto end = std::chrono::steady_clock::now() + kLong;
    while (!rig.client.done(0, i % 64)) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "call " << i << " was never noticed";
      std::this_thread::yield();
    }
    ASSERT_EQ(rig.client.take(0, i % 64), parent);
  }
}

TEST_F(Load, BatchesOfEverySize) {
  const Rig rig;
  const long parent = ::getppid();
  for (unsigned round = 0; round < 20; ++round) {
    for (unsigned size = 1; size <= 64; ++size) {
      for (unsigned bit = 0; bit < size; ++bit) rig.client.fill(0, bit, call(SYS_getppid));
      const __u64 bits = size == 64 ? ~__u64{0} : (__u64{1} << size) - 1;
      ASSERT_EQ(rig.client.submit(0, bits), 0);
      ASSERT_EQ(rig.client.wait(size, kLong), size);
      for (unsigned bit = 0; bit < size; ++bit) ASSERT_EQ(rig.client.take(0, bit), parent);
      ASSERT_EQ(rig.client.completed(0), 0U);
      ASSERT_EQ(rig.client.submitted(0), 0U);
    }
  }
}

// One client per thread, one pool for all.
TEST_F(Load, ManyClientsFromManyThreads) {
  const Group group;
  ASSERT_EQ(group.create_pool({.concurrency = 2, .spin_us = 50}), 0);
  constexpr unsigned kThreads = 8;
  constexpr unsigned kRounds = 400;
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "sums", MFD_CLOEXEC)));
  std::atomic<unsigned> wrong{0};
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const Client client(group, 1 + t % 3);
      for (unsigned round = 0; round < kRounds; ++round) {
        const unsigned page = round % client.pages();
        for (unsigned bit = 0; bit < 16; ++bit) {
          // Its own offset: the result names the call that produced it.
          client.fill(page, bit, call(SYS_lseek, file.get(), t * 1000 + bit, SEEK_SET));
        }
        client.submit(page, 0xffff);
        for (unsigned bit = 0; bit < 16; ++bit) {
          if (client.await(page, bit) != long{t} * 1000 + bit) ++wrong;
        }
      }
    });
  }
  for (std::jthread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_TRUE(group.has_executed(long{kThreads} * kRounds * 16));
}

// Several threads post into one client, each into its own places: the submission word is shared.
TEST_F(Load, ManyThreadsInOneClient) {
  const Rig rig({.concurrency = 2, .spin_us = 20});
  const Pipe pipe = make_pipe();
  constexpr unsigned kThreads = 8;
  constexpr unsigned kRounds = 500;
  std::atomic<unsigned> wrong{0};
  std::atomic<long> written{0};
  std::jthread drain([&] {
    std::array<char, 4096> buffer{};
    for (ssize_t n = 1; n > 0; written += n > 0 ? n : 0) {
      n = ::read(pipe.reader.get(), buffer.data(), buffer.size());
      if (std::memchr(buffer.data(), 'q', static_cast<std::size_t>(n)) != nullptr) break;
    }
  });
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned round = 0; round < kRounds; ++round) {
        const unsigned bit = t * 8 + round % 8;
        rig.client.post(0, bit, call(SYS_write, pipe.writer.get(), "x", 1));
        while (!rig.client.done(0, bit)) std::this_thread::yield();
        if (rig.client.take(0, bit) != 1) ++wrong;
      }
    });
  }
  for (std::jthread& thread : threads) thread.join();
  put(pipe.writer, "q");
  drain.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_TRUE(rig.group.has_executed(long{kThreads} * kRounds));
}

// What is taken back with an atomic AND before the kernel claimed it is never executed; what the
// kernel claimed is. Nothing in between.
TEST_F(Load, TakingBackIsAllOrNothing) {
  const Rig rig({.spin_us = 0});
  const Pipe pipe = make_pipe(O_NONBLOCK);
  long executed = 0;
  for (unsigned i = 0; i < 5'000; ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      rig.client.fill(0, bit, call(SYS_write, pipe.writer.get(), "x", 1));
    }
    ASSERT_EQ(rig.client.submit(0, 0xff), 0);
    const __u64 ours = std::atomic_ref(rig.client.header().submission[0].page[0]).exchange(0);
    const unsigned claimed = 8 - static_cast<unsigned>(std::popcount(ours & 0xff));
    ASSERT_EQ(rig.client.wait(claimed, kLong), claimed);
    ASSERT_EQ(rig.client.completed(0), 0xff & ~ours);
    std::atomic_ref(rig.client.header().completion.page[0]).store(0);
    std::array<char, 16> drained{};
    const ssize_t n = ::read(pipe.reader.get(), drained.data(), drained.size());
    ASSERT_EQ(n < 0 ? 0 : n, static_cast<ssize_t>(claimed));
    executed += claimed;
  }
  EXPECT_TRUE(rig.group.has_executed(executed));
}

}  // namespace
}  // namespace flexsc_guest
