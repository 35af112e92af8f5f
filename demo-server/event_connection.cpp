// SPDX-License-Identifier: MIT
#include "event_connection.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "file_calls.hpp"
#include "flexsc/posix.hpp"

namespace flexsc::http {

EventConnection::EventConnection(Service& service, OwnedFd socket, Clock::time_point now)
    : service_(service),
      socket_(std::move(socket)),
      deadline_(now + service.options().idle_timeout),
      parser_(service.options().limits) {
  tally_.connections = 1;
  service_.opened(socket_.get());
}

EventConnection::~EventConnection() {
  if (registered_) service_.closed(socket_.get(), tally_);
}

void EventConnection::on_readable(Clock::time_point now) {
  const ssize_t got = flexsc::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    phase_ = Phase::dead;
    return;
  }
  if (phase_ == Phase::lingering) {
    lingered_bytes_ += static_cast<std::size_t>(got);
    if (lingered_bytes_ > kLingerBytes) phase_ = Phase::dead;
    return;
  }
  unparsed_ = {buffer_.data(), static_cast<std::size_t>(got)};
  parse(now);
}

void EventConnection::parse(Clock::time_point now) {
  const bool begun = parser_.in_request();
  if (unparsed_.empty()) return;
  unparsed_.remove_prefix(parser_.feed(unparsed_));
  if (parser_.complete()) {
    service_.count();
    begin_answer(service_.answer(parser_.request(), nullptr), now);
  } else if (!begun) {
    // Counts from the first byte; further ones do not extend it.
    deadline_ = now + service_.options().request_timeout;
  }
}

void EventConnection::on_deadline(Clock::time_point now) {
  if (phase_ == Phase::reading && parser_.in_request()) {
    Request late;
    late.unread_input = true;
    begin_answer(Site::refusal(408, late, true), now);
  } else {
    phase_ = Phase::dead;
  }
}

void EventConnection::begin_answer(Answer answer, Clock::time_point now) {
  answer_ = std::move(answer);
  head_ = answer_.head;
  ++tally_.responses[answer_.status];
  phase_ = Phase::sending;
  deadline_ = now + service_.options().idle_timeout;
}

void EventConnection::send_head() {
  const int flags = MSG_NOSIGNAL | (answer_.file_bytes > 0 ? MSG_MORE : 0);
  step_result_ = with_errno(flexsc::send(socket_.get(), head_.data(), head_.size(), flags));
}

void EventConnection::send_body() {
  step_result_ =
      with_errno(flexsc::sendfile(socket_.get(), answer_.file.get(), nullptr, answer_.file_bytes));
}

std::size_t EventConnection::moved(Clock::time_point now) {
  if (step_result_ == -EAGAIN || step_result_ == -EINTR) return 0;
  if (step_result_ <= 0) {
    // An error, or a file that has become shorter than was promised.
    phase_ = Phase::dead;
    return 0;
  }
  const auto bytes = static_cast<std::size_t>(step_result_);
  tally_.bytes += bytes;
  deadline_ = now + service_.options().idle_timeout;
  return bytes;
}

void EventConnection::settle_head(Clock::time_point now) {
  head_.remove_prefix(moved(now));
}

void EventConnection::settle_body(Clock::time_point now) {
  answer_.file_bytes -= moved(now);
}

int EventConnection::finish(Clock::time_point now) {
  const int file = answer_.file.release();
  deadline_ = now + service_.options().idle_timeout;
  if (!answer_.close) {
    phase_ = Phase::reading;
  } else if (answer_.linger || !unparsed_.empty()) {
    phase_ = flexsc::shutdown(socket_.get(), SHUT_WR) == 0 ? Phase::lingering : Phase::dead;
    deadline_ = now + kLingerTime;
  } else {
    phase_ = Phase::dead;
  }
  return file;
}

int EventConnection::release() {
  service_.closed(socket_.get(), tally_);
  registered_ = false;
  return socket_.release();
}

}  // namespace flexsc::http
