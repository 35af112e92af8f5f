// SPDX-License-Identifier: MIT
/// @file
/// Servers of others as a child process: one worker that serves a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "driver/server_process.hpp"

namespace flexsc::bench {

enum class RivalKind { nginx, lighttpd };

[[nodiscard]] constexpr std::string_view to_string(RivalKind kind) noexcept {
  return kind == RivalKind::nginx ? "nginx" : "lighttpd";
}

/// A running server. Ends with the object.
class Rival {
 public:
  /// Serves the files below `root` from the given CPUs (empty: all).
  /// @throws std::runtime_error with what it says if it is not installed or does not serve.
  Rival(RivalKind kind, const std::filesystem::path& root, const std::vector<int>& cpus);
  Rival(const Rival&) = delete;
  Rival& operator=(const Rival&) = delete;
  ~Rival();

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] pid_t pid() const noexcept { return child_.pid(); }

  /// Its configuration, for whoever wants to repeat it: what it has in common with our models (no
  /// log, the file opened for each request, connections without end) and nothing tuned besides.
  [[nodiscard]] static std::string configuration(RivalKind kind, const std::string& folder,
                                                 const std::string& root, std::uint16_t port);

 private:
  [[nodiscard]] std::vector<std::string> words(const std::filesystem::path& root) const;
  void await();

  RivalKind kind_;
  http::driver::TemporaryFolder folder_;
  std::uint16_t port_;
  http::driver::Child child_;  // ends before its folder, and is made from what is above it
};

}  // namespace flexsc::bench
