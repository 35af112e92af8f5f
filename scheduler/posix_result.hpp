// SPDX-License-Identifier: MIT
/// @file
/// From the kernel's convention (a value or -errno) to that of POSIX (-1 and errno).
#pragma once

#include "flexsc/call.hpp"
#include "flexsc/fiber.hpp"

namespace flexsc::detail {

/// errno of the calling thread. In functions of their own, as a compiler may use the address it had
/// before a call that switches, in which the fiber may have moved to another thread. Never inlined.
[[nodiscard]] int get_errno() noexcept;
void set_errno(int error) noexcept;

/// The kernel's results -1 to -4095 are errors.
inline constexpr long kLowestError = -4095;

inline long posix_result(long result) noexcept {
  if (result < 0 && result >= kLowestError) {
    set_errno(static_cast<int>(-result));
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
