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
  long result = static_cast<long>(call.nr);
  register std::uint64_t a3 asm("r10") = call.args[3];
  register std::uint64_t a4 asm("r8") = call.args[4];
  register std::uint64_t a5 asm("r9") = call.args[5];
  asm volatile("syscall"
               : "+a"(result)
               : "D"(call.args[0]), "S"(call.args[1]), "d"(call.args[2]), "r"(a3), "r"(a4), "r"(a5)
               : "rcx", "r11", "memory");
  return result;
}

}  // namespace flexsc
