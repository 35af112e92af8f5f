// SPDX-License-Identifier: MIT
/// @file
/// What holds for a fiber for a while: how long its calls may take, which workers make them, and
/// whether it may move. Objects of these kinds live on the stack of the fiber that they are about;
/// in a plain thread they do nothing.
#pragma once

#include <chrono>
#include <cstddef>

#include "flexsc/detail/wait_queue.hpp"
#include "flexsc/fiber.hpp"

namespace flexsc {

/// Until then. A system call that waits at that time fails with ETIMEDOUT, and so does every
/// further one in the scope that is not made at once (as close() and fstat() are). A call that
/// has an effect by then, or cannot be interrupted, ends with its own result. Scopes nest; the
/// earliest time counts. Where nothing can end a call (engine `direct`) it runs to its own end, and
/// those that come after the time fail. A migratable fiber stays on its carrier. Waits of
/// synchronisation objects and sleeps have time limits of their own.
class DeadlineScope {
 public:
  explicit DeadlineScope(std::chrono::steady_clock::time_point when);
  template <class Rep, class Period>
  explicit DeadlineScope(std::chrono::duration<Rep, Period> duration)
      : DeadlineScope(this_fiber::inside() ? detail::deadline_after(duration) : detail::kForEver) {}
  DeadlineScope(const DeadlineScope&) = delete;
  DeadlineScope& operator=(const DeadlineScope&) = delete;
  ~DeadlineScope();

  /// Whether the time is over.
  [[nodiscard]] bool passed() const noexcept;

 private:
  class Alarm;
  [[nodiscard]] Alarm* alarm() noexcept;

  bool in_fiber_;
  alignas(std::max_align_t) std::byte alarm_[80];  ///< an Alarm, in a fiber
};

/// The fiber's calls are made by this pool of its runtime's engine. Calls that the carrier makes
/// itself, because it helps or because nothing else is to be done, are not in any pool.
class PoolScope {
 public:
  /// @throws std::system_error (EINVAL) for a pool that there is not.
  explicit PoolScope(unsigned pool);
  PoolScope(const PoolScope&) = delete;
  PoolScope& operator=(const PoolScope&) = delete;
  ~PoolScope();

 private:
  unsigned before_ = 0;
};

/// A migratable fiber stays on its carrier: its thread-locals, the address of errno and its CPU
/// are the same throughout. Scopes nest.
class CarrierScope {
 public:
  CarrierScope() noexcept;
  CarrierScope(const CarrierScope&) = delete;
  CarrierScope& operator=(const CarrierScope&) = delete;
  ~CarrierScope();
};

}  // namespace flexsc
