// SPDX-License-Identifier: MIT
#include "coverage.hpp"

#include <fcntl.h>
#include <linux/kcov.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <stdexcept>

#include "cell.hpp"

namespace {

// libFuzzer finds them by the name of the section and sees as new what was never counted before.
// One half is for edges in the calls of threads, the other for what workers reached.
constexpr std::size_t kHalf = 1 << 15;
[[gnu::section("__libfuzzer_extra_counters")]] std::array<std::uint8_t, 2 * kHalf> counters;

constexpr std::size_t kWords = 1 << 15;
// Of a worker, between two sleeps.
constexpr std::uint32_t kWorkerWords = 1 << 13;
constexpr std::size_t kTagWords = 512;  // a page
constexpr std::uint64_t kHandle = 1;
constexpr std::size_t kMostText = 1 << 20;

std::uint64_t module_text() {
  std::ifstream file("/sys/module/flexsc/sections/.text");
  std::uint64_t address = 0;
  file >> std::hex >> address;
  return address;
}

std::size_t mixed(std::uint64_t value) {
  return static_cast<std::size_t>((value * 0x9e3779b97f4a7c15ULL) >> 40) % kHalf;
}

void count(std::size_t at) {
  if (counters[at] < 255) ++counters[at];
}

}  // namespace

namespace flexsc_fuzz {

Coverage::Buffer Coverage::make(std::size_t words) {
  Buffer buffer;
  const int low = ::open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
  if (low < 0) return buffer;
  // Away from the numbers that inputs use.
  buffer.fd = ::fcntl(low, F_DUPFD_CLOEXEC, kOwnDescriptors);
  ::close(low);
  if (::ioctl(buffer.fd, KCOV_INIT_TRACE, words) != 0) throw std::runtime_error("KCOV_INIT_TRACE");
  void* const area = ::mmap(nullptr, words * 8, PROT_READ | PROT_WRITE, MAP_SHARED, buffer.fd, 0);
  if (area == MAP_FAILED) throw std::runtime_error("mmap of kcov");
  buffer.words = static_cast<std::uint64_t*>(area);
  return buffer;
}

Coverage::Coverage() : text_(module_text()), seen_(kMostText) {
  if (::access("/sys/kernel/debug/kcov", R_OK | W_OK) != 0) return;
  if (text_ == 0) throw std::runtime_error("the module's address is not known");
  for (std::size_t use = 0; use < kUses; ++use) {
    buffers_.push_back(make(use == kTag ? kTagWords : kWords));
  }
}

void Coverage::follow(Lane lane) const {
  if (!available()) return;
  const Buffer& buffer = buffers_[lane == Lane::kMain ? kMain : kCompany];
  if (::ioctl(buffer.fd, KCOV_ENABLE, KCOV_TRACE_PC) != 0) throw std::runtime_error("KCOV_ENABLE");
}

/// The group keeps the handle that its opener has at that time. A thread has one coverage, and a
/// handle one receiver, at a time: so the opener drops it again, and follow_workers() takes it up.
int Coverage::open_followed(const char* device) const {
  if (!available()) return ::open(device, O_RDWR | O_CLOEXEC);
  kcov_remote_arg request{};
  request.trace_mode = KCOV_TRACE_PC;
  request.area_size = kTagWords / 2;
  request.common_handle = kHandle;
  if (::ioctl(buffers_[kTag].fd, KCOV_REMOTE_ENABLE, &request) != 0) {
    throw std::runtime_error("KCOV_REMOTE_ENABLE of the opener");
  }
  const int fd = ::open(device, O_RDWR | O_CLOEXEC);
  ::ioctl(buffers_[kTag].fd, KCOV_DISABLE, 0);
  return fd;
}

void Coverage::follow_workers() const {
  if (!available()) return;
  kcov_remote_arg request{};
  request.trace_mode = KCOV_TRACE_PC;
  request.area_size = kWorkerWords;
  request.common_handle = kHandle;
  if (::ioctl(buffers_[kWorkers].fd, KCOV_REMOTE_ENABLE, &request) != 0) {
    throw std::runtime_error("KCOV_REMOTE_ENABLE");
  }
}

void Coverage::reset() const {
  // The process that writes to them does not exist yet: nothing to order.
  for (const Buffer& buffer : buffers_) buffer.words[0] = 0;
}

void Coverage::collect() {
  for (std::size_t use = 0; use < buffers_.size(); ++use) {
    // The process that wrote is gone, and was waited for.
    const std::uint64_t* const words = buffers_[use].words;
    const std::size_t size = use == kTag ? kTagWords : kWords;
    const std::size_t number = std::min<std::size_t>(words[0], size - 1);
    std::uint64_t last = 0;
    for (std::size_t i = 1; i <= number; ++i) {
      const std::uint64_t at = words[i] - text_;
      if (at < seen_.size()) seen_[at] = true;
      if (use == kWorkers) {
        // How often says more about time than about the input.
        counters[kHalf + mixed(at)] = 1;
      } else if (use != kTag) {
        count(mixed(at ^ (last << 1)));
      }
      last = at;
    }
  }
}

std::vector<std::uint64_t> Coverage::reached() const {
  std::vector<std::uint64_t> offsets;
  for (std::size_t at = 0; at < seen_.size(); ++at) {
    if (seen_[at]) offsets.push_back(at);
  }
  return offsets;
}

}  // namespace flexsc_fuzz
