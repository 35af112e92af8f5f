// SPDX-License-Identifier: MIT
/// @file
/// Latency of servers at fixed arrival rates, by the client of open_loop.hpp.
#pragma once

#include <nlohmann/json.hpp>

#include "program.hpp"

namespace flexsc::bench {

/// In a guest with three CPUs and the module: fibers on engine kernel with their worker on the same
/// CPU and on one of its own, and the other models on as many CPUs.
nlohmann::json latency(Context& context);
/// On this machine without the module: what runs there, on one CPU, with the client on the other.
nlohmann::json latency_native(Context& context);

}  // namespace flexsc::bench
