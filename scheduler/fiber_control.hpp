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

  Carrier* carrier = nullptr;  ///< set when it starts, never changed
  FiberState state = FiberState::fresh;
  Stack stack;
  Context context;
  std::function<void()> body;
  const std::string name;
  /// Keeps the fiber while it lives, whatever becomes of its handle.
  std::shared_ptr<FiberControl> self;

  /// How the fiber ended and who wants to know: running(), detached(), ended(), or the
  /// joiner's Waiter.
  std::atomic<void*> end{running()};
  [[nodiscard]] static void* running() noexcept { return nullptr; }
  [[nodiscard]] static void* detached() noexcept { return &marks[0]; }
  [[nodiscard]] static void* ended() noexcept { return &marks[1]; }

  std::exception_ptr exception;

 private:
  static inline char marks[2];  ///< addresses that are no Waiter's
};

using ReadyQueue = Fifo<FiberControl, &FiberControl::ready_next>;
using FreshQueue = Fifo<FiberControl, &FiberControl::fresh_next>;
using Inbox = MpscStack<FiberControl, &FiberControl::inbox_next>;

}  // namespace flexsc::detail
