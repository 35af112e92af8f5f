// SPDX-License-Identifier: MIT
/// @file
/// The engine that makes calls by io_uring.
#pragma once

#include <memory>

#include "flexsc/engine.hpp"
#include "threads_engine.hpp"
#include "uring_transport.hpp"

namespace flexsc::detail {

/// A ring for each channel, and an engine `threads` for the calls that io_uring has no operation
/// for. Pool 0 is the ring's, with threads beside it, unless it has a scheduling of its own, which
/// the kernel's threads of a ring cannot be given; further pools, which there are for CPUs and
/// priorities, are threads.
class UringEngine final : public Engine {
 public:
  /// @throws std::system_error
  explicit UringEngine(const EngineOptions& options);

  [[nodiscard]] EngineKind kind() const noexcept override { return EngineKind::uring; }
  [[nodiscard]] std::unique_ptr<Channel> make_channel() override;
  [[nodiscard]] std::unique_ptr<Batch> make_batch() override { return threads_.make_batch(); }
  [[nodiscard]] EngineStats stats() const override;

 private:
  const EngineOptions options_;
  const RingOptions ring_;
  ThreadsEngine threads_;
  std::shared_ptr<RingCounts> counts_ = std::make_shared<RingCounts>();
  ForkGuard fork_;
};

}  // namespace flexsc::detail
