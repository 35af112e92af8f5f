// SPDX-License-Identifier: MIT
/// @file
/// What AddressSanitizer and ThreadSanitizer must be told about switches between stacks.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLEXSC_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FLEXSC_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define FLEXSC_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define FLEXSC_TSAN 1
#endif

#ifdef FLEXSC_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FLEXSC_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace flexsc::detail {

/// Instrumented frames are several times as large.
#if defined(FLEXSC_ASAN) || defined(FLEXSC_TSAN)
inline constexpr unsigned kStackFactor = 4;
#else
inline constexpr unsigned kStackFactor = 1;
#endif

}  // namespace flexsc::detail
