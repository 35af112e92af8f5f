// SPDX-License-Identifier: MIT
/// @file
/// A connection of the event-driven models: the same requests and answers as Connection,
/// cut into steps that never wait.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

#include "request.hpp"
#include "service.hpp"
#include "site.hpp"

namespace flexsc::http {

/// State of one client connection (a non-blocking socket) between events. It reads and
/// parses itself; sending is split into the call and what to make of its result, because
/// in a batch segment the result is known only after the flush.
class EventConnection {
 public:
  using Clock = std::chrono::steady_clock;

  enum class Phase {
    reading,    ///< waits for (more of) a request
    sending,    ///< an answer is not yet sent in full
    lingering,  ///< everything is said; takes in what still comes, then closes
    dead,       ///< to be closed
  };

  EventConnection(Service& service, OwnedFd socket, Clock::time_point now);
  EventConnection(const EventConnection&) = delete;
  EventConnection& operator=(const EventConnection&) = delete;
  ~EventConnection();

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  [[nodiscard]] Clock::time_point deadline() const noexcept { return deadline_; }

  /// The socket is readable: takes what is there. May lead to `sending` or `dead`.
  void on_readable(Clock::time_point now);
  /// The deadline is over. Leads to `sending` (408) or `dead`.
  void on_deadline(Clock::time_point now);
  /// Goes on with input that is already here. May lead to `sending` or `dead`.
  void parse(Clock::time_point now);

  // One sending step. Heads and bodies are steps of their own: were both in one batch
  // segment, a body could overtake the rest of a head that fell short.

  [[nodiscard]] bool wants_to_send_head() const noexcept { return !head_.empty(); }
  [[nodiscard]] bool wants_to_send_body() const noexcept {
    return phase_ == Phase::sending && head_.empty() && answer_.file_bytes > 0;
  }
  /// Makes, or records, the call for the next step.
  void send_head();
  void send_body();
  /// Replaces what the last step was told by what happened (a value or -errno).
  void correct(long result) noexcept { step_result_ = result; }
  /// Draws the consequences of the last step. May lead to `dead`.
  void settle_head(Clock::time_point now);
  void settle_body(Clock::time_point now);

  /// Whether the answer of `sending` is sent in full.
  [[nodiscard]] bool sent() const noexcept { return head_.empty() && answer_.file_bytes == 0; }
  /// After sent(): to the next phase. Returns the descriptor of the file that was sent,
  /// now the caller's, or -1.
  [[nodiscard]] int finish(Clock::time_point now);

  /// Unregisters the connection and gives its socket away to be closed.
  [[nodiscard]] int release();

  /// Whether the epoll set watches the socket for EPOLLOUT (else for EPOLLIN).
  bool watched_for_output = false;

 private:
  void begin_answer(Answer answer, Clock::time_point now);
  /// Bytes that the last step moved; makes the connection dead if it failed for good.
  std::size_t moved(Clock::time_point now);

  Service& service_;
  OwnedFd socket_;
  Phase phase_ = Phase::reading;
  Clock::time_point deadline_;
  RequestParser parser_;
  std::array<char, 8192> buffer_;  // not initialised: only what recv() wrote is read
  std::string_view unparsed_;      // part of buffer_
  Answer answer_;
  std::string_view head_;  // of answer_.head, what is not yet sent
  long step_result_ = 0;
  std::size_t lingered_bytes_ = 0;
  bool registered_ = true;
  Tally tally_;
};

}  // namespace flexsc::http
