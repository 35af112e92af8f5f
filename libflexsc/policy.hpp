// SPDX-License-Identifier: MIT
/// @file
/// Which calls an engine's workers may run.
#pragma once

#include <array>
#include <cstdint>

#include "flexsc/call.hpp"
#include "flexsc/uapi.h"

namespace flexsc::detail {

/// The policy class (enum flexsc_call_class) of every call number; beyond the table:
/// refused.
struct Policy {
  static constexpr std::uint32_t kCalls = 512;

  std::array<std::uint8_t, kCalls> classes{};
  /// Decides FLEXSC_CLASS_ARGS beforehand. Null: the worker will decide.
  bool (*arguments_allow)(const Call&) = nullptr;

  [[nodiscard]] std::uint8_t class_of(const Call& call) const noexcept {
    return call.nr < kCalls ? classes[call.nr] : std::uint8_t{FLEXSC_CLASS_REFUSED};
  }
  /// Whether a worker may be asked; it can still refuse.
  [[nodiscard]] bool worker_may_run(const Call& call) const noexcept {
    switch (class_of(call)) {
      case FLEXSC_CLASS_WORKER:
        return true;
      case FLEXSC_CLASS_ARGS:
        return arguments_allow == nullptr || arguments_allow(call);
      default:
        return false;
    }
  }
};

/// What worker threads of the caller's own process may run: the calls that mean the same
/// in every thread of it. An allow table; whatever is not in it the carrier runs.
[[nodiscard]] const Policy& threads_policy() noexcept;

}  // namespace flexsc::detail
