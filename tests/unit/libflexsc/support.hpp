// SPDX-License-Identifier: MIT
/// @file
/// What the tests of libflexsc share: engines by kind, pipes, and posting in bulk.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "flexsc/engine.hpp"

namespace flexsc::test {

inline constexpr std::chrono::nanoseconds kForever{-1};

/// An address that is only a number here, for tokens.
inline void* token(std::uintptr_t number) {
  return reinterpret_cast<void*>(number);  // NOLINT(performance-no-int-to-ptr)
}
inline std::uintptr_t number(void* token) {
  return reinterpret_cast<std::uintptr_t>(token);
}

/// Why the engine cannot be used here; empty if it can.
inline std::string missing(EngineKind kind) {
  for (const Availability& each : probe()) {
    if (each.kind == kind) return each.available ? "" : each.reason;
  }
  return "probe() does not know it";
}

inline std::string name_of(const testing::TestParamInfo<EngineKind>& info) {
  return std::string(to_string(info.param));
}

/// A test of each of the engines that it is instantiated with.
class EngineTest : public testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    options.kind = GetParam();
    const std::string why = missing(GetParam());
    if (!why.empty()) GTEST_SKIP() << why;
  }
  [[nodiscard]] std::unique_ptr<Engine> open() const { return Engine::open(options); }

  EngineOptions options;
};

inline auto all_engines() {
  return testing::Values(EngineKind::kernel, EngineKind::uring, EngineKind::threads,
                         EngineKind::direct);
}
/// Those in which a call does not keep its carrier.
inline auto worker_engines() {
  return testing::Values(EngineKind::kernel, EngineKind::uring, EngineKind::threads);
}

/// A pipe, closed at the end.
struct Pipe {
  explicit Pipe(int flags = 0) { EXPECT_EQ(pipe2(fds.data(), flags), 0); }
  Pipe(Pipe&& other) noexcept : fds(std::exchange(other.fds, {-1, -1})) {}
  Pipe& operator=(Pipe&&) = delete;
  ~Pipe() {
    close_reader();
    close_writer();
  }
  void close_reader() { shut(fds[0]); }
  void close_writer() { shut(fds[1]); }
  [[nodiscard]] int reader() const { return fds[0]; }
  [[nodiscard]] int writer() const { return fds[1]; }

  std::array<int, 2> fds{};

 private:
  static void shut(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
};

inline Call nop() {
  return make_call(400);
}  // FLEXSC_NR_NOP

/// Reaps all that is in flight, sleeping in between.
inline std::vector<Completion> drain(Channel& channel) {
  std::vector<Completion> all;
  std::array<Completion, 32> some;
  while (channel.in_flight() != 0) {
    const std::size_t count = channel.reap(some);
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(count));
    if (count == 0) channel.wait(kForever);
  }
  return all;
}

/// Posts one call and waits for its result.
inline long call_through(Channel& channel, const Call& call) {
  EXPECT_TRUE(channel.post(call, nullptr));
  const std::vector<Completion> all = drain(channel);
  EXPECT_EQ(all.size(), 1U);
  return all.empty() ? 0 : all.front().result;
}

/// How many calls have been executed when those are as many, or after ten seconds: workers count
/// what they have done after its results are seen.
inline std::uint64_t executed(const Engine& engine, std::uint64_t at_least) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (engine.stats().executed < at_least && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  return engine.stats().executed;
}

}  // namespace flexsc::test
