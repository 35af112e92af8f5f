// SPDX-License-Identifier: MIT
#include "fork_guard.hpp"

#include <pthread.h>

#include <cstdio>
#include <cstdlib>

namespace flexsc::detail {

std::atomic<unsigned> fork_depth{0};

namespace {
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { fork_depth.fetch_add(1, std::memory_order_relaxed); });
}  // namespace

void ForkGuard::die() noexcept {
  fatal("used in a child of fork(), which has no workers; open a new engine in the child");
}

void fatal(const char* message) noexcept {
  static_cast<void>(std::fprintf(stderr, "flexsc: %s\n", message));
  std::abort();
}

}  // namespace flexsc::detail
