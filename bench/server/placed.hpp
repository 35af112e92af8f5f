// SPDX-License-Identifier: MIT
/// @file
/// Who runs where, of a ground with so many CPUs.
#pragma once

#include "program.hpp"
#include "served.hpp"

namespace flexsc::bench {

/// The first CPUs are the server's. @throws std::runtime_error if there are too few
inline Placement placed(unsigned server, unsigned client) {
  Placement placement;
  for (unsigned i = 0; i < server; ++i) placement.server.push_back(cpu(i));
  placement.client = {cpu(client)};
  return placement;
}

}  // namespace flexsc::bench
