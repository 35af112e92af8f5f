// SPDX-License-Identifier: MIT
/// @file
/// `flexsc fibers`: what the fibers of a process do.
#pragma once

#include <sys/types.h>

#include <string>

#include "groups.hpp"

namespace flexsc::tools {

/// {"process", "fibers": [{"address", "name", "state", "thread", "carrier", "waits_for", "waits_s",
/// "backtrace": [...]}]}; what does not apply to a fiber is null. Reads the memory of the process,
/// which it neither stops nor needs; a backtrace is given only if the fiber has not gone on
/// meanwhile.
/// @throws std::system_error: no such process, or one that the caller may not trace;
/// std::runtime_error: it has no fibers
[[nodiscard]] Json list_fibers(pid_t process, bool backtraces);

/// The same as lines for people.
[[nodiscard]] std::string fibers_text(const Json& list);

}  // namespace flexsc::tools
