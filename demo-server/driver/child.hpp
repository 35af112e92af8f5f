// SPDX-License-Identifier: MIT
/// @file
/// A program in a process of its own: servers of ours and of others, and who loads them.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace flexsc::http::driver {

/// What a process is given.
struct ProcessLimits {
  unsigned max_files = 0;  ///< open descriptors; 0: the default
  std::vector<int> cpus;   ///< on which it may run; empty: all
};

/// Files that take what it says, anew; empty: where this process says it. Both may be the same.
struct ProcessOutput {
  std::string out;
  std::string errors;
};

/// Allows the calling thread the given CPUs only (all, if none is named). Allocates
/// nothing, so it can be called between fork and exec.
void restrict_to_cpus(const std::vector<int>& cpus) noexcept;

/// What a file holds; empty if there is none.
[[nodiscard]] std::string contents_of(const std::string& path);

/// What exit_code() is of a program that is not there.
inline constexpr int kNotFound = 127;

/// Killed and waited for by the destructor, if it still runs. Not thread-safe.
class Child {
 public:
  /// Starts the program words[0], looked for in PATH if it has no slash.
  /// @throws std::system_error if there can be no process
  Child(std::vector<std::string> words, const ProcessLimits& limits, const ProcessOutput& output);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  /// Whether it has not ended. Does not wait.
  [[nodiscard]] bool running() noexcept;
  /// Its number; -1 once it is known to have ended.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Nothing happens once it is known to have ended.
  void signal(int number) const noexcept;
  /// Waits for its end without a limit; its exit_code(), or -1 if this process may not wait for it.
  int wait() noexcept;
  /// After its end: 128 + signal if a signal ended it.
  [[nodiscard]] int exit_code() const noexcept;

 private:
  [[nodiscard]] bool reap(int options) noexcept;

  pid_t pid_ = -1;  ///< -1: it has ended
  int status_ = 0;
};

}  // namespace flexsc::http::driver
