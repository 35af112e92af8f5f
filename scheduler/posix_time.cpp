// SPDX-License-Identifier: MIT
// Waiting for time. See flexsc/posix.hpp. Inside a fiber the carrier's timers do it,
// without any system call, and nothing interrupts it.
#include <sys/syscall.h>

#include <chrono>

#include "flexsc/posix.hpp"
#include "posix_result.hpp"

namespace flexsc {

using detail::posix_call;

namespace {

constexpr long kNanosecondsPerSecond = 1'000'000'000;

/// Parks the running fiber for that long; a time beyond the clock's end is for ever.
void sleep_fiber(std::chrono::seconds seconds, std::chrono::nanoseconds rest) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point now = Clock::now();
  if (seconds >= std::chrono::floor<std::chrono::seconds>(Clock::time_point::max() - now) -
                     std::chrono::seconds(1)) {
    this_fiber::sleep_until(Clock::time_point::max());
  } else {
    this_fiber::sleep_until(now + seconds + rest);
  }
}

[[nodiscard]] bool valid(const struct timespec& time) noexcept {
  return time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < kNanosecondsPerSecond;
}

void sleep_fiber(const struct timespec& duration) {
  sleep_fiber(std::chrono::seconds(duration.tv_sec), std::chrono::nanoseconds(duration.tv_nsec));
}

/// What is left until `when` of `clock`; zero or less if it has come.
struct timespec left_until(clockid_t clock, const struct timespec& when) noexcept {
  struct timespec now {};
  (void)clock_gettime(clock, &now);
  struct timespec left {
    when.tv_sec - now.tv_sec, when.tv_nsec - now.tv_nsec
  };
  if (left.tv_nsec < 0) {
    left.tv_nsec += kNanosecondsPerSecond;
    --left.tv_sec;
  }
  return left;
}

}  // namespace

int poll(struct pollfd* fds, nfds_t count, int timeout_ms) {
  if (count == 0 && timeout_ms >= 0 && this_fiber::inside()) {
    const std::chrono::milliseconds timeout(timeout_ms);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout);
    sleep_fiber(seconds, timeout - seconds);
    return 0;
  }
  return posix_call(SYS_poll, fds, count, timeout_ms);
}

int nanosleep(const struct timespec* duration, struct timespec* remaining) {
  if (!this_fiber::inside()) return posix_call(SYS_nanosleep, duration, remaining);
  const int error = flexsc::clock_nanosleep(CLOCK_MONOTONIC, 0, duration, remaining);
  if (error == 0) return 0;
  errno = error;
  return -1;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec* time,
                    struct timespec* remaining) {
  const bool ours = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
  if (!ours || !this_fiber::inside()) {
    return static_cast<int>(
        -run_call(make_call(SYS_clock_nanosleep, clock, flags, time, remaining)));
  }
  if (time == nullptr) return EFAULT;
  if (!valid(*time)) return EINVAL;
  if ((flags & TIMER_ABSTIME) == 0) {
    sleep_fiber(*time);
    return 0;
  }
  // In a loop, as the real time may have been set back meanwhile.
  struct timespec left = left_until(clock, *time);
  while (left.tv_sec > 0 || (left.tv_sec == 0 && left.tv_nsec > 0)) {
    sleep_fiber(left);
    left = left_until(clock, *time);
  }
  return 0;
}

int usleep(useconds_t microseconds) {
  constexpr useconds_t kPerSecond = 1'000'000;
  const struct timespec duration {
    static_cast<time_t>(microseconds / kPerSecond),
        static_cast<long>(microseconds % kPerSecond) * 1000
  };
  return flexsc::nanosleep(&duration, nullptr);
}

unsigned sleep(unsigned seconds) {
  const struct timespec duration { static_cast<time_t>(seconds), 0 };
  struct timespec remaining {};
  const int saved = errno;
  if (flexsc::nanosleep(&duration, &remaining) == 0) return 0;
  errno = saved;  // as glibc does: an interrupted sleep() is not an error
  return static_cast<unsigned>(remaining.tv_sec) + (remaining.tv_nsec > 0 ? 1 : 0);
}

}  // namespace flexsc
