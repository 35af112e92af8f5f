// SPDX-License-Identifier: MIT
/// @file
/// What a libc function would be without the library that takes its symbol.
#pragma once

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

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
                   "flexsc: no library after flexsc's own defines '%s'; libflexsc-intercept.so and "
                   "libflexsc-locks.so must be preloaded or linked before libc\n",
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
