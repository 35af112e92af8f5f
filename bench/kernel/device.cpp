// SPDX-License-Identifier: MIT
#include "device.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace flexsc::bench {

void fail(const std::string& what, long error) {
  throw std::runtime_error(what + ": " + std::generic_category().message(static_cast<int>(error)));
}

long checked(long result, const char* what) {
  if (result < 0) fail(what, -result);
  return result;
}

Fd& Fd::operator=(Fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Group::Group(__u64 features) : fd_(::open(FLEXSC_DEVICE, O_RDWR | O_CLOEXEC)) {
  if (fd() < 0) fail(FLEXSC_DEVICE, errno);
  flexsc_query query{};
  query.size = sizeof query;
  if (::ioctl(fd(), FLEXSC_IOC_QUERY, &query) < 0) fail("FLEXSC_IOC_QUERY", errno);
  if (query.abi_version != FLEXSC_ABI_VERSION) {
    throw std::runtime_error("the module speaks version " + std::to_string(query.abi_version) +
                             " of the contract, this program " +
                             std::to_string(FLEXSC_ABI_VERSION));
  }
  if ((features & ~query.features) != 0) {
    throw std::runtime_error("the module lacks features of mask " +
                             std::to_string(features & ~query.features));
  }
}

unsigned Group::create_pool(const PoolOptions& options) const {
  flexsc_pool_params params{};
  std::vector<unsigned char> mask;
  params.size = sizeof params;
  params.set = FLEXSC_POOL_CONCURRENCY | FLEXSC_POOL_SPIN;
  params.concurrency = options.concurrency;
  params.spin_us = options.spin_us;
  if (options.standby_max != 0) {
    params.set |= FLEXSC_POOL_STANDBY_MAX;
    params.standby_max = options.standby_max;
  }
  if (!options.cpus.empty()) {
    for (const int cpu : options.cpus) {
      const auto at = static_cast<std::size_t>(cpu);
      if (at / 8 >= mask.size()) mask.resize(at / 8 + 1);
      mask[at / 8] = static_cast<unsigned char>(mask[at / 8] | 1U << at % 8);
    }
    params.set |= FLEXSC_POOL_CPUMASK;
    params.cpumask = reinterpret_cast<std::uintptr_t>(mask.data());
    params.cpumask_bytes = static_cast<__u32>(mask.size());
  }
  const int pool = ::ioctl(fd(), FLEXSC_IOC_POOL_CREATE, &params);
  if (pool < 0) fail("FLEXSC_IOC_POOL_CREATE", errno);
  return static_cast<unsigned>(pool);
}

flexsc_stats Group::stats() const {
  flexsc_stats stats{};
  stats.size = sizeof stats;
  stats.scope = FLEXSC_STATS_GROUP;
  if (::ioctl(fd(), FLEXSC_IOC_STATS, &stats) < 0) fail("FLEXSC_IOC_STATS", errno);
  return stats;
}

Client::Client(const Group& group, unsigned pages) : pages_(pages) {
  flexsc_client_params params{};
  params.size = sizeof params;
  params.nr_pages = pages;
  fd_ = Fd(::ioctl(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params));
  if (fd() < 0) fail("FLEXSC_IOC_CLIENT_CREATE", errno);
  void* const region = ::mmap(nullptr, FLEXSC_HEADER_BYTES + pages * FLEXSC_PAGE_BYTES,
                              PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd(), 0);
  if (region == MAP_FAILED) fail("mmap of a client", errno);
  header_ = static_cast<flexsc_client_header*>(region);
  first_ = reinterpret_cast<flexsc_entry*>(static_cast<char*>(region) + FLEXSC_HEADER_BYTES);
}

Client::Client(Client&& other) noexcept
    : fd_(std::move(other.fd_)),
      pages_(other.pages_),
      header_(std::exchange(other.header_, nullptr)),
      first_(other.first_) {}

Client::~Client() {
  if (header_ != nullptr) ::munmap(header_, FLEXSC_HEADER_BYTES + pages_ * FLEXSC_PAGE_BYTES);
}

void Client::submit(unsigned pool, unsigned first, unsigned count) const {
  post(pool, first, count);
  if (wants_doorbell(pool)) {
    checked(command(fd(), FLEXSC_CMD_DOORBELL, pool), "FLEXSC_CMD_DOORBELL");
  }
}

unsigned Client::completed(unsigned first, unsigned count) const {
  int sum = 0;
  for_pages(first, count, [&](unsigned page, __u64 bits) {
    sum += std::popcount(
        std::atomic_ref(header_->completion.page[page]).load(std::memory_order_acquire) & bits);
  });
  return static_cast<unsigned>(sum);
}

}  // namespace flexsc::bench
