// SPDX-License-Identifier: MIT
// The client that sends when requests are due, in a world whose clock the server moves: nothing
// here depends on how fast the machine is. Then over TCP, where only counts are looked at.
#include "open_loop.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <functional>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using flexsc::bench::kSecond;
using flexsc::bench::LoadReport;
using flexsc::bench::OpenLoad;
using flexsc::bench::run_open_loop;
using flexsc::bench::Time;
using flexsc::bench::World;

constexpr Time kMs = kSecond / 1000;
constexpr Time kService = kMs / 10;
constexpr const char* kRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr const char* kRight = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the server does with one request.
struct Reply {
  Time takes = kService;
  std::string bytes = kRight;
  bool closes = false;  ///< afterwards
};

/// One server that takes requests one at a time, in the order in which they come. Its sockets are
/// of the Unix domain, where what is sent is there at once, and time passes only in wait().
class Simulation : public World {
 public:
  /// `behave`: what becomes of the n-th request, from 0; those that warm up come first.
  explicit Simulation(std::function<Reply(std::size_t)> behave) : behave_(std::move(behave)) {}
  ~Simulation() override {
    for (const auto& [fd, received] : received_) ::close(fd);
  }

  [[nodiscard]] Time now() override { return now_; }

  [[nodiscard]] int connect() override {
    ++connects;
    if (refuses && refuses(seen_)) {
      errno = ECONNREFUSED;
      return -1;
    }
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      return -1;
    }
    received_[ends[1]];
    return ends[0];
  }

  [[nodiscard]] std::size_t wait(int epoll, std::span<epoll_event> events, Time until) override {
    take_requests();
    // Time stands still while there is something to see.
    if (const std::size_t count = look(epoll, events)) return count;
    if (!jobs_.empty() && jobs_.front().done <= until) {
      now_ = std::max(now_, jobs_.front().done);
      answer(jobs_.front());
      jobs_.pop_front();
    } else {
      now_ = std::max(now_, until);
    }
    return look(epoll, events);
  }

  std::function<bool(std::size_t)> refuses;  ///< a connection, when so many requests have come
  std::size_t connects = 0;

 private:
  struct Job {
    int fd;
    Time done;
    Reply reply;
  };

  static std::size_t look(int epoll, std::span<epoll_event> events) {
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 0);
    return count < 0 ? 0 : static_cast<std::size_t>(count);
  }

  void take_requests() {
    for (auto at = received_.begin(); at != received_.end();) {
      auto& [fd, text] = *at;
      std::array<char, 4096> buffer{};
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got == 0) {  // the client has closed it
        ::close(fd);
        at = received_.erase(at);
        continue;
      }
      if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
      if (text == kRequest) {
        text.clear();
        Reply reply = behave_(seen_++);
        free_ = std::max(free_, now_) + reply.takes;
        jobs_.push_back({fd, free_, std::move(reply)});
      }
      ++at;
    }
  }

  void answer(const Job& job) {
    if (!received_.contains(job.fd)) return;
    const auto length = static_cast<ssize_t>(job.reply.bytes.size());
    EXPECT_EQ(::send(job.fd, job.reply.bytes.data(), job.reply.bytes.size(), MSG_NOSIGNAL), length);
    if (!job.reply.closes) return;
    ::close(job.fd);
    received_.erase(job.fd);
  }

  std::function<Reply(std::size_t)> behave_;
  std::map<int, std::string> received_;  ///< by our end of a connection
  std::deque<Job> jobs_;                 ///< in the order in which they end
  Time now_ = kSecond;
  Time free_ = 0;  ///< when the server can take the next one
  std::size_t seen_ = 0;
};

/// One each millisecond.
OpenLoad regular(std::size_t count, unsigned connections = 1) {
  OpenLoad load{.request = kRequest, .body = 2, .connections = connections, .due = {}};
  for (std::size_t i = 0; i < count; ++i) load.due.push_back(i * kMs);
  return load;
}

/// The same reply to all, but for one of those that count.
std::function<Reply(std::size_t)> all_but(std::size_t number, const Reply& other,
                                          unsigned connections = 1) {
  return [=](std::size_t n) { return n == number + connections ? other : Reply{}; };
}

/// What each request takes from when it is due, if one server takes them in turn.
std::vector<Time> queueing(const std::vector<Time>& due, const std::vector<Time>& service) {
  std::vector<Time> latencies;
  Time free = 0;
  for (std::size_t i = 0; i < due.size(); ++i) {
    free = std::max(free, due[i]) + service[i];
    latencies.push_back(free - due[i]);
  }
  std::sort(latencies.begin(), latencies.end());
  return latencies;
}

TEST(OpenLoop, AServerThatStallsIsChargedForAllThatWasDueMeanwhile) {
  constexpr std::size_t kCount = 10'000;
  constexpr std::size_t kStalled = 5000;
  constexpr Time kStall = kSecond;
  for (const unsigned connections : {1U, 10U}) {
    Simulation server(all_but(kStalled, {.takes = kStall}, connections));
    const OpenLoad load = regular(kCount, connections);
    const LoadReport report = run_open_loop(server, load);
    ASSERT_EQ(report.answered(), kCount) << report.errors_text();

    std::vector<Time> service(kCount, kService);
    service[kStalled] = kStall;
    EXPECT_EQ(report.latencies, queueing(load.due, service)) << connections;

    // From when it is sent, one request in ten thousand is slow: no percentile but the largest
    // tells.
    std::sort(service.begin(), service.end());
    EXPECT_EQ(flexsc::bench::percentile(service, kCount, 999), kService);
    EXPECT_GT(report.percentile(990), kStall * 9 / 10 - kMs);
    EXPECT_GT(report.percentile(900), kStall / 100);
    EXPECT_EQ(report.percentile(500), kService);
    EXPECT_EQ(report.percentile(1000), kStall);
    EXPECT_EQ(report.lateness.back(), 0U);
  }
}

TEST(OpenLoop, MoreThanTheServerCanDoLeavesRequestsUnanswered) {
  constexpr std::size_t kCount = 1000;
  Simulation server([](std::size_t) { return Reply{.takes = 4 * kMs}; });
  OpenLoad load = regular(kCount, 3);
  load.patience = kSecond;
  const LoadReport report = run_open_loop(server, load);
  // Half of those that the server can answer in a second and the second of patience.
  EXPECT_EQ(report.due, kCount);
  EXPECT_EQ(report.answered(), (load.due.back() + kSecond) / (4 * kMs));
  EXPECT_EQ(report.unanswered, kCount - report.answered());
  EXPECT_TRUE(report.percentile(400));
  EXPECT_FALSE(report.percentile(500));
}

TEST(OpenLoop, ConnectionsTakeTurns) {
  Simulation server([](std::size_t) { return Reply{}; });
  const LoadReport report = run_open_loop(server, regular(100, 7));
  EXPECT_EQ(report.answered(), 100U);
  EXPECT_EQ(server.connects, 7U);
}

TEST(OpenLoop, AShortAnswerIsAnErrorAndTheNextRequestHasANewConnection) {
  Simulation server(
      all_but(3, {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", .closes = true}));
  const LoadReport report = run_open_loop(server, regular(10));
  EXPECT_EQ(report.broken, 1U);
  EXPECT_EQ(report.errors(), 1U);
  EXPECT_EQ(report.answered(), 9U);
  EXPECT_EQ(server.connects, 2U);
}

TEST(OpenLoop, ANothingBeforeTheEndIsAnErrorToo) {
  Simulation server(all_but(3, {.bytes = "", .closes = true}));
  const LoadReport report = run_open_loop(server, regular(10));
  EXPECT_EQ(report.broken, 1U);
  EXPECT_EQ(report.answered(), 9U);
}

TEST(OpenLoop, WhatIsNotTheRightAnswerIsWrong) {
  const std::vector<std::pair<std::string, std::size_t>> cases{
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 1},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!", 1},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1},
      {"SSH-2.0-OpenSSH_9.2\r\n", 2},
      {std::string(kRight) + "more", 2},
      {std::string(kRight) + kRight, 2},
  };
  for (const auto& [bytes, connects] : cases) {
    Simulation server(all_but(3, {.bytes = bytes}));
    const LoadReport report = run_open_loop(server, regular(10));
    EXPECT_EQ(report.wrong, 1U) << bytes;
    EXPECT_NE(report.first_wrong, "") << bytes;
    EXPECT_EQ(report.answered(), 9U) << bytes;
    EXPECT_EQ(server.connects, connects) << bytes;
  }
}

TEST(OpenLoop, ItIsToldWhatCameInsteadOfTheRightAnswer) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "status 404, 2 bytes"},
      {std::string(kRight) + "more\r\n", "status 200, 2 bytes, then \"more\""},
      {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
       "status 200, 0 bytes, not complete, then \"x\""},
  };
  for (const auto& [bytes, told] : cases) {
    Simulation server(all_but(3, {.bytes = bytes}));
    EXPECT_EQ(run_open_loop(server, regular(10)).first_wrong, told);
  }
}

TEST(OpenLoop, AnAnswerMayEndWithItsConnection) {
  const Reply until_end{.bytes = "HTTP/1.1 200 OK\r\n\r\nok", .closes = true};
  const Reply closing{
      .bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
      .closes = true};
  for (const Reply& reply : {until_end, closing}) {
    Simulation server(all_but(3, reply));
    const LoadReport report = run_open_loop(server, regular(10));
    EXPECT_EQ(report.answered(), 10U) << report.errors_text();
    EXPECT_EQ(server.connects, 2U);
  }
}

TEST(OpenLoop, AnIdleConnectionThatTheServerEndsCostsNoRequest) {
  Simulation server(all_but(3, {.closes = true}));
  const LoadReport report = run_open_loop(server, regular(10));
  EXPECT_EQ(report.answered(), 10U) << report.errors_text();
  EXPECT_EQ(server.connects, 2U);
}

TEST(OpenLoop, EachRequestThatFindsNoServerIsRefused) {
  Simulation server(all_but(3, {.bytes = "", .closes = true}));
  server.refuses = [](std::size_t seen) { return seen > 1; };
  const LoadReport report = run_open_loop(server, regular(10));
  EXPECT_EQ(report.answered(), 3U);
  EXPECT_EQ(report.broken, 1U);
  EXPECT_EQ(report.refused, 6U);
}

TEST(OpenLoop, AServerThatDoesNotAnswerAtFirstIsNotMeasured) {
  Simulation refusing([](std::size_t) { return Reply{}; });
  refusing.refuses = [](std::size_t) { return true; };
  EXPECT_THROW((void)run_open_loop(refusing, regular(10)), std::runtime_error);
  Simulation wrong([](std::size_t) { return Reply{.bytes = "HTTP/1.1 500 X\r\n\r\n"}; });
  EXPECT_THROW((void)run_open_loop(wrong, regular(10)), std::runtime_error);
  Simulation dead([](std::size_t) { return Reply{.takes = 3600 * kSecond}; });
  EXPECT_THROW((void)run_open_loop(dead, regular(10)), std::runtime_error);
  Simulation any([](std::size_t) { return Reply{}; });
  EXPECT_THROW((void)run_open_loop(any, regular(10, 0)), std::invalid_argument);
}

/// A server of one connection at a time on a port of 127.0.0.1.
class TcpServer {
 public:
  TcpServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_, generic, length), 0);
    EXPECT_EQ(::getsockname(listener_, generic, &length), 0);
    port_ = ntohs(address.sin_port);
  }
  TcpServer(const TcpServer&) = delete;
  TcpServer& operator=(const TcpServer&) = delete;
  ~TcpServer() { end(); }

  [[nodiscard]] std::uint16_t port() const { return port_; }

  /// Answers `connections`, the first of them with each request byte by byte.
  void start(unsigned connections) {
    EXPECT_EQ(::listen(listener_, 16), 0);
    thread_ = std::thread([this, connections] {
      std::vector<std::thread> threads;
      for (unsigned i = 0; i < connections; ++i) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        threads.emplace_back([fd, i] { serve(fd, i == 0); });
      }
      for (std::thread& thread : threads) thread.join();
    });
  }
  void end() {
    if (thread_.joinable()) thread_.join();
    if (listener_ >= 0) ::close(listener_);
    listener_ = -1;
  }

 private:
  static void serve(int fd, bool in_pieces) {
    const std::string_view reply = kRight;
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t got = 0; (got = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;) {
      text.append(buffer.data(), static_cast<std::size_t>(got));
      if (text != kRequest) continue;
      text.clear();
      const std::size_t piece = in_pieces ? 1 : reply.size();
      for (std::size_t at = 0; at < reply.size(); at += piece) {
        (void)::send(fd, reply.data() + at, piece, MSG_NOSIGNAL);
      }
    }
    ::close(fd);
  }

  int listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST(OpenLoop, EveryRequestOverTcpIsAnswered) {
  TcpServer server;
  server.start(3);
  OpenLoad load{
      .request = kRequest, .body = 2, .connections = 3, .due = {}, .patience = 60 * kSecond};
  load.due = flexsc::bench::arrivals(2000, kSecond / 4, 5);
  const LoadReport report = run_open_loop(server.port(), load, {});
  EXPECT_EQ(report.answered(), load.due.size()) << report.errors_text();
  EXPECT_EQ(report.lateness.size(), load.due.size());
  EXPECT_TRUE(report.percentile(1000));
}

TEST(OpenLoop, NobodyAtThePortIsSaid) {
  TcpServer bound;  // but does not listen
  try {
    (void)run_open_loop(bound.port(), regular(1, 2), {});
    FAIL() << "it was measured";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("2 refused"), std::string::npos) << error.what();
  }
}

}  // namespace
