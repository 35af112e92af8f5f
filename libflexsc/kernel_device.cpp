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

unsigned KernelDevice::make_pool(const EngineOptions& options) const {
  std::vector<std::uint8_t> mask;
  for (const int cpu : options.worker_cpus) {
    const auto at = static_cast<std::size_t>(cpu);
    if (mask.size() <= at / 8) mask.resize(at / 8 + 1);
    mask[at / 8] = static_cast<std::uint8_t>(mask[at / 8] | (1U << (at % 8)));
  }
  flexsc_pool_params pool{};
  pool.size = sizeof pool;
  // The kernel's default is one per CPU of the mask, also if the mask is the caller's.
  pool.concurrency = options.concurrency == 0 && mask.empty() ? 1 : options.concurrency;
  pool.standby_max = options.standby_max;
  pool.spin_us = static_cast<__u32>(
      std::min<std::chrono::microseconds::rep>(options.spin.count(), FLEXSC_MAX_SPIN_US));
  pool.cpumask_bytes = static_cast<__u32>(mask.size());
  pool.cpumask = reinterpret_cast<__u64>(mask.data());
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
  static_cast<void>(request(fd_.get(), FLEXSC_IOC_STATS, &stats));  // all zero if it fails
  return stats;
}

long KernelClient::doorbell(unsigned pool) const noexcept {
  return request(fd_.get(), FLEXSC_IOC_DOORBELL, pool);
}

long KernelClient::wait(std::chrono::nanoseconds timeout) const noexcept {
  flexsc_wait wait{};
  wait.size = sizeof wait;
  wait.min_complete = 1;
  wait.timeout_ns = timeout.count();
  return request(fd_.get(), FLEXSC_IOC_WAIT, &wait);
}

long KernelClient::notify() const noexcept {
  return request(fd_.get(), FLEXSC_IOC_NOTIFY, 0);
}

long KernelClient::flush() const noexcept {
  return request(fd_.get(), FLEXSC_IOC_FLUSH, 0);
}

}  // namespace flexsc::detail
