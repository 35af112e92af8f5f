// SPDX-License-Identifier: MIT
/// @file
/// The engine whose workers are threads of this process.
#pragma once

#include "flexsc/engine.hpp"
#include "fork_guard.hpp"
#include "worker_pool.hpp"

namespace flexsc::detail {

class ThreadsEngine final : public Engine {
 public:
  /// @throws std::system_error
  explicit ThreadsEngine(const EngineOptions& options);
  ThreadsEngine(const ThreadsEngine&) = delete;
  ThreadsEngine& operator=(const ThreadsEngine&) = delete;
  ~ThreadsEngine() override;

  [[nodiscard]] EngineKind kind() const noexcept override { return EngineKind::threads; }
  [[nodiscard]] std::unique_ptr<Channel> make_channel() override;
  [[nodiscard]] std::unique_ptr<Batch> make_batch() override;
  [[nodiscard]] EngineStats stats() const override;

 private:
  EngineOptions options_;
  WorkerPools pools_;
  ForkGuard fork_;
};

}  // namespace flexsc::detail
