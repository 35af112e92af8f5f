// SPDX-License-Identifier: MIT
// A worker that polls on another CPU, and an application that polls for its results: no crossing at
// all. Wall-clock time, in pairs with direct calls.
#include <sched.h>
#include <cerrno>

#include <array>
#include <stdexcept>
#include <string>

#include "device.hpp"
#include "measurements.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

// A sample is short, so that most of them see no other process take a CPU away, and there are many.
constexpr unsigned kPairs = 201;
constexpr unsigned kCalls = 256;  // of a sample
constexpr std::array kSizes = {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 12U, 16U, 32U, 64U};
constexpr unsigned kPatience = 1U << 30;  // looks at the completion bits
constexpr int kApplicationCpu = 0;
constexpr int kWorkerCpu = 1;

/// The calling thread on one CPU, for as long as this lives.
class Pinned {
 public:
  explicit Pinned(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    if (::sched_getaffinity(0, sizeof before_, &before_) < 0 ||
        ::sched_setaffinity(0, sizeof set, &set) < 0) {
      fail("pinning to CPU " + std::to_string(cpu), errno);
    }
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { ::sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

class Pair {
 public:
  Pair()
      : client_(group_, 1),
        pool_(group_.create_pool(
            {.concurrency = 1, .spin_us = FLEXSC_MAX_SPIN_US, .cpus = {kWorkerCpu}})),
        pinned_(kApplicationCpu) {}

  double direct() {
    return timed([] {
             for (unsigned i = 0; i < kCalls; ++i) (void)enter(FLEXSC_NR_NOP);
           }) /
           kCalls;
  }

  double batches(unsigned size) {
    const unsigned count = (kCalls + size - 1) / size;
    bool right = true;
    long sum = 0;
    const double time = timed([&] {
      for (unsigned i = 0; i < count; ++i) {
        fill<FLEXSC_NR_NOP>(client_.entry(0), size);
        client_.submit(pool_, 0, size);
        right &= poll(size);
        right &= client_.take(0, size);
        sum += sum_results(client_.entry(0), size);
      }
    });
    if (!right || sum != -ENOSYS * long{count} * size) {
      throw std::runtime_error("a batch of " + std::to_string(size) + " went wrong");
    }
    return time / (count * size);
  }

  json compare(Context& context, unsigned size) {
    return alternate(
        context.samples(kPairs), [&] { return batches(size); }, [&] { return direct(); });
  }

  /// Calls that found the worker asleep and had to ring.
  [[nodiscard]] __u64 doorbells() const { return group_.stats().doorbells; }

 private:
  /// Until all bits of a batch are set. Without `pause`, with which an emulator leaves the code of
  /// this CPU for much longer than a processor rests.
  [[nodiscard]] bool poll(unsigned size) const {
    const __u64 all = ~__u64{0} >> (FLEXSC_PAGE_ENTRIES - size);
    std::atomic_ref word(client_.header().completion.page[0]);
    for (unsigned i = 0; i < kPatience; ++i) {
      // Relaxed: take() acquires them.
      if (word.load(std::memory_order_relaxed) == all) return true;
    }
    return false;
  }

  Group group_;
  Client client_;
  unsigned pool_;
  Pinned pinned_;
};

}  // namespace

json breakeven_other(Context& context) {
  Pair pair;
  json result;
  unsigned done = 0;
  for (const unsigned size : kSizes) {
    result["batches"][std::to_string(size)] = pair.compare(context, size);
    context.progress(static_cast<double>(++done) / kSizes.size());
  }
  result["about"]["doorbells"] = pair.doorbells();
  return result;
}

json single_other(Context& context) {
  Pair pair;
  json result = {{"pairs", pair.compare(context, 1)}};
  result["about"]["doorbells"] = pair.doorbells();
  return result;
}

}  // namespace flexsc::bench
