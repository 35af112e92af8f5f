// SPDX-License-Identifier: MIT
/// @file
/// Checks that stay in every build: a broken invariant of the scheduler would otherwise
/// show as a stack of one fiber run by two carriers, far from its cause.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace flexsc::detail {

/// What messages end with: the seed used last and how to repeat it, or nothing. Async-signal-safe.
/// In interleaving.cpp.
[[nodiscard]] const char* seed_note() noexcept;

[[noreturn, gnu::cold, gnu::noinline]] inline void broken(const char* what, const char* file,
                                                          int line) noexcept {
  std::fprintf(stderr, "flexsc: internal error at %s:%d: %s does not hold\n%s", file, line, what,
               seed_note());
  std::abort();
}

}  // namespace flexsc::detail

#define FLEXSC_EXPECT(condition) \
  ((condition) ? void() : ::flexsc::detail::broken(#condition, __FILE__, __LINE__))
