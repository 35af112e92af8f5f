// SPDX-License-Identifier: MIT
#include "server_process.hpp"

#include <signal.h>
#include <stdlib.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#include "flexsc/engine.hpp"

namespace flexsc::http::driver {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> words(const fs::path& folder, const Side& side, const fs::path& root,
                               const std::vector<std::string>& arguments) {
  std::vector<std::string> all{fs::read_symlink("/proc/self/exe").parent_path() / "flexsc-httpd",
                               "--quiet",
                               "--root",
                               root,
                               "--port-file",
                               folder / "port",
                               "--stats",
                               folder / "stats"};
  const std::vector<std::string> of_side = side.arguments();
  all.insert(all.end(), of_side.begin(), of_side.end());
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

}  // namespace

std::string Side::name() const {
  std::string name = engine.empty() ? model : model + "_" + engine;
  if (multi_calls) name += *multi_calls ? "_chains" : "_single";
  return name;
}

std::vector<std::string> Side::arguments() const {
  std::vector<std::string> result{"--model", model};
  if (!engine.empty()) result.insert(result.end(), {"--engine", engine});
  if (multi_calls) result.insert(result.end(), {"--multi-calls", *multi_calls ? "true" : "false"});
  return result;
}

std::string Side::missing() const {
  if (engine.empty()) return {};
  for (const Availability& found : probe()) {
    if (to_string(found.kind) == engine && !found.available) return found.reason;
  }
  return {};
}

const std::vector<Side>& all_sides() {
  static const std::vector<Side> sides{
      {"threads", ""},
      {"pool", ""},
      {"epoll", ""},
      {"esca", "direct"},
      {"esca", "kernel"},
      {"fibers", "threads"},
      {"fibers", "uring"},
      {"fibers", "kernel"},
      // The other way than they would by themselves.
      {"fibers", "threads", true},
      {"fibers", "kernel", false},
  };
  return sides;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "flexsc-http-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), name);
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

ServerProcess::ServerProcess(const Side& side, const fs::path& root,
                             const std::vector<std::string>& arguments, const ProcessLimits& limits)
    : child_(words(folder_.path(), side, root, arguments), limits,
             {.out = {}, .errors = folder_.path() / "errors"}) {}

std::uint16_t ServerProcess::port() {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (port_ == 0 && running() && std::chrono::steady_clock::now() < end) {
    std::ifstream(folder_.path() / "port") >> port_;
    if (port_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return port_;
}

Ended ServerProcess::wait() {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (running()) {
    if (std::chrono::steady_clock::now() > end) {
      signal(SIGKILL);
      (void)child_.wait();
      return {-1, errors()};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {child_.exit_code(), errors()};
}

std::string ServerProcess::errors() const {
  return contents_of(folder_.path() / "errors");
}

nlohmann::json ServerProcess::stats() const {
  return nlohmann::json::parse(contents_of(folder_.path() / "stats"));
}

}  // namespace flexsc::http::driver
