// SPDX-License-Identifier: MIT
// A worker that polls on another CPU, and an application that polls for its results: no crossing at
// all. Wall-clock time, in pairs with direct calls.
#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

#include "device.hpp"
#include "exchange.hpp"
#include "measurements.hpp"
#include "patience.hpp"
#include "rounds.hpp"
#include "uring.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

// A sample is short, so that most of them see no other process take a CPU away, and there are many.
constexpr unsigned kRoundPairs = 10;    // of a round, for each size
constexpr unsigned kShortSample = 256;  // calls
constexpr std::array kSizes = {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 12U, 16U, 32U, 64U};

/// The time of a direct call, in ns.
double direct() {
  return timed([] {
           for (unsigned i = 0; i < kShortSample; ++i) (void)enter(FLEXSC_NR_NOP);
         }) /
         kShortSample;
}

class Pair {
 public:
  Pair()
      : client_(group_, 1),
        pool_(group_.create_pool(
            {.concurrency = 1, .spin_us = FLEXSC_MAX_SPIN_US, .cpus = {cpu(kWorkerCpu)}})),
        pinned_(cpu(kApplicationCpu)) {}

  double batches(unsigned size) {
    const unsigned count = (kShortSample + size - 1) / size;
    bool right = true;
    long sum = 0;
    const double time = timed([&] {
      for (unsigned i = 0; i < count; ++i) {
        fill<FLEXSC_NR_NOP>(client_.entry(0), size);
        client_.submit(pool_, 0, size);
        poll(size);
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
        context.samples(kRoundPairs), [&] { return batches(size); }, direct);
  }

 private:
  /// Until all bits of a batch are set. Without `pause`, with which an emulator leaves the code of
  /// this CPU for much longer than a processor rests.
  void poll(unsigned size) const {
    const __u64 all = ~__u64{0} >> (FLEXSC_PAGE_ENTRIES - size);
    std::atomic_ref word(client_.header().completion.page[0]);
    double begun = 0;
    // Relaxed: take() acquires them.
    for (unsigned i = 1; word.load(std::memory_order_relaxed) != all; ++i) {
      if (i % kLooks == 0) be_patient(begun);
    }
  }

  /// Gives up with what there is to know, if it took too long.
  [[gnu::cold]] void be_patient(double& begun) const {
    if (begun == 0) begun = now();
    if (now() - begun < kPatience) return;
    const flexsc_stats stats = group_.stats();
    throw std::runtime_error(
        "a batch did not complete: submission " +
        std::to_string(client_.header().submission[pool_].page[0]) + ", completion " +
        std::to_string(client_.header().completion.page[0]) + ", need_doorbell " +
        std::to_string(client_.header().need_doorbell[pool_].value) + ", running " +
        std::to_string(stats.running) + " of " + std::to_string(stats.workers) + ", parks " +
        std::to_string(stats.parks) + ", wakes " + std::to_string(stats.wakes));
  }

  Group group_;
  Client client_;
  unsigned pool_;
  Pinned pinned_;
};

/// The time of a direct call, in ns: the median of some samples.
double usual_direct() {
  std::array<double, kRoundPairs> times{};
  for (double& time : times) time = direct();
  std::nth_element(times.begin(), times.begin() + kRoundPairs / 2, times.end());
  return times[kRoundPairs / 2];
}

/// The host of an emulated machine decides whether two of its CPUs are near each other, and moves
/// them. They are called near if an exchange between them takes less than a direct call: where it
/// takes more, that is all that the samples show.
json measure(Context& context, std::span<const unsigned> sizes,
             const std::function<json(const json&)>& as_samples) {
  const double limit = usual_direct();
  const Condition near{"CPUs",
                       "near",
                       "far",
                       "bare_exchange_ns",
                       [] { return Exchange().measure(); },
                       [limit](double exchange) { return exchange <= limit; }};
  const auto round = [&] {
    json pairs;
    Pair pair;
    for (const unsigned size : sizes) pairs[std::to_string(size)] = pair.compare(context, size);
    return pairs;
  };
  return in_rounds(context, kRounds, near, round, as_samples);
}

}  // namespace

json breakeven_other(Context& context) {
  return measure(context, kSizes, [](const json& samples) { return json{{"batches", samples}}; });
}

json sizes_other(Context& context) {
  constexpr std::array kDoubled = {1U, 2U, 4U, 8U, 16U, 32U, 64U};
  Pair pair;
  // Twice: its thread completes entries before it says that it has taken them.
  Ring ring(2 * FLEXSC_PAGE_ENTRIES, static_cast<unsigned>(cpu(kWorkerCpu)));
  json direct_line = {{"call", "no-op"}, {"how", "direct"}};
  json worker = {{"call", "no-op"}, {"how", "worker on another CPU"}};
  json uring = {{"call", "no-op of io_uring"}, {"how", "io_uring, SQPOLL"}};
  // Both poll on the other CPU when their turn is: one after the other, or they would share it.
  const auto sample = [&](json& line, unsigned size, auto&& measure) {
    (void)measure();
    for (unsigned i = 0; i < context.samples(kRoundPairs * 5, 1); ++i) {
      line["batches"][std::to_string(size)].push_back(measure());
    }
  };
  sample(direct_line, 1, direct);
  for (const unsigned size : kDoubled) sample(worker, size, [&] { return pair.batches(size); });
  context.progress(0.5);
  for (const unsigned size : kDoubled)
    sample(uring, size, [&] { return ring.batches(size, kShortSample); });
  return {{"table", json::array({direct_line, worker, uring})}};
}

json single_other(Context& context) {
  constexpr std::array one = {1U};
  return measure(context, one, [](const json& samples) { return json{{"pairs", samples["1"]}}; });
}

}  // namespace flexsc::bench
