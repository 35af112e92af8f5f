// SPDX-License-Identifier: MIT
/// @file
/// What the programs that measure have in common: the command line, pairs of samples, progress, and
/// the file of samples. They judge nothing: medians, spreads and verdicts are the runner's.
#pragma once

#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace flexsc::bench {

/// CLOCK_MONOTONIC in nanoseconds: instructions where the guest counts them.
inline double now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// How long f() takes, without the reading of the clock.
template <class F>
double timed(F&& f) {
  const double first = now();
  const double start = now();
  f();
  return now() - start - (start - first);
}

/// The CPU with this number among those that the program was started on: the one itself where it
/// was started on all. So `taskset` chooses which CPUs of a machine are used, and a guest has all
/// of its own. Thread-safe. @throws std::runtime_error if there are not so many.
[[nodiscard]] int cpu(unsigned number);

/// One measurement in its run.
class Context {
 public:
  Context(std::string key, bool quick, std::string side = {})
      : key_(std::move(key)), quick_(quick), side_(std::move(side)) {}
  /// So many samples, or few where it only has to work.
  [[nodiscard]] unsigned samples(unsigned full, unsigned quick = 3) const {
    return quick_ ? quick : full;
  }
  [[nodiscard]] bool quick() const { return quick_; }
  [[nodiscard]] const std::string& key() const { return key_; }
  /// Of a measurement that takes the samples of one side only: "ours" or "other".
  [[nodiscard]] const std::string& side() const { return side_; }
  /// Tells the runner that this part (0 to 1) of the measurement is done.
  void progress(double part);
  void begin() { say(0); }
  void end() { say(1); }

 private:
  void say(double part);

  std::string key_;
  bool quick_;
  std::string side_;
  double shown_ = 0;
};

/// A B A B ...: pairs of what a() and b() return, after one of each that does not count.
template <class A, class B>
nlohmann::json alternate(unsigned pairs, A&& a, B&& b) {
  nlohmann::json result = nlohmann::json::array();
  (void)a();
  (void)b();
  for (unsigned i = 0; i < pairs; ++i) {
    const double first = a();
    result.push_back({first, b()});
  }
  return result;
}

struct Measurement {
  const char* key;
  /// Returns one of: {"pairs": [[a, b], ...]}, {"batches": {"SIZE": pairs, ...}},
  /// {"values": [...]}, {"table": [...]}; and what else there is to say under "about". Samples of
  /// the same that were taken under other conditions go under "otherwise", with their "about".
  nlohmann::json (*measure)(Context&);
};

/// A whole main(): the keys to measure and where to write are on the command line. They are
/// measured in the order of `all`.
int run_program(int argc, char** argv, const std::vector<Measurement>& all);

}  // namespace flexsc::bench
