// SPDX-License-Identifier: MIT
#include "kernel_device.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace flexsc::detail {

namespace {

/// By the system call itself, so that an interception library never sees it.
template <class Argument>
long request(int fd, unsigned long command, Argument argument) noexcept {
  return execute(make_call(SYS_ioctl, fd, command, argument));
}

/// The kernel's own default is one per CPU of the mask, also if the mask is the caller's.
std::size_t worker_count(const PoolOptions& options) noexcept {
  if (options.concurrency != 0) return options.concurrency;
  return std::max<std::size_t>(1, options.worker_cpus.size());
}

/// EACCES comes from the file's permissions or, where they allow it, from the module,
/// which opens for no process under seccomp or trace.
Stage why_not_opened(long result, const std::string& path) noexcept {
  const bool permitted =
      result == -EACCES &&
      execute(make_call(SYS_faccessat2, AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS)) == 0;
  return permitted ? Stage::query : Stage::open_device;
}

}  // namespace

KernelDevice::KernelDevice(std::string path) : path_(std::move(path)) {
  const long fd = execute(make_call(SYS_openat, AT_FDCWD, path_.c_str(), O_RDWR | O_CLOEXEC, 0));
  if (fd < 0) throw Unavailable(why_not_opened(fd, path_), static_cast<int>(-fd), path_);
  fd_ = Descriptor(static_cast<int>(fd));
  query_.size = sizeof query_;
  const long found = request(fd_.get(), FLEXSC_IOC_QUERY, &query_);
  if (found < 0) throw Unavailable(Stage::query, static_cast<int>(-found), path_);
  if (query_.abi_version != FLEXSC_ABI_VERSION) {
    throw Unavailable(Stage::version, 0, path_, query_.abi_version);
  }
}

std::shared_ptr<const Policy> KernelDevice::policy() const {
  auto policy = std::make_shared<Policy>();
  flexsc_policy question{};
  question.size = sizeof question;
  question.count = Policy::kCalls;
  question.classes = reinterpret_cast<__u64>(policy->classes.data());
  const long result = request(fd_.get(), FLEXSC_IOC_POLICY, &question);
  if (result < 0) throw Unavailable(Stage::policy, static_cast<int>(-result), path_);
  return policy;
}

unsigned KernelDevice::make_pool(const PoolOptions& options) const {
  std::vector<std::uint8_t> mask;
  for (const int cpu : options.worker_cpus) {
    const auto at = static_cast<std::size_t>(cpu);
    if (mask.size() <= at / 8) mask.resize(at / 8 + 1);
    mask[at / 8] = static_cast<std::uint8_t>(mask[at / 8] | (1U << (at % 8)));
  }
  flexsc_pool_params pool{};
  pool.size = sizeof pool;
  pool.set = FLEXSC_POOL_CONCURRENCY | FLEXSC_POOL_SPIN;
  pool.concurrency = static_cast<__u32>(worker_count(options));
  pool.spin_us = static_cast<__u32>(
      std::min<std::chrono::microseconds::rep>(options.spin.count(), FLEXSC_MAX_SPIN_US));
  if (options.standby_max != 0) {
    pool.set |= FLEXSC_POOL_STANDBY_MAX;
    pool.standby_max = options.standby_max;
  }
  if (options.scheduling) {
    pool.set |= FLEXSC_POOL_SCHED;
    pool.policy = static_cast<__u32>(options.scheduling->policy);
    pool.priority = options.scheduling->priority;
  }
  if (!mask.empty()) {
    pool.set |= FLEXSC_POOL_CPUMASK;
    pool.cpumask_bytes = static_cast<__u32>(mask.size());
    pool.cpumask = reinterpret_cast<__u64>(mask.data());
  }
  long result = 0;
  do {
    result = request(fd_.get(), FLEXSC_IOC_POOL_CREATE, &pool);
  } while (result == -EINTR);
  if (result < 0) throw Unavailable(Stage::make_pool, static_cast<int>(-result), path_);
  return static_cast<unsigned>(result);
}

KernelClient KernelDevice::make_client(unsigned pages) const {
  flexsc_client_params client{};
  client.size = sizeof client;
  client.nr_pages = pages;
  const long result = request(fd_.get(), FLEXSC_IOC_CLIENT_CREATE, &client);
  if (result < 0) throw Unavailable(Stage::make_client, static_cast<int>(-result), path_);
  Descriptor fd(static_cast<int>(result));
  try {
    Mapping mapping = Mapping::shared(fd.get(), Pages::bytes(pages));
    return {std::move(fd), std::move(mapping), pages};
  } catch (const std::system_error& error) {
    throw Unavailable(Stage::map_pages, error.code().value(), path_);
  }
}

flexsc_stats KernelDevice::stats() const noexcept {
  flexsc_stats stats{};
  stats.size = sizeof stats;
  stats.scope = FLEXSC_STATS_GROUP;
  static_cast<void>(request(fd_.get(), FLEXSC_IOC_STATS, &stats));  // all zero if it fails
  return stats;
}

long KernelClient::command(unsigned op, std::uint64_t argument) const noexcept {
  return execute(make_call(SYS_lseek, fd_.get(), FLEXSC_CMD(op, argument), SEEK_SET));
}

long KernelClient::doorbell(unsigned pool) const noexcept {
  return command(FLEXSC_CMD_DOORBELL, pool);
}

long KernelClient::wait(unsigned flags, unsigned min,
                        std::chrono::nanoseconds timeout) const noexcept {
  constexpr std::chrono::microseconds longest = std::chrono::hours(1);
  std::uint64_t microseconds = FLEXSC_WAIT_FOREVER;
  if (timeout.count() >= 0) {
    // Rounded up: a wait must not end before its time.
    const auto rounded = std::chrono::ceil<std::chrono::microseconds>(
        std::min<std::chrono::nanoseconds>(timeout, longest));
    microseconds = static_cast<std::uint64_t>(rounded.count());
  }
  return command(FLEXSC_CMD_WAIT, FLEXSC_WAIT(flags, min, microseconds));
}

long KernelClient::notify() const noexcept {
  return command(FLEXSC_CMD_NOTIFY, 0);
}

long KernelClient::cancel(unsigned page, unsigned bit) const noexcept {
  flexsc_cancel which{};
  which.size = sizeof which;
  which.page = page;
  which.bit = bit;
  long result = 0;
  do {
    result = request(fd_.get(), FLEXSC_IOC_CANCEL, &which);
  } while (result == -EINTR);
  return result;
}

long KernelClient::flush() const noexcept {
  return command(FLEXSC_CMD_FLUSH, 0);
}

}  // namespace flexsc::detail
