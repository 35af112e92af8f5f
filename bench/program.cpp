// SPDX-License-Identifier: MIT
#include "program.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr double kStep = 0.05;  // of a measurement, between two lines of progress

/// The CPUs of the calling thread.
std::vector<int> own_cpus() {
  cpu_set_t set;
  std::vector<int> found;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return found;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) found.push_back(cpu);
  }
  return found;
}

// Before main(): measurements pin their threads later on.
const std::vector<int> started_on = own_cpus();

void write(const std::string& file, const json& result) {
  std::ofstream out(file);
  out << result.dump(1) << '\n';
  if (!out.flush()) throw std::runtime_error("cannot write " + file);
}

json measure_all(const std::vector<Measurement>& all, const std::vector<std::string>& keys,
                 bool quick, const std::string& side) {
  json result = {{"results", json::object()}, {"errors", json::object()}};
  utsname system{};
  ::uname(&system);
  result["release"] = system.release;
  for (const Measurement& measurement : all) {
    const std::string key = measurement.key;
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) continue;
    Context context(key, quick, side);
    context.begin();
    try {
      result["results"][key] = measurement.measure(context);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", key.c_str(), error.what());
      result["errors"][key] = error.what();
    }
    context.end();
  }
  return result;
}

}  // namespace

int cpu(unsigned number) {
  if (number < started_on.size()) return started_on[number];
  throw std::runtime_error("needs " + std::to_string(number + 1) + " CPUs, may use " +
                           std::to_string(started_on.size()));
}

void Context::progress(double part) {
  if (part < shown_ + kStep) return;
  say(std::min(part, 0.99));  // the end is said once, by end()
}

void Context::say(double part) {
  shown_ = part;
  std::printf("progress %s %.2f\n", key_.c_str(), part);
  std::fflush(stdout);
}

int run_program(int argc, char** argv, const std::vector<Measurement>& all) {
  std::vector<std::string> keys;
  std::vector<std::string> known;
  std::string file;
  std::string side;
  bool quick = false;
  known.reserve(all.size());
  for (const Measurement& measurement : all) known.emplace_back(measurement.key);
  CLI::App app{"Takes samples for ./run bench, which judges them."};
  app.add_option("KEY", keys, "What to measure; default: all")->check(CLI::IsMember(known));
  app.add_flag("--quick", quick, "A few samples only, to see that it works");
  app.add_option("--side", side, "One side only, of what the cache model counts")
      ->check(CLI::IsMember({"ours", "other"}));
  app.add_option("--json", file, "File for the samples");
  CLI11_PARSE(app, argc, argv);
  try {
    const json result = measure_all(all, keys.empty() ? known : keys, quick, side);
    if (!file.empty()) write(file, result);
    return result["errors"].empty() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace flexsc::bench
