// SPDX-License-Identifier: MIT
/// @file
/// What the tests of WAIT with FLEXSC_WAIT_HELP share.
#pragma once

#include <atomic>
#include <csignal>

#include "process.hpp"
#include "waitable.hpp"

namespace flexsc_guest {

inline constexpr unsigned kHelp = FLEXSC_WAIT_HELP;

/// Posts without ringing: the pool stays asleep.
inline void post_quietly(const Client& client, unsigned bit, const Call& c, unsigned queue = 0) {
  client.fill(0, bit, c);
  client.set(0, __u64{1} << bit, queue);
}

class Help : public GuestTest {
 protected:
  static Rig asleep(unsigned standby_max = 64) {
    return sleeping_rig({.concurrency = 1, .standby_max = standby_max, .spin_us = 0});
  }
};

/// Signals that a Handler has handled.
inline std::atomic<int> handled{0};

/// Counts a signal in place of what it does.
class Handler {
 public:
  explicit Handler(int signal, int flags = 0) : signal_(signal) {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { ++handled; };
    action.sa_flags = flags;
    ::sigaction(signal, &action, &before_);
  }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() { ::sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_ {};
};

}  // namespace flexsc_guest
