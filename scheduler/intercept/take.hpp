// SPDX-License-Identifier: MIT
/// @file
/// How a libc function is taken: one definition under libc's symbol that asks where it is.
#pragma once

#include "choice.hpp"
#include "next.hpp"

// Types and parameter lists cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)

/// Defines libc's `symbol`. Inside a fiber, if `name` is chosen, it returns `ours`; else it
/// calls the next definition with `args`. The C++ name is another than the symbol, so
/// that libc's own declarations, which differ in noexcept and attributes, do not matter.
#define FLEXSC_TAKE(result, name, symbol, params, args, ours)                \
  extern "C" result flexsc_intercept_##symbol params asm(#symbol);           \
  result flexsc_intercept_##symbol params {                                  \
    if (::flexsc::intercept::taken(::flexsc::intercept::Name::name)) {       \
      return ours;                                                           \
    }                                                                        \
    static constinit ::flexsc::intercept::Next<result params> next(#symbol); \
    return (*next)args;                                                      \
  }

/// The usual case: the function of flexsc/posix.hpp of that name, with the same arguments.
#define FLEXSC_TAKE_AS(result, name, symbol, params, args) \
  FLEXSC_TAKE(result, name, symbol, params, args, ::flexsc::name args)
#define FLEXSC_TAKE_SAME(result, name, params, args) \
  FLEXSC_TAKE_AS(result, name, name, params, args)

// NOLINTEND(bugprone-macro-parentheses)
