// SPDX-License-Identifier: MIT
#include "kernel_engine.hpp"

#include <cerrno>

#include "direct_engine.hpp"
#include "kernel_batch.hpp"
#include "paged_channel.hpp"
#include "pool_options.hpp"

namespace flexsc::detail {

namespace {

/// To the module, through one client descriptor.
class KernelTransport final : public Transport {
 public:
  KernelTransport(KernelClient client, bool helps) : client_(std::move(client)), helps_(helps) {}

  // Any error means that the module does nothing for us any more, whatever the reason:
  // ESHUTDOWN (header.state tells why), EACCES (traced or filtered since).
  bool doorbell(unsigned pool) override { return client_.doorbell(pool) >= 0; }
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
  [[nodiscard]] bool keeps_deadlines() const noexcept override { return true; }
  void cancel(unsigned page, unsigned bit) override {
    // ENOENT: it is complete; whatever else: the group has stopped, and no call begins any more.
    static_cast<void>(client_.cancel(page, bit));
  }
  void cancel_is_over(unsigned /*page*/, unsigned /*bit*/) override {}

  [[nodiscard]] const Pages& pages() const noexcept { return client_.pages(); }

 private:
  KernelClient client_;
  bool helps_;
};

/// Makes them all, numbered from 0; returns how many. @throws Unavailable
unsigned make_pools(const KernelDevice& device, const EngineOptions& options) {
  unsigned count = 0;
  for (const PoolOptions& pool : pools_of(options)) {
    if (device.make_pool(pool) != count) fatal("the module does not number pools from 0");
    ++count;
  }
  return count;
}

}  // namespace

KernelEngine::KernelEngine(const EngineOptions& options, const std::string& device)
    : options_(options),
      device_(device),
      policy_(device_.policy()),
      pools_(make_pools(device_, options)) {}

std::unique_ptr<Channel> KernelEngine::make_channel() {
  fork_.check();
  auto transport = std::make_unique<KernelTransport>(
      device_.make_client(options_.pages_per_channel), options_.help == Help::always);
  const Pages pages = transport->pages();
  return std::make_unique<PagedChannel>(std::move(transport), pages, pools_, policy_);
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
