// SPDX-License-Identifier: MIT
/// @file
/// Telling beforehand whether a call would block.
#pragma once

#include <cstdint>

#include "flexsc/call.hpp"

namespace flexsc::detail {

/// Whether the call is likely to block if made now. Asks the kernel about descriptors
/// (poll with no timeout), so it is a guess: another reader can be faster, a long write
/// can fill its pipe. Wrong guesses cost time only; see WorkerPool's monitor.
[[nodiscard]] bool may_block(const Call& call) noexcept;

/// What a caller that could do nothing meanwhile may expect of a call.
enum class Prospect : std::uint8_t {
  at_once,  ///< waits neither for anybody nor for a disk
  likely,   ///< normally does not wait: writes, and what opens or looks up files
  waits,    ///< may well wait for somebody, or is not known
};

[[nodiscard]] Prospect prospect_of(const Call& call) noexcept;

/// Whether the first argument of this call is a descriptor that it works on.
[[nodiscard]] bool first_is_descriptor(std::uint32_t nr) noexcept;

}  // namespace flexsc::detail
