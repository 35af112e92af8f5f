// SPDX-License-Identifier: MIT
/// @file
/// Runs flexsc-httpd, the one beside this program, as a child process. For the tests and the
/// comparison of the models.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "child.hpp"

namespace flexsc::http::driver {

/// A serving model with the engine it uses.
struct Side {
  std::string model;
  std::string engine;  ///< empty for models that make their calls themselves
  /// Whether it is told to make multi-calls, or not to; else it does as it likes.
  std::optional<bool> multi_calls = {};
  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::vector<std::string> arguments() const;
  /// Why it cannot run here; empty if it can.
  [[nodiscard]] std::string missing() const;
};
/// All that there are, for tests.
[[nodiscard]] const std::vector<Side>& all_sides();
/// Prints its name; GoogleTest looks for a function of this name.
inline void PrintTo(const Side& side, std::ostream* out) {
  *out << side.name();
}

/// How long to wait for what must come. Generous: some run on an emulated machine.
inline constexpr std::chrono::seconds kPatience{60};

/// A folder in /tmp that is removed in the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// How a process ended, and what it wrote to stderr.
struct Ended {
  int exit_code = -1;  ///< 128 + signal if a signal ended it; -1 if it had to be killed
  std::string errors;
};

/// A flexsc-httpd process. Killed by the destructor if it still runs.
class ServerProcess {
 public:
  /// Starts it with `arguments` after those of the side.
  ServerProcess(const Side& side, const std::filesystem::path& root,
                const std::vector<std::string>& arguments = {}, const ProcessLimits& limits = {});

  /// Waits until it serves; its port, or 0 if it ended instead.
  [[nodiscard]] std::uint16_t port();
  [[nodiscard]] pid_t pid() const noexcept { return child_.pid(); }
  void signal(int number) const { child_.signal(number); }
  /// Waits for its end.
  [[nodiscard]] Ended wait();
  /// SIGTERM and wait().
  [[nodiscard]] Ended stop() {
    signal(15);
    return wait();
  }
  /// What it has written to stderr so far.
  [[nodiscard]] std::string errors() const;
  /// The counters it left; after its end.
  [[nodiscard]] nlohmann::json stats() const;
  [[nodiscard]] bool running() { return child_.running(); }

 private:
  TemporaryFolder folder_;
  Child child_;  // ends before its folder
  std::uint16_t port_ = 0;
};

}  // namespace flexsc::http::driver
