// SPDX-License-Identifier: MIT
/// @file
/// The carriers of one Runtime and what they share.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "carrier.hpp"
#include "flexsc/fiber.hpp"
#include "stack.hpp"

namespace flexsc::detail {

class RuntimeImpl {
 public:
  explicit RuntimeImpl(const RuntimeOptions& options);
  RuntimeImpl(const RuntimeImpl&) = delete;
  RuntimeImpl& operator=(const RuntimeImpl&) = delete;
  ~RuntimeImpl();

  [[nodiscard]] std::shared_ptr<FiberControl> spawn(std::function<void()> body,
                                                    SpawnOptions options);
  [[nodiscard]] RuntimeStats stats() const noexcept;
  [[nodiscard]] Engine& engine() noexcept { return *engine_; }

  [[nodiscard]] std::size_t carriers() const noexcept { return carriers_.size(); }
  [[nodiscard]] Carrier& carrier(std::size_t index) noexcept { return *carriers_[index]; }
  [[nodiscard]] StackPool& stacks() noexcept { return stacks_; }

  /// Whether the destructor waits and every fiber has ended.
  [[nodiscard]] bool at_end() const noexcept;
  /// Whether any carrier has fresh fibers.
  [[nodiscard]] bool any_fresh() const noexcept;
  /// Ends the sleep of one sleeping carrier, if there is any.
  void rouse_one() noexcept;
  /// A fiber has ended and its stack is given back.
  void fiber_gone() noexcept;

 private:
  void rouse_all() noexcept;
  void stop() noexcept;

  const std::unique_ptr<Engine> engine_;
  const std::size_t stack_size_;
  StackPool stacks_;
  std::vector<std::unique_ptr<Carrier>> carriers_;
  std::vector<std::thread> threads_;

  std::atomic<std::size_t> next_carrier_{0};  ///< relaxed: any turn will do
  std::atomic<std::uint64_t> spawned_{0};     ///< relaxed: a number
  // Both seq_cst: they take part in the sleeping handshake, see at_end().
  std::atomic<std::size_t> live_{0};
  std::atomic<bool> stopping_{false};
};

/// Fiber::cancel(). From any thread.
void request_cancel(const std::shared_ptr<FiberControl>& fiber) noexcept;

/// Says which detached fiber threw, then ends the program as an uncaught exception does.
[[noreturn]] void end_program(const FiberControl& fiber) noexcept;

}  // namespace flexsc::detail
