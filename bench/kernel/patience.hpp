// SPDX-License-Identifier: MIT
/// @file
/// For how long a measurement polls for what the kernel does, before it says that it never came.
#pragma once

namespace flexsc::bench {

inline constexpr double kPatience = 60e9;     ///< ns
inline constexpr unsigned kLooks = 1U << 20;  ///< at what is polled, between two at the clock

}  // namespace flexsc::bench
