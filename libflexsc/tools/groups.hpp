// SPDX-License-Identifier: MIT
/// @file
/// What the module tells the administrator, /sys/kernel/debug/flexsc/groups, as JSON. The format
/// of the text is in docs/observability.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace flexsc::tools {

/// Keeps the order of the keys, which is the order in which people read them.
using Json = nlohmann::ordered_json;

inline constexpr const char* kGroupsFile = "/sys/kernel/debug/flexsc/groups";

/// Turns the text into {"abi": n, "groups": [{..., "pools": [{...}], "clients": [{...}]}]}, every
/// key under the name it has in the text. Numbers become numbers, the histograms objects of
/// "lowest value of the bucket": count. Keys that are not known are kept.
/// @throws std::runtime_error with a sentence, if it is not such a text or one of another format.
[[nodiscard]] Json parse_groups(std::string_view text);

/// The content of the file.
/// @throws std::runtime_error with a sentence that says why it cannot be read and what to do.
[[nodiscard]] std::string read_groups(const std::string& file);

/// That sentence. `module_loaded` tells a missing module from a missing debugfs.
[[nodiscard]] std::string why_unreadable(const std::string& file, int error, bool module_loaded);

}  // namespace flexsc::tools
