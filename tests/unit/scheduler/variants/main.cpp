// SPDX-License-Identifier: MIT
// Description: what is documented of errno, thread-locals and exceptions over a switch holds
// however the program is compiled. Built by both compilers, with several optimisations; see
// CMakeLists.txt.
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "far.hpp"
#include "flexsc/call_scope.hpp"

namespace flexsc::variants {
namespace {

int failures = 0;

void expect(bool holds, const char* what, int line) {
  if (holds) return;
  std::printf("line %d: %s does not hold\n", line, what);
  ++failures;
}
#define EXPECT(condition) expect(condition, #condition, __LINE__)

/// In fibers that stay: the plain errno and thread-locals, on both sides of switches.
void staying(int number) {
  int* const address = &of_thread;
  for (int i = 0; i < 50; ++i) {
    errno = 0;
    of_thread = number;
    if (i % 2 == 0) {
      EXPECT(fail_with_ebadf() == -1 && errno == EBADF);
    } else {
      EXPECT(fail_with_enoent() == -1 && errno == ENOENT);
    }
    const int before = errno;
    of_thread = number;
    this_fiber::yield();
    EXPECT(errno == before);
    EXPECT(address == &of_thread);
    EXPECT(this_fiber::last_error() == before);
    this_fiber::sleep_for(std::chrono::microseconds(1));
    EXPECT(errno == before);
  }
}

struct OnTheWay {
  int before = std::uncaught_exceptions();
  ~OnTheWay() {
    EXPECT(std::uncaught_exceptions() == before + 1);
    this_fiber::yield();
    EXPECT(std::uncaught_exceptions() == before + 1);
  }
};

void throwing(int number) {
  for (int i = 0; i < 50; ++i) {
    try {
      const OnTheWay on_the_way;
      throw_after_yields(number);
    } catch (const std::runtime_error& error) {
      EXPECT(error.what() == std::to_string(number));
      this_fiber::yield();
      EXPECT(handled() == std::to_string(number));
      (void)fail_with_ebadf();
      EXPECT(handled() == std::to_string(number));
    }
    EXPECT(handled() == "none");
    EXPECT(std::uncaught_exceptions() == 0);
  }
}

struct MovesOnTheWay {
  Runtime& runtime;
  ~MovesOnTheWay() {
    move(runtime);
    EXPECT(std::uncaught_exceptions() == 1);
  }
};

/// In a fiber that moves: last_error(), and exceptions.
void moving(Runtime& runtime) {
  for (int i = 0; i < 20; ++i) {
    EXPECT(fail_with_ebadf() == -1 && this_fiber::last_error() == EBADF);
    const long before = thread_id();
    move(runtime);
    EXPECT(thread_id() != before);
    EXPECT(this_fiber::last_error() == EBADF);
    EXPECT(fail_with_enoent() == -1);
    move(runtime);
    EXPECT(this_fiber::last_error() == ENOENT);
    try {
      const MovesOnTheWay moves{runtime};
      throw std::runtime_error("moved");
    } catch (const std::runtime_error&) {
      move(runtime);
      EXPECT(handled() == "moved");
    }
    EXPECT(handled() == "none");
    EXPECT(std::uncaught_exceptions() == 0);
    {
      // Where it stays, it is as any other.
      const CarrierScope stay;
      staying(i);
    }
  }
}

int run() {
  RuntimeOptions options;
  options.engine.kind = EngineKind::threads;
  const int here = ::sched_getcpu();
  options.carrier_cpus = {here, here};
  Runtime runtime(options);
  std::vector<Fiber> fibers;
  for (int i = 0; i < 8; ++i) {
    fibers.push_back(runtime.spawn([i] { staying(i); }));
    fibers.push_back(runtime.spawn([i] { throwing(i); }));
  }
  for (Fiber& fiber : fibers) fiber.join();
  runtime.spawn([&] { moving(runtime); }, {.name = "moving", .migratable = true}).join();
  EXPECT(runtime.stats().moved >= 60);
  std::puts(failures == 0 ? "as documented" : "not as documented");
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace flexsc::variants

int main() {
  return flexsc::variants::run();
}
