// SPDX-License-Identifier: MIT
/// @file
/// Command line of flexsc-httpd.
#pragma once

#include <optional>
#include <string>

#include "model.hpp"
#include "service.hpp"

namespace flexsc::http {

struct Options {
  ServiceOptions service;
  ModelOptions model;
  std::string port_file;   ///< empty: none
  std::string stats_file;  ///< empty: none
  bool quiet = false;
};

/// Reads the command line. When the program should end instead of serving (--help, or a
/// mistake, which is explained on stderr), returns nothing and sets `exit_code`.
[[nodiscard]] std::optional<Options> parse_options(int argc, char** argv, int& exit_code);

}  // namespace flexsc::http
