// SPDX-License-Identifier: MIT
/// @file
/// Waiting, by fibers and by plain threads alike: the one primitive under every
/// synchronisation object, join() and sleeps.
///
/// A wait ends once, for one reason. Whoever wants to end it must first claim() it, and of
/// all that try, one succeeds: that one owes it wake(), nobody else may call that.
///
///   a waker        with the queue's guard held, takes the node off and claims; wakes after
///                  it has let the guard go
///   time is over   the timer of the waiter's carrier (a plain thread itself) gives up
///   cancellation   the carrier of the waiting fiber gives up
///
/// After a wait that was given up the node may still be on its queue; the waiter takes it off
/// itself, with guard held. Until then wakers that meet it fail to claim it and pass on, and
/// as they hold guard while they look, the waiter (on whose stack all this is) is still there.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "flexsc/detail/fiber_table.hpp"
#include "flexsc/detail/wait_queue.hpp"
#include "interleaving.hpp"
#include "timers.hpp"

namespace flexsc::detail {

class Carrier;
class FiberControl;

/// Identity of the caller for ownership of a mutex: its fiber, or its thread. Even.
[[nodiscard]] const void* caller_identity() noexcept;

/// Why a wait ended.
enum class Wake : std::uint8_t { pending, notified, timeout, cancelled };

/// Whether cancel() of the waiting fiber ends the wait.
enum class Cancel : bool { ignored, heeded };

/// Where a plain thread blocks.
struct ThreadPark {
  std::mutex mutex;
  std::condition_variable woken_changed;
  bool woken = false;
};

/// The caller, waiting once. Lives on the caller's stack.
class Waiter : public WaitRecord {
 public:
  /// `what` it waits for, in words, and on which object: for listings.
  explicit Waiter(const char* what, const void* on = nullptr) noexcept;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() = default;

  /// Parks the fiber or blocks the thread until the wait is ended.
  Wake wait(Deadline until = kForEver, Cancel cancel = Cancel::ignored) noexcept;

  /// Whether the caller is the one who ends the wait. From any thread that may look at the
  /// waiter. acq_rel: what the waker did before, for the woken; and the reverse for a loser.
  [[nodiscard]] bool claim(Wake how) noexcept {
    Wake expected = Wake::pending;
    return how_.compare_exchange_strong(expected, how, std::memory_order_acq_rel,
                                        std::memory_order_acquire);
  }
  /// By who has claimed it. Ends the waker's right to touch the waiter or anything that the
  /// woken caller may destroy. May come before the fiber is parked. From any thread.
  void wake() noexcept;

  /// Ends the wait for another reason than what is waited for; whether it did, and then
  /// wake() is owed. By the waiter's own carrier or thread.
  [[nodiscard]] bool give_up(Wake how) noexcept;

  /// For join(): registers it with `fiber`, so that it waits for its end, unless that has come
  /// already (false). Giving up takes it out first; if it is not there any more, the waker has it.
  [[nodiscard]] bool joins(FiberControl& fiber) noexcept;
  /// claim() by a waker that nobody can compete with. relaxed: its wake() orders it, as any claim.
  void claim_alone() noexcept { how_.store(Wake::notified, std::memory_order_relaxed); }

  /// claim_alone() and wake().
  void wake_alone() noexcept {
    claim_alone();
    wake();
  }

  /// Of the fiber that waits; null of a plain thread.
  [[nodiscard]] const Carrier* carrier() const noexcept;
  /// Whether the fiber goes on on its carrier. By who has claimed it, before wake(); a fiber waits.
  [[nodiscard]] bool stays() const noexcept;
  [[nodiscard]] const void* identity() const noexcept { return identity_; }

 private:
  Wake wait_in_thread(Deadline until) noexcept;
  [[nodiscard]] bool leave_joined() noexcept;

  FiberControl* const fiber_;
  const void* const identity_;
  /// Written once, by who ends the wait: a waker, the timer, who cancels. The waiter reads it when
  /// it has been woken: the wake-up (a queue of its carrier, or the mutex of `thread_`) orders
  /// that.
  std::atomic<Wake> how_{Wake::pending};
  FiberControl* joined_ = nullptr;
  bool joins_here_ = false;           ///< it is in `joiner`, not in `end`
  std::optional<ThreadPark> thread_;  ///< in a plain thread
};

/// A place of a waiter on a queue; a waiter may have several (a select).
struct WaitNode {
  explicit WaitNode(Waiter& who) noexcept : waiter(&who) {}

  Waiter* waiter;
  void* payload = nullptr;  ///< the object's own: what is offered or wanted
  // Guarded by the guard of the queue it is on.
  WaitNode* next = nullptr;
  WaitNode* previous = nullptr;
  bool queued = false;
};

/// Wakes the waiters of a chain that take_all() returned.
void wake_chain(WaitNode* first) noexcept;

/// Throws Cancelled if that is how a wait ended. Nothing may be held that is not released
/// by unwinding.
void throw_if_cancelled(Wake how);

}  // namespace flexsc::detail
