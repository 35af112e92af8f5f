// SPDX-License-Identifier: MIT
/// Description: what the kernel's checkers say is told from what it says otherwise.
#include "kernel_log.hpp"

#include <gtest/gtest.h>

namespace flexsc_fuzz {
namespace {

TEST(KernelLog, Complaints) {
  for (const char* record : {
           "4,605,159509322,-;BUG: KASAN: use-after-free in flexsc_op_run+0x1/0x2 [flexsc]",
           "4,605,1,-;WARNING: CPU: 1 PID: 7 at kmod/op.c:12 flexsc_op_run+0x1/0x2 [flexsc]",
           "4,605,1,-;WARNING: possible circular locking dependency detected",
           "4,605,1,-;[ BUG: Invalid wait context ]",
           "3,605,1,-;UBSAN: array-index-out-of-bounds in kmod/op.c:12:3",
           "4,605,1,-;refcount_t: underflow; use-after-free.",
           "1,605,1,-;BUG: unable to handle page fault for address: 0000000000001000",
           "3,605,1,-;INFO: task flexsc-w/0:77 blocked for more than 30 seconds.",
           "3,605,1,-;rcu: INFO: rcu_preempt self-detected stall on CPU",
           "3,605,1,-;list_del corruption. prev->next should be 1, but was 2",
       }) {
    EXPECT_TRUE(is_complaint(record)) << record;
  }
}

TEST(KernelLog, OtherLines) {
  for (const char* record : {
           "4,606,159509322,-;hrtimer: interrupt took 25001399 ns",
           "6,606,1,-;smpboot: CPU 1 is now offline",
           "6,606,1,-;traps: flexsc-fuzz[7] general protection fault ip:1 sp:2 error:0",
           "no head at all BUG:",
           "",
       }) {
    EXPECT_FALSE(is_complaint(record)) << record;
  }
}

}  // namespace
}  // namespace flexsc_fuzz
