// SPDX-License-Identifier: MIT
/// @file
/// How often two servers are compared.
#pragma once

namespace flexsc::bench {

/// Counts of instructions hardly differ, and a virtual second takes half a minute.
inline constexpr unsigned kPairs = 5;

}  // namespace flexsc::bench
