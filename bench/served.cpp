// SPDX-License-Identifier: MIT
#include "served.hpp"

#include <sched.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace flexsc::bench {

using http::driver::Ended;
using http::driver::Side;

namespace {

/// The first CPU is the carrier's, the others are the workers'.
std::string worker_cpus(const Placement& placement) {
  std::string list;
  for (std::size_t i = placement.worker_core() ? 1 : 0; i < placement.server.size(); ++i) {
    list += (list.empty() ? "" : ",") + std::to_string(placement.server[i]);
  }
  return list;
}

std::vector<std::string> usual_arguments(const Side& side, const Placement& placement) {
  if (side.model == "epoll" || side.model == "esca") {
    return {"--threads", std::to_string(placement.server.size())};
  }
  if (side.model != "fibers") return {};
  const std::string carrier = std::to_string(placement.server.front());
  // With a core each, carrier and workers poll for each other and need not enter the
  // kernel to sleep and to wake; for long enough that a CPU which an emulator takes away
  // for a while is not mistaken for an idle one. On one core polling would only take the
  // CPU from the other side.
  const char* spin_us = placement.worker_core() ? "20000" : "0";
  return {"--carriers", carrier, "--worker-cpus",     worker_cpus(placement),
          "--spin-us",  spin_us, "--carrier-spin-us", spin_us};
}

std::vector<std::string> arguments(const Side& side, const Placement& placement,
                                   const std::vector<std::string>& more) {
  std::vector<std::string> all = usual_arguments(side, placement);
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

const std::map<std::string, std::size_t>& site_files() {
  static const std::map<std::string, std::size_t> files{
      {kPage, 4729},           {"/1k.bin", 1024},       {"/4k.bin", 4096},
      {"/16k.bin", 16 * 1024}, {"/64k.bin", 64 * 1024}, {"/256k.bin", 256 * 1024},
      {"/1m.bin", 1024 * 1024}};
  return files;
}

std::string contents(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 2463534242U + static_cast<std::uint32_t>(size);
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

void write_site(const std::filesystem::path& root) {
  for (const auto& [target, size] : site_files()) {
    std::ofstream(root / target.substr(1), std::ios::binary) << contents(size);
  }
}

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

Served::Served(const Side& side, const std::filesystem::path& root, const Placement& placement,
               const std::vector<std::string>& more)
    : process_(side, root, arguments(side, placement, more),
               {.max_files = 0, .cpus = placement.server}),
      port_(process_.port()) {
  if (port_ == 0) throw std::runtime_error(side.name() + ": " + process_.wait().errors);
}

nlohmann::json Served::stop() {
  const Ended ended = process_.stop();
  if (ended.exit_code != 0) {
    throw std::runtime_error("the server ended with " + std::to_string(ended.exit_code) + ": " +
                             ended.errors);
  }
  return process_.stats();
}

}  // namespace flexsc::bench
