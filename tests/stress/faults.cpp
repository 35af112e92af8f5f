// SPDX-License-Identifier: MIT
#include "faults.hpp"

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

namespace flexsc_stress {
namespace {

const std::string kFail = "/sys/kernel/debug/failslab/";

/// "Y" if the kernel was booted with a choice of the caches that may fail (`slub_debug=A`).
std::string caches_chosen() {
  std::ifstream file("/sys/kernel/slab/task_struct/failslab");
  return file.get() == '1' ? "Y" : "N";
}

}  // namespace

bool write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  return file.good();
}

FailingAllocations::FailingAllocations()
    : available_(write_text(kFail + "task-filter", "Y") && write_text(kFail + "verbose", "0") &&
                 write_text(kFail + "ignore-gfp-wait", "N") &&
                 write_text(kFail + "cache-filter", caches_chosen()) &&
                 write_text(kFail + "interval", "1") && write_text(kFail + "times", "-1") &&
                 write_text(kFail + "probability", "2")) {}

FailingAllocations::~FailingAllocations() {
  if (available_) write_text(kFail + "probability", "0");
}

void FailingAllocations::ask() {
  write_text("/proc/thread-self/make-it-fail", "1");
}

bool trouble(Random& random, pid_t process) {
  switch (random.below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      ::kill(process, SIGUSR1);
      return false;
    case 4:
    case 5:
      ::kill(process, SIGSTOP);
      ::usleep(random.below(20'000));
      ::kill(process, SIGCONT);
      return false;
    case 6:
      ::kill(process, SIGKILL);
      return true;
    case 7: {
      // As a debugger that attaches, stops it, and leaves.
      if (::ptrace(PTRACE_SEIZE, process, 0, 0) != 0) return false;
      ::ptrace(PTRACE_INTERRUPT, process, 0, 0);
      siginfo_t info{};
      // Its end is left for whoever waits for that.
      ::waitid(P_PID, static_cast<id_t>(process), &info, WSTOPPED | WEXITED | WNOWAIT | __WALL);
      ::ptrace(PTRACE_DETACH, process, 0, 0);
      return false;
    }
    default:
      return false;
  }
}

void replug_cpu() {
  const std::string cpu = "/sys/devices/system/cpu/cpu1/online";
  if (write_text(cpu, "0")) write_text(cpu, "1");
}

}  // namespace flexsc_stress
