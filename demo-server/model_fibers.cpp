// SPDX-License-Identifier: MIT
// A fiber per connection.
#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <utility>

#include "connection.hpp"
#include "flexsc/metrics.hpp"
#include "flexsc/uapi.h"
#include "model.hpp"

namespace flexsc::http {

namespace {

class FibersModel final : public Model {
 public:
  FibersModel(Service& service, const ModelOptions& options)
      : service_(service),
        listener_(service.options(), Waits::unlimited),
        runtime_({.engine = options.engine,
                  .carrier_cpus = options.carrier_cpus,
                  .spin = options.carrier_spin}),
        chains_(chains(options)),
        most_accepting_(entries(options) / 8) {
    if (Live* live = service.live()) {
      live->set_source([this] { return prometheus_text(runtime_.stats()); });
    }
  }

  [[nodiscard]] std::uint16_t port() const noexcept override { return listener_.port(); }

  void run() override {
    // One fiber per carrier accepts, all on one socket. With a socket per carrier
    // (SO_REUSEPORT) a hash would bind each client to a carrier, busy or not; on a
    // shared one the carrier that is ready to serve takes the next client.
    for (std::size_t i = 0; i < runtime_.carriers(); ++i) {
      runtime_
          .spawn([this] { accept_loop(listener_, [this](OwnedFd s) { start(std::move(s)); }); },
                 {.name = "accept"})
          .detach();
    }
    service_.wait_until_drained();
    // A connection is gone a moment before its fiber is; the counters shall have both.
    for (RuntimeStats now = runtime_.stats(); now.finished < now.spawned; now = runtime_.stats()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  void stop() override {
    service_.stop();
    listener_.stop();
  }

  [[nodiscard]] ModelStats stats() const override {
    const RuntimeStats stats = runtime_.stats();
    return {.crossings = stats.crossings(),
            .runtime = stats,
            .engine = const_cast<Runtime&>(runtime_).engine().stats()};
  }

 private:
  /// See Connection. Most entries may belong to chains that wait; of several carriers half, since
  /// they do not get the same number of connections each.
  [[nodiscard]] std::optional<std::size_t> chains(const ModelOptions& options) {
    if (!options.multi_calls.value_or(runtime_.engine().kind() == EngineKind::kernel)) return {};
    const std::size_t all = entries(options);
    return (runtime_.carriers() == 1 ? all / 8 * 7 : all / 2) / Connection::kChainCalls;
  }
  [[nodiscard]] std::size_t entries(const ModelOptions& options) const {
    return runtime_.carriers() * options.engine.pages_per_channel * FLEXSC_PAGE_ENTRIES;
  }

  /// Serves a connection, and lets others in.
  void start(OwnedFd socket) {
    // Shared, because std::function wants its target copyable.
    auto connection = std::make_shared<Connection>(service_, std::move(socket), chains_);
    if (!spawn([connection = std::move(connection)] { connection->serve(); })) {
      this_fiber::sleep_for(kAcceptBackoff);
      return;
    }
    // A fiber for each that waits: ours, as all of them, has one turn while each open connection
    // has one, so that of very many the last would wait for minutes.
    for (std::size_t waiting = listener_.waiting(); waiting > 0; --waiting) {
      if (accepting_.fetch_add(1, std::memory_order_relaxed) >= most_accepting_ ||
          !spawn([this] { accept_and_serve(); })) {
        accepting_.fetch_sub(1, std::memory_order_relaxed);
        return;
      }
    }
  }

  /// Another fiber may have been faster: then it waits for the next connection.
  void accept_and_serve() {
    Accepted accepted = accept_connection(listener_, SOCK_CLOEXEC);
    accepting_.fetch_sub(1, std::memory_order_relaxed);
    if (accepted.what != Accepted::What::connection) return;
    Connection(service_, std::move(accepted.socket), chains_).serve();
  }

  [[nodiscard]] bool spawn(std::function<void()> body) {
    try {
      runtime_.spawn(std::move(body), {.name = "connection"}).detach();
      return true;
    } catch (const std::bad_alloc&) {
      std::fprintf(stderr, "flexsc-httpd: no stack for a connection\n");
      return false;
    }
  }

  Service& service_;
  Listener listener_;
  Runtime runtime_;  // its destructor waits for the fibers, which use the others
  const std::optional<std::size_t> chains_;
  const std::size_t most_accepting_;
  std::atomic<std::size_t> accepting_{0};  // fibers that accept one connection; relaxed: a number
};

}  // namespace

std::unique_ptr<Model> make_fibers_model(Service& service, const ModelOptions& options) {
  return std::make_unique<FibersModel>(service, options);
}

}  // namespace flexsc::http
