// SPDX-License-Identifier: MIT
// flexsc-demo: serves one site by each model in turn, checks that every byte is right, and
// measures the models under the same load, interleaved, on the machine it is started on.
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "driver/client.hpp"
#include "driver/server_process.hpp"
#include "served.hpp"
#include "wrk.hpp"

namespace {

namespace fs = std::filesystem;
using flexsc::bench::contents;
using flexsc::bench::kPage;
using flexsc::bench::place;
using flexsc::bench::Placement;
using flexsc::bench::run_wrk;
using flexsc::bench::Served;
using flexsc::bench::site_files;
using flexsc::bench::write_site;
using flexsc::bench::WrkReport;
using flexsc::http::driver::Client;
using flexsc::http::driver::Side;
using flexsc::http::driver::TemporaryFolder;
using nlohmann::json;

struct Options {
  std::string ground = "native";
  std::vector<std::string> sides{"threads",       "pool",         "epoll",         "esca",
                                 "fibers_kernel", "fibers_uring", "fibers_threads"};
  unsigned rounds = 1;
  unsigned seconds = 2;
  unsigned connections = 50;
  std::string json_file;
};

std::string list(const std::vector<int>& cpus) {
  std::string text;
  for (const int cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text;
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
  write_site(folder.path());
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
