// SPDX-License-Identifier: MIT
/// @file
/// The engine whose workers are kernel threads of /dev/flexsc.
#pragma once

#include "flexsc/engine.hpp"
#include "fork_guard.hpp"
#include "kernel_device.hpp"

namespace flexsc::detail {

class KernelEngine final : public Engine {
 public:
  /// @throws std::system_error
  explicit KernelEngine(const EngineOptions& options, const std::string& device = FLEXSC_DEVICE);

  [[nodiscard]] EngineKind kind() const noexcept override { return EngineKind::kernel; }
  [[nodiscard]] std::unique_ptr<Channel> make_channel() override;
  [[nodiscard]] std::unique_ptr<Batch> make_batch() override;
  [[nodiscard]] EngineStats stats() const override;

 private:
  EngineOptions options_;
  KernelDevice device_;
  std::shared_ptr<const Policy> policy_;
  unsigned pools_;
  ForkGuard fork_;
};

}  // namespace flexsc::detail
