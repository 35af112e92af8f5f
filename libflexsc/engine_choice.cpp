// SPDX-License-Identifier: MIT
// Which engine `automatic` stands for.
#include <algorithm>
#include <cerrno>
#include <system_error>

#include "flexsc/engine.hpp"

namespace flexsc {

EngineChoice choose_engine(std::span<const EngineKind> best_first) {
  const std::vector<Availability> found = probe();
  std::string because;
  for (const EngineKind kind : best_first) {
    const auto engine = std::find_if(
        found.begin(), found.end(), [kind](const Availability& each) { return each.kind == kind; });
    if (engine == found.end()) continue;  // what stands for others is none itself
    if (engine->available) return {kind, because + engine->reason};
    because += "not " + std::string(to_string(kind)) + " (" + engine->reason + "); ";
  }
  throw std::system_error(ENOTSUP, std::generic_category(), "no engine: " + because);
}

EngineChoice choose_engine() {
  // The module saves most crossings and needs no thread for what waits. io_uring has one crossing
  // for all that a carrier posts in a round, where threads cost two switches for each call.
  constexpr EngineKind best_first[] = {EngineKind::kernel, EngineKind::uring, EngineKind::threads};
  return choose_engine(best_first);  // threads are never missing
}

}  // namespace flexsc
