// SPDX-License-Identifier: MIT
/// @file
/// How a libc function is taken: one definition under libc's symbol that asks where it is.
#pragma once

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "choice.hpp"

namespace flexsc::intercept {

/// The definition that would be called without this library: libc's, or that of another
/// interposer. Looked up at the first call; needs no initialisation.
template <class Function>
class Next {
 public:
  explicit constexpr Next(const char* symbol) noexcept : symbol_(symbol) {}

  Function* operator*() noexcept {
    // relaxed: a pointer to code; whoever looks it up finds the same one.
    void* address = address_.load(std::memory_order_relaxed);
    if (address == nullptr) [[unlikely]]
      address = look_up();
    return reinterpret_cast<Function*>(address);
  }

 private:
  [[gnu::cold, gnu::noinline]] void* look_up() noexcept {
    void* address = dlsym(RTLD_NEXT, symbol_);
    if (address == nullptr) {
      std::fprintf(stderr,
                   "flexsc: no library after libflexsc-intercept.so defines '%s'; it must be "
                   "preloaded or linked before libc\n",
                   symbol_);
      std::abort();
    }
    address_.store(address, std::memory_order_relaxed);
    return address;
  }

  const char* symbol_;
  std::atomic<void*> address_{nullptr};
};

}  // namespace flexsc::intercept

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
