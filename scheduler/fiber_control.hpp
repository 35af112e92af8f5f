// SPDX-License-Identifier: MIT
/// @file
/// A fiber as the scheduler sees it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "context.hpp"
#include "flexsc/detail/fiber_table.hpp"
#include "flexsc/run_order.hpp"
#include "intrusive.hpp"
#include "local_values.hpp"
#include "stack.hpp"

namespace flexsc::detail {

class Carrier;
class Timer;
class Waiter;
struct PendingCall;

/// What FiberControl::end holds: how far the fiber is, or the Waiter of who joins it; and with
/// it, in the bits that are zero in each of these, how far a cancellation of it is.
///
/// It is one word, so there is one order of all that happens to the end of a fiber:
///   join()     running -> a Waiter; who gives up takes it out again
///   (A fiber of the carrier to which the other is bound leaves its Waiter in `joiner` instead.)
///   detach()   running -> detached
///   bury       the carrier, once it is off the fiber's stack, -> ended: from then on the handle
///              owns the FiberControl. If it was detached, the carrier destroys it; if there
///              was a Waiter, it is woken.
///   at_home    set by the fiber at its first wait that can be cancelled on its carrier. If
///              `requested` is there already it does not wait. A carrier that takes a started
///              fiber from another one clears it; while something is announced it does not take it.
///   cancel()   sets `requested`, unless the fiber has ended; and if `at_home` is set also
///              `announced`, and then announces it to the carrier, which takes `announced` back
///              when it has looked. It does not bury a fiber before: so as long as something is
///              announced, FiberControl and carrier are there.
namespace fiber_end {
using Word = std::uintptr_t;
inline constexpr Word requested = 1;
inline constexpr Word announced = 2;
inline constexpr Word at_home = 4;
inline constexpr Word bits = requested | announced | at_home;
// Values that are no Waiter's address.
inline constexpr Word running = 0;
inline constexpr Word detached = 8;
inline constexpr Word ended = 16;
}  // namespace fiber_end

/// One fiber. Made by spawn(), destroyed by its handle or its carrier, see fiber_end. Which
/// thread may touch what:
///  - until the fiber starts: whoever holds it (the spawner, then the carrier that took it
///    off a fresh queue);
///  - from then on `carrier` and everything else but `end` belongs to that carrier's thread;
///    `carrier` is constant and any thread that may wake the fiber may read it. One that may move
///    (`stays` is 0) passes with all of it to the carrier that takes it. It is taken only while it
///    is ready: nobody may wake it then, and with `at_home` clear or `announced` set nobody reads
///    a `carrier` that changes;
///  - `end` is shared with the handle; `exception` passes to the joiner through it.
class FiberControl final : public Runnable, public FiberRecord {
 public:
  FiberControl(std::function<void()>&& what, std::string&& called) noexcept
      : body(std::move(what)), name(std::move(called)) {
    mark = kFiberMark ^ reinterpret_cast<std::uint64_t>(record());
    name_text = name.data();
    name_size = static_cast<std::uint32_t>(name.size());
    saved = context.saved();
  }
  [[nodiscard]] FiberRecord* record() noexcept { return this; }
  FiberControl(const FiberControl&) = delete;
  FiberControl& operator=(const FiberControl&) = delete;
  ~FiberControl() = default;

  /// Its memory is that of one which the calling carrier has seen the last of, if there is any: see
  /// Carrier::take_memory(). @throws std::bad_alloc
  static void* operator new(std::size_t size);
  static void operator delete(void* memory) noexcept;

  // Links; each for the one queue of its name.
  FiberControl* ready_next = nullptr;
  FiberControl* fresh_next = nullptr;
  FiberControl* inbox_next = nullptr;
  FiberControl* cancel_next = nullptr;

  using Runnable::deadline_;
  using Runnable::priority_;
  using Runnable::tag_;

  Stack stack;
  Context context;
  std::function<void()> body;
  const std::string name;
  std::unique_ptr<LocalValues> locals;  ///< of FiberLocal; most fibers have none

  unsigned pool = 0;  ///< of the engine, that makes its calls
  unsigned late = 0;  ///< DeadlineScope objects of it whose time is over
  /// Reasons why it must not move to another carrier once it has started: one that was not
  /// spawned as migratable has one, and each timer that waits longer than a park. Where the
  /// carriers have run orders of the user's it is below 0, so that one comparison tells all usual
  /// cases.
  int stays = 1;
  static constexpr int kOrdered = std::numeric_limits<int>::min() / 2;
  Timer* timer = nullptr;  ///< of its wait, in its carrier's wheel if it is pending
  bool wait_heeds_cancel = false;
  unsigned shields = 0;  ///< CancelShield objects of it

  /// The carrier that runs it, where that is known when it is spawned, as there are no thieves;
  /// else null. Constant from then on.
  const Carrier* bound_to = nullptr;
  /// Of a fiber of that carrier: who joins this one. It belongs to the carrier's thread, where
  /// nothing else happens between a look and a write, so no locked instruction is needed.
  Waiter* joiner = nullptr;
  /// See fiber_end. Shared by the carrier, the fiber, its handle and who cancels, and changed by
  /// read-modify-writes, which keep what others have released into it; but for tell_joiner(), which
  /// says why. Each of them says what it releases or acquires.
  std::atomic<fiber_end::Word> end{fiber_end::running};
  /// acquire: what the canceller did before; pairs with request_cancel().
  [[nodiscard]] bool cancel_wanted() const noexcept {
    return (end.load(std::memory_order_acquire) & fiber_end::requested) != 0;
  }
  /// By the fiber, before it waits: whether it was asked to end; if not, a later request will
  /// find its carrier.
  [[nodiscard]] bool wanted_or_at_home() noexcept {
    fiber_end::Word now = end.load(std::memory_order_acquire);
    // acq_rel: `carrier`, for who cancels; and what that did before. Pairs with request_cancel().
    if ((now & fiber_end::at_home) == 0) {
      now = end.fetch_or(fiber_end::at_home, std::memory_order_acq_rel);
    }
    return (now & fiber_end::requested) != 0;
  }
  std::exception_ptr exception;
  bool ended_by_cancel = false;  ///< passes with `exception`, which is then a Cancelled
};

using ReadyQueue = Fifo<FiberControl, &FiberControl::ready_next>;
using FreshQueue = Fifo<FiberControl, &FiberControl::fresh_next>;
using Inbox = MpscStack<FiberControl, &FiberControl::inbox_next>;
using CancelInbox = MpscStack<FiberControl, &FiberControl::cancel_next>;

}  // namespace flexsc::detail
