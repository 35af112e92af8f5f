// SPDX-License-Identifier: MIT
/// @file
/// A fiber as the scheduler sees it.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "context.hpp"
#include "intrusive.hpp"
#include "stack.hpp"

namespace flexsc::detail {

class Carrier;
class Waiter;

/// How far a fiber is, for who wants to cancel it. Bits of FiberControl::cancel.
///
/// All changes are read-modify-writes of one word, so there is one order of them:
///   cancel()   sets `requested`, and with it `pushing` if `started` is set and `ended` not;
///              then it shows the fiber to its carrier and takes `pushing` back
///   start      sets `started`: a request from before is seen by the fiber itself, where it
///              waits; one from after finds the carrier
///   finish     sets `ended` and waits until `pushing` is gone: so the carrier, which cannot go
///              before its fibers have ended, is there while it is shown one
namespace cancel_bit {
inline constexpr std::uint8_t requested = 1;
inline constexpr std::uint8_t started = 2;
inline constexpr std::uint8_t pushing = 4;
inline constexpr std::uint8_t ended = 8;
}  // namespace cancel_bit

enum class FiberState : std::uint8_t {
  fresh,     ///< never ran; on some carrier's fresh queue
  ready,     ///< on its carrier's ready queue
  running,   ///< its carrier's current fiber
  parked,    ///< waits for a wake-up: a completion, a timer or Carrier::wake()
  finished,  ///< its body has returned; its stack may be reused
};

/// One fiber. Which thread may touch what:
///  - until the fiber starts: whoever holds it (the spawner, then the carrier that took it
///    off a fresh queue);
///  - from then on `carrier` and everything else but `end` belongs to that carrier's thread;
///    `carrier` is constant and any thread that may wake the fiber may read it;
///  - `cancel` is shared with who cancels, see cancel_bit; `cancel_keeps` and `cancel_next`
///    are written by who has set `pushing`, then belong to the carrier;
///  - `end` is shared with the handle; `exception` passes to the joiner through it.
class FiberControl {
 public:
  FiberControl(std::function<void()> what, std::string called) noexcept
      : body(std::move(what)), name(std::move(called)) {}
  FiberControl(const FiberControl&) = delete;
  FiberControl& operator=(const FiberControl&) = delete;
  ~FiberControl() = default;

  // Links; each for the one queue of its name.
  FiberControl* ready_next = nullptr;
  FiberControl* fresh_next = nullptr;
  FiberControl* inbox_next = nullptr;
  FiberControl* cancel_next = nullptr;

  Carrier* carrier = nullptr;  ///< set when it starts, never changed
  FiberState state = FiberState::fresh;
  Stack stack;
  Context context;
  std::function<void()> body;
  const std::string name;
  /// Keeps the fiber while it lives, whatever becomes of its handle.
  std::shared_ptr<FiberControl> self;

  /// What it is parked on, unless on a call.
  Waiter* waits_on = nullptr;
  bool wait_heeds_cancel = false;
  unsigned shields = 0;  ///< CancelShield objects of it

  std::atomic<std::uint8_t> cancel{0};
  /// Keeps it while its carrier is to look at a cancellation.
  std::shared_ptr<FiberControl> cancel_keeps;
  /// acquire: what the canceller did before.
  [[nodiscard]] bool cancel_wanted() const noexcept {
    return (cancel.load(std::memory_order_acquire) & cancel_bit::requested) != 0;
  }
  /// Not under a shield, nor while an exception unwinds the running fiber: another one thrown
  /// by a destructor would end the program.
  [[nodiscard]] bool may_be_cancelled() const noexcept {
    return shields == 0 && std::uncaught_exceptions() == 0;
  }

  /// How the fiber ended and who wants to know: running(), detached(), ended(), or the
  /// joiner's Waiter.
  std::atomic<void*> end{running()};
  [[nodiscard]] static void* running() noexcept { return nullptr; }
  [[nodiscard]] static void* detached() noexcept { return &marks[0]; }
  [[nodiscard]] static void* ended() noexcept { return &marks[1]; }

  std::exception_ptr exception;
  bool ended_by_cancel = false;  ///< passes with `exception`, which is then a Cancelled

 private:
  static inline char marks[2];  ///< addresses that are no Waiter's
};

using ReadyQueue = Fifo<FiberControl, &FiberControl::ready_next>;
using FreshQueue = Fifo<FiberControl, &FiberControl::fresh_next>;
using Inbox = MpscStack<FiberControl, &FiberControl::inbox_next>;
using CancelInbox = MpscStack<FiberControl, &FiberControl::cancel_next>;

}  // namespace flexsc::detail
