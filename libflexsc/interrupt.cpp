// SPDX-License-Identifier: MIT
#include "interrupt.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "blocking.hpp"

namespace flexsc::detail {

namespace {

using Clock = std::chrono::steady_clock;

/// Between two signals to a thread that is not out of its call yet.
constexpr long kAgainNs = 1'000'000;

int install() {
  for (int number = SIGRTMAX; number >= SIGRTMIN; --number) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) != 0) continue;
    if ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = [](int) {};
    action.sa_flags = 0;  // not SA_RESTART: it is there to end calls
    if (sigaction(number, &action, nullptr) == 0) return number;
  }
  throw std::system_error(EBUSY, std::generic_category(),
                          "no real-time signal is left to interrupt calls with");
}

timespec to_timespec(Clock::time_point when) noexcept {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch());
  return {.tv_sec = ns.count() / 1'000'000'000, .tv_nsec = ns.count() % 1'000'000'000};
}

/// Sends the signal to the calling thread from a time on, again and again, while it exists. The
/// system calls themselves: timers of libc have a thread, and an interception library does not
/// see these.
class Interrupter {
 public:
  explicit Interrupter(Clock::time_point when) {
    const int number = interrupt_signal();
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = number;
    event._sigev_un._tid = static_cast<pid_t>(execute(make_call(SYS_gettid)));
    const long made = execute(make_call(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer_));
    if (made < 0) {
      throw std::system_error(static_cast<int>(-made), std::generic_category(), "timer_create");
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, &mask_);
    const itimerspec spec{.it_interval = {.tv_sec = 0, .tv_nsec = kAgainNs},
                          .it_value = to_timespec(when)};
    execute(make_call(SYS_timer_settime, timer_, TIMER_ABSTIME, &spec, nullptr));
  }
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;
  ~Interrupter() {
    execute(make_call(SYS_timer_delete, timer_));
    pass_interrupts();
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }

 private:
  int timer_ = 0;
  sigset_t mask_{};
};

}  // namespace

int interrupt_signal() {
  static const int number = install();
  return number;
}

void interrupt(pid_t thread) noexcept {
  execute(make_call(SYS_tgkill, execute(make_call(SYS_getpid)), thread, interrupt_signal()));
}

void pass_interrupts() noexcept {
  // A pending signal is delivered at the latest when a call returns, to a handler that does
  // nothing.
  execute(make_call(SYS_getpid));
}

long execute_until(const Call& call, Clock::time_point deadline) {
  if (deadline == Clock::time_point::max()) return execute(call);
  if (Clock::now() >= deadline) return -ETIME;
  if (prospect_of(call) == Prospect::at_once) return execute(call);
  const Interrupter interrupter(deadline);
  const long result = execute(call);
  // Another signal of the program may have done it.
  return result == -EINTR && Clock::now() >= deadline ? -ETIME : result;
}

}  // namespace flexsc::detail
