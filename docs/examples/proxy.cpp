// SPDX-License-Identifier: MIT
// A forward HTTP proxy: plain requests and tunnels (CONNECT). Usage: flexsc-proxy [PORT [ENGINE]],
// then: curl -x http://localhost:7000 http://example.org/
//
// A fiber per connection; once connected, one fiber pumps each way. Names are resolved by libc in a
// thread, since it knows nothing of fibers; the fiber waits for the promise meanwhile.
#include <netdb.h>

#include <array>
#include <cctype>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "flexsc/call_scope.hpp"
#include "flexsc/fiber.hpp"
#include "flexsc/future.hpp"
#include "flexsc/posix.hpp"
#include "listen.hpp"

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kHead = std::size_t{16} * 1024;
constexpr auto kConnectTime = 10s;

struct Socket {
  explicit Socket(int descriptor) : fd(descriptor) {}
  Socket(Socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd >= 0) flexsc::close(fd);
  }
  int fd;
};

using Addresses = std::shared_ptr<addrinfo>;

Addresses resolve(const std::string& host, const std::string& port) {
  flexsc::Promise<Addresses> promise;
  flexsc::Future<Addresses> future = promise.get_future();
  std::thread([host, port, promise = std::move(promise)]() mutable {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) found = nullptr;
    promise.set_value(Addresses(found, [](addrinfo* list) {
      if (list != nullptr) freeaddrinfo(list);
    }));
  }).detach();
  return future.get();
}

Socket connect_to(const std::string& host, const std::string& port) {
  const Addresses addresses = resolve(host, port);
  const flexsc::DeadlineScope limit(kConnectTime);
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next) {
    Socket socket(flexsc::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd >= 0 && flexsc::connect(socket.fd, each->ai_addr, each->ai_addrlen) == 0) {
      return socket;
    }
  }
  return Socket(-1);
}

bool send_all(int fd, std::string_view rest) {
  while (!rest.empty()) {
    const ssize_t sent = flexsc::send(fd, rest.data(), rest.size(), 0);
    if (sent <= 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

/// Until the end of what comes, which is then passed on.
void pump(int from, int to) {
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = flexsc::recv(from, buffer.data(), buffer.size(), 0);
    if (got <= 0 || !send_all(to, {buffer.data(), static_cast<std::size_t>(got)})) break;
  }
  flexsc::shutdown(to, SHUT_WR);
}

struct Request {
  std::string method, host, port, path, version;
  std::string fields;  ///< header lines that go on to the server
  std::string rest;    ///< what came after the head
};

bool is_field(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':') return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(line[i])) != name[i]) return false;
  }
  return true;
}

/// What a head asks for, or nothing if a proxy cannot do it.
std::optional<Request> parse(std::string_view head) {
  Request request;
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::size_t first = line.find(' ');
  const std::size_t second = line.rfind(' ');
  if (first == std::string_view::npos || second == first) return std::nullopt;
  request.method = line.substr(0, first);
  request.version = line.substr(second + 1);
  std::string_view target = line.substr(first + 1, second - first - 1);
  request.port = "80";
  if (request.method != "CONNECT") {
    constexpr std::string_view scheme = "http://";
    if (!target.starts_with(scheme)) return std::nullopt;
    target.remove_prefix(scheme.size());
    const std::size_t slash = target.find('/');
    request.path = slash == std::string_view::npos ? "/" : std::string(target.substr(slash));
    target = target.substr(0, slash);
  }
  const std::size_t colon = target.rfind(':');
  if (colon != std::string_view::npos && target.find(']', colon) == std::string_view::npos) {
    request.port = target.substr(colon + 1);
    target = target.substr(0, colon);
  }
  if (target.starts_with('[') && target.ends_with(']')) {
    target = target.substr(1, target.size() - 2);
  }
  request.host = target;
  head.remove_prefix(line.size() + 2);
  while (!head.empty()) {
    const std::string_view field = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(head.size(), field.size() + 2));
    if (field.empty() || is_field(field, "connection") || is_field(field, "proxy-connection")) {
      continue;
    }
    request.fields.append(field).append("\r\n");
  }
  return request;
}

std::optional<Request> read_request(int client) {
  std::string input;
  std::array<char, 4096> buffer;
  for (;;) {
    const std::size_t end = input.find("\r\n\r\n");
    if (end != std::string::npos) {
      std::optional<Request> request = parse(std::string_view(input).substr(0, end + 2));
      if (request) request->rest = input.substr(end + 4);
      return request;
    }
    if (input.size() > kHead) return std::nullopt;
    const ssize_t got = flexsc::recv(client, buffer.data(), buffer.size(), 0);
    if (got <= 0) return std::nullopt;
    input.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

void serve(flexsc::Runtime& runtime, Socket client) {
  const std::optional<Request> request = read_request(client.fd);
  if (!request) {
    send_all(client.fd, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    return;
  }
  const Socket server = connect_to(request->host, request->port);
  if (server.fd < 0) {
    send_all(client.fd, "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n");
    return;
  }
  const bool ready =
      request->method == "CONNECT"
          ? send_all(client.fd, "HTTP/1.1 200 Connected\r\n\r\n")
          : send_all(server.fd, request->method + ' ' + request->path + ' ' + request->version +
                                    "\r\n" + request->fields + "Connection: close\r\n\r\n");
  if (!ready || !send_all(server.fd, request->rest)) return;
  flexsc::Fiber up = runtime.spawn([&] { pump(client.fd, server.fd); }, {.name = "up"});
  pump(server.fd, client.fd);
  // The server is done. What the client may still say is of no use to anybody.
  flexsc::shutdown(client.fd, SHUT_RD);
  up.join();
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);
  flexsc::RuntimeOptions options;
  options.engine.kind = flexsc::engine_named(argc > 2 ? argv[2] : "threads");

  flexsc::Runtime runtime(options);
  const int listener = example::listen_on(example::port_of(argc, argv, 7000));
  runtime
      .spawn([&] {
        for (;;) {
          const int client = flexsc::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
          if (client < 0) continue;
          runtime.spawn([&runtime, client] { serve(runtime, Socket(client)); }, {.name = "client"})
              .detach();
        }
      })
      .join();
  return 0;
} catch (const std::system_error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
