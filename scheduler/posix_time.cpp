// SPDX-License-Identifier: MIT
// Waiting for time. See flexsc/posix.hpp. Inside a fiber the carrier's timers do it,
// without any system call, and nothing interrupts it.
#include <sys/syscall.h>

#include <chrono>

#include "flexsc/posix.hpp"
#include "posix_result.hpp"
#include "waiter.hpp"

namespace flexsc {

using detail::posix_call;

namespace {

constexpr long kNanosecondsPerSecond = 1'000'000'000;

/// Parks the running fiber for that long; a time beyond the clock's end is for ever. Returns 0,
/// or ECANCELED, as a call does whose fiber is cancelled: C code in between knows no exceptions.
int sleep_fiber(std::chrono::seconds seconds, std::chrono::nanoseconds rest) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point now = Clock::now();
  Clock::time_point until = Clock::time_point::max();
  if (seconds < std::chrono::floor<std::chrono::seconds>(until - now) - std::chrono::seconds(1)) {
    until = now + seconds + rest;
  }
  detail::Waiter waiter("a time");
  return waiter.wait(until, detail::Cancel::heeded) == detail::Wake::cancelled ? ECANCELED : 0;
}

[[nodiscard]] bool valid(const struct timespec& time) noexcept {
  return time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < kNanosecondsPerSecond;
}

int sleep_fiber(const struct timespec& duration) {
  return sleep_fiber(std::chrono::seconds(duration.tv_sec),
                     std::chrono::nanoseconds(duration.tv_nsec));
}

struct timespec minus(const struct timespec& from, const struct timespec& what) noexcept {
  struct timespec left {
    from.tv_sec - what.tv_sec, from.tv_nsec - what.tv_nsec
  };
  if (left.tv_nsec < 0) {
    left.tv_nsec += kNanosecondsPerSecond;
    --left.tv_sec;
  }
  return left;
}

/// What is left until `when` of `clock`; zero or less if it has come.
struct timespec left_until(clockid_t clock, const struct timespec& when) noexcept {
  struct timespec now {};
  (void)clock_gettime(clock, &now);
  return minus(when, now);
}

}  // namespace

int poll(struct pollfd* fds, nfds_t count, int timeout_ms) {
  if (count == 0 && timeout_ms >= 0 && this_fiber::inside()) {
    const std::chrono::milliseconds timeout(timeout_ms);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout);
    const int error = sleep_fiber(seconds, timeout - seconds);
    if (error == 0) return 0;
    detail::set_errno(error);
    return -1;
  }
  return posix_call(SYS_poll, fds, count, timeout_ms);
}

int nanosleep(const struct timespec* duration, struct timespec* remaining) {
  if (!this_fiber::inside()) return posix_call(SYS_nanosleep, duration, remaining);
  const int error = flexsc::clock_nanosleep(CLOCK_MONOTONIC, 0, duration, remaining);
  if (error == 0) return 0;
  detail::set_errno(error);
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
    const auto begun = std::chrono::steady_clock::now();
    const int error = sleep_fiber(*time);
    if (error != 0 && remaining != nullptr) {
      const std::chrono::nanoseconds slept = std::chrono::steady_clock::now() - begun;
      const auto seconds = std::chrono::floor<std::chrono::seconds>(slept);
      *remaining = minus(*time, {seconds.count(), (slept - seconds).count()});
    }
    return error;
  }
  // In a loop, as the real time may have been set back meanwhile.
  struct timespec left = left_until(clock, *time);
  while (left.tv_sec > 0 || (left.tv_sec == 0 && left.tv_nsec > 0)) {
    if (const int error = sleep_fiber(left)) return error;
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
  const int saved = detail::get_errno();
  if (flexsc::nanosleep(&duration, &remaining) == 0) return 0;
  detail::set_errno(saved);  // as glibc does: an interrupted sleep() is not an error
  return static_cast<unsigned>(remaining.tv_sec) + (remaining.tv_nsec > 0 ? 1 : 0);
}

}  // namespace flexsc
