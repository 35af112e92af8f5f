// SPDX-License-Identifier: MIT
/// @file
/// Samples of a wall clock on a machine that others use too, or whose CPUs a host moves about: in
/// rounds, with a look at the machine before and after each.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "program.hpp"

namespace flexsc::bench {

inline constexpr unsigned kRounds = 20;

/// What a round depends on, and the module does not.
struct Condition {
  std::string what;    ///< it is about, such as "CPUs"
  std::string good;    ///< and what that is called where it is as it should be,
  std::string bad;     ///< and where it is not
  std::string number;  ///< the name of what look() measures
  std::function<double()> look;
  std::function<bool(double)> is_good;
};

/// Rounds of sample(), which returns pairs by size: {"SIZE": [[a, b], ...]}. Those before and after
/// which the condition is good are the result, if there are any within a while; the others come
/// with it as "otherwise", or are the result if there are no good ones. A round in which the
/// condition changed does not count. as_samples turns all pairs into what a Measurement returns.
/// @throws std::runtime_error if no round counts
nlohmann::json in_rounds(Context& context, unsigned rounds, const Condition& condition,
                         const std::function<nlohmann::json()>& sample,
                         const std::function<nlohmann::json(const nlohmann::json&)>& as_samples);

}  // namespace flexsc::bench
