// SPDX-License-Identifier: MIT
// A program that knows fibers but not the interception library: run with LD_PRELOAD, it
// tells how many of its plain calls were posted.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "flexsc/fiber.hpp"

int main() {
  flexsc::Runtime runtime(flexsc::RuntimeOptions{});
  char byte = 0;
  runtime
      .spawn([&] {
        const int fd = ::open("/proc/self/exe", O_RDONLY);
        for (int i = 0; i < 3; ++i) (void)!::read(fd, &byte, 1);
        ::lseek(fd, 0, SEEK_SET);
        ::close(fd);
        ::usleep(1);
      })
      .join();
  (void)!::read(-1, &byte, 1);
  std::printf("posted %llu\n", static_cast<unsigned long long>(runtime.stats().channels.posted));
  return 0;
}
