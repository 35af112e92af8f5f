// SPDX-License-Identifier: MIT
// A fiber per connection.
#include <cstdio>
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
        chains_(chains(options)) {
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
  /// See Connection. Half of all entries may belong to chains that wait: carriers do not get the
  /// same number of connections each.
  [[nodiscard]] std::optional<std::size_t> chains(const ModelOptions& options) {
    if (!options.multi_calls.value_or(runtime_.engine().kind() == EngineKind::kernel)) return {};
    const std::size_t entries =
        runtime_.carriers() * options.engine.pages_per_channel * FLEXSC_PAGE_ENTRIES;
    return entries / 2 / Connection::kChainCalls;
  }

  void start(OwnedFd socket) {
    // Shared, because std::function wants its target copyable.
    auto connection = std::make_shared<Connection>(service_, std::move(socket), chains_);
    try {
      runtime_
          .spawn([connection = std::move(connection)] { connection->serve(); },
                 {.name = "connection"})
          .detach();
    } catch (const std::bad_alloc&) {
      std::fprintf(stderr, "flexsc-httpd: no stack for a connection\n");
      this_fiber::sleep_for(kAcceptBackoff);
    }
  }

  Service& service_;
  Listener listener_;
  Runtime runtime_;  // its destructor waits for the fibers, which use the others
  const std::optional<std::size_t> chains_;
};

}  // namespace

std::unique_ptr<Model> make_fibers_model(Service& service, const ModelOptions& options) {
  return std::make_unique<FibersModel>(service, options);
}

}  // namespace flexsc::http
