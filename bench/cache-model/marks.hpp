// SPDX-License-Identifier: MIT
/// @file
/// Marks for the cache model: between them it counts, for all that the machine does. They are
/// no-operations with an operand that nobody else uses, and mean nothing to a processor.
#pragma once

namespace flexsc::cache_model {

[[gnu::always_inline]] inline void start_counting() {
  asm volatile(".byte 0x0f, 0x1f, 0x80, 0x01, 0x58, 0x4c, 0x46" ::: "memory");
}

[[gnu::always_inline]] inline void stop_counting() {
  asm volatile(".byte 0x0f, 0x1f, 0x80, 0x00, 0x58, 0x4c, 0x46" ::: "memory");
}

}  // namespace flexsc::cache_model
