// SPDX-License-Identifier: MIT
// A worker that polls on another CPU, and an application that polls for its results: no crossing at
// all. Wall-clock time, in pairs with direct calls.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "device.hpp"
#include "exchange.hpp"
#include "measurements.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

// A sample is short, so that most of them see no other process take a CPU away, and there are many.
constexpr unsigned kRounds = 20;
constexpr unsigned kPairs = 10;   // of a round, for each size
constexpr unsigned kCalls = 256;  // of a sample
constexpr std::array kSizes = {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 12U, 16U, 32U, 64U};
constexpr double kPatience = 60e9;     // ns, for a batch
constexpr unsigned kLooks = 1U << 20;  // at the completion bits, between two at the clock
constexpr double kSearch = 90e9;       // ns, until the CPUs are near each other
constexpr double kGiveUp = 300e9;      // ns, until they stayed where they are for some rounds

/// The time of a direct call, in ns.
double direct() {
  return timed([] {
           for (unsigned i = 0; i < kCalls; ++i) (void)enter(FLEXSC_NR_NOP);
         }) /
         kCalls;
}

class Pair {
 public:
  Pair()
      : client_(group_, 1),
        pool_(group_.create_pool(
            {.concurrency = 1, .spin_us = FLEXSC_MAX_SPIN_US, .cpus = {kWorkerCpu}})),
        pinned_(kApplicationCpu) {}

  double batches(unsigned size) {
    const unsigned count = (kCalls + size - 1) / size;
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
        context.samples(kPairs), [&] { return batches(size); }, direct);
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

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<long>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Rounds of samples while the CPUs had one distance.
class Distance {
 public:
  void add(const json& pairs_of_sizes, double exchange) {
    exchanges_.push_back(exchange);
    for (const auto& [size, pairs] : pairs_of_sizes.items()) {
      auto& all = samples_[size];
      for (const json& pair : pairs) all.push_back({pair[0].get<double>(), pair[1].get<double>()});
    }
  }
  [[nodiscard]] unsigned rounds() const { return static_cast<unsigned>(exchanges_.size()); }
  /// Pairs by size.
  [[nodiscard]] json samples() const { return samples_; }
  [[nodiscard]] json about(const char* name) const {
    return {
        {"CPUs", name}, {"bare_exchange_ns", std::round(median(exchanges_))}, {"rounds", rounds()}};
  }

 private:
  std::map<std::string, std::vector<std::array<double, 2>>> samples_;
  std::vector<double> exchanges_;
};

struct Round {
  json pairs;       // by size
  double nearest;   // of the exchanges before and after, in ns
  double farthest;  // likewise
};

Round measure_round(Context& context, std::span<const unsigned> sizes) {
  const double before = Exchange().measure();
  json pairs;
  {
    Pair pair;
    for (const unsigned size : sizes) pairs[std::to_string(size)] = pair.compare(context, size);
  }
  const double after = Exchange().measure();
  return {std::move(pairs), std::min(before, after), std::max(before, after)};
}

void rest() {
  const timespec time{0, 200'000'000};
  ::nanosleep(&time, nullptr);
}

/// The host of an emulated machine decides whether two of its CPUs are near each other, and moves
/// them. They are called near if an exchange between them takes less than a direct call. Where it
/// takes more, that is all that the samples show, so those of near CPUs are the result, if there
/// are any within a while; the others come with it.
json measure(Context& context, std::span<const unsigned> sizes,
             const std::function<json(const json&)>& as_samples) {
  const unsigned wanted = context.samples(kRounds, 1);
  const double search = context.quick() ? 0 : kSearch;
  const double begun = now();
  std::vector<double> calls(kPairs);
  for (double& call : calls) call = direct();
  const double limit = median(calls);
  Distance near;
  Distance far;
  const auto within = [begun](double time) { return now() - begun < time; };
  while (near.rounds() < wanted && within(far.rounds() < wanted ? kGiveUp : search)) {
    // What a round is like is known after it: one during which they moved does not count.
    if (far.rounds() >= wanted && Exchange().measure() > limit) {
      rest();
      context.progress((now() - begun) / search);
      continue;
    }
    const Round round = measure_round(context, sizes);
    if (round.farthest <= limit) near.add(round.pairs, round.farthest);
    if (round.nearest > limit) far.add(round.pairs, round.nearest);
    context.progress(static_cast<double>(near.rounds()) / wanted);
  }
  if (near.rounds() + far.rounds() == 0)
    throw std::runtime_error("the CPUs are moved all the time");
  const bool have_near = near.rounds() > 0;
  json result = as_samples((have_near ? near : far).samples());
  result["about"] = have_near ? near.about("near") : far.about("far");
  if (have_near && far.rounds() > 0) {
    result["otherwise"] = as_samples(far.samples());
    result["otherwise"]["about"] = far.about("far");
  }
  return result;
}

}  // namespace

json breakeven_other(Context& context) {
  return measure(context, kSizes, [](const json& samples) { return json{{"batches", samples}}; });
}

json single_other(Context& context) {
  constexpr std::array one = {1U};
  return measure(context, one, [](const json& samples) { return json{{"pairs", samples["1"]}}; });
}

}  // namespace flexsc::bench
