// SPDX-License-Identifier: MIT
/// @file
/// A system call as data, and how to make one directly.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

namespace flexsc {

/// One system call: its x86-64 number and six arguments as the kernel sees them.
/// Memory that an argument points to must stay valid until the call completes.
struct Call {
  std::uint32_t nr = 0;
  std::array<std::uint64_t, 6> args{};
};

/// What became of a posted call.
struct Completion {
  void* token = nullptr;  ///< as given to Channel::post()
  long result = 0;        ///< what the kernel returned: a value or -errno
};

namespace detail {
template <class T>
std::uint64_t as_argument(T value) noexcept {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<std::uint64_t>(value);
  } else if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else {
    static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
    // Sign-extends, as a C caller's `long` would.
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  }
}
}  // namespace detail

/// Builds a Call from C-like arguments (integers, enums, pointers).
template <class... Args>
Call make_call(long nr, Args... args) noexcept {
  static_assert(sizeof...(Args) <= 6, "a system call has at most six arguments");
  return Call{static_cast<std::uint32_t>(nr), {detail::as_argument(args)...}};
}

/// Makes the call in the calling thread, by the `syscall` instruction, and returns
/// the kernel's result (a value or -errno). Neither touches errno nor goes through
/// libc, so an interception library never sees it.
inline long execute(const Call& call) noexcept {
  // First all loads, then the registers: a call in between (array access without
  // optimisation, a sanitizer's check) would spoil those that are set already.
  const std::uint64_t a0 = call.args[0];
  const std::uint64_t a1 = call.args[1];
  const std::uint64_t a2 = call.args[2];
  const std::uint64_t a3 = call.args[3];
  const std::uint64_t a4 = call.args[4];
  const std::uint64_t a5 = call.args[5];
  long result = static_cast<long>(call.nr);
  register std::uint64_t r10 asm("r10") = a3;
  register std::uint64_t r8 asm("r8") = a4;
  register std::uint64_t r9 asm("r9") = a5;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(a0), "S"(a1), "d"(a2), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

}  // namespace flexsc
