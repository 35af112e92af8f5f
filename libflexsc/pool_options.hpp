// SPDX-License-Identifier: MIT
/// @file
/// The pools that an engine's options describe.
#pragma once

#include <vector>

#include "flexsc/engine.hpp"

namespace flexsc::detail {

/// All of them, by number.
inline std::vector<PoolOptions> pools_of(const EngineOptions& options) {
  std::vector<PoolOptions> pools{{.worker_cpus = options.worker_cpus,
                                  .concurrency = options.concurrency,
                                  .standby_max = options.standby_max,
                                  .spin = options.spin,
                                  .scheduling = options.scheduling}};
  pools.insert(pools.end(), options.more_pools.begin(), options.more_pools.end());
  return pools;
}

}  // namespace flexsc::detail
