// SPDX-License-Identifier: MIT
/// @file
/// The counters that flexsc-httpd leaves behind.
#pragma once

#include <string>

#include "model.hpp"
#include "options.hpp"
#include "service.hpp"

namespace flexsc::http {

/// Writes the counters of a finished run to options.stats_file as JSON.
/// @throws std::system_error when the file cannot be written.
void write_stats(const Options& options, const Tally& tally, const ModelStats& stats);

/// Writes `text` to a file, so that a reader sees all of it or no file.
/// @throws std::system_error
void write_file(const std::string& path, const std::string& text);

}  // namespace flexsc::http
