// SPDX-License-Identifier: MIT
/// @file
/// What the emulator counts while a server serves, see cache-model/marks.hpp.
#pragma once

#include <nlohmann/json.hpp>

#include "program.hpp"

namespace flexsc::bench {

/// Requests that the client made of one side while it was counted, worker on a CPU of its own.
nlohmann::json carrier(Context& context);
nlohmann::json pollution(Context& context);

/// Each server between two marks, on one CPU: how many requests it answered, and what is needed to
/// say which function an address was in.
nlohmann::json profile(Context& context);

}  // namespace flexsc::bench
