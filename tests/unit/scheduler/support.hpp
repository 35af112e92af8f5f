// SPDX-License-Identifier: MIT
/// @file
/// What the scheduler's tests share: a row for each engine, and runtimes of a given size.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <ostream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "flexsc/engine.hpp"
#include "flexsc/fiber.hpp"

namespace flexsc {

/// For GoogleTest's messages.
inline void PrintTo(EngineKind kind, std::ostream* out) {
  *out << to_string(kind);
}

}  // namespace flexsc

namespace flexsc::test {

/// The errno of the std::system_error that `action` throws, or 0.
inline int error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

/// Of the exception that is being handled; "none" where none is. Not inlined: a fiber that moved
/// must not find what was read on another thread.
[[gnu::noinline]] inline std::string current_what() {
  try {
    if (const std::exception_ptr current = std::current_exception()) {
      std::rethrow_exception(current);
    }
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

inline std::vector<int> allowed_cpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

/// `carriers` carriers; they share CPUs where there are fewer.
inline RuntimeOptions options_for(EngineKind kind, std::size_t carriers) {
  RuntimeOptions options;
  options.engine.kind = kind;
  const std::vector<int> cpus = allowed_cpus();
  for (std::size_t i = 0; i < carriers; ++i) options.carrier_cpus.push_back(cpus[i % cpus.size()]);
  return options;
}

/// For what has nothing to do with calls: engine `direct`.
inline RuntimeOptions carriers(std::size_t count) {
  return options_for(EngineKind::direct, count);
}

/// Tests that run on every engine; an engine that is not there is skipped with its reason.
class OnEngine : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    for (const Availability& found : probe()) {
      if (found.kind == GetParam() && !found.available) GTEST_SKIP() << found.reason;
    }
  }
  /// For tests in which one fiber waits in a call for what another does: engine `direct`
  /// makes calls in the carrier itself.
  [[nodiscard]] static bool calls_overlap() { return GetParam() != EngineKind::direct; }

  [[nodiscard]] static RuntimeOptions options(std::size_t carriers = 1) {
    return options_for(GetParam(), carriers);
  }
};

/// Runs `body` in a fiber and waits for it.
template <class Body>
void in_fiber(Runtime& runtime, Body body) {
  runtime.spawn(body, {.name = "test", .stack_bytes = 0}).join();
}

#define FLEXSC_ON_EVERY_ENGINE(Suite)                                                \
  INSTANTIATE_TEST_SUITE_P(                                                          \
      , Suite,                                                                       \
      ::testing::Values(::flexsc::EngineKind::direct, ::flexsc::EngineKind::threads, \
                        ::flexsc::EngineKind::uring, ::flexsc::EngineKind::kernel),  \
      [](const ::testing::TestParamInfo<::flexsc::EngineKind>& row) {                \
        return std::string(::flexsc::to_string(row.param));                          \
      })

}  // namespace flexsc::test
