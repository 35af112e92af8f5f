// SPDX-License-Identifier: MIT
/// @file
/// Servers of small requests, where crossings are a larger part of the work than in HTTP.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "program.hpp"

namespace flexsc::bench {

/// A datagram of 64 bytes comes back as it came.
nlohmann::json small_udp(Context& context);
/// The same, and before it is sent back twenty small calls on a file are made.
nlohmann::json small_files(Context& context);

enum class Small { udp, files };
[[nodiscard]] constexpr std::string_view to_string(Small small) noexcept {
  return small == Small::udp ? "UDP echo" : "UDP echo and 20 file calls";
}
/// Requests of a time, by fibers or by one thread that calls directly, between the marks of the
/// cache model.
[[nodiscard]] std::uint64_t requests_counted(Small small, bool by_fibers);

}  // namespace flexsc::bench
