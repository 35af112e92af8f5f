// SPDX-License-Identifier: MIT
#include "ledger.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <utility>

namespace flexsc::bench {

namespace {

constexpr unsigned kWhole = 1000;

}  // namespace

std::vector<Time> arrivals(double per_s, Time length, std::uint64_t seed) {
  if (!(per_s > 0) || !std::isfinite(per_s)) throw std::invalid_argument("a rate is positive");
  // The distributions of <random> may differ between libraries, the generator may not.
  std::mt19937_64 random(seed);
  const double mean = static_cast<double>(kSecond) / per_s;
  std::vector<Time> due;
  for (double at = 0;;) {
    const double uniform = static_cast<double>(random() >> 11) * 0x1p-53;  // [0, 1)
    at += -std::log1p(-uniform) * mean;
    if (at >= static_cast<double>(length)) return due;
    due.push_back(static_cast<Time>(at));
  }
}

std::optional<Time> percentile(const std::vector<Time>& ascending, std::size_t count,
                               unsigned per_mille) {
  if (per_mille == 0 || per_mille > kWhole) throw std::invalid_argument("not a part of 1000");
  const std::size_t rank = (count * per_mille + kWhole - 1) / kWhole;
  if (rank == 0 || rank > ascending.size()) return std::nullopt;
  return ascending[rank - 1];
}

std::optional<Time> LoadReport::percentile(unsigned per_mille) const {
  return bench::percentile(latencies, due, per_mille);
}

std::string LoadReport::errors_text() const {
  return std::to_string(refused) + " refused, " + std::to_string(broken) + " broken, " +
         std::to_string(wrong) + " wrong, " + std::to_string(unanswered) + " unanswered of " +
         std::to_string(due) + (first_wrong.empty() ? "" : "; the first wrong one: " + first_wrong);
}

Ledger::Ledger(std::vector<Time> due) : due_(std::move(due)), closed_(due_.size()) {
  if (!std::is_sorted(due_.begin(), due_.end())) {
    throw std::invalid_argument("requests are due in ascending order");
  }
  // So that the run itself does not wait for memory.
  found_.latencies.reserve(due_.size());
  found_.lateness.reserve(due_.size());
}

std::optional<Time> Ledger::next() const {
  if (taken_ == due_.size()) return std::nullopt;
  return due_[taken_];
}

std::optional<std::size_t> Ledger::take(Time now, Time free) {
  if (taken_ == due_.size() || due_[taken_] > now) return std::nullopt;
  found_.lateness.push_back(now - std::min(now, std::max(due_[taken_], free)));
  return taken_++;
}

void Ledger::answered(std::size_t request, Time now) {
  close(request);
  found_.latencies.push_back(now - due_[request]);
}

void Ledger::failed(std::size_t request, Failure why, const std::string& what) {
  close(request);
  switch (why) {
    case Failure::refused:
      ++found_.refused;
      break;
    case Failure::broken:
      ++found_.broken;
      break;
    case Failure::wrong:
      if (++found_.wrong == 1) found_.first_wrong = what;
      break;
  }
}

void Ledger::close(std::size_t request) {
  if (request >= taken_ || closed_[request]) {
    throw std::logic_error("a request ends once, and after it was taken");
  }
  closed_[request] = true;
  ++closed_count_;
}

bool Ledger::complete() const noexcept {
  return closed_count_ == due_.size();
}

LoadReport Ledger::report() const {
  LoadReport report = found_;
  report.due = due_.size();
  report.unanswered = due_.size() - closed_count_;
  std::sort(report.latencies.begin(), report.latencies.end());
  std::sort(report.lateness.begin(), report.lateness.end());
  return report;
}

}  // namespace flexsc::bench
