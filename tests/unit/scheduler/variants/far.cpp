// SPDX-License-Identifier: MIT
#include "far.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>

#include "flexsc/posix.hpp"

namespace flexsc::variants {

thread_local int of_thread = 0;

int fail_with_ebadf() {
  return flexsc::close(-1);
}

int fail_with_enoent() {
  return flexsc::open("/nowhere/at/all", O_RDONLY);
}

void throw_after_yields(int number) {
  this_fiber::yield();
  throw std::runtime_error(std::to_string(number));
}

std::string handled() {
  try {
    if (const std::exception_ptr current = std::current_exception()) {
      std::rethrow_exception(current);
    }
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

long thread_id() {
  return ::syscall(SYS_gettid);
}

void move(Runtime& runtime) {
  const long home = thread_id();
  while (thread_id() == home) {
    std::atomic<bool> moved{false};
    // Keeps this carrier busy until the other one has taken us.
    Fiber busy = runtime.spawn([&] {
      while (thread_id() == home && !moved) std::this_thread::yield();
    });
    this_fiber::yield();
    moved = true;
    busy.join();
  }
}

}  // namespace flexsc::variants
