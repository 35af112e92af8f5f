// SPDX-License-Identifier: MIT
/// @file
/// What a channel over pages needs from those who serve the pages.
#pragma once

#include <chrono>

namespace flexsc::detail {

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
  /// Sleeps until a completion bit is set, notify() was called since the last wait()
  /// returned, `timeout` is over (negative: never) or a signal came. Returns at once,
  /// with false, when the workers have stopped for good and no bit is set.
  [[nodiscard]] virtual bool wait(std::chrono::nanoseconds timeout) = 0;
  virtual void notify() = 0;
};

}  // namespace flexsc::detail
