// SPDX-License-Identifier: MIT
// flexsc: what the module does for the processes of this machine, and whether it can be used.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <thread>

#include "doctor.hpp"
#include "fibers.hpp"
#include "groups.hpp"
#include "stat.hpp"

namespace flexsc::tools {
namespace {

struct StatOptions {
  std::optional<int> process;
  double interval = 1;
  std::optional<unsigned long> count;
  bool json = false;
  bool clients = false;
  std::string file = kGroupsFile;
};

double seconds_now() {
  const std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
  return now.count();
}

Sample look(const std::string& file) {
  const double now = seconds_now();
  return {now, parse_groups(read_groups(file))};
}

/// Returns whether it could be written.
bool show(const Json& report, const StatOptions& options) {
  if (options.json) {
    std::puts(report.dump().c_str());
  } else {
    // On a terminal each report takes the place of the last one.
    const bool live = ::isatty(STDOUT_FILENO) == 1 && !options.count;
    std::printf("%s%s%s", live ? "\033[H\033[2J" : "", table(report, options.clients).c_str(),
                live ? "" : "\n");
  }
  return std::fflush(stdout) == 0;
}

int stat(const StatOptions& options) {
  std::optional<Sample> before;
  for (unsigned long i = 0; !options.count || i < *options.count; ++i) {
    Sample now = look(options.file);
    if (!show(report(now, before, options.process), options)) return 1;
    if (i + 1 == options.count) break;
    // From this look on, and not from when it was due: no interval is shorter than asked for.
    const double next = now.seconds + options.interval;
    std::this_thread::sleep_for(std::chrono::duration<double>(next - seconds_now()));
    before = std::move(now);
  }
  return 0;
}

struct FiberOptions {
  int process = 0;
  bool json = false;
  bool backtraces = true;
};

int fibers(const FiberOptions& options) {
  const Json list = list_fibers(options.process, options.backtraces);
  std::fputs(options.json ? (list.dump() + "\n").c_str() : fibers_text(list).c_str(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

int doctor() {
  const Facts facts = examine();
  std::fputs(prescription(facts).c_str(), stdout);
  return usable(facts) ? 0 : 1;
}

int run(int argc, char** argv) {
  constexpr double shortest = 0.01;
  constexpr double longest = 86400;
  StatOptions options;
  CLI::App app{"What the FlexSC module does on this machine, and whether it can be used."};
  app.require_subcommand(1);

  CLI::App* stat_command = app.add_subcommand(
      "stat", "Counters of all groups, pools and clients (as root); docs/observability.md");
  stat_command->add_option("--pid", options.process, "Only of this process")
      ->check(CLI::PositiveNumber);
  stat_command->add_option("--interval", options.interval, "Seconds between two reports")
      ->capture_default_str()
      ->check(CLI::Range(shortest, longest));
  stat_command
      ->add_option("--count", options.count,
                   "Reports; default: until it is interrupted. The first one has what was counted "
                   "since each was made, the others what was counted since the one before")
      ->check(CLI::PositiveNumber);
  stat_command->add_flag("--json", options.json, "One JSON object per line and report");
  stat_command->add_flag("--clients", options.clients,
                         "A line for each client too (JSON has them)");
  stat_command->add_option("--file", options.file, "Where the module's text is")
      ->capture_default_str();

  CLI::App* doctor_command = app.add_subcommand(
      "doctor",
      "What is there for the kernel engine, and what to do where it is not; status 1 if programs "
      "cannot use it");

  FiberOptions fiber_options;
  bool no_backtraces = false;
  CLI::App* fibers_command = app.add_subcommand(
      "fibers",
      "Every fiber of a process: state, what it waits for and since when, backtrace. Reads its "
      "memory, so it may hang, and the caller must be allowed to trace it; docs/observability.md");
  fibers_command->add_option("pid", fiber_options.process, "Of the process")
      ->required()
      ->check(CLI::PositiveNumber);
  fibers_command->add_flag("--json", fiber_options.json, "One JSON object");
  fibers_command->add_flag("--no-backtraces", no_backtraces, "Faster, where there are many");
  CLI11_PARSE(app, argc, argv);
  if (fibers_command->parsed()) {
    fiber_options.backtraces = !no_backtraces;
    return fibers(fiber_options);
  }
  return doctor_command->parsed() ? doctor() : stat(options);
}

}  // namespace
}  // namespace flexsc::tools

int main(int argc, char** argv) {
  try {
    return flexsc::tools::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flexsc: %s\n", error.what());
    return 1;
  }
}
