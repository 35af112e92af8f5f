// SPDX-License-Identifier: MIT
// flexsc-demo: serves one site by each model in turn, checks that every byte is right, and
// measures the models under the same load, interleaved, on the machine it is started on.
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "driver/client.hpp"
#include "driver/server_process.hpp"
#include "wrk.hpp"

namespace {

namespace fs = std::filesystem;
using flexsc::bench::run_wrk;
using flexsc::bench::WrkReport;
using flexsc::http::driver::Client;
using flexsc::http::driver::Ended;
using flexsc::http::driver::ServerProcess;
using flexsc::http::driver::Side;
using flexsc::http::driver::TemporaryFolder;
using nlohmann::json;

struct Options {
  std::string ground = "native";
  std::vector<std::string> sides{"threads", "pool",          "epoll",
                                 "esca",    "fibers_kernel", "fibers_threads"};
  unsigned rounds = 1;
  unsigned seconds = 2;
  unsigned connections = 50;
  std::string json_file;
};

/// Which CPUs do what. All models get the same CPUs to serve with.
struct Placement {
  std::vector<int> server;
  std::vector<int> client;
  [[nodiscard]] bool worker_core() const { return server.size() > 1; }
};

Placement place() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> all;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) all.push_back(cpu);
  }
  if (all.size() == 1) return {all, all};
  // A core for the workers only if the client keeps one as well.
  const auto split = all.begin() + (all.size() == 2 ? 1 : 2);
  return {{all.begin(), split}, {split, all.end()}};
}

std::string list(const std::vector<int>& cpus) {
  std::string text;
  for (const int cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text;
}

/// The files of the site by target. The page of 4729 bytes is what is measured.
constexpr const char* kPage = "/page.html";
const std::map<std::string, std::size_t>& site_files() {
  static const std::map<std::string, std::size_t> files{
      {kPage, 4729},           {"/1k.bin", 1024},       {"/4k.bin", 4096},
      {"/16k.bin", 16 * 1024}, {"/64k.bin", 64 * 1024}, {"/256k.bin", 256 * 1024},
      {"/1m.bin", 1024 * 1024}};
  return files;
}

/// Bytes that differ between places and sizes.
std::string contents(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 2463534242U + static_cast<std::uint32_t>(size);
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

/// "esca" stands for its batching engine where there is one.
Side side_of(const std::string& name) {
  if (name == "esca") {
    const Side kernel{"esca", "kernel"};
    return kernel.missing().empty() ? kernel : Side{"esca", "direct"};
  }
  const std::size_t bar = name.find('_');
  return bar == std::string::npos ? Side{name, ""}
                                  : Side{name.substr(0, bar), name.substr(bar + 1)};
}

std::vector<std::string> arguments(const Side& side, const Placement& placement) {
  if (side.model == "epoll" || side.model == "esca") {
    return {"--threads", std::to_string(placement.server.size())};
  }
  if (side.model != "fibers") return {};
  const std::string carrier = std::to_string(placement.server.front());
  const std::string worker = std::to_string(placement.server.back());
  // With a core each, carrier and workers poll for each other and need not enter the
  // kernel to sleep and to wake; for long enough that a CPU which an emulator takes away
  // for a while is not mistaken for an idle one. On one core polling would only take the
  // CPU from the other side.
  const char* spin_us = placement.worker_core() ? "20000" : "0";
  return {"--carriers", carrier, "--worker-cpus",     worker,
          "--spin-us",  spin_us, "--carrier-spin-us", spin_us};
}

/// A served site: the process and its port.
class Served {
 public:
  Served(const Side& side, const fs::path& root, const Placement& placement)
      : process_(side, root, arguments(side, placement),
                 {.max_files = 0, .cpus = placement.server}),
        port_(process_.port()) {
    if (port_ == 0) throw std::runtime_error(side.name() + ": " + process_.wait().errors);
  }
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// Stops it; its counters.
  [[nodiscard]] json stop() {
    const Ended ended = process_.stop();
    if (ended.exit_code != 0) {
      throw std::runtime_error("the server ended with " + std::to_string(ended.exit_code) + ": " +
                               ended.errors);
    }
    return process_.stats();
  }

 private:
  ServerProcess process_;
  std::uint16_t port_;
};

/// Fetches every file over one connection and compares it. @throws std::runtime_error
void verify(const Side& side, const fs::path& root, const Placement& placement) {
  Served served(side, root, placement);
  {
    Client client(served.port());
    for (const auto& [target, size] : site_files()) {
      const auto response = client.get(target);
      if (response.status != 200 || response.body != contents(size)) {
        throw std::runtime_error(side.name() + ": " + target + " arrived wrong " +
                                 response.trouble);
      }
    }
  }
  (void)served.stop();
}

json measure(const Side& side, const fs::path& root, const Placement& placement,
             const Options& options) {
  Served served(side, root, placement);
  const WrkReport report = run_wrk("http://127.0.0.1:" + std::to_string(served.port()) + kPage,
                                   options.connections, options.seconds, placement.client);
  const json stats = served.stop();
  const double requests = std::max(1.0, stats["requests"].get<double>());
  return {{"ground", options.ground},
          {"model", side.model},
          {"engine", side.engine.empty() ? "none" : side.engine},
          {"connections", options.connections},
          {"requests", report.requests},
          {"errors", report.errors},
          {"requests_per_s", report.requests_per_s},
          {"p50_us", report.p50_us},
          {"p99_us", report.p99_us},
          {"crossings_per_request", stats["crossings"].get<double>() / requests},
          {"server", stats}};
}

json run(const Options& options) {
  const TemporaryFolder folder;
  for (const auto& [target, size] : site_files()) {
    std::ofstream(folder.path() / target.substr(1), std::ios::binary) << contents(size);
  }
  utsname system{};
  uname(&system);
  const Placement placement = place();
  json result = {{"runs", json::array()},
                 {"skipped", json::array()},
                 {"server_cpus", placement.server},
                 {"client_cpus", placement.client}};
  std::printf("%s, Linux %s: server on CPU %s, client on CPU %s\n", options.ground.c_str(),
              system.release, list(placement.server).c_str(), list(placement.client).c_str());

  std::vector<Side> sides;
  for (const std::string& name : options.sides) {
    const Side side = side_of(name);
    const std::string missing = side.missing();
    if (missing.empty()) {
      verify(side, folder.path(), placement);
      std::printf("  %-15s serves all %zu files byte for byte\n", side.name().c_str(),
                  site_files().size());
      sides.push_back(side);
    } else {
      std::printf("  %-15s left out: %s\n", side.name().c_str(), missing.c_str());
      result["skipped"].push_back(
          {{"model", side.model}, {"engine", side.engine}, {"reason", missing}});
    }
    std::fflush(stdout);
  }
  for (unsigned round = 1; round <= options.rounds; ++round) {
    for (const Side& side : sides) {
      json entry = measure(side, folder.path(), placement, options);
      entry["round"] = round;
      entry["kernel"] = system.release;
      std::printf("  %-15s round %u: %.0f requests/s, %.3f crossings per request, %d errors\n",
                  side.name().c_str(), round, entry["requests_per_s"].get<double>(),
                  entry["crossings_per_request"].get<double>(), entry["errors"].get<int>());
      std::fflush(stdout);
      result["runs"].push_back(std::move(entry));
    }
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    CLI::App app{"Compares the serving models of flexsc-httpd on this machine, with wrk."};
    app.add_option("--ground", options.ground, "What to call this machine in the results")
        ->capture_default_str();
    app.add_option("--sides", options.sides, "Models to run, as model or model_engine")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--rounds", options.rounds, "Times that all models are run in turn")
        ->capture_default_str();
    app.add_option("--seconds", options.seconds, "Duration of one run")->capture_default_str();
    app.add_option("--connections", options.connections)->capture_default_str();
    app.add_option("--json", options.json_file, "File for the results");
    CLI11_PARSE(app, argc, argv);
    const json result = run(options);
    if (!options.json_file.empty()) {
      std::ofstream out(options.json_file);
      out << result.dump(2) << '\n';
      if (!out.flush()) throw std::runtime_error("cannot write " + options.json_file);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flexsc-demo: %s\n", error.what());
    return 1;
  }
}
