// SPDX-License-Identifier: MIT
/// @file
/// What of the machine this process may use.
#pragma once

#include <string>
#include <thread>
#include <vector>

namespace flexsc::detail {

/// The CPUs on which the calling thread may run. @throws std::system_error
[[nodiscard]] std::vector<int> allowed_cpus();

/// For how many CPUs' worth of time the cgroups of this process leave room (cpu.max, rounded up;
/// the tightest on the way to the root counts), or 0 if they set no limit. `root` is where
/// cgroup2 is mounted and `self` a file like /proc/self/cgroup.
[[nodiscard]] unsigned cgroup_cpus(const std::string& root = "/sys/fs/cgroup",
                                   const std::string& self = "/proc/self/cgroup");

/// The CPUs of the carriers if the user names none: those allowed, but no more than the cgroups
/// leave time for. With more, one would be stopped while others wait for it.
[[nodiscard]] std::vector<int> default_carrier_cpus();

/// Binds a carrier to one CPU. @throws std::system_error that says what to look at
void pin(std::thread& thread, int cpu);

}  // namespace flexsc::detail
