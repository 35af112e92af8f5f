// SPDX-License-Identifier: MIT
/// @file
/// The carriers of one Runtime and what they share.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "carrier.hpp"
#include "flexsc/fiber.hpp"
#include "stack.hpp"
#include "watch.hpp"

namespace flexsc::detail {

class RuntimeImpl {
 public:
  explicit RuntimeImpl(const RuntimeOptions& options);
  RuntimeImpl(const RuntimeImpl&) = delete;
  RuntimeImpl& operator=(const RuntimeImpl&) = delete;
  ~RuntimeImpl();

  [[nodiscard]] FiberControl* spawn(std::function<void()>&& body, SpawnOptions&& options);
  [[nodiscard]] RuntimeStats stats() const noexcept;
  [[nodiscard]] Engine& engine() noexcept { return *engine_; }

  [[nodiscard]] std::optional<std::uint64_t> seed() const noexcept { return seed_; }
  [[nodiscard]] std::size_t carriers() const noexcept { return carriers_.size(); }
  [[nodiscard]] Carrier& carrier(std::size_t index) noexcept { return *carriers_[index]; }
  /// Of the engine.
  [[nodiscard]] std::size_t pools() const noexcept { return pools_; }
  [[nodiscard]] StackPool& stacks() noexcept { return stacks_; }
  /// What others see of it. Its CarrierRecords are written by the carriers when they begin.
  [[nodiscard]] const RuntimeRecord& record() const noexcept { return record_; }

  /// Counts it and calls the user's hook. From any thread.
  void report(const WatchReport& report) noexcept;

  /// Whether the destructor waits and every fiber has ended.
  [[nodiscard]] bool at_end() const noexcept;
  /// Whether any carrier has fresh fibers.
  [[nodiscard]] bool any_fresh() const noexcept;
  /// Ends the sleep of one sleeping carrier, if there is any.
  void rouse_one() noexcept;
  /// A carrier has seen the end and leaves: the others are to see it too.
  void rouse_all() noexcept;
  /// Carriers that sleep or are about to. Written by sleep(), and read by rouse_one(), at first and
  /// only then the flags of all carriers: seq_cst, part of the sleeping handshake. And at_end()
  /// relies on it.
  std::atomic<std::size_t> sleepers{0};

 private:
  void stop() noexcept;

  const std::unique_ptr<Engine> engine_;
  const std::size_t pools_;
  const std::size_t stack_size_;
  const bool steals_;  ///< carriers take fibers from each other
  const std::optional<std::uint64_t> seed_;
  const bool ordered_;  ///< carriers have run orders
  StackPool stacks_;
  std::vector<std::unique_ptr<Carrier>> carriers_;
  std::vector<std::thread> threads_;
  std::vector<CarrierRecord> carrier_records_;
  RuntimeRecord record_;
  const std::function<void(const WatchReport&)> report_;
  std::unique_ptr<Watch> watch_;  ///< null: nothing is watched

  std::array<std::atomic<std::uint64_t>, 3> reports_{};  ///< by kind; relaxed: numbers
  std::atomic<std::size_t> next_carrier_{0};             ///< relaxed: any turn will do
  std::atomic<std::uint64_t> spawned_{0};                ///< by plain threads; see at_end()
  /// Set once, before rouse_all(): seq_cst, part of the sleeping handshake, as "the end".
  std::atomic<bool> stopping_{false};
};

/// Blocks signals in a thread of the runtime, so that handlers run in plain threads only: a handler
/// that interrupted a fiber and made a call would park inside the handler. Not blocked are those
/// that a thread causes itself, and the profiler's.
void block_signals() noexcept;

/// Fiber::cancel(). From any thread.
void request_cancel(FiberControl& fiber) noexcept;

/// Says which detached fiber threw, then ends the program as an uncaught exception does.
[[noreturn]] void end_program(const FiberControl& fiber) noexcept;

}  // namespace flexsc::detail
