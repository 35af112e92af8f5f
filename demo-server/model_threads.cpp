// SPDX-License-Identifier: MIT
// A thread per connection.
#include <cstdio>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "connection.hpp"
#include "model.hpp"

namespace flexsc::http {

namespace {

class ThreadsModel final : public Model {
 public:
  explicit ThreadsModel(Service& service)
      : service_(service), listener_(service.options(), Waits::blocking) {}

  [[nodiscard]] std::uint16_t port() const noexcept override { return listener_.port(); }

  void run() override {
    accept_loop(listener_, [this](OwnedFd socket) { start(std::move(socket)); });
    service_.wait_until_drained();
  }

  void stop() override {
    service_.stop();
    listener_.stop();
  }

  [[nodiscard]] ModelStats stats() const override {
    return {.crossings = flexsc::direct_crossings(), .runtime = {}, .engine = {}};
  }

 private:
  void start(OwnedFd socket) {
    // Made here, so that the connection counts as open before run() can look.
    auto connection = std::make_unique<Connection>(service_, std::move(socket));
    try {
      // Detached: the Service counts connections, and the thread's last act that
      // concerns anyone is to close its own.
      std::thread([connection = std::move(connection)]() { connection->serve(); }).detach();
    } catch (const std::system_error& error) {
      // No thread to be had: that client is turned away, and the next one waits a little.
      std::fprintf(stderr, "flexsc-httpd: no thread for a connection: %s\n", error.what());
      this_fiber::sleep_for(kAcceptBackoff);
    }
  }

  Service& service_;
  Listener listener_;
};

}  // namespace

std::unique_ptr<Model> make_threads_model(Service& service) {
  return std::make_unique<ThreadsModel>(service);
}

}  // namespace flexsc::http
