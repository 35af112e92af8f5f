// SPDX-License-Identifier: MIT
/// @file
/// What happens to a process of the stress program from outside.
#pragma once

#include <sys/types.h>

#include <string>

#include "life.hpp"

namespace flexsc_stress {

/// Lets allocations of tasks that ask for it fail, as long as it lives. Only kernels with fault
/// injection can; available() says so.
class FailingAllocations {
 public:
  FailingAllocations();
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
  ~FailingAllocations();
  [[nodiscard]] bool available() const { return available_; }
  /// The calling thread, and those it makes, are such tasks from now on.
  static void ask();

 private:
  bool available_;
};

/// Does something to the process, or nothing. Returns true if the process is going to die of it.
bool trouble(Random& random, pid_t process);

/// Takes CPU 1 away and gives it back.
void replug_cpu();

bool write_text(const std::string& path, const std::string& text);

}  // namespace flexsc_stress
