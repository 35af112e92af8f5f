// SPDX-License-Identifier: MIT
#include "wrk.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <regex>
#include <stdexcept>
#include <system_error>

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

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(fd, buffer.data(), buffer.size())) != 0;) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
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
  std::vector<std::string> words{"wrk",
                                 "-t",
                                 "1",
                                 "-c",
                                 std::to_string(connections),
                                 "-d",
                                 std::to_string(seconds) + "s",
                                 "--timeout",
                                 "30s",
                                 "--latency",
                                 url};
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) {
    ::dup2(ends[1], 1);
    ::dup2(ends[1], 2);
    http::driver::restrict_to_cpus(cpus);
    ::execvp(argv[0], argv.data());
    _exit(127);
  }
  ::close(ends[1]);
  const std::string text = read_all(ends[0]);
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    throw std::runtime_error("wrk is not installed: install Debian's package wrk");
  }
  const auto report = parse_wrk(text);
  if (!report) throw std::runtime_error("wrk failed:\n" + text);
  return *report;
}

}  // namespace flexsc::bench
