// SPDX-License-Identifier: MIT
/// @file
/// Which of the CPUs that a user names for workers there are for this process.
#pragma once

#include <vector>

namespace flexsc::detail {

/// Those of `cpus` on which a thread of this process can be made to run, in their order. None
/// named: none. Numbers are below CPU_SETSIZE.
/// @throws std::system_error (EINVAL) that says what to do, if none of those named is left.
[[nodiscard]] std::vector<int> usable_cpus(const std::vector<int>& cpus);

/// The sentence of that error.
inline constexpr const char* kNoUsableCpu =
    "workers cannot run on the CPUs that worker_cpus names: name CPUs on which this process may "
    "run (see `taskset -p` and its cpuset)";

}  // namespace flexsc::detail
