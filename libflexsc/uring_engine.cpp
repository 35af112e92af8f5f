// SPDX-License-Identifier: MIT
#include "uring_engine.hpp"

#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "paged_channel.hpp"
#include "usable_cpus.hpp"

namespace flexsc::detail {

namespace {

/// Operations handed over at a time; further ones cost a crossing more.
constexpr unsigned kEntries = 256;

Descriptor make_eventfd() {
  const long fd = execute(make_call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (fd < 0) {
    throw std::system_error(static_cast<int>(-fd), std::generic_category(), "eventfd");
  }
  return Descriptor(static_cast<int>(fd));
}

RingOptions ring_options(const EngineOptions& options) {
  const unsigned calls = options.pages_per_channel * FLEXSC_PAGE_ENTRIES;
  RingOptions ring;
  ring.entries = std::min(kEntries, calls);
  ring.completions = 2 * calls;  // those of limits and cancels, too
  ring.submission_thread = options.submission_thread;
  ring.submission_idle = std::max(std::chrono::ceil<std::chrono::milliseconds>(options.spin),
                                  std::chrono::milliseconds(1));
  ring.cpus = usable_cpus(options.worker_cpus);
  return ring;
}

/// Pools whose calls all go to threads, as bits.
unsigned by_threads(const EngineOptions& options) {
  const auto pools = static_cast<unsigned>(1 + options.more_pools.size());
  const unsigned all = (1U << pools) - 1;
  return options.scheduling ? all : all & ~1U;
}

}  // namespace

UringEngine::UringEngine(const EngineOptions& options)
    : options_(options), ring_(ring_options(options)), threads_(options) {
  if (const std::string why = ring_missing(ring_); !why.empty()) {
    throw std::system_error(ENOTSUP, std::generic_category(), why);
  }
}

std::unique_ptr<Channel> UringEngine::make_channel() {
  fork_.check();
  auto client = std::make_shared<PoolClient>(options_.pages_per_channel, make_eventfd());
  threads_.add_client(client);
  std::unique_ptr<UringTransport> transport;
  Mapping mapping = Mapping::anonymous(Pages::bytes(options_.pages_per_channel));
  const Pages pages(mapping.address(), options_.pages_per_channel);
  try {
    transport = std::make_unique<UringTransport>(ring_, options_.plain_descriptors,
                                                 std::move(mapping), pages, threads_.pools(),
                                                 client, by_threads(options_), counts_);
  } catch (...) {
    threads_.remove_client(client);
    throw;
  }
  const auto pools = static_cast<unsigned>(threads_.pools().size());
  return std::make_unique<PagedChannel>(std::move(transport), pages, pools,
                                        ThreadsEngine::policy());
}

EngineStats UringEngine::stats() const {
  EngineStats stats = threads_.stats();
  stats.executed += counts_->operations.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace flexsc::detail
