// SPDX-License-Identifier: MIT
#include "wrk.hpp"

#include <regex>
#include <stdexcept>

#include "driver/server_process.hpp"

namespace flexsc::bench {

namespace {

/// "635.91us", "8.29ms", "1.02s", "1.5m" in microseconds.
double microseconds(const std::string& number, const std::string& unit) {
  const double factor = unit == "us" ? 1 : unit == "ms" ? 1e3 : unit == "s" ? 1e6 : 60e6;
  return std::stod(number) * factor;
}

std::optional<double> latency(const std::string& text, const char* percentile) {
  const std::regex line(std::string("\\n\\s+") + percentile + R"(%\s+([\d.]+)(us|ms|s|m)\s)");
  std::smatch found;
  if (!std::regex_search(text, found, line)) return std::nullopt;
  return microseconds(found[1], found[2]);
}

/// Sum of the numbers that `pattern` captures; 0 if it does not occur.
std::uint64_t sum_of_numbers(const std::string& text, const std::regex& pattern) {
  std::smatch found;
  if (!std::regex_search(text, found, pattern)) return 0;
  std::uint64_t sum = 0;
  for (std::size_t i = 1; i < found.size(); ++i) sum += std::stoull(found[i]);
  return sum;
}

}  // namespace

std::optional<WrkReport> parse_wrk(const std::string& text) {
  static const std::regex kRequests(R"(\n\s*(\d+) requests in )");
  static const std::regex kRate(R"(\nRequests/sec:\s+([\d.]+))");
  static const std::regex kSocketErrors(
      R"(Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+))");
  static const std::regex kStatuses(R"(Non-2xx or 3xx responses: (\d+))");
  std::smatch rate;
  const auto p50 = latency(text, "50");
  const auto p99 = latency(text, "99");
  if (!std::regex_search(text, rate, kRate) || !p50 || !p99) return std::nullopt;
  return WrkReport{
      .requests = sum_of_numbers(text, kRequests),
      .errors = sum_of_numbers(text, kSocketErrors) + sum_of_numbers(text, kStatuses),
      .requests_per_s = std::stod(rate[1]),
      .p50_us = *p50,
      .p99_us = *p99,
  };
}

WrkReport run_wrk(const std::string& url, unsigned connections, unsigned seconds,
                  const std::vector<int>& cpus) {
  // A time limit per request that an emulated machine keeps, so that being slow is seen
  // as latency and not as an error.
  const http::driver::TemporaryFolder folder;
  const std::string said = folder.path() / "said";
  http::driver::Child wrk({"wrk", "-t", "1", "-c", std::to_string(connections), "-d",
                           std::to_string(seconds) + "s", "--timeout", "30s", "--latency", url},
                          {.cpus = cpus}, {.out = said, .errors = said});
  if (wrk.wait() == http::driver::kNotFound) {
    throw std::runtime_error("wrk is not installed: install Debian's package wrk");
  }
  const std::string text = http::driver::contents_of(said);
  const auto report = parse_wrk(text);
  if (!report) throw std::runtime_error("wrk failed:\n" + text);
  return *report;
}

}  // namespace flexsc::bench
