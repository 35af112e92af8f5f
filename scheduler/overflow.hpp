// SPDX-License-Identifier: MIT
/// @file
/// Stack overflows of fibers reported by name instead of as a bare crash.
#pragma once

#include <signal.h>

namespace flexsc::detail {

/// Installs, once per process, a SIGSEGV handler that names the fiber when the fault lies
/// in the guard of its stack, and then lets the default action happen. Any other fault is
/// passed to the handler that was installed before.
void install_overflow_handler() noexcept;

/// A signal stack for the calling thread, as the handler cannot run on a full one. Leaves
/// alone a signal stack that the thread has already (a sanitizer's).
class SignalStack {
 public:
  SignalStack() noexcept;
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;
  ~SignalStack();

 private:
  void* memory_ = nullptr;
};

}  // namespace flexsc::detail
