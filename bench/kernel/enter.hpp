// SPDX-License-Identifier: MIT
/// @file
/// The shortest way into the kernel and back: the instruction itself, no libc and no errno.
#pragma once

#include <flexsc/uapi.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace flexsc::bench {

/// Makes the call in the calling thread. Returns a value or -errno.
[[gnu::always_inline]] inline long enter(long nr) {
  asm volatile("syscall" : "+a"(nr) : : "rcx", "r11", "memory");
  return nr;
}

[[gnu::always_inline]] inline long enter(long nr, __u64 a, __u64 b, __u64 c) {
  asm volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return nr;
}

[[gnu::always_inline]] inline long enter(long nr, __u64 a, __u64 b, __u64 c, __u64 d) {
  register __u64 fourth asm("r10") = d;
  asm volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(fourth) : "rcx", "r11", "memory");
  return nr;
}

/// A command on a client's descriptor: FLEXSC_CMD_* and its argument. Returns a value or -errno.
[[gnu::always_inline]] inline long command(int client, __u64 op, __u64 argument) {
  return enter(SYS_lseek, static_cast<__u64>(client), static_cast<__u64>(FLEXSC_CMD(op, argument)),
               SEEK_SET);
}

}  // namespace flexsc::bench
