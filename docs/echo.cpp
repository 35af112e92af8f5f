// SPDX-License-Identifier: MIT
// An echo server in plain blocking style: a fiber per connection. Usage: flexsc-echo
// [PORT [ENGINE]], for example: flexsc-echo 7000 threads, then: nc localhost 7000
#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "flexsc/fiber.hpp"
#include "flexsc/posix.hpp"

namespace {

void echo(int connection) {
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = flexsc::recv(connection, buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t n =
          flexsc::send(connection, buffer.data() + sent, static_cast<std::size_t>(got - sent), 0);
      if (n < 0) break;
      sent += n;
    }
  }
  flexsc::close(connection);
}

int listen_on(std::uint16_t port) {
  const int listener = flexsc::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  flexsc::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (listener < 0 ||
      flexsc::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      flexsc::listen(listener, 128) != 0) {
    std::perror("cannot listen");
    std::exit(1);
  }
  return listener;
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 7000);
  flexsc::RuntimeOptions options;
  options.engine.kind =
      flexsc::engine_kind(argc > 2 ? argv[2] : "threads").value_or(flexsc::EngineKind::threads);

  flexsc::Runtime runtime(options);
  const int listener = listen_on(port);
  std::printf("echoing on port %u, engine %s\n", port,
              std::string(flexsc::to_string(runtime.engine().kind())).c_str());
  runtime
      .spawn([&] {
        for (;;) {
          const int connection = flexsc::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
          if (connection >= 0) runtime.spawn([connection] { echo(connection); }).detach();
        }
      })
      .join();
  return 0;
} catch (const std::system_error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
