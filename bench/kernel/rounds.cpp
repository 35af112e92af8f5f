// SPDX-License-Identifier: MIT
#include "rounds.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <map>
#include <stdexcept>
#include <vector>

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr double kSearch = 90e9;   // ns, until the condition is good
constexpr double kGiveUp = 300e9;  // ns, until it stayed what it is for some rounds

/// Rounds under one condition.
class Rounds {
 public:
  void add(const json& pairs_of_sizes, double number) {
    numbers_.push_back(number);
    for (const auto& [size, pairs] : pairs_of_sizes.items()) {
      auto& all = samples_[size];
      for (const json& pair : pairs) all.push_back({pair[0].get<double>(), pair[1].get<double>()});
    }
  }
  [[nodiscard]] unsigned count() const { return static_cast<unsigned>(numbers_.size()); }
  /// Pairs by size.
  [[nodiscard]] json samples() const { return samples_; }
  [[nodiscard]] json about(const Condition& condition, const std::string& name) const {
    std::vector<double> sorted = numbers_;
    std::sort(sorted.begin(), sorted.end());
    const double median = sorted[sorted.size() / 2];
    return {{condition.what, name},
            {condition.number, std::round(100 * median) / 100},
            {"rounds", count()}};
  }

 private:
  std::map<std::string, std::vector<std::array<double, 2>>> samples_;
  std::vector<double> numbers_;
};

void rest() {
  const timespec time{0, 200'000'000};
  ::nanosleep(&time, nullptr);
}

}  // namespace

json in_rounds(Context& context, unsigned rounds, const Condition& condition,
               const std::function<json()>& sample,
               const std::function<json(const json&)>& as_samples) {
  const unsigned wanted = context.samples(rounds, 1);
  const double search = context.quick() ? 0 : kSearch;
  const double begun = now();
  const auto within = [begun](double time) { return now() - begun < time; };
  Rounds good;
  Rounds bad;
  while (good.count() < wanted && within(bad.count() < wanted ? kGiveUp : search)) {
    const double before = condition.look();
    const bool was_good = condition.is_good(before);
    if (bad.count() >= wanted && !was_good) {
      rest();
      context.progress((now() - begun) / search);
      continue;
    }
    const json pairs = sample();
    const double after = condition.look();
    if (condition.is_good(after) != was_good) continue;
    (was_good ? good : bad).add(pairs, (before + after) / 2);
    context.progress(static_cast<double>(good.count()) / wanted);
  }
  if (good.count() + bad.count() == 0) throw std::runtime_error("the machine is never at rest");
  const bool have_good = good.count() > 0;
  json result = as_samples((have_good ? good : bad).samples());
  result["about"] =
      have_good ? good.about(condition, condition.good) : bad.about(condition, condition.bad);
  if (have_good && bad.count() > 0) {
    result["otherwise"] = as_samples(bad.samples());
    result["otherwise"]["about"] = bad.about(condition, condition.bad);
  }
  return result;
}

}  // namespace flexsc::bench
