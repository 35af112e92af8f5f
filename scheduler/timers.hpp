// SPDX-License-Identifier: MIT
/// @file
/// The timers of one carrier: a hierarchical timing wheel (Varghese and Lauck, 1987) of timers
/// that live on fibers' stacks.
///
/// Most timers are cancelled before their time. Setting and cancelling one touches its slot and
/// its neighbours there, however many timers there are; no timer is compared with others before
/// its time is near. Times are exact to the nanosecond: the wheel's tick only sorts roughly.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace flexsc::detail {

using Clock = std::chrono::steady_clock;

/// Something to do at a time. Lives on the stack of the fiber that set it, which removes
/// it, if it has not expired, before it leaves that stack frame.
class Timer {
 public:
  explicit Timer(Clock::time_point when) noexcept : when_(when) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Called by the carrier, outside of fibers, after the timer has left the wheel.
  virtual void expire() noexcept = 0;

  [[nodiscard]] bool pending() const noexcept { return pending_; }

 protected:
  ~Timer() = default;

 private:
  friend class TimerWheel;

  Clock::time_point when_;
  std::uint64_t order_ = 0;  ///< equal times expire in the order of add()
  Timer* next_ = nullptr;    ///< in the same slot
  Timer* previous_ = nullptr;
  std::uint8_t level_ = 0;
  std::uint8_t slot_ = 0;
  bool pending_ = false;
};

/// Not synchronised. Allocates nothing.
///
/// Time is counted in ticks of 1024 ns; `now_` is the tick of the last expire(). A level has 64
/// slots, one for each value of 6 bits of a tick. A timer is on the level of the highest 6 bits
/// in which its tick differs from now_, in the slot of their value there. So on each level all
/// timers are in slots after that of now_ (on the lowest also in it), and all of a lower level
/// come before all of a higher one. When now_ comes to a slot, its timers move to lower levels.
class TimerWheel {
 public:
  [[nodiscard]] bool empty() const noexcept { return levels_used_ == 0; }
  /// When the next timer expires; where many are near the same time, maybe a little earlier.
  /// There must be one.
  [[nodiscard]] Clock::time_point next() const noexcept;

  void add(Timer& timer) noexcept;
  /// Takes a pending timer out.
  void remove(Timer& timer) noexcept;
  /// Expires every timer whose time is not after `now`, in order; returns how many.
  std::size_t expire(Clock::time_point now) noexcept;

 private:
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1U << kBits;
  static constexpr unsigned kLevels = 9;  // 54 bits: all times that nanoseconds can tell
  struct Level {
    std::uint64_t used = 0;  ///< a bit for each slot that has timers
    std::array<Timer*, kSlots> slots{};
  };
  struct Place {
    unsigned level;
    unsigned slot;
  };

  [[nodiscard]] static std::uint64_t tick_of(Clock::time_point time) noexcept;
  /// The first slot that has timers.
  [[nodiscard]] Place first() const noexcept;
  [[nodiscard]] std::uint64_t start_of(Place place) const noexcept;
  void insert(Timer& timer) noexcept;
  /// Takes out those of a slot of the lowest level whose time has come, and expires them.
  std::size_t expire_slot(unsigned slot, Clock::time_point now) noexcept;
  [[nodiscard]] static Timer* sorted(Timer* list) noexcept;

  std::uint64_t now_ = 0;
  std::uint64_t order_ = 0;
  std::uint32_t levels_used_ = 0;  ///< a bit for each level that has timers
  std::array<Level, kLevels> levels_{};
};

}  // namespace flexsc::detail
