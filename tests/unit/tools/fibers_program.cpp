// SPDX-License-Identifier: MIT
// Fibers in every state, to be looked at from outside. Says "ready" when they are, and stays so
// until its input ends. With an argument others come and go meanwhile.
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "flexsc/fiber.hpp"
#include "flexsc/mutex.hpp"
#include "flexsc/posix.hpp"

namespace {

using flexsc::Fiber;
namespace this_fiber = flexsc::this_fiber;

void wait_for(const std::atomic<int>& number, int value) {
  while (number != value) std::this_thread::yield();
}

}  // namespace

int main(int argc, char** /*argv*/) {
  flexsc::RuntimeOptions options;
  options.engine.kind = flexsc::EngineKind::threads;
  options.carrier_cpus = {::sched_getcpu()};
  flexsc::Runtime runtime(options);
  int pipe[2];
  if (::pipe(pipe) != 0) return 1;
  flexsc::Mutex mutex;
  std::atomic<int> begun{0};
  // One carrier: who has begun goes on until it waits, before the next one does.
  std::vector<Fiber> fibers;
  fibers.push_back(runtime.spawn(
      [&] {
        ++begun;
        char byte = 0;
        (void)!flexsc::read(pipe[0], &byte, 1);
      },
      {.name = "reader"}));
  fibers.push_back(runtime.spawn(
      [&] {
        mutex.lock();
        ++begun;
        this_fiber::sleep_for(std::chrono::hours(1));
      },
      {.name = "sleeper"}));
  wait_for(begun, 2);
  fibers.push_back(runtime.spawn(
      [&] {
        ++begun;
        mutex.lock();
      },
      {.name = "locker"}));
  fibers.push_back(runtime.spawn(
      [&] {
        ++begun;
        for (;;) this_fiber::yield();
      },
      {.name = "yielder"}));
  wait_for(begun, 4);
  if (argc > 1) {
    fibers.push_back(runtime.spawn(
        [&] {
          for (;;) {
            std::vector<Fiber> some;
            for (int i = 0; i < 20; ++i) {
              some.push_back(runtime.spawn(
                  [i] {
                    if (i % 2 == 0) this_fiber::yield();
                    if (i % 3 == 0) this_fiber::sleep_for(std::chrono::microseconds(10));
                  },
                  {.name = "comes and goes", .stack_bytes = i % 5 == 0 ? 100'000U : 0U}));
            }
            for (Fiber& fiber : some) fiber.join();
          }
        },
        {.name = "spawner"}));
  } else {
    fibers.push_back(runtime.spawn(
        [&] {
          ++begun;
          for (;;) asm volatile("");
        },
        {.name = "busy"}));
    wait_for(begun, 5);
    fibers.push_back(runtime.spawn([] {}, {.name = "fresh"}));
  }
  std::puts("ready");
  (void)std::fflush(stdout);
  char byte = 0;
  while (::read(0, &byte, 1) > 0) {
  }
  _exit(0);  // they never end
}
