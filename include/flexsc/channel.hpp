// SPDX-License-Identifier: MIT
/// @file
/// Bounded channels between fibers and plain threads, and waiting on several at once.
///
/// As in Go: a send waits while the buffer is full, a receive while it is empty; with capacity
/// 0 both wait for each other. After close(), sends fail, and receives go on until the buffer
/// is empty. Unlike Go, sending on a closed channel and closing it twice are no crash: the
/// first returns ChannelStatus::closed, the second does nothing. First come, first served.
///
/// Waits are cancellation points; a value that a cancelled or failed send did not hand over
/// stays with the caller (of the forms that take a reference).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "flexsc/detail/wait_queue.hpp"

namespace flexsc {

enum class ChannelStatus : std::uint8_t {
  done,     ///< sent or received
  closed,   ///< and, for a receive, empty
  timeout,  ///< not in time; of a try_ form: not at once
};

/// What a select did.
struct Selected {
  static constexpr std::size_t kNone = SIZE_MAX;
  std::size_t which = kNone;  ///< its case, counted from 0
  ChannelStatus status = ChannelStatus::timeout;
};

namespace detail {

class ChannelCore;

/// One thing that a select waits for. Lives on the stack of the caller.
struct SelectCase {
  ChannelCore* channel = nullptr;
  void* value = nullptr;  ///< T to send from, or std::optional<T> to receive into
  bool sends = false;
};

/// One case while it waits; private to scheduler/channel.cpp.
struct SelectSlot {
  SelectCase wish;
  // Written by who ends the wait, before the wake-up.
  ChannelStatus status = ChannelStatus::timeout;
  SelectSlot** chosen = nullptr;
  alignas(8) std::array<std::byte, 48> node{};
};

/// A channel without the type of its values, which must not throw when they are moved.
class ChannelCore {
 public:
  explicit ChannelCore(std::size_t capacity) noexcept : capacity_(capacity) {}
  ChannelCore(const ChannelCore&) = delete;
  ChannelCore& operator=(const ChannelCore&) = delete;

  void close() noexcept;
  [[nodiscard]] bool closed() const noexcept;
  /// Values in the buffer; old as soon as it is returned.
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Does one of `slots`, the first that can be done; else waits, not at all if `until` is in
  /// the past. `room` is for as many guards.
  static Selected select(std::span<SelectSlot> slots, std::span<std::mutex*> room, Deadline until);

 protected:
  ~ChannelCore() = default;
  virtual void put(void* from) noexcept = 0;
  virtual void take(void* into) noexcept = 0;
  virtual void hand(void* from, void* into) noexcept = 0;

 private:
  bool attempt(SelectSlot& slot, WaitNode*& partner) noexcept;
  bool send(SelectSlot& slot, WaitNode*& partner) noexcept;
  bool receive(SelectSlot& slot, WaitNode*& partner) noexcept;
  [[nodiscard]] WaitList& list_of(const SelectSlot& slot) noexcept {
    return slot.wish.sends ? senders_ : receivers_;
  }

  mutable WaitQueue receivers_;  ///< its guard is the channel's
  WaitList senders_;
  const std::size_t capacity_;
  std::size_t size_ = 0;
  bool closed_ = false;
};

template <std::size_t N>
Selected select(const std::array<SelectCase, N>& cases, Deadline until) {
  std::array<SelectSlot, N> slots{};
  for (std::size_t i = 0; i < N; ++i) slots[i].wish = cases[i];
  std::array<std::mutex*, N> room{};
  return ChannelCore::select(slots, room, until);
}

}  // namespace detail

/// To be destroyed when nobody uses it any more; who received the last value may do so while
/// the send of it is still on its way out.
template <class T>
class BoundedChannel final : public detail::ChannelCore {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "a value must not be lost half way between two fibers");

 public:
  /// @throws std::bad_alloc
  explicit BoundedChannel(std::size_t capacity) : ChannelCore(capacity), buffer_(capacity) {}

  /// False when the channel is closed; the value is then gone.
  [[nodiscard]] bool send(T value) {
    return run(sending(value), detail::kForEver) == ChannelStatus::done;
  }
  /// Moves from `value` only if it returns `done`.
  [[nodiscard]] ChannelStatus try_send(T& value) { return run(sending(value), kAtOnce); }
  template <class Rep, class Period>
  [[nodiscard]] ChannelStatus send_for(T& value, std::chrono::duration<Rep, Period> duration) {
    return run(sending(value), detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] ChannelStatus send_until(T& value, std::chrono::time_point<Clock, Duration> when) {
    return run(sending(value), detail::deadline_at(when));
  }

  /// Nothing when the channel is closed and empty.
  [[nodiscard]] std::optional<T> receive() {
    std::optional<T> value;
    (void)run(receiving(value), detail::kForEver);
    return value;
  }
  /// Overwrite `value` only if they return `done`.
  [[nodiscard]] ChannelStatus try_receive(std::optional<T>& value) {
    return run(receiving(value), kAtOnce);
  }
  template <class Rep, class Period>
  [[nodiscard]] ChannelStatus receive_for(std::optional<T>& value,
                                          std::chrono::duration<Rep, Period> duration) {
    return run(receiving(value), detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] ChannelStatus receive_until(std::optional<T>& value,
                                            std::chrono::time_point<Clock, Duration> when) {
    return run(receiving(value), detail::deadline_at(when));
  }

  /// The cases of a select, see there.
  [[nodiscard]] detail::SelectCase sending(T& value) { return {this, &value, true}; }
  [[nodiscard]] detail::SelectCase receiving(std::optional<T>& into) {
    return {this, &into, false};
  }

 private:
  static constexpr detail::Deadline kAtOnce = detail::Deadline::min();

  [[nodiscard]] static ChannelStatus run(const detail::SelectCase& one, detail::Deadline until) {
    return detail::select<1>({one}, until).status;
  }

  // With the guard held. The values in the buffer are size() from first_ on.
  void put(void* from) noexcept override {
    buffer_[last_].emplace(std::move(*static_cast<T*>(from)));
    last_ = last_ + 1 == buffer_.size() ? 0 : last_ + 1;
  }
  void take(void* into) noexcept override {
    static_cast<std::optional<T>*>(into)->emplace(std::move(*buffer_[first_]));
    buffer_[first_].reset();
    first_ = first_ + 1 == buffer_.size() ? 0 : first_ + 1;
  }
  void hand(void* from, void* into) noexcept override {
    static_cast<std::optional<T>*>(into)->emplace(std::move(*static_cast<T*>(from)));
  }

  std::vector<std::optional<T>> buffer_;
  std::size_t first_ = 0;
  std::size_t last_ = 0;
};

/// Waits until one of its cases can be done, and does that one only:
///
///   std::optional<Job> job; Reply reply = …;
///   switch (flexsc::select(jobs.receiving(job), replies.sending(reply)).which) …
///
/// Of several that can be done at once any is chosen, each in its turn. A case on a closed
/// channel is chosen too (its status is `closed`), so leave it out afterwards.
template <class... Cases>
[[nodiscard]] Selected select(const Cases&... cases) {
  return detail::select<sizeof...(Cases)>({cases...}, detail::kForEver);
}
/// The same, at once or not at all.
template <class... Cases>
[[nodiscard]] Selected try_select(const Cases&... cases) {
  return detail::select<sizeof...(Cases)>({cases...}, detail::Deadline::min());
}
template <class Clock, class Duration, class... Cases>
[[nodiscard]] Selected select_until(std::chrono::time_point<Clock, Duration> when,
                                    const Cases&... cases) {
  return detail::select<sizeof...(Cases)>({cases...}, detail::deadline_at(when));
}
template <class Rep, class Period, class... Cases>
[[nodiscard]] Selected select_for(std::chrono::duration<Rep, Period> duration,
                                  const Cases&... cases) {
  return detail::select<sizeof...(Cases)>({cases...}, detail::deadline_after(duration));
}

}  // namespace flexsc
