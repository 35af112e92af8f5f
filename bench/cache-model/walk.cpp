// SPDX-License-Identifier: MIT
// flexsc-cache-walk KIB PASSES CALLS: reads so much memory line by line, so many times, and makes
// so many system calls, while the cache model counts. What it has to count is known.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "marks.hpp"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s KIB PASSES CALLS\n", argv[0]);
    return 2;
  }
  const std::size_t bytes = std::strtoul(argv[1], nullptr, 10) * 1024;
  const unsigned long passes = std::strtoul(argv[2], nullptr, 10);
  const unsigned long calls = std::strtoul(argv[3], nullptr, 10);
  const std::vector<char> memory(bytes, 1);
  const volatile char* const begin = memory.data();
  long sum = 0;
  flexsc::cache_model::start_counting();
  for (unsigned long pass = 0; pass < passes; ++pass) {
    for (std::size_t i = 0; i < bytes; i += 64) sum += begin[i];
  }
  for (unsigned long i = 0; i < calls; ++i) sum += ::syscall(SYS_getppid) == 0 ? 0 : 1;
  flexsc::cache_model::stop_counting();
  std::printf("%ld\n", sum);
  return 0;
}
