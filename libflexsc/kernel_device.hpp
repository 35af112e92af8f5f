// SPDX-License-Identifier: MIT
/// @file
/// /dev/flexsc, its ioctls and the commands of its clients, by their names in
/// flexsc/uapi.h.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "flexsc/engine.hpp"
#include "flexsc/uapi.h"
#include "pages.hpp"
#include "policy.hpp"
#include "probe.hpp"

namespace flexsc::detail {

/// Why the kernel engine cannot be used here.
class Unavailable : public std::system_error {
 public:
  Unavailable(Stage stage, int error, const std::string& device, unsigned module_version = 0)
      : std::system_error(failure(stage, error, device, module_version)),
        sentence(explain(stage, error, device, module_version)) {}

  std::string sentence;
};

/// One client descriptor and its pages. All calls return what the kernel returned.
class KernelClient {
 public:
  KernelClient(Descriptor fd, Mapping mapping, unsigned pages)
      : fd_(std::move(fd)), mapping_(std::move(mapping)), pages_(mapping_.address(), pages) {}

  [[nodiscard]] const Pages& pages() const noexcept { return pages_; }
  [[nodiscard]] long doorbell(unsigned pool) const noexcept;
  /// FLEXSC_CMD_WAIT. Waits longer than an hour end early.
  [[nodiscard]] long wait(unsigned flags, unsigned min,
                          std::chrono::nanoseconds timeout) const noexcept;
  [[nodiscard]] long notify() const noexcept;
  [[nodiscard]] long flush() const noexcept;
  /// FLEXSC_IOC_CANCEL of one entry.
  [[nodiscard]] long cancel(unsigned page, unsigned bit) const noexcept;

 private:
  [[nodiscard]] long command(unsigned op, std::uint64_t argument) const noexcept;

  Descriptor fd_;
  Mapping mapping_;
  Pages pages_;
};

/// One open of the device: a group.
class KernelDevice {
 public:
  /// Opens it and checks the version. @throws Unavailable
  explicit KernelDevice(std::string path);

  [[nodiscard]] const flexsc_query& query() const noexcept { return query_; }
  /// @throws Unavailable
  [[nodiscard]] std::shared_ptr<const Policy> policy() const;
  /// Makes a pool and returns its number. @throws Unavailable
  [[nodiscard]] unsigned make_pool(const PoolOptions& options) const;
  /// @throws Unavailable, std::system_error
  [[nodiscard]] KernelClient make_client(unsigned pages) const;
  [[nodiscard]] flexsc_stats stats() const noexcept;

 private:
  std::string path_;
  Descriptor fd_;
  flexsc_query query_{};
};

}  // namespace flexsc::detail
