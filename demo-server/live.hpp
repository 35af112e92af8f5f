// SPDX-License-Identifier: MIT
/// @file
/// What a running server shows of itself, below /-/: its counters for monitoring systems, and a
/// page that draws them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "request.hpp"
#include "site.hpp"

namespace flexsc::http {

/// Answers /-/live (the page), /-/chart.js (what it draws with) and /-/metrics (text format of
/// Prometheus). Thread-safe.
class Live {
 public:
  /// CPUs whose use is shown, with what they are for: "carrier", "worker".
  struct Core {
    int cpu = 0;
    std::string use;
  };
  explicit Live(std::vector<Core> cores) : cores_(std::move(cores)) {}

  /// Where counters come from that only the model knows, as text. Before serving.
  void set_source(std::function<std::string()> source) { source_ = std::move(source); }
  /// Counts a request that is answered.
  void count() noexcept { requests_.fetch_add(1, std::memory_order_relaxed); }

  /// The answer, if the request is for this.
  [[nodiscard]] std::optional<Answer> answer(const Request& request, bool last) const;

 private:
  [[nodiscard]] std::string metrics() const;
  [[nodiscard]] std::string core_metrics() const;

  std::vector<Core> cores_;
  std::function<std::string()> source_;
  std::atomic<std::uint64_t> requests_{0};  ///< relaxed: a number
};

}  // namespace flexsc::http
