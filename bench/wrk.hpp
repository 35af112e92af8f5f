// SPDX-License-Identifier: MIT
/// @file
/// The load generator wrk as a child process, and what its report says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flexsc::bench {

/// Figures of one run of wrk.
struct WrkReport {
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;  ///< socket errors, timeouts, answers other than 2xx and 3xx
  double requests_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
};

/// Reads what `wrk --latency` printed. Nothing if figures are missing.
[[nodiscard]] std::optional<WrkReport> parse_wrk(const std::string& text);

/// Runs wrk with one thread against `url`, on the given CPUs (empty: all).
/// @throws std::runtime_error with its output when it fails or is not installed.
[[nodiscard]] WrkReport run_wrk(const std::string& url, unsigned connections, unsigned seconds,
                                const std::vector<int>& cpus);

}  // namespace flexsc::bench
