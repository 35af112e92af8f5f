// SPDX-License-Identifier: MIT
/// @file
/// From the kernel's convention (a value or -errno) to that of POSIX (-1 and errno).
#pragma once

#include <cerrno>

#include "flexsc/call.hpp"
#include "flexsc/fiber.hpp"

namespace flexsc::detail {

/// The kernel's results -1 to -4095 are errors.
inline constexpr long kLowestError = -4095;

inline long posix_result(long result) noexcept {
  if (result < 0 && result >= kLowestError) {
    errno = static_cast<int>(-result);
    return -1;
  }
  return result;
}

/// run_call() of C-like arguments, with a POSIX result of type R.
template <class R = int, class... Args>
R posix_call(long nr, Args... args) {
  return static_cast<R>(posix_result(run_call(make_call(nr, args...))));
}

}  // namespace flexsc::detail
