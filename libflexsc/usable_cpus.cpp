// SPDX-License-Identifier: MIT
#include "usable_cpus.hpp"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

namespace flexsc::detail {

std::vector<int> usable_cpus(const std::vector<int>& cpus) {
  if (cpus.empty()) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  // The kernel knows; it cuts the set to the cpuset and to what is there, or refuses. A thread of
  // its own asks, as the caller's binding is not to change, not even for a moment.
  int error = 0;
  std::thread([&] {
    if (sched_setaffinity(0, sizeof set, &set) != 0 ||
        sched_getaffinity(0, sizeof set, &set) != 0) {
      error = errno;
    }
  }).join();
  if (error != 0) throw std::system_error(error, std::generic_category(), kNoUsableCpu);
  std::vector<int> usable;
  std::copy_if(cpus.begin(), cpus.end(), std::back_inserter(usable),
               [&set](int cpu) { return CPU_ISSET(static_cast<std::size_t>(cpu), &set); });
  if (usable.empty()) throw std::system_error(EINVAL, std::generic_category(), kNoUsableCpu);
  return usable;
}

}  // namespace flexsc::detail
