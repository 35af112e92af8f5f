// SPDX-License-Identifier: MIT
/// @file
/// nginx as a child process: one worker that serves a folder.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "driver/server_process.hpp"

namespace flexsc::bench {

/// A running nginx. Ends with the object.
class Nginx {
 public:
  /// Serves the files below `root` from the given CPUs (empty: all).
  /// @throws std::runtime_error with what it says if it is not installed or does not serve.
  Nginx(const std::filesystem::path& root, const std::vector<int>& cpus);
  Nginx(const Nginx&) = delete;
  Nginx& operator=(const Nginx&) = delete;
  ~Nginx();

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  /// Its configuration, for whoever wants to repeat it: what it has in common with our models (no
  /// log, the file opened for each request, connections without end) and nothing tuned besides.
  [[nodiscard]] static std::string configuration(const std::string& folder, const std::string& root,
                                                 std::uint16_t port);

 private:
  void await();

  http::driver::TemporaryFolder folder_;
  std::uint16_t port_;
  pid_t pid_ = -1;
};

}  // namespace flexsc::bench
