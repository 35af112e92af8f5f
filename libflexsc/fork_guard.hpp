// SPDX-License-Identifier: MIT
/// @file
/// Workers do not survive fork(): the child has neither their threads nor, with the
/// kernel engine, the pages. Objects remember in which process they were made.
#pragma once

#include <atomic>

namespace flexsc::detail {

/// Forks between the first process and this one. Relaxed everywhere: it changes only in
/// a child's single thread, before fork() returns there.
extern std::atomic<unsigned> fork_depth;

/// Remembers the process in which it was made.
class ForkGuard {
 public:
  [[nodiscard]] bool in_child() const noexcept {
    return fork_depth.load(std::memory_order_relaxed) != depth_;
  }
  /// Ends a child that uses what it inherited, with a message instead of a hang.
  void check() const noexcept {
    if (in_child()) [[unlikely]]
      die();
  }

 private:
  [[noreturn]] static void die() noexcept;

  unsigned depth_ = fork_depth.load(std::memory_order_relaxed);
};

/// Writes "flexsc: <message>" to standard error and aborts.
[[noreturn]] void fatal(const char* message) noexcept;

}  // namespace flexsc::detail
