// SPDX-License-Identifier: MIT
#include "kernel_engine.hpp"

#include <cerrno>

#include "direct_engine.hpp"
#include "kernel_batch.hpp"
#include "paged_channel.hpp"

namespace flexsc::detail {

namespace {

/// To the module, through one client descriptor.
class KernelTransport final : public Transport {
 public:
  KernelTransport(KernelClient client, unsigned pool, bool helps)
      : client_(std::move(client)), pool_(pool), helps_(helps) {}

  // Any error means that the module does nothing for us any more, whatever the reason:
  // ESHUTDOWN (header.state tells why), EACCES (traced or filtered since).
  bool doorbell() override { return client_.doorbell(pool_) >= 0; }
  bool wait(const WaitTerms& terms) override {
    const unsigned flags =
        (terms.adaptive ? FLEXSC_WAIT_ADAPTIVE : 0U) | (terms.help ? FLEXSC_WAIT_HELP : 0U);
    const long result = client_.wait(flags, terms.min, terms.timeout);
    return result >= 0 || result == -EINTR;
  }
  [[nodiscard]] bool helps() const noexcept override { return helps_; }
  void notify() override {
    // If it fails the group has stopped, and the channel sleeps on its own.
    static_cast<void>(client_.notify());
  }

  [[nodiscard]] const Pages& pages() const noexcept { return client_.pages(); }

 private:
  KernelClient client_;
  unsigned pool_;
  bool helps_;
};

}  // namespace

KernelEngine::KernelEngine(const EngineOptions& options, const std::string& device)
    : options_(options),
      device_(device),
      policy_(device_.policy()),
      pool_(device_.make_pool(options)) {}

std::unique_ptr<Channel> KernelEngine::make_channel() {
  fork_.check();
  auto transport = std::make_unique<KernelTransport>(
      device_.make_client(options_.pages_per_channel), pool_, options_.help == Help::always);
  const Pages pages = transport->pages();
  return std::make_unique<PagedChannel>(std::move(transport), pages, pool_, policy_);
}

std::unique_ptr<Batch> KernelEngine::make_batch() {
  fork_.check();
  const auto pages = static_cast<unsigned>(batch_capacity(options_) / FLEXSC_PAGE_ENTRIES);
  auto client = std::make_shared<KernelClient>(device_.make_client(pages));
  const Pages region = client->pages();
  return std::make_unique<KernelBatch>(region, policy_,
                                       [client = std::move(client)] { return client->flush(); });
}

EngineStats KernelEngine::stats() const {
  const flexsc_stats from = device_.stats();
  EngineStats stats;
  stats.workers = from.workers;
  stats.executed = from.executed;
  stats.refused = from.refused;
  stats.blocked = from.blocked;
  stats.handed_back = from.handed_back;
  stats.batches = from.batches;
  stats.parks = from.parks;
  return stats;
}

}  // namespace flexsc::detail
