// SPDX-License-Identifier: MIT
#include "connection.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "flexsc/call_scope.hpp"
#include "flexsc/posix.hpp"

namespace flexsc::http {

namespace {
using Clock = std::chrono::steady_clock;

/// How long a chain may take. What it has not done by then goes on in single calls, so that a
/// client that is slow or silent holds one entry and not all of a chain's: by now there may be more
/// connections than has_room() knew of.
constexpr std::chrono::milliseconds kChainWaits{100};

int head_flags(const Answer& answer) {
  return MSG_NOSIGNAL | (answer.file_bytes > 0 ? MSG_MORE : 0);
}
}  // namespace

Connection::Connection(Service& service, OwnedFd socket, std::optional<std::size_t> chains)
    : service_(service),
      socket_(std::move(socket)),
      parser_(service.options().limits),
      waiting_chains_(chains.value_or(0)) {
  if (chains) chain_.emplace();
  tally_.connections = 1;
  service_.opened(socket_.get());
}

Connection::~Connection() {
  service_.closed(socket_.get(), tally_);
}

bool Connection::serve_one() {
  switch (read_request()) {
    case Input::request:
      break;
    case Input::ended:
      return false;
    case Input::timed_out:
      if (parser_.in_request()) {
        Request late;
        late.unread_input = true;
        (void)send_answer(Site::refusal(408, late, true));
      }
      return false;
  }
  service_.count();
  const Request& request = parser_.request();
  // With more connections the free entries lie scattered, and long chains would wait for room.
  if (chain_ && has_room() && service_.foresee(request, foreseen_)) {
    Answer answer = std::move(foreseen_.answer);
    std::string_view head = answer.head;
    const Chained chained = send_chained(answer, head, &foreseen_);
    if (chained != Chained::unforeseen) {
      ++tally_.responses[answer.status];
      return chained == Chained::sent && send_rest(answer, head);
    }
  }
  return send_answer(service_.answer(request, chain_ ? &*chain_ : nullptr));
}

Connection::Input Connection::read_request() {
  Clock::time_point begun{};
  for (;;) {  // until feed() says that it is complete: before, the parser speaks of the request
              // before
    if (unparsed_.empty()) {
      const ssize_t got = receive();
      if (got < 0 && errno == EINTR) continue;
      // The socket's own limit, or the fiber's.
      if (got < 0 && (errno == EAGAIN || errno == ETIMEDOUT)) return Input::timed_out;
      if (got <= 0) return Input::ended;
      unparsed_ = {buffer_.data(), static_cast<std::size_t>(got)};
    }
    unparsed_.remove_prefix(parser_.feed(unparsed_));
    if (parser_.complete()) return Input::request;
    // The socket's time limit starts anew with every byte; this one does not.
    const auto now = Clock::now();
    if (begun == Clock::time_point{}) begun = now;
    if (now - begun > service_.options().request_timeout) return Input::timed_out;
  }
}

/// Receives into buffer_, unless the chain that sent the last answer has.
ssize_t Connection::receive() {
  if (const std::optional<long> got = std::exchange(received_, std::nullopt)) {
    if (*got >= 0) return *got;
    errno = static_cast<int>(-*got);
    return -1;
  }
  const DeadlineScope limit(service_.options().idle_timeout - std::exchange(waited_, {}));
  return flexsc::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
}

/// The usual way of an answer, and what follows, as one chain: find its file if it is foreseen,
/// send it, close the file, and if there is room wait for the next request. Takes what it sent away
/// from `answer` and `head`.
Connection::Chained Connection::send_chained(Answer& answer, std::string_view& head,
                                             const Foreseen* foreseen) {
  const int socket = socket_.get();
  const bool file = answer.file_bytes > 0;
  struct stat status;  // not initialised: fstat() does that
  Chain& chain = *chain_;
  chain.clear();
  if (foreseen != nullptr) {
    const auto found = chain.add(SYS_openat2, service_.root(), foreseen->name.c_str(), &beneath(),
                                 sizeof(open_how));
    chain.add(SYS_fstat, found.result(), &status);
    chain.compare(&status, &foreseen->expected, Foreseen::kWords);
  }
  const std::size_t begin = chain.size();
  chain.add(SYS_sendto, socket, head.data(), head.size(), head_flags(answer), 0, 0).end_on_short();
  const auto send_file = [&](auto fd) {
    chain.add(SYS_sendfile, socket, fd, 0, answer.file_bytes).end_on_short();
    chain.add(SYS_close, fd).go_on();
  };
  if (foreseen != nullptr) {
    send_file(ResultOf{0});
  } else if (file) {
    send_file(answer.file.get());
  }
  const bool receives = !answer.close && unparsed_.empty() && has_room();
  if (receives) chain.add(SYS_recvfrom, socket, buffer_.data(), buffer_.size(), 0, 0, 0);

  std::array<long, kChainCalls> results{};
  const auto wait = std::min(kChainWaits, service_.options().idle_timeout);
  const DeadlineScope limit(wait);
  const long last = run_chain(chain, results);
  if (foreseen != nullptr) {
    const auto [fd, told, same, unused0, unused1, unused2, unused3] = results;
    if (fd >= 0) answer.file.reset(static_cast<int>(fd));
    if (fd < 0 || told < 0 || same < 0) return Chained::unforeseen;
  }
  // Only the chain was cancelled, for its time.
  const auto goes_on = [](long error) { return error == -EINTR || error == -ECANCELED; };
  const long sent = results[begin];
  if (sent <= 0) return goes_on(sent) ? Chained::sent : Chained::broken;
  tally_.bytes += static_cast<std::uint64_t>(sent);
  head.remove_prefix(static_cast<std::size_t>(sent));
  if (!head.empty()) return Chained::sent;
  if (file) {
    const long sent_of_file = results[begin + 1];
    // 0: the file has become shorter than was promised. Only closing says so.
    if (sent_of_file <= 0) return goes_on(sent_of_file) ? Chained::sent : Chained::broken;
    tally_.bytes += static_cast<std::uint64_t>(sent_of_file);
    answer.file_bytes -= static_cast<std::uint64_t>(sent_of_file);
    if (answer.file_bytes > 0) return Chained::sent;
    if (results[begin + 2] != -ECANCELED) (void)answer.file.release();
  }
  if (receives && last == -ETIMEDOUT) {
    waited_ = wait;
  } else if (receives) {
    received_ = last;
  }
  return Chained::sent;
}

bool Connection::send_answer(Answer answer) {
  ++tally_.responses[answer.status];
  std::string_view head = answer.head;
  if (chain_ && answer.file_bytes <= kChained &&
      send_chained(answer, head, nullptr) == Chained::broken) {
    return false;
  }
  return send_rest(answer, head);
}

/// Sends what is left of an answer. Whether the connection goes on.
bool Connection::send_rest(Answer& answer, std::string_view head) {
  const int flags = head_flags(answer);
  while (!head.empty() || answer.file_bytes > 0) {
    // For one step forward: usually all of the head and of the file.
    const DeadlineScope limit(service_.options().idle_timeout);
    if (!head.empty()) {
      const ssize_t sent = flexsc::send(socket_.get(), head.data(), head.size(), flags);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      tally_.bytes += static_cast<std::uint64_t>(sent);
      head.remove_prefix(static_cast<std::size_t>(sent));
      if (!head.empty() || answer.file_bytes == 0) continue;
    }
    const ssize_t sent =
        flexsc::sendfile(socket_.get(), answer.file.get(), nullptr, answer.file_bytes);
    if (sent < 0 && errno == EINTR) continue;
    // 0: the file has become shorter than was promised. Only closing says so.
    if (sent <= 0) return false;
    tally_.bytes += static_cast<std::uint64_t>(sent);
    answer.file_bytes -= static_cast<std::uint64_t>(sent);
  }
  if (answer.close && (answer.linger || has_input())) linger();
  return !answer.close;
}

void Connection::linger() const {
  if (flexsc::shutdown(socket_.get(), SHUT_WR) != 0) return;
  const DeadlineScope until(kLingerTime);
  const timeval limit{.tv_sec = kLingerTime.count(), .tv_usec = 0};
  if (!this_fiber::inside() &&
      flexsc::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) {
    return;
  }
  const auto end = Clock::now() + kLingerTime;
  std::array<char, 4096> dropped;
  std::size_t taken = 0;
  while (taken < kLingerBytes && Clock::now() < end) {
    const ssize_t got = flexsc::recv(socket_.get(), dropped.data(), dropped.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    taken += static_cast<std::size_t>(got);
  }
}

}  // namespace flexsc::http
