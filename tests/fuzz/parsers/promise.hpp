// SPDX-License-Identifier: MIT
/// @file
/// What has to hold for every input.
#pragma once

#include <cstdio>
#include <cstdlib>

/// Ends the process, which is how libFuzzer and the replay see a failure.
#define PROMISE(condition)                                                      \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::fprintf(stderr, "%s:%d: not: " #condition "\n", __FILE__, __LINE__); \
      std::abort();                                                             \
    }                                                                           \
  } while (false)
