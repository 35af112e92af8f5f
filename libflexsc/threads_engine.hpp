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

  // For an engine that leaves some of its calls to this one.
  [[nodiscard]] const WorkerPools& pools() const noexcept { return pools_; }
  /// Lets all pools serve these pages. @throws std::system_error
  void add_client(const std::shared_ptr<PoolClient>& client);
  void remove_client(const std::shared_ptr<PoolClient>& client);
  [[nodiscard]] static std::shared_ptr<const Policy> policy();

 private:
  EngineOptions options_;
  WorkerPools pools_;
  ForkGuard fork_;
};

}  // namespace flexsc::detail
