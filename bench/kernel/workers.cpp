// SPDX-License-Identifier: MIT
// One batch of calls that take a while each, executed by one worker, by two and by three, on CPUs
// of their own, while the application sleeps until all are done. Wall-clock time.
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

constexpr unsigned kReadPairs = 5;  // of a round
constexpr unsigned kTableSamples = 101;
constexpr unsigned kMostWorkers = 3;
constexpr unsigned kReads = 1024;
constexpr unsigned kPages = kReads / FLEXSC_PAGE_ENTRIES;
constexpr std::size_t kReadBytes = 4096;  // that each call reads

/// 1024 calls of about 1800 instructions, which read a block of a file in memory. Each page of
/// entries has a file and a buffer of its own, so that workers which serve different pages share
/// nothing but what they must.
class Readers {
 public:
  /// With a pool of each number of workers up to `most`.
  explicit Readers(unsigned most) : client_(group_, kPages) {
    std::vector<int> cpus;
    for (unsigned workers = 1; workers <= most; ++workers) {
      cpus.push_back(cpu(workers));  // the first one is the application's
      pools_.push_back(group_.create_pool({.concurrency = workers, .cpus = cpus}));
    }
    for (unsigned page = 0; page < kPages; ++page) {
      files_.emplace_back(::memfd_create("readers", MFD_CLOEXEC));
      const std::vector<char> block(kReadBytes, byte_of(page));
      if (::write(files_[page].get(), block.data(), kReadBytes) != long{kReadBytes})
        fail("write", errno);
    }
  }

  /// The time of one batch by so many workers, in ns.
  double batch(unsigned workers) {
    const unsigned pool = pools_[workers - 1];
    for (unsigned page = 0; page < kPages; ++page) {
      fill<SYS_pread64>(client_.entry(page * FLEXSC_PAGE_ENTRIES), FLEXSC_PAGE_ENTRIES, file(page),
                        buffer(page), __u64{kReadBytes}, __u64{0});
    }
    long completed = 0;
    const double time = timed([&] {
      client_.submit(pool, 0, kReads);
      completed =
          command(client_.fd(), FLEXSC_CMD_WAIT, FLEXSC_WAIT(0, kReads, FLEXSC_WAIT_FOREVER));
    });
    if (completed != kReads || !client_.take(0, kReads)) {
      throw std::runtime_error("a batch was incomplete");
    }
    if (sum_results(client_.entry(0), kReads) != long{kReads} * long{kReadBytes}) {
      throw std::runtime_error("a read was short");
    }
    return time;
  }

  /// The time of the same calls made directly by so many threads, each a part of them, on the CPUs
  /// of the workers, in ns: from the first call to the end of the last one, so that a CPU which the
  /// host of an emulated machine has taken away counts.
  double threads(unsigned count) {
    std::atomic<unsigned> ready{0};
    std::vector<double> begun(count);
    std::vector<double> ended(count);
    std::vector<std::thread> all;
    for (unsigned i = 0; i < count; ++i) {
      all.emplace_back([&, i, on = cpu(i + 1)] {
        const Pinned pinned(on);
        meet(ready, count);
        begun[i] = now();
        direct(kPages * i / count, kPages * (i + 1) / count);
        ended[i] = now();
      });
    }
    for (std::thread& thread : all) thread.join();
    return *std::max_element(ended.begin(), ended.end()) -
           *std::min_element(begun.begin(), begun.end());
  }

  /// How much sooner two threads have made them than one.
  double bare_speed_up() { return threads(1) / threads(2); }

  void verify() const {
    for (unsigned page = 0; page < kPages; ++page) {
      if (buffers_[(page + 1) * kReadBytes - 1] != byte_of(page)) {
        throw std::runtime_error("a block was read wrong");
      }
    }
  }

 private:
  static void meet(std::atomic<unsigned>& ready, unsigned threads) {
    // Only the time of the meeting counts: nothing is passed on by it.
    ready.fetch_add(1, std::memory_order_relaxed);
    while (ready.load(std::memory_order_relaxed) < threads) ::sched_yield();
  }

  /// Makes the calls of these pages directly.
  void direct(unsigned page, unsigned end) {
    for (; page < end; ++page) {
      for (unsigned i = 0; i < FLEXSC_PAGE_ENTRIES; ++i) {
        (void)enter(SYS_pread64, file(page), buffer(page), kReadBytes, 0);
      }
    }
  }

  static char byte_of(unsigned page) { return static_cast<char>('a' + page); }
  [[nodiscard]] __u64 file(unsigned page) const { return static_cast<__u64>(files_[page].get()); }
  [[nodiscard]] __u64 buffer(unsigned page) {
    return reinterpret_cast<std::uintptr_t>(&buffers_[page * kReadBytes]);
  }

  std::vector<Fd> files_;
  std::vector<char> buffers_ = std::vector<char>(kPages * kReadBytes);
  Group group_;
  Client client_;
  std::vector<unsigned> pools_;
};

}  // namespace

// Two workers can be faster than one only where two threads are: on a busy machine, whose CPUs
// serve others too, they are not.
json workers2(Context& context) {
  constexpr double kLeast = 1.8;
  constexpr double kMost = 2.2;
  Readers readers(2);
  const Condition free{"machine",
                       "free",
                       "busy",
                       "bare_speed_up",
                       [&] { return readers.bare_speed_up(); },
                       [](double speed_up) { return speed_up >= kLeast && speed_up <= kMost; }};
  const auto round = [&] {
    return json{{"1024", alternate(
                             context.samples(kReadPairs), [&] { return readers.batch(1); },
                             [&] { return readers.batch(2); })}};
  };
  json result = in_rounds(context, kRounds, free, round, [](const json& samples) {
    return json{{"pairs", samples["1024"]}};
  });
  readers.verify();
  result["about"]["call"] = "pread64 of 4096 bytes of a file in memory";
  return result;
}

// Beside the workers stand threads that make the same calls directly, by turns: what they gain is
// what the machine's CPUs have to give.
json workers(Context& context) {
  Readers readers(kMostWorkers);
  json by_workers = {{"call", "pread of 4096 bytes"}, {"how", "workers"}};
  json by_threads = {{"call", "pread of 4096 bytes"}, {"how", "threads, directly"}};
  const unsigned samples = context.samples(kTableSamples);
  for (unsigned i = 0; i <= samples; ++i) {
    for (unsigned count = 1; count <= kMostWorkers; ++count) {
      const double workers = readers.batch(count) / kReads;
      const double threads = readers.threads(count) / kReads;
      if (i == 0) continue;  // it warms up
      by_workers["batches"][std::to_string(count)].push_back(workers);
      by_threads["batches"][std::to_string(count)].push_back(threads);
    }
    context.progress(static_cast<double>(i) / samples);
  }
  readers.verify();
  return {{"table", json::array({by_workers, by_threads})}};
}

}  // namespace flexsc::bench
