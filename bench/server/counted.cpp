// SPDX-License-Identifier: MIT
#include "counted.hpp"

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "cache-model/marks.hpp"
#include "placed.hpp"
#include "serving.hpp"
#include "small.hpp"

namespace flexsc::bench {

using http::driver::Side;
using http::driver::TemporaryFolder;
using nlohmann::json;

namespace {

/// One load between marks, after one that lets caches hold what they will hold.
std::uint64_t requests_counted(const Serving& serving, const Setup& setup) {
  (void)load(serving, setup);
  cache_model::start_counting();
  const WrkReport report = load(serving, setup);
  cache_model::stop_counting();
  return report.requests;
}

json one_side(Context& context, const Setup& ours, const Setup& other) {
  const Setup& setup = context.side() == "other" ? other : ours;
  const TemporaryFolder site;
  write_site(site.path());
  Serving serving(setup, site.path());
  // What we do beside it, starting the client above all, is not to be counted as the server's.
  http::driver::restrict_to_cpus(setup.placement.client);
  const std::uint64_t requests = requests_counted(serving, setup);
  (void)serving.stop();
  return {{"requests", requests}};
}

/// The carrier has nothing to do while its worker works: it is not to be counted as it spins.
const std::vector<std::string> kSleepSoon{"--carrier-spin-us", "0"};

/// Where a process ("self", or its number) has which file in its memory.
std::string maps_of(const std::string& process) {
  std::ifstream file("/proc/" + process + "/maps");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The kernel's functions and those of its modules: of /proc/kallsyms, what is code.
std::string kernel_symbols() {
  std::ifstream file("/proc/kallsyms");
  std::string found;
  for (std::string line; std::getline(file, line);) {
    const std::size_t kind = line.find(' ') + 1;
    if (kind < line.size() && std::string_view("tTwW").find(line[kind]) != std::string_view::npos) {
      found += line + '\n';
    }
  }
  return found;
}

json http_side(const Side& side, const TemporaryFolder& site) {
  const Setup setup{.side = side, .arguments = {}};
  Serving serving(setup, site.path());
  std::string maps = maps_of(std::to_string(serving.pid()));
  const std::uint64_t requests = requests_counted(serving, setup);
  (void)serving.stop();
  return {{"name", side.name()}, {"requests", requests}, {"maps", std::move(maps)}};
}

}  // namespace

json carrier(Context& context) {
  return one_side(context, {.side = fibers(), .placement = placed(2, 2), .arguments = kSleepSoon},
                  {.side = {"epoll", ""}, .placement = placed(1, 2), .arguments = {}});
}
json pollution(Context& context) {
  return one_side(context, {.side = fibers(), .placement = placed(2, 2), .arguments = kSleepSoon},
                  {.side = {"threads", ""}, .placement = placed(1, 2), .arguments = {}});
}

json profile(Context& context) {
  std::vector<Side> sides{fibers(), {"epoll", ""}};
  std::vector<Small> smalls{Small::udp};
  if (!context.quick()) {
    sides.insert(sides.end(),
                 {{"threads", ""}, {"esca", "kernel"}, {"nginx", ""}, {"lighttpd", ""}});
    smalls.push_back(Small::files);
  }
  const double all = static_cast<double>(sides.size() + 2 * smalls.size());
  double done = 0;
  const TemporaryFolder site;
  write_site(site.path());
  json http = json::array();
  for (const Side& side : sides) {
    http.push_back(http_side(side, site));
    context.progress(++done / all);
  }
  json groups{{{"name", "HTTP, 50 connections"}, {"sides", std::move(http)}}};
  for (const Small small : smalls) {
    json both = json::array();
    for (const bool by_fibers : {true, false}) {
      const std::uint64_t requests = requests_counted(small, by_fibers);
      both.push_back({{"name", by_fibers ? "fibers" : "direct calls"},
                      {"requests", requests},
                      {"maps", maps_of("self")}});
      context.progress(++done / all);
    }
    groups.push_back({{"name", to_string(small)}, {"sides", std::move(both)}});
  }
  return {{"groups", std::move(groups)}, {"symbols", kernel_symbols()}};
}

}  // namespace flexsc::bench
