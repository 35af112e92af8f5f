// SPDX-License-Identifier: MIT
/// @file
/// How a carrier sleeps in user space until another thread has something for it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>

namespace flexsc::detail {

/// One sleeper, any number of wakers.
///
/// Handshake: the sleeper announces itself in `word_`, then looks for what it waits for;
/// a waker writes what the sleeper waits for, then looks at `word_`. All four are
/// seq_cst, so at least one of them sees the other (see shared_word.hpp; it is the handshake of
/// tests/models/wait.pml). What the wakers did before is made visible by what they wrote for the
/// sleeper, not by `word_`.
class Parker {
 public:
  /// Why a sleep ended.
  enum class End { ready, notified, timeout, signal };

  /// Sleeps until ready(), notify(), the end of `timeout` (negative: never) or a signal.
  /// `ready` must look with seq_cst (peek_before_sleep()).
  template <class Ready>
  End park(std::chrono::nanoseconds timeout, Ready ready) {
    return park(timeout, ready, [this](std::chrono::nanoseconds left) { return sleep(left); });
  }

  /// The same, sleeping in `doze`, which gets what is left of the time (negative: for ever) and
  /// returns -ETIMEDOUT or -EINTR for these ends, and anything else to look again. The
  /// descriptor of wake_by() has to end it.
  template <class Ready, class Doze>
  End park(std::chrono::nanoseconds timeout, Ready ready, Doze doze) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::nanoseconds never{-1};
    const bool bounded = timeout.count() >= 0 && timeout < std::chrono::hours(24 * 3650);
    const auto end = bounded ? Clock::now() + timeout : Clock::time_point{};
    for (;;) {
      // Pairs with the load in wake(), see above.
      word_.store(1, std::memory_order_seq_cst);
      const End look = ready()                                                ? End::ready
                       : notified_.exchange(false, std::memory_order_seq_cst) ? End::notified
                                                                              : End::timeout;
      if (look != End::timeout) {
        word_.store(0, std::memory_order_relaxed);  // an undue wake() is harmless
        return look;
      }
      const long slept =
          doze(bounded ? std::max<std::chrono::nanoseconds>(end - Clock::now(), {}) : never);
      word_.store(0, std::memory_order_relaxed);  // as above; before the next 1
      if (slept == -ETIMEDOUT) return End::timeout;
      if (slept == -EINTR) return End::signal;
    }
  }

  /// The sleeper will sleep in something that ends when this eventfd is written. Before anybody
  /// can wake it. The descriptor must stay open as long as somebody may.
  void wake_by(int eventfd) noexcept { eventfd_ = eventfd; }

  /// Makes the sleeper look again, if it sleeps. What it waits for was written before,
  /// with seq_cst.
  void wake() noexcept {
    // The load keeps wakers from writing to a line that they all read.
    if (word_.load(std::memory_order_seq_cst) != 0 &&
        word_.exchange(0, std::memory_order_seq_cst) != 0) {
      rouse();
    }
  }

  /// Ends the current park(), or the next one. What was done before it is seen after that.
  void notify() noexcept {
    // Pairs with the exchange in park(). An exchange itself: of several plain stores park() would
    // take the last, see what was done before that one alone, and use up all of them.
    notified_.exchange(true, std::memory_order_seq_cst);
    wake();
  }

 private:
  /// Sleeps while word_ is 1. 0, -EAGAIN, -ETIMEDOUT or -EINTR. Negative: for ever.
  long sleep(std::chrono::nanoseconds timeout) noexcept;
  void rouse() noexcept;

  /// 1: asleep, or about to be. Set by the sleeper, cleared by both; the kernel compares it.
  alignas(64) std::atomic<std::uint32_t> word_{0};
  std::atomic<bool> notified_{false};  ///< set by any thread, taken by the sleeper
  int eventfd_ = -1;                   ///< constant once shared; -1: the sleeper sleeps on word_
};

}  // namespace flexsc::detail
