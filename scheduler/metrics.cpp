// SPDX-License-Identifier: MIT
#include "flexsc/metrics.hpp"

#include <array>
#include <cstdint>

namespace flexsc {
namespace {

struct Metric {
  const char* name;
  const char* type;
  const char* help;
  std::uint64_t value;
};

/// As the format wants a label's value: \\, " and line ends escaped.
std::string quoted(const std::string& text) {
  std::string result;
  for (const char letter : text) {
    if (letter == '\\' || letter == '"') result += '\\';
    if (letter == '\n') {
      result += "\\n";
    } else {
      result += letter;
    }
  }
  return result;
}

/// The batch sizes.
std::string histogram(const RuntimeStats& stats, const std::string& label) {
  const std::string name = "flexsc_reaped_together";
  const std::string comma = label.empty() ? "" : ",runtime=\"" + quoted(label) + "\"";
  const std::string labels = label.empty() ? "" : "{runtime=\"" + quoted(label) + "\"}";
  std::string text = "# HELP " + name +
                     " System calls whose results were taken together.\n# TYPE " + name +
                     " histogram\n";
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < stats.reaps.size(); ++i) {
    count += stats.reaps[i];
    const std::string limit = std::to_string((std::uint64_t{2} << i) - 1);
    text.append(name).append("_bucket{le=\"").append(limit).append("\"").append(comma);
    text.append("} ").append(std::to_string(count)).append("\n");
  }
  text += name + "_bucket{le=\"+Inf\"" + comma + "} " + std::to_string(count) + "\n";
  text += name + "_sum" + labels + " " + std::to_string(stats.taken) + "\n";
  return text + name + "_count" + labels + " " + std::to_string(count) + "\n";
}

}  // namespace

std::string prometheus_text(const RuntimeStats& stats, const std::string& label) {
  const std::array metrics{
      Metric{"fibers_spawned_total", "counter", "Fibers spawned.", stats.spawned},
      Metric{"fibers_finished_total", "counter", "Fibers that have ended.", stats.finished},
      Metric{"fibers", "gauge", "Fibers that are alive.", stats.spawned - stats.finished},
      Metric{"fibers_ready", "gauge", "Fibers that wait for their turn.", stats.ready},
      Metric{"fibers_in_calls", "gauge", "Fibers in a system call.", stats.in_calls()},
      Metric{"fibers_stolen_total", "counter", "Fibers that idle carriers took from others.",
             stats.stolen},
      Metric{"switches_total", "counter", "Times a fiber was let run.", stats.switches},
      Metric{"moved_total", "counter", "Started fibers taken by another carrier.", stats.moved},
      Metric{"notifies_total", "counter", "Crossings to wake another carrier.", stats.notifies},
      Metric{"calls_posted_total", "counter", "System calls posted.", stats.channels.posted},
      Metric{"calls_reaped_total", "counter", "Posted calls whose results were taken.",
             stats.channels.reaped},
      Metric{"calls_direct_total", "counter", "System calls made by carriers directly.",
             stats.channels.direct},
      Metric{"calls_full_total", "counter", "Posts that found no free entry.", stats.channels.full},
      Metric{"doorbells_total", "counter", "Crossings to wake a worker.", stats.channels.doorbells},
      Metric{"waits_total", "counter", "Crossings to sleep until a completion.",
             stats.channels.waits},
      Metric{"sleeps_total", "counter", "Sleeps of carriers with nothing to run.", stats.sleeps},
      Metric{"slept_nanoseconds_total", "counter", "Time of these sleeps.",
             static_cast<std::uint64_t>(stats.slept.count())},
      Metric{"busy_reports_total", "counter", "Fibers that ran for longer than the limit.",
             stats.busy_reports},
      Metric{"stuck_reports_total", "counter", "Fibers that waited for longer than the limit.",
             stats.stuck_reports},
      Metric{"lock_reports_total", "counter", "OS locks held by fibers that left their carrier.",
             stats.lock_reports},
      Metric{"further_crossings_total", "counter", "Entries into the kernel beside these.",
             stats.channels.further},
      Metric{"crossings_total", "counter", "All entries into the kernel by carriers.",
             stats.crossings()},
  };
  const std::string labels = label.empty() ? "" : "{runtime=\"" + quoted(label) + "\"}";
  std::string text;
  for (const Metric& metric : metrics) {
    const std::string name = std::string("flexsc_") + metric.name;
    text += "# HELP " + name + " " + metric.help + "\n";
    text += "# TYPE " + name + " " + metric.type + "\n";
    text += name + labels + " " + std::to_string(metric.value) + "\n";
  }
  return text + histogram(stats, label);
}

}  // namespace flexsc
