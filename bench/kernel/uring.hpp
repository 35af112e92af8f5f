// SPDX-License-Identifier: MIT
/// @file
/// io_uring, used directly, as something to compare the module with: batches of its no-op.
#pragma once

#include <liburing.h>

#include <cstddef>

namespace flexsc::bench {

/// A ring for batches of up to `entries`. What does not work throws std::runtime_error.
class Ring {
 public:
  /// The caller's crossing executes what is submitted.
  explicit Ring(unsigned entries);
  /// A kernel thread on this CPU executes it (SQPOLL), and polls for it for a second.
  Ring(unsigned entries, unsigned cpu);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { ::io_uring_queue_exit(&ring_); }

  /// Makes batches of `size` no-ops: fills the entries, submits, gets all results and reads them.
  /// Returns the time of each no-op in nanoseconds.
  double batches(unsigned size, unsigned calls);

 private:
  [[nodiscard]] long batch(unsigned size);

  io_uring ring_{};
  bool polled_;
};

}  // namespace flexsc::bench
