// SPDX-License-Identifier: MIT
/// @file
/// Telling beforehand whether a call would block.
#pragma once

#include "flexsc/call.hpp"

namespace flexsc::detail {

/// Whether the call is likely to block if made now. Asks the kernel about descriptors
/// (poll with no timeout), so it is a guess: another reader can be faster, a long write
/// can fill its pipe. Wrong guesses cost time only; see WorkerPool's monitor.
[[nodiscard]] bool may_block(const Call& call) noexcept;

}  // namespace flexsc::detail
