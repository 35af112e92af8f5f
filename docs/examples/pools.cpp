// SPDX-License-Identifier: MIT
// A core of its own for one class of calls, and priority for another: one setting each. Fibers that
// write a journal wait for the disk in workers on a core that nobody else gets; fibers that answer
// clients have their calls made by workers with a better nice value; all others use pool 0.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "flexsc/call_scope.hpp"
#include "flexsc/fiber.hpp"
#include "flexsc/posix.hpp"

namespace {

constexpr unsigned kJournal = 1;
constexpr unsigned kUrgent = 2;

void keep_journal(int journal) {
  const flexsc::PoolScope on_its_core(kJournal);
  for (int i = 0; i < 100; ++i) {
    if (flexsc::write(journal, "entry\n", 6) != 6 || flexsc::fdatasync(journal) != 0) {
      std::perror("journal");
      return;
    }
  }
}

void answer(int from, int to) {
  const flexsc::PoolScope first(kUrgent);
  for (int i = 0; i < 100; ++i) {
    char byte = '?';
    if (flexsc::write(to, &byte, 1) != 1 || flexsc::read(from, &byte, 1) != 1) {
      std::perror("client");
      return;
    }
  }
}

}  // namespace

// flexsc-pools [ENGINE] [CORE] [NICE]: the engine (threads), the journal's core (the last one), and
// the nice value of the urgent workers (0; better than yours needs a privilege).
int main(int argc, char** argv) try {
  const int cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  flexsc::RuntimeOptions options;
  options.engine.kind = flexsc::engine_named(argc > 1 ? argv[1] : "threads");

  flexsc::PoolOptions journal;  // pool 1
  journal.worker_cpus = {argc > 2 ? std::atoi(argv[2]) : cores - 1};
  options.engine.more_pools.push_back(journal);

  flexsc::PoolOptions urgent;  // pool 2
  urgent.scheduling = flexsc::Scheduling{SCHED_OTHER, argc > 3 ? std::atoi(argv[3]) : 0};
  options.engine.more_pools.push_back(urgent);

  flexsc::Runtime runtime(options);
  const int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  int ends[2];
  if (file < 0 || pipe2(ends, O_CLOEXEC) != 0) {
    std::fprintf(stderr, "flexsc-pools: %s\n", std::strerror(errno));
    return 1;
  }
  flexsc::Fiber writer = runtime.spawn([file] { keep_journal(file); }, {.name = "journal"});
  flexsc::Fiber client = runtime.spawn([&] { answer(ends[0], ends[1]); }, {.name = "client"});
  client.join();
  writer.join();
  std::printf("%ld bytes of journal\n", static_cast<long>(lseek(file, 0, SEEK_END)));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "flexsc-pools: %s\n", error.what());
  return 1;
}
