// SPDX-License-Identifier: MIT
#include "parker.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <cerrno>
#include <ctime>

#include "flexsc/call.hpp"

namespace flexsc::detail {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

long Parker::sleep(std::chrono::nanoseconds timeout) noexcept {
  if (timeout == std::chrono::nanoseconds::zero()) return -ETIMEDOUT;
  timespec span{};
  const timespec* limit = nullptr;
  if (timeout.count() > 0) {
    span.tv_sec = timeout.count() / 1'000'000'000;
    span.tv_nsec = timeout.count() % 1'000'000'000;
    limit = &span;
  }
  return execute(
      make_call(SYS_futex, &word_, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, limit, nullptr, 0));
}

void Parker::rouse() noexcept {
  if (eventfd_ >= 0) {
    const std::uint64_t one = 1;
    execute(make_call(SYS_write, eventfd_, &one, sizeof one));
    return;
  }
  execute(make_call(SYS_futex, &word_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0));
}

}  // namespace flexsc::detail
