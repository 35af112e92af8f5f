// SPDX-License-Identifier: MIT
/// @file
/// Getting threads of this process out of calls in which they sleep.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "flexsc/call.hpp"

namespace flexsc::detail {

/// The signal for it: its handler does nothing, so that all it does is to end calls with EINTR.
/// Chosen once, and installed: the highest real-time signal that has no handler.
/// @throws std::system_error (EBUSY) when all of them have one.
[[nodiscard]] int interrupt_signal();

/// Interrupts the call that a thread of this process is in. If the thread has not begun it yet,
/// the signal is lost: do it again until the call is over.
void interrupt(pid_t thread) noexcept;

/// Takes signals that interrupt() has sent to the caller so far out of the way of its next call.
void pass_interrupts() noexcept;

/// Makes a call in the calling thread; -ETIME if `deadline` passes before it begins or while it
/// sleeps. A call that no signal interrupts goes on beyond it.
/// @throws std::system_error as interrupt_signal()
[[nodiscard]] long execute_until(const Call& call, std::chrono::steady_clock::time_point deadline);

}  // namespace flexsc::detail
