// SPDX-License-Identifier: MIT
/// @file
/// Cancellation of fibers: a request that the fiber notices where it waits.
///
/// Fiber::cancel() asks. From then on each wait of that fiber which is a cancellation point
/// throws Cancelled, until the fiber has ended: sleeps, join(), waits on condition variables,
/// semaphores, latches, wait groups, barriers, channels and futures. System calls throw nothing,
/// C code may be in between: one that waits, and every further one that is not made at once (as
/// close() is), fails with ECANCELED. A wait that ends by what
/// it waited for does not throw, so nothing that was handed over is lost. Locking a mutex is
/// no cancellation point (as in POSIX), nor is any wait while an exception unwinds the fiber's
/// stack, or under a CancelShield: clean-up can wait.
#pragma once

#include <exception>

namespace flexsc {

/// Thrown by a cancellation point of a fiber that was asked to end. Not to be swallowed: let
/// it reach the fiber's end, where join() rethrows it and a detached fiber just ends.
class Cancelled : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "the fiber was cancelled"; }
};

/// While one exists, the fiber that made it is not cancelled. To be destroyed by that fiber.
/// In a plain thread it does nothing.
class CancelShield {
 public:
  CancelShield() noexcept;
  CancelShield(const CancelShield&) = delete;
  CancelShield& operator=(const CancelShield&) = delete;
  ~CancelShield();
};

namespace this_fiber {
/// Whether the running fiber was asked to end, shielded or not. False in a plain thread.
[[nodiscard]] bool cancel_requested() noexcept;
/// A cancellation point that does not wait. @throws Cancelled
void check_cancel();
}  // namespace this_fiber

}  // namespace flexsc
