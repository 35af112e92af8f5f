// SPDX-License-Identifier: MIT
#include "serving.hpp"

#include <stdexcept>

namespace flexsc::bench {

using http::driver::Side;
using http::driver::TemporaryFolder;
using nlohmann::json;

namespace {

std::optional<RivalKind> rival(const Side& side) {
  for (const RivalKind kind : {RivalKind::nginx, RivalKind::lighttpd}) {
    if (side.model == to_string(kind)) return kind;
  }
  return std::nullopt;
}

}  // namespace

Serving::Serving(const Setup& setup, const std::filesystem::path& root) {
  if (const std::optional<RivalKind> kind = rival(setup.side)) {
    other_.emplace(*kind, root, setup.placement.server);
    return;
  }
  if (const std::string missing = setup.side.missing(); !missing.empty()) {
    throw std::runtime_error(setup.side.name() + ": " + missing);
  }
  ours_.emplace(setup.side, root, setup.placement, setup.arguments);
}

json Serving::stop() {
  if (ours_) return ours_->stop();
  other_.reset();
  return nullptr;
}

WrkReport load(const Serving& serving, const Setup& setup) {
  WrkReport report = run_wrk("http://127.0.0.1:" + std::to_string(serving.port()) + setup.page,
                             setup.connections, setup.seconds, setup.placement.client);
  if (report.errors == 0 && report.requests != 0) return report;
  if (report.errors == 0) {
    throw std::runtime_error(setup.side.name() + ": no request of " +
                             std::to_string(setup.connections) + " connections was answered in " +
                             std::to_string(setup.seconds) +
                             " s: this machine is too slow for so "
                             "many, or has other things to do");
  }
  throw std::runtime_error(setup.side.name() + ": " + std::to_string(report.errors) +
                           " errors in " + std::to_string(report.requests) + " requests");
}

Result serve(const Setup& setup, const TemporaryFolder& site) {
  Serving serving(setup, site.path());
  const WrkReport report = load(serving, setup);
  json stats = serving.stop();
  if (stats.is_null()) return {report, nullptr};
  // wrk says nothing of those that were still waiting in the end.
  if (const auto came = stats["connections"].get<unsigned>(); came < setup.connections) {
    throw std::runtime_error(setup.side.name() + ": " + std::to_string(came) + " of " +
                             std::to_string(setup.connections) +
                             " connections were accepted; net.core.somaxconn says "
                             "how many may wait for that");
  }
  return {report, std::move(stats)};
}

}  // namespace flexsc::bench
