// SPDX-License-Identifier: MIT
/// @file
/// What the tests of WAIT with FLEXSC_WAIT_HELP share.
#pragma once

#include "process.hpp"
#include "waitable.hpp"

namespace flexsc_guest {

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

}  // namespace flexsc_guest
