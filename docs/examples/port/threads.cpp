// SPDX-License-Identifier: MIT
// A key-value store with a thread per connection; fibers.cpp is the same server on fibers.
// Protocol: lines "set KEY VALUE", "get KEY" and "wait KEY", which waits until somebody sets it.
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>

#include "../listen.hpp"

namespace {

std::mutex mutex;
std::condition_variable changed;
std::map<std::string, std::string> values;

std::string answer(const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  std::string key;
  std::string value;
  words >> verb >> key >> value;
  std::unique_lock lock(mutex);
  if (verb == "set") {
    values[key] = value;
    changed.notify_all();
    return "ok\n";
  }
  if (verb == "wait") changed.wait(lock, [&] { return values.contains(key); });
  if (verb != "get" && verb != "wait") return "error: set, get or wait\n";
  const auto found = values.find(key);
  return found == values.end() ? "none\n" : found->second + "\n";
}

bool send_all(int connection, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t n = send(connection, text.data() + sent, text.size() - sent, 0);
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

void serve(int connection) {
  std::string pending;
  char buffer[512];
  bool alive = true;
  while (alive) {
    const ssize_t got = recv(connection, buffer, sizeof buffer, 0);
    if (got <= 0) break;
    pending.append(buffer, static_cast<std::size_t>(got));
    for (std::size_t end = 0; alive && (end = pending.find('\n')) != std::string::npos;) {
      alive = send_all(connection, answer(pending.substr(0, end)));
      pending.erase(0, end + 1);
    }
  }
  close(connection);
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);
  const int listener = example::listen_on(example::port_of(argc, argv, 7000));
  std::thread acceptor([&] {
    for (;;) {
      const int connection = accept(listener, nullptr, nullptr);
      if (connection >= 0) std::thread(serve, connection).detach();
    }
  });
  acceptor.join();
} catch (const std::system_error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
