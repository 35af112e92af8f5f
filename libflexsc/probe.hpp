// SPDX-License-Identifier: MIT
/// @file
/// Saying in a sentence why the kernel engine cannot be used, and what to do.
#pragma once

#include <string>
#include <system_error>

#include "flexsc/engine.hpp"

namespace flexsc::detail {

/// What was being done.
enum class Stage { open_device, query, version, policy, make_pool, make_client, map_pages };

/// One sentence without its full stop. `error` is an errno (0 for Stage::version);
/// `module_version` is used by Stage::version alone.
[[nodiscard]] std::string explain(Stage stage, int error, const std::string& device,
                                  unsigned module_version = 0);

/// An error of the kernel engine with its explanation.
[[nodiscard]] std::system_error failure(Stage stage, int error, const std::string& device,
                                        unsigned module_version = 0);

/// The kernel engine's part of flexsc::probe(), for a device of any name.
[[nodiscard]] Availability probe_kernel(const std::string& device);
/// The part of engine `uring`.
[[nodiscard]] Availability probe_uring();

}  // namespace flexsc::detail
