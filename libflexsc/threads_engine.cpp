// SPDX-License-Identifier: MIT
#include "threads_engine.hpp"

#include <algorithm>
#include <bit>

#include "direct_engine.hpp"
#include "interrupt.hpp"
#include "paged_channel.hpp"
#include "pool_options.hpp"
#include "usable_cpus.hpp"

namespace flexsc::detail {

namespace {

class ThreadsTransport final : public Transport {
 public:
  /// `shared`: no worker has a CPU on which the channel's thread does not run.
  ThreadsTransport(WorkerPools pools, std::shared_ptr<PoolClient> client, bool shared)
      : pools_(std::move(pools)), client_(std::move(client)), shared_(shared) {}
  ThreadsTransport(const ThreadsTransport&) = delete;
  ThreadsTransport& operator=(const ThreadsTransport&) = delete;
  ~ThreadsTransport() override {
    if (fork_.in_child()) return;
    for (const auto& pool : pools_) pool->remove_client(client_);
  }

  bool doorbell(unsigned pool) override {
    pools_[pool]->doorbell();
    return true;
  }

  // By all pools: the one whose entry it is knows it.
  void cancel(unsigned page, unsigned bit) override {
    for (const auto& pool : pools_) pool->cancel({client_.get(), page, bit});
  }
  void cancel_is_over(unsigned page, unsigned bit) override {
    for (const auto& pool : pools_) pool->cancel_is_over({client_.get(), page, bit});
  }

  bool wait(const WaitTerms& terms) override {
    const unsigned min = terms.adaptive ? std::min(terms.min, 1U) : terms.min;
    // After announcing the sleep; pairs with complete_bits() and then wake() in a worker.
    client_->parker.park(terms.timeout, [this, min] {
      unsigned set = 0;
      for (unsigned page = 0; page < client_->pages.used(); ++page) {
        set += static_cast<unsigned>(
            std::popcount(peek_before_sleep(client_->pages.completion(page))));
        if (set >= min) return true;
      }
      return false;
    });
    return true;
  }

  void notify() override { client_->parker.notify(); }
  /// A worker's crossing is one too, and to get there takes a switch of threads.
  [[nodiscard]] bool makes_quick_calls() const noexcept override { return shared_; }

 private:
  WorkerPools pools_;
  std::shared_ptr<PoolClient> client_;
  const bool shared_;
  ForkGuard fork_;
};

}  // namespace

ThreadsEngine::ThreadsEngine(const EngineOptions& options) : options_(options) {
  static_cast<void>(interrupt_signal());
  try {
    for (PoolOptions& pool : pools_of(options)) {
      pool.worker_cpus = usable_cpus(pool.worker_cpus);
      pools_.push_back(std::make_shared<WorkerPool>(pool, static_cast<unsigned>(pools_.size())));
      pools_.back()->start();
    }
  } catch (...) {
    for (const auto& pool : pools_) pool->stop();
    throw;
  }
}

ThreadsEngine::~ThreadsEngine() {
  // In a child its threads are not there, and their mutexes may be locked for ever. What they
  // owned, so the pools too, stays in memory.
  if (fork_.in_child()) return;
  for (const auto& pool : pools_) pool->stop();
}

void ThreadsEngine::add_client(const std::shared_ptr<PoolClient>& client) {
  std::size_t known = 0;
  try {
    for (; known < pools_.size(); ++known) pools_[known]->add_client(client);
  } catch (...) {
    for (std::size_t i = 0; i < known; ++i) pools_[i]->remove_client(client);
    throw;
  }
}

void ThreadsEngine::remove_client(const std::shared_ptr<PoolClient>& client) {
  for (const auto& pool : pools_) pool->remove_client(client);
}

std::shared_ptr<const Policy> ThreadsEngine::policy() {
  // It is a constant, so nothing owns it.
  return {std::shared_ptr<void>(), &threads_policy()};
}

std::unique_ptr<Channel> ThreadsEngine::make_channel() {
  fork_.check();
  auto client = std::make_shared<PoolClient>(options_.pages_per_channel);
  const Pages pages = client->pages;
  add_client(client);
  return std::make_unique<PagedChannel>(
      std::make_unique<ThreadsTransport>(pools_, std::move(client), options_.help == Help::always),
      pages, static_cast<unsigned>(pools_.size()), policy());
}

EngineStats ThreadsEngine::stats() const {
  EngineStats sum;
  for (const auto& pool : pools_) {
    const EngineStats stats = pool->stats();
    sum.workers += stats.workers;
    sum.executed += stats.executed;
    sum.refused += stats.refused;
    sum.blocked += stats.blocked;
    sum.handed_back += stats.handed_back;
    sum.batches += stats.batches;
    sum.parks += stats.parks;
  }
  return sum;
}

std::unique_ptr<Batch> ThreadsEngine::make_batch() {
  return std::make_unique<DirectBatch>(batch_capacity(options_));
}

}  // namespace flexsc::detail
