// SPDX-License-Identifier: MIT
#include "live.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <iomanip>
#include <sstream>
#include <string_view>

#include "flexsc/posix.hpp"

// The files become part of the program as they are; CMakeLists.txt says where they come from.
#define FLEXSC_FILE(name, path)                                             \
  asm(".pushsection .rodata\n" #name "_begin: .incbin \"" path "\"\n" #name \
      "_end:"                                                               \
      " .byte 0\n.popsection\n");                                           \
  extern "C" const char name##_begin[];                                     \
  extern "C" const char name##_end[]

FLEXSC_FILE(flexsc_live_page, FLEXSC_LIVE_PAGE);
FLEXSC_FILE(flexsc_chart_library, FLEXSC_CHART_LIBRARY);

namespace flexsc::http {

namespace {

constexpr std::string_view kPrefix = "/-/";

/// A small file, read through the engine, so that no carrier waits.
std::string read_all(const char* path) {
  std::string text;
  const OwnedFd fd(flexsc::open(path, O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> part;
  ssize_t got = 0;
  while (fd.get() >= 0 && (got = flexsc::read(fd.get(), part.data(), part.size())) > 0) {
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

std::optional<Answer> Live::answer(const Request& request, bool last) const {
  const std::string_view target =
      std::string_view(request.target).substr(0, request.target.find('?'));
  if (!target.starts_with(kPrefix)) return std::nullopt;
  const std::string_view name = target.substr(kPrefix.size());
  if (name == "live") {
    return Site::text(request, last, "text/html; charset=utf-8",
                      {flexsc_live_page_begin, flexsc_live_page_end});
  }
  if (name == "chart.js") {
    return Site::text(request, last, "text/javascript; charset=utf-8",
                      {flexsc_chart_library_begin, flexsc_chart_library_end});
  }
  if (name == "metrics") return Site::text(request, last, "text/plain; version=0.0.4", metrics());
  return Site::refusal(404, request, last);
}

std::string Live::metrics() const {
  return "# HELP flexsc_http_requests_total Requests answered.\n"
         "# TYPE flexsc_http_requests_total counter\n"
         "flexsc_http_requests_total " +
         std::to_string(requests_.load(std::memory_order_relaxed)) + "\n" + core_metrics() +
         (source_ ? source_() : "");
}

/// How long each core was busy since the machine started, by /proc/stat. Other programs on the core
/// are in it.
std::string Live::core_metrics() const {
  if (cores_.empty()) return {};
  std::string text =
      "# HELP flexsc_core_seconds_total What the cores that serve did.\n"
      "# TYPE flexsc_core_seconds_total counter\n";
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::istringstream lines(read_all("/proc/stat"));
  for (std::string line; std::getline(lines, line);) {
    for (const Core& core : cores_) {
      const std::string name = "cpu" + std::to_string(core.cpu) + " ";
      if (!line.starts_with(name)) continue;
      // user nice system idle iowait irq softirq steal
      std::array<double, 8> ticks{};
      std::istringstream numbers(line.substr(name.size()));
      for (double& each : ticks) numbers >> each;
      const auto add = [&](const char* mode, double sum) {
        std::ostringstream out;
        out << std::fixed << std::setprecision(2) << "flexsc_core_seconds_total{cpu=\"" << core.cpu
            << "\",use=\"" << core.use << "\",mode=\"" << mode << "\"} " << sum * tick << '\n';
        text += out.str();
      };
      add("user", ticks[0] + ticks[1]);
      add("system", ticks[2] + ticks[5] + ticks[6]);
      add("idle", ticks[3] + ticks[4]);
    }
  }
  return text;
}

}  // namespace flexsc::http
