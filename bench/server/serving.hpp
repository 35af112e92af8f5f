// SPDX-License-Identifier: MIT
/// @file
/// One server, whoever's, and one load on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "rival.hpp"
#include "served.hpp"
#include "wrk.hpp"

namespace flexsc::bench {

inline constexpr unsigned kConnections = 50;

/// What serves, from where, and to whom.
struct Setup {
  http::driver::Side side;  ///< of our models, or nginx or lighttpd
  Placement placement = place();
  unsigned connections = kConnections;
  unsigned seconds = 1;
  std::vector<std::string> arguments;  ///< further ones of the server
  std::string page = kPage;
};

/// Fibers on engine `kernel`, which all is compared with.
[[nodiscard]] inline http::driver::Side fibers() {
  return {"fibers", "kernel"};
}

/// A running server of ours or of others. Ends with the object.
class Serving {
 public:
  /// @throws std::runtime_error if it does not come to serve.
  Serving(const Setup& setup, const std::filesystem::path& root);
  [[nodiscard]] std::uint16_t port() const noexcept {
    return ours_ ? ours_->port() : other_->port();
  }
  [[nodiscard]] pid_t pid() const noexcept { return ours_ ? ours_->pid() : other_->pid(); }
  /// Stops it; its counters, null of one of others. @throws std::runtime_error if it did not end
  /// well.
  [[nodiscard]] nlohmann::json stop();

 private:
  std::optional<Served> ours_;
  std::optional<Rival> other_;
};

/// Loads it once. @throws std::runtime_error if a request was not answered well, or none was made.
[[nodiscard]] WrkReport load(const Serving& serving, const Setup& setup);

struct Result {
  WrkReport load;
  nlohmann::json server;  ///< its counters; null for one of others
};

/// One load on a new server. @throws std::runtime_error also if not all connections were accepted.
[[nodiscard]] Result serve(const Setup& setup, const http::driver::TemporaryFolder& site);

}  // namespace flexsc::bench
