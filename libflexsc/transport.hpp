// SPDX-License-Identifier: MIT
/// @file
/// What a channel over pages needs from those who serve the pages.
#pragma once

#include <chrono>
#include <cstdint>

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

  /// Wakes a worker of the pool. False when the workers have stopped for good.
  [[nodiscard]] virtual bool doorbell(unsigned pool) = 0;
  /// Sleeps until enough completion bits are set, notify() was called since the last wait()
  /// returned, the timeout is over or a signal came. Returns at once, with false, when the
  /// workers have stopped for good and no bit is set.
  [[nodiscard]] virtual bool wait(const WaitTerms& terms) = 0;
  /// Whether wait() can execute what is posted.
  [[nodiscard]] virtual bool helps() const noexcept { return false; }
  virtual void notify() = 0;

  /// Sets the completion bits of what is complete without having been told: for a channel that
  /// reaps and does not wait. Needed where no worker does it.
  virtual void look() {}
  /// Whether calls that wait for nobody are best made by the channel's thread at once.
  [[nodiscard]] virtual bool makes_quick_calls() const noexcept { return false; }
  /// Entries into the kernel so far, by a transport that does not make just one in each
  /// doorbell() and wait(); else 0.
  [[nodiscard]] virtual std::uint64_t crossings() const noexcept { return 0; }

  /// Whether workers end calls at the deadline that their entry gives.
  [[nodiscard]] virtual bool keeps_deadlines() const noexcept { return false; }
  /// Cancels a posted entry, of a chain the head: it completes with -ECANCELED, unless something
  /// else is faster.
  virtual void cancel(unsigned page, unsigned bit) = 0;
  /// The completion of an entry that was cancelled has been taken: from now on the place stands
  /// for another call.
  virtual void cancel_is_over(unsigned page, unsigned bit) = 0;
};

}  // namespace flexsc::detail
