// SPDX-License-Identifier: MIT
// An echo server in plain blocking style: a fiber per connection. Usage: flexsc-echo
// [PORT [ENGINE]], for example: flexsc-echo 7000 threads, then: nc localhost 7000
#include <array>
#include <csignal>

#include "flexsc/fiber.hpp"
#include "flexsc/posix.hpp"
#include "listen.hpp"

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
