// SPDX-License-Identifier: MIT
#include "stats.hpp"

#include <sys/resource.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

namespace flexsc::http {

namespace {

using nlohmann::json;

json to_json(const EngineStats& stats) {
  return {{"workers", stats.workers}, {"executed", stats.executed},
          {"refused", stats.refused}, {"blocked", stats.blocked},
          {"batches", stats.batches}, {"handed_back", stats.handed_back},
          {"parks", stats.parks}};
}

json to_json(const RuntimeStats& stats) {
  return {{"spawned", stats.spawned},
          {"finished", stats.finished},
          {"switches", stats.switches},
          {"posted", stats.channels.posted},
          {"reaped", stats.channels.reaped},
          {"direct", stats.channels.direct},
          {"doorbells", stats.channels.doorbells},
          {"waits", stats.channels.waits},
          {"full", stats.channels.full},
          {"further", stats.channels.further}};
}

/// Of the process up to now, workers included.
std::int64_t cpu_us() {
  rusage used{};
  (void)::getrusage(RUSAGE_SELF, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * std::int64_t{1'000'000} +
         used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

}  // namespace

void write_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  std::ofstream out(temporary);
  out << text << std::flush;
  if (!out || std::rename(temporary.c_str(), path.c_str()) != 0) {
    throw std::system_error(errno, std::generic_category(), path);
  }
}

void write_stats(const Options& options, const Tally& tally, const ModelStats& stats) {
  json responses = json::object();
  for (const auto& [status, count] : tally.responses) responses[std::to_string(status)] = count;
  json all = {{"model", to_string(options.model.kind)},
              {"requests", tally.requests()},
              {"responses", responses},
              {"bytes", tally.bytes},
              {"connections", tally.connections},
              {"crossings", stats.crossings},
              {"cpu_us", cpu_us()}};
  if (stats.engine) {
    all["engine"] = to_json(*stats.engine);
    all["engine"]["kind"] = flexsc::to_string(options.model.engine.kind);
  }
  if (stats.runtime) all["runtime"] = to_json(*stats.runtime);
  write_file(options.stats_file, all.dump(2) + '\n');
}

}  // namespace flexsc::http
