// SPDX-License-Identifier: MIT
/// @file
/// Backtraces of stacks of another process that no thread of it is on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fiber_list.hpp"

namespace flexsc::tools {

/// By the unwind tables of its programs and libraries, with elfutils.
class Backtracer {
 public:
  /// `memory` must outlive it. What is not to be had leaves backtraces empty.
  Backtracer(const detail::ProcessMemory& memory, const detail::SavedRegisters& registers);
  Backtracer(const Backtracer&) = delete;
  Backtracer& operator=(const Backtracer&) = delete;
  ~Backtracer();

  /// From a stack pointer that jump_fcontext has left, innermost first: "function+0x12" and the
  /// like.
  [[nodiscard]] std::vector<std::string> of(std::uint64_t stack_pointer) const;

 private:
  struct Session;
  std::unique_ptr<Session> session_;
};

}  // namespace flexsc::tools
