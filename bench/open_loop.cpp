// SPDX-License-Identifier: MIT
#include "open_loop.hpp"

#include <arpa/inet.h>
#include <llhttp/llhttp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <deque>
#include <future>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "driver/server_process.hpp"

namespace flexsc::bench {

namespace {

constexpr int kRight = HTTP_STATUS_OK;
constexpr std::size_t kEvents = 64;  // taken at a time

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// One answer. A callback that returns HPE_PAUSED ends llhttp_execute() right behind the last byte.
class Answer {
 public:
  Answer() { begin(); }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  void begin() {
    llhttp_init(&parser_, HTTP_RESPONSE, settings());
    parser_.data = this;
    body_ = 0;
    complete_ = false;
  }
  /// Whether they can be part of an answer; not, if they go on behind its end.
  [[nodiscard]] bool take(std::string_view bytes) {
    const llhttp_errno_t end = llhttp_execute(&parser_, bytes.data(), bytes.size());
    if (end == HPE_OK) return true;
    return complete_ && llhttp_get_error_pos(&parser_) == bytes.data() + bytes.size();
  }
  /// What take() did not accept.
  [[nodiscard]] std::string_view rest(std::string_view taken) const {
    const char* at = llhttp_get_error_pos(&parser_);
    return at == nullptr ? taken : taken.substr(static_cast<std::size_t>(at - taken.data()));
  }
  /// The connection ended, which is the end of an answer that does not say its length.
  void finish() { (void)llhttp_finish(&parser_); }

  [[nodiscard]] bool complete() const noexcept { return complete_; }
  [[nodiscard]] int status() const noexcept { return parser_.status_code; }
  [[nodiscard]] std::size_t body() const noexcept { return body_; }
  [[nodiscard]] std::string text() const {
    return "status " + std::to_string(status()) + ", " + std::to_string(body_) + " bytes" +
           (complete_ ? "" : ", not complete");
  }
  [[nodiscard]] bool keeps_alive() const { return llhttp_should_keep_alive(&parser_) != 0; }

 private:
  static const llhttp_settings_t* settings() {
    static const llhttp_settings_t made = [] {
      llhttp_settings_t s;
      llhttp_settings_init(&s);
      s.on_body = [](llhttp_t* parser, const char*, std::size_t length) {
        static_cast<Answer*>(parser->data)->body_ += length;
        return 0;
      };
      s.on_message_complete = [](llhttp_t* parser) {
        static_cast<Answer*>(parser->data)->complete_ = true;
        return static_cast<int>(HPE_PAUSED);
      };
      return s;
    }();
    return &made;
  }

  llhttp_t parser_;
  std::size_t body_ = 0;
  bool complete_ = false;
};

/// The beginning of what came, up to the end of its line.
std::string printable(std::string_view bytes) {
  const std::string_view begin = bytes.substr(0, 80);
  return {begin.begin(),
          std::find_if(begin.begin(), begin.end(), [](char c) { return c < ' ' || c > '~'; })};
}

/// A descriptor that ends with the object.
class Owned {
 public:
  Owned() = default;
  explicit Owned(int fd) noexcept : fd_(fd) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { reset(); }
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_ = -1;
};

/// One of those kept alive. Closed until its first request, and between a break and the next one.
struct Connection {
  Owned socket;
  bool established = false;            ///< something could be sent
  bool watches_room = false;           ///< epoll tells when more can be sent
  std::optional<std::size_t> request;  ///< under way
  std::string_view unsent;             ///< of it
  Time free = 0;                       ///< since when it has none
  Answer answer;
};

/// A client and its connections, in one thread.
class Client {
 public:
  Client(World& world, const OpenLoad& load)
      : world_(world),
        load_(load),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        connections_(load.connections) {
    if (epoll_.get() < 0) fail("epoll_create1");
    for (Connection& connection : connections_) idle_.push_back(&connection);
  }

  /// Sends what is due until all is answered, or until `end`.
  LoadReport run(std::vector<Time> due, Time end) {
    Ledger ledger(std::move(due));
    ledger_ = &ledger;
    std::array<epoll_event, kEvents> events{};
    for (;;) {
      send_due();
      if (ledger.complete() || world_.now() >= end) break;
      // With no connection free, what is due next cannot be sent anyway.
      const Time until = idle_.empty() ? end : std::min(end, ledger.next().value_or(end));
      const std::size_t count = world_.wait(epoll_.get(), events, until);
      for (std::size_t i = 0; i < count; ++i) {
        handle(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
      }
    }
    ledger_ = nullptr;
    return ledger.report();
  }

 private:
  void send_due() {
    while (!idle_.empty()) {
      // By turns: a connection that was just used is not the next one, as among many clients.
      Connection& connection = *idle_.front();
      const std::optional<std::size_t> request = ledger_->take(world_.now(), connection.free);
      if (!request) return;
      idle_.pop_front();
      begin(connection, *request);
    }
  }

  void begin(Connection& connection, std::size_t request) {
    connection.request = request;
    connection.unsent = load_.request;
    connection.answer.begin();
    if (connection.socket.get() < 0) {
      connection.socket.reset(world_.connect());
      if (connection.socket.get() < 0) return lose(connection, Failure::refused);
      connection.established = connection.watches_room = false;
      watch(connection, EPOLL_CTL_ADD, false);
    }
    send(connection);
  }

  void send(Connection& connection) {
    while (!connection.unsent.empty()) {
      const ssize_t sent = ::send(connection.socket.get(), connection.unsent.data(),
                                  connection.unsent.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) break;  // also while it connects
      if (sent < 0) return lose(connection, broken(connection));
      connection.established = true;
      connection.unsent.remove_prefix(static_cast<std::size_t>(sent));
    }
    const bool waits = !connection.unsent.empty();
    if (waits != connection.watches_room) watch(connection, EPOLL_CTL_MOD, waits);
  }

  void handle(Connection& connection, std::uint32_t events) {
    if (connection.socket.get() < 0) return;  // closed since
    if ((events & EPOLLOUT) != 0) send(connection);
    if (connection.socket.get() >= 0 && (events & ~std::uint32_t{EPOLLOUT}) != 0) {
      receive(connection);
    }
  }

  void receive(Connection& connection) {
    const ssize_t got = ::recv(connection.socket.get(), buffer_.data(), buffer_.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;  // epoll tells again
    if (!connection.request) {
      if (got > 0) throw std::runtime_error("the server sent what nobody asked for");
      connection.socket.reset();  // it ends an idle connection; the next request opens another
      return;
    }
    if (got < 0) return lose(connection, broken(connection));
    if (got == 0) {
      connection.answer.finish();
      if (!connection.answer.complete()) return lose(connection, broken(connection));
      connection.socket.reset();
    } else if (const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
               !connection.answer.take(bytes)) {
      return lose(
          connection, Failure::wrong,
          connection.answer.text() + ", then \"" + printable(connection.answer.rest(bytes)) + '"');
    }
    if (connection.answer.complete()) finish(connection);
  }

  void finish(Connection& connection) {
    const Answer& answer = connection.answer;
    if (answer.status() == kRight && answer.body() == load_.body && connection.unsent.empty()) {
      ledger_->answered(*connection.request, world_.now());
    } else {
      ledger_->failed(*connection.request, Failure::wrong, answer.text());
    }
    // What is unsent of a request that was answered early would be taken for the next one.
    if (!answer.keeps_alive() || !connection.unsent.empty()) connection.socket.reset();
    release(connection);
  }

  void lose(Connection& connection, Failure why, const std::string& what = {}) {
    connection.socket.reset();
    ledger_->failed(*connection.request, why, what);
    release(connection);
  }

  void release(Connection& connection) {
    connection.request.reset();
    connection.free = world_.now();
    idle_.push_back(&connection);
  }

  static Failure broken(const Connection& connection) {
    return connection.established ? Failure::broken : Failure::refused;
  }

  void watch(Connection& connection, int how, bool room) {
    epoll_event event{};
    event.events = EPOLLIN | (room ? std::uint32_t{EPOLLOUT} : 0U);
    event.data.ptr = &connection;
    if (::epoll_ctl(epoll_.get(), how, connection.socket.get(), &event) != 0) fail("epoll_ctl");
    connection.watches_room = room;
  }

  World& world_;
  const OpenLoad& load_;
  Owned epoll_;
  std::vector<Connection> connections_;
  std::deque<Connection*> idle_;  ///< since longest first
  Ledger* ledger_ = nullptr;      ///< of the run
  std::array<char, 65536> buffer_{};
};

}  // namespace

Time Loopback::now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<Time>(time.tv_sec) * kSecond + static_cast<Time>(time.tv_nsec);
}

int Loopback::connect() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EINPROGRESS) {
    return fd;
  }
  const int why = errno;
  ::close(fd);
  errno = why;
  return -1;
}

std::size_t Loopback::wait(int epoll, std::span<epoll_event> events, Time until) {
  const Time from = now();
  const Time left = until > from ? until - from : 0;
  const timespec timeout{static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
  // Not epoll_wait(), which knows whole milliseconds only: several requests are due in each.
  const int count =
      ::epoll_pwait2(epoll, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
  if (count >= 0) return static_cast<std::size_t>(count);
  if (errno == EINTR) return 0;
  fail("epoll_pwait2");
}

LoadReport run_open_loop(World& world, const OpenLoad& load) {
  if (load.connections == 0) throw std::invalid_argument("there must be a connection");
  Client client(world, load);
  // All at once, so that each goes over another connection.
  const Time before = world.now();
  const LoadReport warm =
      client.run(std::vector<Time>(load.connections, before), before + load.patience);
  if (warm.errors() != 0) {
    throw std::runtime_error("the server does not answer each connection: " + warm.errors_text());
  }
  const Time start = world.now();
  std::vector<Time> due = load.due;
  for (Time& time : due) time += start;
  const Time end = (due.empty() ? start : due.back()) + load.patience;
  return client.run(std::move(due), end);
}

LoadReport run_open_loop(std::uint16_t port, const OpenLoad& load, const std::vector<int>& cpus) {
  // A thread of its own, whose CPUs and slack end with it.
  return std::async(std::launch::async,
                    [&] {
                      http::driver::restrict_to_cpus(cpus);
                      // A sleep may else be 50 us longer, to save wake-ups.
                      ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
                      Loopback world(port);
                      return run_open_loop(world, load);
                    })
      .get();
}

}  // namespace flexsc::bench
