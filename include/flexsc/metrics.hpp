// SPDX-License-Identifier: MIT
/// @file
/// The counters of a Runtime for monitoring systems.
#pragma once

#include <string>

#include "flexsc/fiber.hpp"

namespace flexsc {

/// The counters in the text format of Prometheus (0.0.4), to be served as
/// `text/plain; version=0.0.4`. `label` tells several runtimes of a process apart: it is put into
/// each line as runtime="…", quoted as the format asks; empty: no label. @throws std::bad_alloc
[[nodiscard]] std::string prometheus_text(const RuntimeStats& stats, const std::string& label = {});

}  // namespace flexsc
