// SPDX-License-Identifier: MIT
/// @file
/// The order in which the ready fibers of a carrier run: three that are supplied, and the interface
/// for one of the user's own. See docs/examples/run_order.cpp for an example.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace flexsc {

/// A fiber as a run order sees it.
class Runnable {
 public:
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;

  [[nodiscard]] std::string_view name() const noexcept;
  // From SpawnOptions, or from the fiber itself (this_fiber::set_priority(), set_deadline()), which
  // does not change them while an order has it.
  [[nodiscard]] int priority() const noexcept { return priority_; }
  [[nodiscard]] std::chrono::steady_clock::time_point deadline() const noexcept {
    return deadline_;
  }
  [[nodiscard]] std::uint64_t tag() const noexcept { return tag_; }
  /// Whether it has not run yet.
  [[nodiscard]] bool fresh() const noexcept;

  /// For the order that has it, to use as it likes: no order needs memory of its own.
  struct Links {
    Runnable* next = nullptr;
    Runnable* child = nullptr;
    std::int64_t key = 0;
    std::uint64_t number = 0;
  };
  Links links;

 protected:
  Runnable() = default;
  ~Runnable() = default;

  int priority_ = 0;
  std::uint64_t tag_ = 0;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
};

/// The ready fibers of one carrier. Called by that carrier's thread alone, outside of fibers or in
/// the one that is about to leave: no function may throw, wait or make calls of flexsc.
class RunOrder {
 public:
  RunOrder() = default;
  RunOrder(const RunOrder&) = delete;
  RunOrder& operator=(const RunOrder&) = delete;
  virtual ~RunOrder() = default;

  /// Takes a fiber that may run from now on. It exists until pop() has returned it.
  virtual void push(Runnable& fiber) noexcept = 0;
  /// The one that is to run now, of those pushed and not popped; null only if there is none.
  [[nodiscard]] virtual Runnable* pop() noexcept = 0;
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
};

/// Makes the order of each carrier when the Runtime is made.
using RunOrders = std::function<std::unique_ptr<RunOrder>()>;

/// Each in its turn. Built into the carrier; what RuntimeOptions::order is by default.
[[nodiscard]] RunOrders round_robin();
/// The highest priority() first, among equals who has waited longest. A fiber that is always ready
/// keeps all lower ones from running. Logarithmic.
[[nodiscard]] RunOrders by_priority();
/// The earliest deadline() first (Liu and Layland, 1973), among equals who has waited longest;
/// those without one last. A deadline that has passed is still the earliest. Logarithmic.
[[nodiscard]] RunOrders by_deadline();

}  // namespace flexsc
