// SPDX-License-Identifier: MIT
#include "threads_engine.hpp"

#include <algorithm>
#include <bit>

#include "direct_engine.hpp"
#include "paged_channel.hpp"

namespace flexsc::detail {

namespace {

class ThreadsTransport final : public Transport {
 public:
  ThreadsTransport(std::shared_ptr<WorkerPool> pool, std::shared_ptr<PoolClient> client)
      : pool_(std::move(pool)), client_(std::move(client)) {}
  ThreadsTransport(const ThreadsTransport&) = delete;
  ThreadsTransport& operator=(const ThreadsTransport&) = delete;
  ~ThreadsTransport() override {
    if (!fork_.in_child()) pool_->remove_client(client_);
  }

  bool doorbell() override {
    pool_->doorbell();
    return true;
  }

  bool wait(const WaitTerms& terms) override {
    const unsigned min = terms.adaptive ? std::min(terms.min, 1U) : terms.min;
    // After announcing the sleep; pairs with complete_bits() and then wake() in a worker.
    client_->parker.park(terms.timeout, [this, min] {
      unsigned set = 0;
      for (unsigned page = 0; page < client_->pages.count(); ++page) {
        set += static_cast<unsigned>(
            std::popcount(peek_before_sleep(client_->pages.completion(page))));
        if (set >= min) return true;
      }
      return false;
    });
    return true;
  }

  void notify() override { client_->parker.notify(); }

 private:
  std::shared_ptr<WorkerPool> pool_;
  std::shared_ptr<PoolClient> client_;
  ForkGuard fork_;
};

}  // namespace

ThreadsEngine::ThreadsEngine(const EngineOptions& options)
    : options_(options), pool_(std::make_shared<WorkerPool>(options)) {
  try {
    pool_->start();
  } catch (...) {
    pool_->stop();
    throw;
  }
}

ThreadsEngine::~ThreadsEngine() {
  // In a child its threads are not there, and its mutex may be locked for ever. What they
  // owned, so the pool too, stays in memory.
  if (fork_.in_child()) return;
  pool_->stop();
}

std::unique_ptr<Channel> ThreadsEngine::make_channel() {
  fork_.check();
  auto client = pool_->add_client(options_.pages_per_channel);
  const Pages pages = client->pages;
  // The policy is a constant, so nothing owns it.
  std::shared_ptr<const Policy> policy(std::shared_ptr<void>(), &threads_policy());
  return std::make_unique<PagedChannel>(
      std::make_unique<ThreadsTransport>(pool_, std::move(client)), pages, 0, std::move(policy));
}

std::unique_ptr<Batch> ThreadsEngine::make_batch() {
  return std::make_unique<DirectBatch>(batch_capacity(options_));
}

}  // namespace flexsc::detail
