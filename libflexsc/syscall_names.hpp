// SPDX-License-Identifier: MIT
/// @file
/// Names of system calls, for people. The list is made from the kernel's header when it is built.
#pragma once

#include <cstdint>

namespace flexsc::detail {

/// As in the manual, or null.
[[nodiscard]] const char* syscall_name(std::uint32_t nr) noexcept;

}  // namespace flexsc::detail
