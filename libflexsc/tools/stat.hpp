// SPDX-License-Identifier: MIT
/// @file
/// `flexsc stat`: what happened between two looks at the groups, for programs and for people.
#pragma once

#include <optional>
#include <string>

#include "groups.hpp"

namespace flexsc::tools {

/// One look.
struct Sample {
  double seconds = 0;  ///< when, by a clock that only goes forward
  Json content;        ///< from parse_groups()
};

/// The groups (of one process, if there is a `process`) as they are now. With an earlier look,
/// "interval_s" says how long ago that was, and each group, pool and client that was there then,
/// or has come since, gets "per_second" (its counters) and "during" (its histograms, of what was
/// counted since). Without one, interval_s is null and the counters are since each was made.
[[nodiscard]] Json report(const Sample& now, const std::optional<Sample>& before,
                          std::optional<int> process);

/// The report as lines for a terminal. `clients`: with a line for each of them.
[[nodiscard]] std::string table(const Json& report, bool clients);

/// The value below which this part (0 to 1) of what a histogram counted lies, as the end of its
/// bucket; nothing, if it is empty.
[[nodiscard]] std::optional<double> quantile(const Json& histogram, double part);

/// At most five characters: 950, 12.3k, 4.56M.
[[nodiscard]] std::string brief(double number);
/// Likewise: 950n, 12.3u, 4.56m, 1.20s.
[[nodiscard]] std::string brief_time(double nanoseconds);

}  // namespace flexsc::tools
