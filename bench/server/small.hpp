// SPDX-License-Identifier: MIT
/// @file
/// Servers of small requests, where crossings are a larger part of the work than in HTTP.
#pragma once

#include <nlohmann/json.hpp>

#include "program.hpp"

namespace flexsc::bench {

/// A datagram of 64 bytes comes back as it came.
nlohmann::json small_udp(Context& context);
/// The same, and before it is sent back twenty small calls on a file are made.
nlohmann::json small_files(Context& context);

}  // namespace flexsc::bench
