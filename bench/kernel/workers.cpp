// SPDX-License-Identifier: MIT
// One batch of calls that take a while each, executed by one worker and by two, on CPUs of their
// own, while the application sleeps until all are done. Wall-clock time.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <thread>
#include <vector>

#include "device.hpp"
#include "exchange.hpp"
#include "measurements.hpp"
#include "rounds.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr unsigned kRounds = 20;
constexpr unsigned kPairs = 5;  // of a round
constexpr unsigned kCalls = 1024;
constexpr unsigned kPages = kCalls / FLEXSC_PAGE_ENTRIES;
constexpr std::size_t kBytes = 4096;  // that each call reads

/// 1024 calls of about 1800 instructions, which read a block of a file in memory. Each page of
/// entries has a file and a buffer of its own, so that workers which serve different pages share
/// nothing but what they must.
class Readers {
 public:
  Readers() : client_(group_, kPages) {
    one_ = group_.create_pool({.concurrency = 1, .cpus = {cpu(1)}});
    two_ = group_.create_pool({.concurrency = 2, .cpus = {cpu(1), cpu(2)}});
    for (unsigned page = 0; page < kPages; ++page) {
      files_.emplace_back(::memfd_create("readers", MFD_CLOEXEC));
      const std::vector<char> block(kBytes, byte_of(page));
      if (::write(files_[page].get(), block.data(), kBytes) != long{kBytes}) fail("write", errno);
    }
  }

  /// The time of one batch, in ns.
  double batch(unsigned pool) {
    for (unsigned page = 0; page < kPages; ++page) {
      fill<SYS_pread64>(client_.entry(page * FLEXSC_PAGE_ENTRIES), FLEXSC_PAGE_ENTRIES, file(page),
                        buffer(page), __u64{kBytes}, __u64{0});
    }
    long completed = 0;
    const double time = timed([&] {
      client_.submit(pool, 0, kCalls);
      completed =
          command(client_.fd(), FLEXSC_CMD_WAIT, FLEXSC_WAIT(0, kCalls, FLEXSC_WAIT_FOREVER));
    });
    if (completed != kCalls || !client_.take(0, kCalls)) {
      throw std::runtime_error("a batch was incomplete");
    }
    if (sum_results(client_.entry(0), kCalls) != long{kCalls} * long{kBytes}) {
      throw std::runtime_error("a read was short");
    }
    return time;
  }

  /// How much sooner the same calls are made directly by two threads, each half of them, than by
  /// one, on the CPUs of the workers.
  double bare_speed_up() {
    std::atomic<unsigned> ready{0};
    double one = 0;
    double first = 0;
    double second = 0;
    std::thread other([&] {
      const Pinned pinned(cpu(2));
      meet(ready, 2);
      second = direct(kPages / 2, kPages);
    });
    std::thread([&] {
      const Pinned pinned(cpu(1));
      one = direct(0, kPages);
      meet(ready, 2);
      first = direct(0, kPages / 2);
    }).join();
    other.join();
    return one / std::max(first, second);
  }

  void verify() const {
    for (unsigned page = 0; page < kPages; ++page) {
      if (buffers_[(page + 1) * kBytes - 1] != byte_of(page)) {
        throw std::runtime_error("a block was read wrong");
      }
    }
  }

  [[nodiscard]] unsigned one() const { return one_; }
  [[nodiscard]] unsigned two() const { return two_; }

 private:
  static void meet(std::atomic<unsigned>& ready, unsigned threads) {
    // Only the time of the meeting counts: nothing is passed on by it.
    ready.fetch_add(1, std::memory_order_relaxed);
    while (ready.load(std::memory_order_relaxed) < threads) ::sched_yield();
  }

  /// The time of the calls of these pages made directly, in ns.
  double direct(unsigned page, unsigned end) {
    return timed([&] {
      for (; page < end; ++page) {
        for (unsigned i = 0; i < FLEXSC_PAGE_ENTRIES; ++i) {
          (void)enter(SYS_pread64, file(page), buffer(page), kBytes, 0);
        }
      }
    });
  }

  static char byte_of(unsigned page) { return static_cast<char>('a' + page); }
  [[nodiscard]] __u64 file(unsigned page) const { return static_cast<__u64>(files_[page].get()); }
  [[nodiscard]] __u64 buffer(unsigned page) {
    return reinterpret_cast<std::uintptr_t>(&buffers_[page * kBytes]);
  }

  std::vector<Fd> files_;
  std::vector<char> buffers_ = std::vector<char>(kPages * kBytes);
  Group group_;
  Client client_;
  unsigned one_ = 0;
  unsigned two_ = 0;
};

}  // namespace

// Two workers can be faster than one only where two threads are: on a busy machine, whose CPUs
// serve others too, they are not.
json workers2(Context& context) {
  constexpr double kLeast = 1.8;
  constexpr double kMost = 2.2;
  Readers readers;
  const Condition free{"machine",
                       "free",
                       "busy",
                       "bare_speed_up",
                       [&] { return readers.bare_speed_up(); },
                       [](double speed_up) { return speed_up >= kLeast && speed_up <= kMost; }};
  const auto round = [&] {
    return json{{"1024", alternate(
                             context.samples(kPairs), [&] { return readers.batch(readers.one()); },
                             [&] { return readers.batch(readers.two()); })}};
  };
  json result = in_rounds(context, kRounds, free, round, [](const json& samples) {
    return json{{"pairs", samples["1024"]}};
  });
  readers.verify();
  result["about"]["call"] = "pread64 of 4096 bytes of a file in memory";
  return result;
}

}  // namespace flexsc::bench
