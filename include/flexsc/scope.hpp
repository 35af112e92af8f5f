// SPDX-License-Identifier: MIT
/// @file
/// Fibers that do not outlive a block: structured concurrency.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <list>
#include <utility>

#include "flexsc/fiber.hpp"
#include "flexsc/semaphore.hpp"

namespace flexsc {

/// Owns the fibers that are spawned through it. None is left when it is gone: join() waits for
/// all of them, and the destructor first cancels those that are left, so an exception that
/// leaves the block takes the children with it. For the thread or fiber that made it.
///
///   flexsc::Scope scope(runtime);
///   scope.spawn([&] { fetch(a); });
///   scope.spawn([&] { fetch(b); });
///   scope.join();
class Scope {
 public:
  explicit Scope(Runtime& runtime) : runtime_(runtime) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  /// Cancels what is left and waits for it; what that throws is lost.
  ~Scope();

  /// @throws std::bad_alloc
  void spawn(std::function<void()> body, SpawnOptions options = {});
  /// Asks all children to end. Does not wait.
  void cancel();
  /// Waits for all children. As soon as one has thrown, the
  /// others are cancelled, and after all have ended the first exception (in the order of
  /// spawn()) that is not Cancelled is rethrown; if there are only those, a Cancelled. A
  /// cancellation point: the children are then cancelled too, and waited for.
  void join();

  [[nodiscard]] std::size_t size() const noexcept { return children_.size(); }

 private:
  Runtime& runtime_;
  std::list<Fiber> children_;
  CountingSemaphore ended_{0};  ///< a permit for each child that has
  /// A child has thrown. Set by children before their permit, which orders it; so relaxed.
  std::atomic<bool> failed_{false};
};

}  // namespace flexsc
