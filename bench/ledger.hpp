// SPDX-License-Identifier: MIT
/// @file
/// When requests are due at an arrival rate, and what became of each. Latency counts from the
/// moment a request was due and not from when it could be sent: a server that stalls is charged for
/// all that should have been sent meanwhile ("coordinated omission", a term of Gil Tene's, is what
/// hides them). Not thread-safe; nothing here blocks or looks at a clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flexsc::bench {

/// Nanoseconds, of a clock that never goes back.
using Time = std::uint64_t;
inline constexpr Time kSecond = 1'000'000'000;

/// When the requests of a Poisson process are due that sends so many per second: ascending, all of
/// them before `length`. The same seed gives the same times.
/// @throws std::invalid_argument if `per_s` is not a positive number
[[nodiscard]] std::vector<Time> arrivals(double per_s, Time length, std::uint64_t seed);

/// Why a request has no right answer.
enum class Failure {
  refused,  ///< there was no connection to send it over
  broken,   ///< the connection ended before the whole answer
  wrong,    ///< another status or length than it should have, or not HTTP
};

/// What became of all requests: due == answered() + errors().
struct LoadReport {
  std::size_t due = 0;
  std::size_t refused = 0;
  std::size_t broken = 0;
  std::size_t wrong = 0;
  std::size_t unanswered = 0;   ///< still open at the end, sent or not
  std::string first_wrong;      ///< what it was; empty if none was
  std::vector<Time> latencies;  ///< of those with the right answer, ascending
  /// How late the client itself was, ascending: from when a request was due and a connection free
  /// to when it was sent. Part of the latency; where it is not small against that, it is the
  /// client's.
  std::vector<Time> lateness;

  [[nodiscard]] std::size_t answered() const noexcept { return latencies.size(); }
  [[nodiscard]] std::size_t errors() const noexcept {
    return refused + broken + wrong + unanswered;
  }
  /// The latency that so many of 1000 due requests did not exceed (nearest rank; 1000: the
  /// largest). A request without the right answer is later than any other: nothing, if it falls on
  /// one.
  /// @throws std::invalid_argument for more than 1000 and for 0
  [[nodiscard]] std::optional<Time> percentile(unsigned per_mille) const;
  /// "3 refused, 0 broken, 1 wrong, 2 unanswered of 500; the first wrong one: status 503, 20 bytes"
  [[nodiscard]] std::string errors_text() const;
};

/// The same of ascending times: nothing, if there are none or fewer than the rank asks for.
[[nodiscard]] std::optional<Time> percentile(const std::vector<Time>& ascending, std::size_t count,
                                             unsigned per_mille);

/// Keeps the requests of one run: hands them out in the order in which they are due.
class Ledger {
 public:
  /// `due`: ascending.
  explicit Ledger(std::vector<Time> due);

  /// When the next one is due that was not taken; nothing if all were.
  [[nodiscard]] std::optional<Time> next() const;
  /// Takes the next one if it is due by now, to be sent over a connection that is free since
  /// `free`.
  [[nodiscard]] std::optional<std::size_t> take(Time now, Time free);
  /// A taken request has its right answer. Once for each, and not if it has failed.
  void answered(std::size_t request, Time now);
  /// A taken request will have none. `what` came instead, for people.
  void failed(std::size_t request, Failure why, const std::string& what = {});
  /// Whether every request was answered or has failed.
  [[nodiscard]] bool complete() const noexcept;
  /// What is not answered by now counts as unanswered.
  [[nodiscard]] LoadReport report() const;

 private:
  void close(std::size_t request);

  std::vector<Time> due_;
  std::vector<bool> closed_;
  std::size_t taken_ = 0;
  std::size_t closed_count_ = 0;
  LoadReport found_;  // times in the order in which they came
};

}  // namespace flexsc::bench
