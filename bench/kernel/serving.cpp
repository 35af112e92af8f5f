// SPDX-License-Identifier: MIT
// flexsc-bench-serving: what serving costs, on one CPU where the clock counts instructions, so that
// requests per second are the inverse of instructions per request.
#include <stdexcept>
#include <string>

#include "program.hpp"
#include "served.hpp"
#include "wrk.hpp"

namespace flexsc::bench {

using http::driver::Side;
using http::driver::TemporaryFolder;
using nlohmann::json;

namespace {

// A virtual second takes half a minute, and counts of instructions hardly differ.
constexpr unsigned kPairs = 3;
constexpr unsigned kSeconds = 1;

/// Requests per second over one connection.
double rate(const Side& side, const TemporaryFolder& folder) {
  const Placement placement = place();
  Served served(side, folder.path(), placement);
  const WrkReport report = run_wrk("http://127.0.0.1:" + std::to_string(served.port()) + kPage, 1,
                                   kSeconds, placement.client);
  (void)served.stop();
  if (report.errors != 0 || report.requests == 0) {
    throw std::runtime_error(side.name() + ": " + std::to_string(report.errors) + " errors in " +
                             std::to_string(report.requests) + " requests");
  }
  return report.requests_per_s;
}

json one_connection(Context& context) {
  const Side fibers{"fibers", "kernel"};
  const Side threads{"threads", ""};
  if (const std::string missing = fibers.missing(); !missing.empty()) {
    throw std::runtime_error(fibers.name() + ": " + missing);
  }
  const TemporaryFolder folder;
  write_site(folder.path());
  const unsigned pairs = context.samples(kPairs, 1);
  json result;
  for (unsigned i = 0; i < pairs; ++i) {
    const double ours = rate(fibers, folder);
    context.progress((i + 0.5) / pairs);
    result["pairs"].push_back({ours, rate(threads, folder)});
    context.progress((i + 1.0) / pairs);
  }
  return result;
}

}  // namespace
}  // namespace flexsc::bench

int main(int argc, char** argv) {
  return flexsc::bench::run_program(argc, argv,
                                    {{"one_connection", flexsc::bench::one_connection}});
}
