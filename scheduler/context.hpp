// SPDX-License-Identifier: MIT
/// @file
/// Switching between stacks of one thread, and what has to move along with the registers.
#pragma once

#include <cstddef>

#include "stack.hpp"

namespace flexsc::detail {

/// An execution context: a fiber's, or the one a carrier thread started with.
///
/// A switch keeps, for each context, the callee-saved registers (Boost's jump_fcontext),
/// errno, and the state of C++ exceptions of the thread (which exceptions are being
/// handled, how many are in flight). Boost does the last itself since 1.88, but only in
/// its class `fiber`, not in jump_fcontext; so it is done here with every version.
class Context {
 public:
  /// The context of the calling thread; to be filled by the first switch away from it.
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() = default;

  /// Makes a context that calls `entry` at the first switch to it. `entry` must begin
  /// with entered() and never return.
  void prepare(const Stack& stack, void (*entry)()) noexcept;

  /// Suspends `from`, which must be the running context, and resumes `to`. Returns when
  /// somebody switches back. With `from_ends`, nobody may.
  static void switch_to(Context& from, Context& to, bool from_ends) noexcept;

  /// Frees what the sanitizers keep for a context that has ended.
  void forget() noexcept;

 private:
  struct Entry;
  void* resume_ = nullptr;  ///< Boost's fcontext_t; null while running
  void (*entry_)() = nullptr;
  // For the sanitizers; unused without them.
  const void* stack_bottom_ = nullptr;
  std::size_t stack_size_ = 0;
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;
};

}  // namespace flexsc::detail
