// SPDX-License-Identifier: MIT
/// @file
/// What a channel over pages needs from those who serve the pages.
#pragma once

#include <chrono>

namespace flexsc::detail {

/// How long a channel sleeps.
struct WaitTerms {
  unsigned min = 1;       ///< completion bits; with `adaptive`, the most to wait for
  bool adaptive = false;  ///< one bit is enough, and more are welcome
  bool help = false;      ///< execute what is posted first; only for a transport that helps()
  std::chrono::nanoseconds timeout{-1};  ///< negative: never
};

/// The way to the workers, beside the pages. notify() is for any thread, the rest for
/// the channel's.
class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  /// Wakes a worker. False when the workers have stopped for good.
  [[nodiscard]] virtual bool doorbell() = 0;
  /// Sleeps until enough completion bits are set, notify() was called since the last wait()
  /// returned, the timeout is over or a signal came. Returns at once, with false, when the
  /// workers have stopped for good and no bit is set.
  [[nodiscard]] virtual bool wait(const WaitTerms& terms) = 0;
  /// Whether wait() can execute what is posted.
  [[nodiscard]] virtual bool helps() const noexcept { return false; }
  virtual void notify() = 0;
};

}  // namespace flexsc::detail
