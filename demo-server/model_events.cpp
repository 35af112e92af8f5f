// SPDX-License-Identifier: MIT
// Event loops, one per thread; `esca` is `epoll` with batch segments.
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "event_loop.hpp"
#include "flexsc/fiber.hpp"
#include "model.hpp"

namespace flexsc::http {

namespace {

class EventModel final : public Model {
 public:
  EventModel(Service& service, std::size_t loops, const EngineOptions* batching)
      : service_(service), listener_(service.options(), Waits::nonblocking) {
    if (batching != nullptr) engine_ = Engine::open(*batching);
    for (std::size_t i = 0; i < loops; ++i) {
      loops_.push_back(std::make_unique<EventLoop>(service_, listener_, engine_.get()));
    }
  }

  [[nodiscard]] std::uint16_t port() const noexcept override { return listener_.port(); }

  void run() override {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < loops_.size(); ++i) {
      threads.emplace_back([loop = loops_[i].get()] { loop->run(); });
    }
    loops_.front()->run();
  }

  void stop() override {
    service_.stop();
    listener_.stop();
    for (const auto& loop : loops_) loop->wake();
  }

  [[nodiscard]] ModelStats stats() const override {
    ModelStats stats;
    stats.crossings = flexsc::direct_crossings();
    for (const auto& loop : loops_) stats.crossings += loop->flush_crossings();
    if (engine_) stats.engine = engine_->stats();
    return stats;
  }

 private:
  Service& service_;
  Listener listener_;
  std::unique_ptr<Engine> engine_;  // before loops_: it must outlive their batches
  std::vector<std::unique_ptr<EventLoop>> loops_;
};

}  // namespace

std::unique_ptr<Model> make_event_model(Service& service, std::size_t loops,
                                        const EngineOptions* batching) {
  return std::make_unique<EventModel>(service, loops, batching);
}

}  // namespace flexsc::http
