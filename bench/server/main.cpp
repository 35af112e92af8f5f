// SPDX-License-Identifier: MIT
// flexsc-bench-server: one page served by fibers on engine `kernel`, and by others. On one CPU
// where the clock counts instructions, requests per second are the inverse of instructions per
// request.
#include <sys/resource.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "counted.hpp"
#include "latency.hpp"
#include "pairs.hpp"
#include "placed.hpp"
#include "program.hpp"
#include "serving.hpp"
#include "small.hpp"

namespace flexsc::bench {

using http::driver::Side;
using http::driver::TemporaryFolder;
using nlohmann::json;

namespace {

constexpr unsigned kThousand = 1000;
constexpr unsigned kTenThousand = 10'000;
constexpr unsigned kFew = 400;

double rate(const Setup& setup, const TemporaryFolder& site) {
  return serve(setup, site).load.requests_per_s;
}

/// A B A B ...: pairs of what `measure` says of both.
json compare(Context& context, const Setup& ours, const Setup& other,
             const std::function<double(const Setup&, const TemporaryFolder&)>& measure = rate) {
  const TemporaryFolder site;
  write_site(site.path());
  const unsigned pairs = context.samples(kPairs, 1);
  json result;
  for (unsigned i = 0; i < pairs; ++i) {
    const double first = measure(ours, site);
    context.progress((i + 0.5) / pairs);
    result["pairs"].push_back({first, measure(other, site)});
    context.progress((i + 1.0) / pairs);
  }
  return result;
}

json against(Context& context, const Side& other, unsigned connections = kConnections) {
  static std::map<unsigned, double> quick;  // rates of fibers by connections: one for all keys
  const auto measure = [&](const Setup& setup, const TemporaryFolder& site) {
    if (!context.quick() || setup.side.name() != fibers().name()) return rate(setup, site);
    const auto known = quick.find(connections);
    return known != quick.end() ? known->second
                                : quick.emplace(connections, rate(setup, site)).first->second;
  };
  return compare(context, {.side = fibers(), .connections = connections, .arguments = {}},
                 {.side = other, .connections = connections, .arguments = {}}, measure);
}

json against_threads(Context& context) {
  return against(context, {"threads", ""});
}
json against_epoll(Context& context) {
  return against(context, {"epoll", ""});
}
json against_esca(Context& context) {
  return against(context, {"esca", "kernel"});
}
json against_rival(Context& context, RivalKind kind) {
  json result = against(context, {std::string(to_string(kind)), ""});
  result["configuration"] = Rival::configuration(kind, "FOLDER", "SITE", 8080);
  return result;
}
json against_nginx(Context& context) {
  return against_rival(context, RivalKind::nginx);
}
json against_lighttpd(Context& context) {
  return against_rival(context, RivalKind::lighttpd);
}
json one_connection(Context& context) {
  return against(context, {"threads", ""}, 1);
}

/// Requests per second of what is open: connecting, which takes the first part of a load, is taken
/// out as the difference of a load of that time and one that is twice as long.
double steady_rate(const Setup& setup, const TemporaryFolder& site) {
  const WrkReport brief = serve(setup, site).load;
  Setup twice = setup;
  twice.seconds *= 2;
  const WrkReport longer = serve(twice, site).load;
  const auto took = [](const WrkReport& report) {
    return static_cast<double>(report.requests) / report.requests_per_s;
  };
  return static_cast<double>(longer.requests - brief.requests) / (took(longer) - took(brief));
}

/// Ten thousand connections against few. A quick run, with a tenth of them, shows that they are
/// served: what it says of them has the connecting in it.
json c10k(Context& context) {
  // A fiber that waits for a request has its call in an entry.
  const std::vector<std::string> room{"--pages", "256"};
  const unsigned seconds = context.quick() ? 2 : 5;
  const unsigned many = context.quick() ? kTenThousand / 10 : kTenThousand;
  return compare(context,
                 {.side = fibers(), .connections = many, .seconds = seconds, .arguments = room},
                 {.side = fibers(), .connections = kFew, .seconds = seconds, .arguments = room},
                 context.quick() ? rate : steady_rate);
}

/// What tables say of a load, by its name in them. Where the clock counts instructions, a
/// microsecond is a thousand of them.
const std::vector<std::pair<const char*, std::function<double(const Result&)>>>& columns() {
  static const std::vector<std::pair<const char*, std::function<double(const Result&)>>> all{
      {"requests per second", [](const Result& of) { return of.load.requests_per_s; }},
      {"p50, us", [](const Result& of) { return of.load.p50_us; }},
      {"p99, us", [](const Result& of) { return of.load.p99_us; }},
      {"CPU of the server per request, us", [](const Result& of) {
         return of.server["cpu_us"].get<double>() / of.server["requests"].get<double>();
       }}};
  return all;
}

/// A table: lines for each model, a column for each of `sizes`. A quick run has the first size
/// only.
json by_size(Context& context, const std::vector<std::size_t>& sizes,
             const std::function<Setup(const Side& side, std::size_t size)>& setup) {
  const std::vector<Side> sides{fibers(), {"threads", ""}, {"epoll", ""}, {"esca", "kernel"}};
  const TemporaryFolder site;
  write_site(site.path());
  json lines = json::array();
  for (const Side& side : sides) {
    std::vector<json> found;
    for (const auto& [how, value] : columns()) {
      found.push_back({{"call", side.name()}, {"how", how}});
    }
    for (std::size_t i = 0; i < (context.quick() ? 1 : sizes.size()); ++i) {
      const Result result = serve(setup(side, sizes[i]), site);
      for (std::size_t line = 0; line < found.size(); ++line) {
        found[line]["batches"][std::to_string(sizes[i])] = {columns()[line].second(result)};
      }
      const double sides_done =
          static_cast<double>(lines.size()) / static_cast<double>(found.size()) +
          (static_cast<double>(i) + 1) / static_cast<double>(sizes.size());
      context.progress(sides_done / static_cast<double>(sides.size()));
    }
    for (json& line : found) lines.push_back(std::move(line));
  }
  return {{"table", std::move(lines)}};
}

json connections(Context& context) {
  return by_size(context, {1, 10, 50, 200, 1000, 2000}, [](const Side& side, std::size_t count) {
    Setup setup{.side = side, .connections = static_cast<unsigned>(count), .arguments = {}};
    // A second of many connections would be the one in which they are made.
    if (count > 200) setup.seconds = 2;
    // An entry for each fiber that waits; no more, since each page is looked at in each crossing.
    if (side.model == "fibers" && count > 200) setup.arguments = {"--pages", "64"};
    return setup;
  });
}

json file_sizes(Context& context) {
  return by_size(context, {1, 4, 16, 64, 256}, [](const Side& side, std::size_t kib) {
    Setup setup{.side = side, .arguments = {}};
    setup.page = "/" + std::to_string(kib) + "k.bin";
    return setup;
  });
}

json crossings(Context& context) {
  const TemporaryFolder site;
  write_site(site.path());
  const unsigned samples = context.samples(kPairs, 1);
  json result;
  for (unsigned i = 0; i < samples; ++i) {
    const json stats =
        serve({.side = fibers(), .placement = placed(2, 2), .seconds = 2, .arguments = {}}, site)
            .server;
    result["values"].push_back(stats["crossings"].get<double>() / stats["requests"].get<double>());
    context.progress((i + 1.0) / samples);
  }
  return result;
}

json spread_over(Context& context, const Side& other, const Placement& where) {
  return compare(context,
                 {.side = fibers(), .placement = placed(3, 3), .seconds = 2, .arguments = {}},
                 {.side = other, .placement = where, .seconds = 2, .arguments = {}});
}
json spread(Context& context) {
  return spread_over(context, {"epoll", ""}, placed(1, 3));
}
json spread_threads(Context& context) {
  return spread_over(context, {"threads", ""}, placed(3, 3));
}

/// On this machine, without the module: one carrier on a CPU that it may share with a worker,
/// against one worker of nginx there; the client has the other CPU.
json http(Context& context, const std::string& engine, unsigned connections) {
  Setup ours{.side = {"fibers", engine},
             .placement = placed(1, 1),
             .connections = connections,
             .seconds = 2,
             .arguments = {}};
  if (connections > 200) {
    ours.seconds = 4;  // the first part of it is spent on connecting
    ours.arguments = {"--pages",
                      "64"};  // a fiber that waits for a request has its call in an entry
  }
  Setup other = ours;
  other.side = {std::string(to_string(RivalKind::nginx)), ""};
  return compare(context, ours, other);
}
json http50_uring(Context& context) {
  return http(context, "uring", kConnections);
}
json http1000_uring(Context& context) {
  return http(context, "uring", kThousand);
}
json http50_threads(Context& context) {
  return http(context, "threads", kConnections);
}

}  // namespace
}  // namespace flexsc::bench

int main(int argc, char** argv) {
  using namespace flexsc::bench;
  // For ten thousand connections, here and in who is started from here.
  const rlimit files{65536, 65536};
  (void)::setrlimit(RLIMIT_NOFILE, &files);
  return run_program(argc, argv,
                     {{"threads", against_threads},
                      {"epoll", against_epoll},
                      {"esca", against_esca},
                      {"nginx", against_nginx},
                      {"lighttpd", against_lighttpd},
                      {"one_connection", one_connection},
                      {"c10k", c10k},
                      {"small_udp", small_udp},
                      {"small_files", small_files},
                      {"connections", connections},
                      {"file_sizes", file_sizes},
                      {"crossings", crossings},
                      {"latency", latency},
                      {"latency_native", latency_native},
                      {"spread", spread},
                      {"spread_threads", spread_threads},
                      {"http50_uring", http50_uring},
                      {"http1000_uring", http1000_uring},
                      {"http50_threads", http50_threads},
                      {"carrier", carrier},
                      {"pollution", pollution},
                      {"profile", profile}});
}
