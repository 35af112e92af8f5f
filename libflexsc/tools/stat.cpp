// SPDX-License-Identifier: MIT
#include "stat.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <vector>

namespace flexsc::tools {

namespace {

/// What only grows. Everything else is a state, or a setting.
constexpr std::array kCounters{"executed",  "helped",    "flushed",     "refused",
                               "stopped",   "cancelled", "timed_out",   "batches",
                               "armed",     "blocked",   "handed_back", "parks",
                               "doorbells", "wakes",     "waits",       "flushes"};
constexpr std::array kHistograms{"batch_size", "latency_ns"};

/// Of a list, what has the same name; null if there is none.
const Json* same(const Json& list, const char* name, const Json& of) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Json& each) { return each.at(name) == of.at(name); });
  return found == list.end() ? nullptr : &*found;
}

/// A client's place is given to the next one: less than before is not the same client.
bool restarted(const Json& now, const Json& before) {
  return std::any_of(kCounters.begin(), kCounters.end(), [&](const char* key) {
    return now.value(key, std::uint64_t{0}) < before.value(key, std::uint64_t{0});
  });
}

Json grown(const Json& now, const Json& before) {
  Json buckets = Json::object();
  for (const auto& [bucket, count] : now.items()) {
    const auto more = count.get<std::uint64_t>() - before.value(bucket, std::uint64_t{0});
    if (more != 0) buckets[bucket] = more;
  }
  return buckets;
}

void add_rates(Json& now, const Json* before, double interval) {
  const Json nothing = Json::object();
  const Json& then = before != nullptr && !restarted(now, *before) ? *before : nothing;
  Json rates = Json::object();
  for (const char* key : kCounters) {
    if (!now.contains(key)) continue;
    const auto more = now[key].get<std::uint64_t>() - then.value(key, std::uint64_t{0});
    rates[key] = static_cast<double>(more) / interval;
  }
  Json during = Json::object();
  for (const char* key : kHistograms) {
    if (now.contains(key)) during[key] = grown(now[key], then.value(key, nothing));
  }
  now["per_second"] = std::move(rates);
  now["during"] = std::move(during);
}

void add_rates_of_parts(Json& group, const Json* before, const char* list, double interval) {
  for (Json& part : group.at(list)) {
    add_rates(part, before == nullptr ? nullptr : same(before->at(list), "index", part), interval);
  }
}

std::string text_of(const char* format, double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, number);
  return text.data();
}

/// Three digits and a unit.
std::string scaled(double number, const std::array<const char*, 4>& units) {
  std::size_t unit = 0;
  while (number >= 999.5 && unit + 1 < units.size()) {
    number /= 1000;
    ++unit;
  }
  const bool whole = unit == 0 || number >= 99.95;
  const char* format = whole ? "%.0f" : number >= 9.995 ? "%.1f" : "%.2f";
  return text_of(format, number) + units[unit];
}

std::string time_of(const std::optional<double>& nanoseconds) {
  return nanoseconds ? brief_time(*nanoseconds) : "-";
}

/// The mean of what a claim took.
std::string batch(const Json& record, double executed) {
  const double batches = record.value("batches", 0.0);
  return batches > 0 ? text_of("%.1f", executed / batches) : "-";
}

using Line = std::vector<std::string>;

Line columns(const std::string& what, const Json& record) {
  const Json& counted = record.contains("per_second") ? record["per_second"] : record;
  const Json& histograms = record.contains("during") ? record["during"] : record;
  const auto count = [&](const char* key) { return counted.value(key, 0.0); };
  const Json latency = histograms.value("latency_ns", Json::object());
  Line line{what};
  // A client has none.
  const bool has_workers = record.contains("running") && record.contains("workers");
  line.push_back(has_workers ? record["running"].dump() + "/" + record["workers"].dump() : "");
  line.push_back(record.at("waiting").dump());
  for (const char* key :
       {"executed", "helped", "flushed", "refused", "blocked", "doorbells", "waits"}) {
    line.push_back(brief(count(key)));
  }
  line.push_back(batch(counted, count("executed") + count("helped") + count("flushed")));
  line.push_back(time_of(quantile(latency, 0.5)));
  line.push_back(time_of(quantile(latency, 0.99)));
  return line;
}

/// The first column to the left, the others to the right.
std::string aligned(const std::vector<Line>& lines) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const Line& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const Line& line : lines) {
    std::string row = line[0] + std::string(widths[0] - line[0].size(), ' ');
    for (std::size_t i = 1; i < line.size(); ++i) {
      row += "  " + std::string(widths[i] - line[i].size(), ' ') + line[i];
    }
    text += row + "\n";
  }
  return text;
}

std::string title(const Json& report) {
  if (report["interval_s"].is_null()) return "counted since each was made\n";
  return "per second, over " + text_of("%.1f", report["interval_s"].get<double>()) + " s\n";
}

std::string group_name(const Json& group) {
  const auto state = group.at("state").get<std::string>();
  return group.at("name").get<std::string>() + "[" + group.at("process").dump() + "] group " +
         group.at("id").dump() + (state == "open" ? "" : " stopped: " + state);
}

}  // namespace

Json report(const Sample& now, const std::optional<Sample>& before, std::optional<int> process) {
  Json groups = Json::array();
  for (const Json& group : now.content.at("groups")) {
    if (!process || group.at("process") == *process) groups.push_back(group);
  }
  Json interval = nullptr;
  if (before) {
    const double seconds = now.seconds - before->seconds;
    for (Json& group : groups) {
      const Json* then = same(before->content.at("groups"), "id", group);
      add_rates(group, then, seconds);
      add_rates_of_parts(group, then, "pools", seconds);
      add_rates_of_parts(group, then, "clients", seconds);
    }
    interval = seconds;
  }
  return {{"abi", now.content.at("abi")}, {"interval_s", interval}, {"groups", std::move(groups)}};
}

std::string table(const Json& report, bool clients) {
  if (report.at("groups").empty()) return title(report) + "no group is open\n";
  std::vector<Line> lines{{"", "run/all", "armed", "exec", "help", "flush", "refuse", "block",
                           "bells", "waits", "batch", "p50", "p99"}};
  for (const Json& group : report["groups"]) {
    lines.push_back(columns(group_name(group), group));
    for (const Json& pool : group.at("pools")) {
      lines.push_back(columns(
          "  pool " + pool.at("index").dump() + " on CPU " + pool.at("cpus").get<std::string>(),
          pool));
    }
    if (!clients) continue;
    for (const Json& client : group.at("clients")) {
      lines.push_back(columns("  client " + client.at("index").dump(), client));
    }
  }
  return title(report) + aligned(lines);
}

std::optional<double> quantile(const Json& histogram, double part) {
  std::vector<std::pair<double, double>> buckets;
  double all = 0;
  for (const auto& [bucket, count] : histogram.items()) {
    buckets.emplace_back(std::stod(bucket), count.get<double>());
    all += count.get<double>();
  }
  std::sort(buckets.begin(), buckets.end());
  double below = 0;
  for (const auto& [lowest, count] : buckets) {
    below += count;
    if (below >= part * all) return 2 * lowest;
  }
  return std::nullopt;
}

std::string brief(double number) {
  return scaled(number, {"", "k", "M", "G"});
}

std::string brief_time(double nanoseconds) {
  return scaled(nanoseconds, {"n", "u", "m", "s"});
}

}  // namespace flexsc::tools
