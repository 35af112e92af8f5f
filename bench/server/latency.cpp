// SPDX-License-Identifier: MIT
// The rates are parts of what epoll can do here at closed loop, which is measured first, and
// latencies are told in the time that one of its requests takes there: 1 / that rate. So neither
// depends on how fast the machine is.
#include "latency.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "driver/client.hpp"
#include "driver/server_process.hpp"
#include "open_loop.hpp"
#include "placed.hpp"
#include "served.hpp"
#include "wrk.hpp"

namespace flexsc::bench {

using http::driver::Side;
using http::driver::TemporaryFolder;
using nlohmann::json;

namespace {

constexpr unsigned kConnections = 50;
constexpr unsigned kRounds = 3;
constexpr unsigned kSeconds = 4;
constexpr unsigned kClosedSeconds = 2;
/// Percent of epoll's rate. A quick run has the second one only.
constexpr std::array kParts{30U, 50U, 70U, 90U};
constexpr unsigned kQuickPart = 50;
/// Of the first run; each other one has the next, and all servers of a run have the same arrivals.
constexpr std::uint64_t kSeed = 20260101;

struct Percentile {
  const char* name;
  unsigned per_mille;
};
constexpr std::array kPercentiles{Percentile{"p50", 500}, Percentile{"p90", 900},
                                  Percentile{"p99", 990}, Percentile{"p99.9", 999},
                                  Percentile{"max", 1000}};

/// A server to measure.
struct Candidate {
  std::string name;
  Side side;
  Placement placement;
};

/// Requests per second of one after the other of 50 connections.
double closed_loop(const Candidate& candidate, const TemporaryFolder& site, unsigned seconds) {
  Served served(candidate.side, site.path(), candidate.placement);
  const WrkReport report = run_wrk("http://127.0.0.1:" + std::to_string(served.port()) + kPage,
                                   kConnections, seconds, candidate.placement.client);
  (void)served.stop();
  if (report.errors != 0 || report.requests == 0) {
    throw std::runtime_error(candidate.name + ": " + std::to_string(report.errors) +
                             " errors at closed loop");
  }
  return report.requests_per_s;
}

LoadReport open_loop(const Candidate& candidate, const TemporaryFolder& site,
                     std::vector<Time> due) {
  const OpenLoad load{.request = http::driver::request_for("GET", kPage),
                      .body = site_files().at(kPage),
                      .connections = kConnections,
                      .due = std::move(due)};
  Served served(candidate.side, site.path(), candidate.placement);
  LoadReport report = run_open_loop(served.port(), load, candidate.placement.client);
  (void)served.stop();
  return report;
}

json multiple(const std::optional<Time>& time, double unit) {
  return time ? json(static_cast<double>(*time) / unit) : json(nullptr);
}

/// A line of a table for each figure of one server.
class Lines {
 public:
  explicit Lines(std::string name) : name_(std::move(name)) {}

  /// `unit`: nanoseconds of one request of epoll.
  void add(unsigned part, const LoadReport& report, double unit) {
    for (const Percentile& each : kPercentiles) {
      put(each.name, part, multiple(report.percentile(each.per_mille), unit));
    }
    put("answered", part, static_cast<double>(report.answered()) / static_cast<double>(report.due));
    put("errors", part, report.errors());
    // Of those that were sent: how much of the latency is the client's.
    put("client p99", part,
        multiple(percentile(report.lateness, report.lateness.size(), 990), unit));
  }
  void append_to(json& table) const {
    for (const auto& [how, batches] : found_) {
      table.push_back({{"call", name_}, {"how", how}, {"batches", batches}});
    }
  }

 private:
  void put(const char* how, unsigned part, json value) {
    const auto known = std::find_if(found_.begin(), found_.end(),
                                    [how](const auto& line) { return line.first == how; });
    json& batches =
        known == found_.end() ? found_.emplace_back(how, json::object()).second : known->second;
    batches[std::to_string(part)].push_back(std::move(value));
  }

  std::string name_;
  std::vector<std::pair<std::string, json>> found_;  ///< in the order in which they are told
};

/// By turns: A B C, A B C ... The first candidate is the one whose rate the others are given.
json measure(Context& context, const std::vector<Candidate>& candidates) {
  const TemporaryFolder site;
  write_site(site.path());
  const unsigned rounds = context.samples(kRounds, 1);
  const unsigned seconds = context.samples(kSeconds, 1);
  const std::vector<unsigned> parts = context.quick()
                                          ? std::vector<unsigned>{kQuickPart}
                                          : std::vector<unsigned>(kParts.begin(), kParts.end());
  std::vector<double> rates;
  for (unsigned i = 0; i < rounds; ++i) {
    rates.push_back(closed_loop(candidates.front(), site, context.samples(kClosedSeconds, 1)));
  }
  std::sort(rates.begin(), rates.end());
  const double rate = rates[rates.size() / 2];
  const double unit = static_cast<double>(kSecond) / rate;
  std::printf(
      "%s: %s at closed loop: %.0f requests/s; arrivals of seed %llu and those that follow\n",
      context.key().c_str(), candidates.front().name.c_str(), rate,
      static_cast<unsigned long long>(kSeed));
  std::fflush(stdout);

  std::vector<Lines> lines;
  lines.reserve(candidates.size());
  for (const Candidate& candidate : candidates) lines.emplace_back(candidate.name);
  std::uint64_t seed = kSeed;
  const auto runs = static_cast<double>(rounds * parts.size() * candidates.size());
  unsigned done = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    for (const unsigned part : parts) {
      const std::vector<Time> due = arrivals(rate * part / 100, seconds * kSecond, seed++);
      for (std::size_t i = 0; i < candidates.size(); ++i) {
        const LoadReport report = open_loop(candidates[i], site, due);
        if (report.errors() != 0) {
          std::printf("%s: %s at %u %%: %s\n", context.key().c_str(), candidates[i].name.c_str(),
                      part, report.errors_text().c_str());
        }
        lines[i].add(part, report, unit);
        context.progress(++done / runs);
      }
    }
  }
  json table = json::array();
  for (const Lines& each : lines) each.append_to(table);
  return {{"table", std::move(table)},
          {"about",
           {{"requests_per_s_of_epoll_at_closed_loop", rate},
            {"microseconds_of_one", unit / 1000},
            {"connections", kConnections},
            {"seconds_of_a_run", seconds},
            {"seed", kSeed}}}};
}

}  // namespace

json latency(Context& context) {
  const Placement one = placed(1, 2);
  const Placement two = placed(2, 2);
  const Side fibers{"fibers", "kernel"};
  if (const std::string missing = fibers.missing(); !missing.empty()) {
    throw std::runtime_error(fibers.name() + ": " + missing);
  }
  return measure(context, {{"epoll", {"epoll", ""}, one},
                           {"threads", {"threads", ""}, one},
                           {"esca_kernel", {"esca", "kernel"}, one},
                           {"fibers_kernel, same CPU", fibers, one},
                           {"epoll, 2 CPUs", {"epoll", ""}, two},
                           {"threads, 2 CPUs", {"threads", ""}, two},
                           {"fibers_kernel, worker's CPU", fibers, two}});
}

json latency_native(Context& context) {
  const Placement one = placed(1, 1);
  std::vector<Candidate> candidates{{"epoll", {"epoll", ""}, one},
                                    {"threads", {"threads", ""}, one},
                                    {"esca_direct", {"esca", "direct"}, one}};
  json absent = json::object();
  for (const char* engine : {"uring", "threads"}) {
    const Side side{"fibers", engine};
    if (const std::string missing = side.missing(); !missing.empty()) {
      std::printf("%s: %s left out: %s\n", context.key().c_str(), side.name().c_str(),
                  missing.c_str());
      absent[side.name()] = missing;
    } else {
      candidates.push_back({side.name(), side, one});
    }
  }
  json result = measure(context, candidates);
  if (!absent.empty()) result["about"]["left_out"] = std::move(absent);
  return result;
}

}  // namespace flexsc::bench
