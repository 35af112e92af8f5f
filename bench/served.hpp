// SPDX-License-Identifier: MIT
/// @file
/// A served site to measure: its files, the CPUs that serve it, and the server.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "driver/server_process.hpp"

namespace flexsc::bench {

/// The page of 4729 bytes that is measured.
inline constexpr const char* kPage = "/page.html";
/// The files of the site: size by target.
[[nodiscard]] const std::map<std::string, std::size_t>& site_files();
/// What a file of this size holds: bytes that differ between places and sizes.
[[nodiscard]] std::string contents(std::size_t size);
void write_site(const std::filesystem::path& root);

/// Which CPUs do what. All models get the same CPUs to serve with.
struct Placement {
  std::vector<int> server;
  std::vector<int> client;
  [[nodiscard]] bool worker_core() const { return server.size() > 1; }
};
/// For the CPUs of the calling thread.
[[nodiscard]] Placement place();

/// A running server.
class Served {
 public:
  /// `more`: further arguments, which win. @throws std::runtime_error if it does not come to serve.
  Served(const http::driver::Side& side, const std::filesystem::path& root,
         const Placement& placement, const std::vector<std::string>& more = {});
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }
  /// Stops it; its counters. @throws std::runtime_error if it did not end well.
  [[nodiscard]] nlohmann::json stop();

 private:
  http::driver::ServerProcess process_;
  std::uint16_t port_;
};

}  // namespace flexsc::bench
