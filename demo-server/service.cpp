// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <numeric>
#include <system_error>
#include <utility>

#include "flexsc/posix.hpp"

namespace flexsc::http {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void set_option(int fd, int level, int name, const void* value, socklen_t size, const char* what) {
  if (::setsockopt(fd, level, name, value, size) != 0) fail(what);
}

timeval to_timeval(std::chrono::milliseconds time) {
  timeval result{};
  result.tv_sec = static_cast<time_t>(time.count() / 1000);
  result.tv_usec = static_cast<suseconds_t>(time.count() % 1000 * 1000);
  return result;
}

void report_exhaustion(int error) {
  // The second of the last report, for one thread in each; relaxed: a number.
  static std::atomic<std::time_t> last{0};
  const std::time_t now = std::time(nullptr);
  std::time_t before = last.load(std::memory_order_relaxed);
  if (now != before && last.compare_exchange_strong(before, now, std::memory_order_relaxed)) {
    std::fprintf(stderr, "flexsc-httpd: cannot accept: %s; trying again\n",
                 std::generic_category().message(error).c_str());
  }
}

}  // namespace

void Tally::add(const Tally& other) {
  connections += other.connections;
  bytes += other.bytes;
  for (const auto& [status, count] : other.responses) responses[status] += count;
}

std::uint64_t Tally::requests() const {
  return std::accumulate(responses.begin(), responses.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& entry) { return sum + entry.second; });
}

Listener::Listener(const ServiceOptions& options, Waits waits)
    : fd_(::socket(AF_INET,
                   SOCK_STREAM | SOCK_CLOEXEC | (waits == Waits::nonblocking ? SOCK_NONBLOCK : 0),
                   0)) {
  if (fd_.get() < 0) fail("socket");
  const int on = 1;
  set_option(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on, "SO_REUSEADDR");
  // Linux hands these on to accepted sockets, which saves a call per option and
  // connection. A head is held back by MSG_MORE where that is wanted, so Nagle's delay
  // would only harm.
  set_option(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on, "TCP_NODELAY");
  const timeval timeout = to_timeval(options.idle_timeout);
  if (waits != Waits::unlimited) {
    set_option(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout, "SO_RCVTIMEO");
    set_option(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout, "SO_SNDTIMEO");
  }

  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (::inet_pton(AF_INET, options.address.c_str(), &address.sin_addr) != 1) {
    errno = EINVAL;
    fail("address " + options.address);
  }
  if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("bind to port " + std::to_string(options.port));
  }
  // As many as the machine allows (net.core.somaxconn).
  if (::listen(fd_.get(), 65535) != 0) fail("listen");
  socklen_t length = sizeof address;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    fail("getsockname");
  }
  port_ = ntohs(address.sin_port);
}

std::size_t Listener::waiting() const noexcept {
  tcp_info info{};
  socklen_t length = sizeof info;
  const int error = ::getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &length);
  return error == 0 ? info.tcpi_unacked : 0;  // which of a listener says that
}

void Listener::stop() noexcept {
  (void)::shutdown(fd_.get(), SHUT_RD);
}

Accepted accept_connection(const Listener& listener, int flags) {
  using What = Accepted::What;
  const int fd = flexsc::accept4(listener.fd(), nullptr, nullptr, flags);
  if (fd >= 0) return {What::connection, OwnedFd(fd)};
  switch (errno) {
    case EINVAL:
    case EBADF:
      return {What::stopped, {}};
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      report_exhaustion(errno);
      return {What::exhausted, {}};
    default:
      // EAGAIN (none waits, or the time limit that is meant for connections), EINTR, and
      // errors of the connection, which accept() passes on.
      return {What::nothing, {}};
  }
}

Service::Service(const ServiceOptions& options) : options_(options), site_(options.root) {
  if (options.live) live_.emplace(options.live_cores);
}

Answer Service::answer(const Request& request, Chain* chain) {
  if (live_) {
    if (std::optional<Answer> own = live_->answer(request, stopping())) return std::move(*own);
  }
  return site_.answer(request, stopping(), chain);
}

void Service::opened(int fd) {
  const std::lock_guard lock(mutex_);
  open_.insert(fd);
  open_count_.store(open_.size(), std::memory_order_relaxed);
  if (stopping()) (void)::shutdown(fd, SHUT_RD);  // came too late for stop()
}

void Service::closed(int fd, const Tally& tally) {
  const std::lock_guard lock(mutex_);
  open_.erase(fd);
  open_count_.store(open_.size(), std::memory_order_relaxed);
  total_.add(tally);
  // Under the lock, so that whoever waits cannot go on and destroy the Service before
  // notify_all() has returned.
  if (open_.empty()) drained_.notify_all();
}

void Service::stop() {
  const std::lock_guard lock(mutex_);
  stopping_.store(true, std::memory_order_relaxed);
  for (const int fd : open_) (void)::shutdown(fd, SHUT_RD);
  drained_.notify_all();
}

void Service::wait_until_drained() {
  std::unique_lock lock(mutex_);
  drained_.wait(lock, [this] { return stopping() && open_.empty(); });
}

Tally Service::tally() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace flexsc::http
