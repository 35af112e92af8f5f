// SPDX-License-Identifier: MIT
#include "options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

namespace flexsc::http {

namespace {

/// Cores with a use of their own.
std::vector<Live::Core> cores_of(const ModelOptions& model) {
  std::vector<Live::Core> cores;
  for (const int cpu : model.carrier_cpus) cores.push_back({cpu, "carrier"});
  for (const int cpu : model.engine.worker_cpus) {
    const auto same = std::find_if(cores.begin(), cores.end(),
                                   [cpu](const Live::Core& core) { return core.cpu == cpu; });
    if (same == cores.end()) {
      cores.push_back({cpu, "worker"});
    } else {
      same->use = "carrier and worker";
    }
  }
  return cores;
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv, int& exit_code) {
  Options options;
  options.model.threads = 0;
  // Four thousand connections can be silent at a time, for 256 KiB; what is not used costs no more.
  options.model.engine.pages_per_channel = 64;
  std::string model(to_string(options.model.kind));
  std::string engine(flexsc::to_string(EngineKind::threads));
  unsigned spin_us = static_cast<unsigned>(options.model.engine.spin.count());
  unsigned carrier_spin_us = static_cast<unsigned>(options.model.carrier_spin.count());
  unsigned idle_ms = static_cast<unsigned>(options.service.idle_timeout.count());
  unsigned request_ms = static_cast<unsigned>(options.service.request_timeout.count());

  CLI::App app{"Serves the files of a folder over HTTP/1.1, by one of several models."};
  app.add_option("--root", options.service.root, "Folder to serve")->capture_default_str();
  app.add_option("--bind", options.service.address, "IPv4 address")->capture_default_str();
  app.add_option("--port", options.service.port, "TCP port; 0: any free one (it is printed)")
      ->capture_default_str();
  app.add_option("--port-file", options.port_file, "File to write the port to, once serving");
  app.add_option("--model", model,
                 "threads: a thread per connection; pool: a fixed number of threads; "
                 "epoll: event loops; esca: event loops with batch segments; "
                 "fibers: a fiber per connection")
      ->check(CLI::IsMember({"threads", "pool", "epoll", "esca", "fibers"}))
      ->capture_default_str();
  app.add_option("--engine", engine, "What makes the system calls of models fibers and esca")
      ->check(CLI::IsMember({"kernel", "uring", "threads", "direct", "auto"}))
      ->capture_default_str();
  app.add_option("--threads", options.model.threads,
                 "pool: threads (default 16); epoll, esca: loops (default 1)");
  app.add_option("--carriers", options.model.carrier_cpus,
                 "fibers: CPUs of the carrier threads, as 0,1 (default: all)")
      ->delimiter(',');
  app.add_option("--worker-cpus", options.model.engine.worker_cpus,
                 "CPUs of the engine's workers, as 0,1 (default: all)")
      ->delimiter(',');
  app.add_option("--workers", options.model.engine.concurrency,
                 "Workers running at a time (default: one per worker CPU)");
  app.add_option(
         "--pages", options.model.engine.pages_per_channel,
         "System-call pages of each carrier, 64 calls each: so many fibers can wait at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--spin-us", spin_us, "How long an idle worker polls before it sleeps")
      ->capture_default_str();
  app.add_option("--carrier-spin-us", carrier_spin_us,
                 "fibers: how long an idle carrier polls before it sleeps")
      ->take_last()
      ->capture_default_str();
  app.add_option("--multi-calls", options.model.multi_calls,
                 "fibers: whether calls that follow from each other are posted as one "
                 "(default: with engine kernel)");
  app.add_option("--idle-timeout-ms", idle_ms, "Silence after which a connection is closed")
      ->capture_default_str();
  app.add_option("--request-timeout-ms", request_ms,
                 "Time for a request to arrive, from its first byte")
      ->capture_default_str();
  app.add_option("--stats", options.stats_file, "File for counters (JSON), written at the end");
  app.add_flag("--live", options.service.live,
               "Show counters: /-/live is a page that draws them, /-/metrics is for Prometheus");
  app.add_flag("--quiet", options.quiet, "Do not print the port");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error);
    return std::nullopt;
  }

  using std::chrono::microseconds;
  using std::chrono::milliseconds;
  options.model.kind = *model_kind(model);
  options.model.engine.kind = *engine_kind(engine);
  options.model.engine.spin = microseconds(spin_us);
  options.model.carrier_spin = microseconds(carrier_spin_us);
  options.service.idle_timeout = milliseconds(idle_ms);
  options.service.request_timeout = milliseconds(request_ms);
  if (options.model.kind == ModelKind::fibers && options.model.engine.kind == EngineKind::direct) {
    std::cerr << "flexsc-httpd: model fibers cannot use engine direct: the first call that blocks "
                 "would block all fibers of its carrier; use kernel, uring, threads or auto\n";
    exit_code = 1;
    return std::nullopt;
  }
  options.service.live_cores = cores_of(options.model);
  if (options.model.threads == 0) {
    options.model.threads = options.model.kind == ModelKind::pool ? 16 : 1;
  }
  return options;
}

}  // namespace flexsc::http
