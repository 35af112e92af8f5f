// SPDX-License-Identifier: MIT
// flexsc-stress: random use of the device by many processes, to which random things happen. Each
// process checks that what it posted completed, once; at the end nothing of any of them may be
// left.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "faults.hpp"
#include "life.hpp"

namespace {

using flexsc_stress::FailingAllocations;
using flexsc_stress::Life;
using flexsc_stress::Random;

constexpr unsigned kOperationsOfALife = 200;
constexpr int kViolated = 3;

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t operations = 10'000;
  unsigned processes = 3;
  long life = -1;
  bool calm = false;
  bool plenty = false;
};

/// Of one life; the same number means the same decisions.
std::uint64_t seed_of(const Options& options, std::uint64_t life) {
  return options.seed * 0x9e3779b97f4a7c15ULL + life;
}

[[noreturn]] void live(const Options& options, std::uint64_t life, bool can_fail) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const bool faulty = can_fail && life % 3 == 2;
  int status = 0;
  try {
    Life one(seed_of(options, life), faulty);
    if (faulty) FailingAllocations::ask();
    one.live(kOperationsOfALife);
  } catch (const flexsc_stress::Violation& violation) {
    std::cerr << "life " << life << ": " << violation.what() << std::endl;
    status = kViolated;
  } catch (const std::exception& failure) {
    // Without memory it cannot go on.
    if (!faulty) std::cerr << "life " << life << ": " << failure.what() << std::endl;
    status = faulty ? 0 : kViolated;
  }
  ::_exit(status);
}

/// Runs all lives, some at a time. Returns how many went wrong.
class Supervisor {
 public:
  explicit Supervisor(const Options& options) : options_(options), random_(options.seed) {}

  unsigned run() {
    const std::uint64_t lives = (options_.operations + kOperationsOfALife - 1) / kOperationsOfALife;
    std::uint64_t next = options_.life >= 0 ? static_cast<std::uint64_t>(options_.life) : 0;
    const std::uint64_t end = options_.life >= 0 ? next + 1 : lives;
    while (next < end || !running_.empty()) {
      while (next < end && running_.size() < options_.processes) begin(next++);
      disturb();
      collect();
      if (next % 250 == 0 && next != told_) {
        told_ = next;
        std::cout << next * kOperationsOfALife << " operations, " << killed_ << " of " << next
                  << " processes killed" << std::endl;
      }
    }
    return wrong_;
  }

 private:
  void begin(std::uint64_t life) {
    const pid_t child = ::fork();
    if (child == 0) live(options_, life, failing_.available() && !options_.plenty);
    if (child > 0) running_[child] = life;
  }

  void disturb() {
    ::usleep(2000 + random_.below(10'000));
    if (options_.calm || running_.empty()) return;
    auto at = running_.begin();
    std::advance(at, random_.below(static_cast<unsigned>(running_.size())));
    killed_ += flexsc_stress::trouble(random_, at->first) ? 1 : 0;
    if (random_.one_in(2000)) flexsc_stress::replug_cpu();
  }

  void collect() {
    int status = 0;
    pid_t child = 0;
    while ((child = ::waitpid(-1, &status, WNOHANG)) > 0) {
      const auto at = running_.find(child);
      if (at == running_.end() || WIFSTOPPED(status)) continue;
      const bool fine =
          (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
          // The loader had no memory.
          (WIFEXITED(status) && WEXITSTATUS(status) == 127 && failing_.available()) ||
          (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGSEGV ||
                                   WTERMSIG(status) == SIGUSR1));  // once it has executed itself
      if (!fine) {
        ++wrong_;
        std::cerr << "process " << at->second << " ended with status " << std::hex << status
                  << std::dec << "; again: --seed " << options_.seed << " --life " << at->second
                  << std::endl;
      }
      running_.erase(at);
    }
  }

  Options options_;
  Random random_;
  FailingAllocations failing_;
  std::map<pid_t, std::uint64_t> running_;
  std::uint64_t told_ = 0;
  unsigned killed_ = 0;
  unsigned wrong_ = 0;
};

/// What the module says of itself when all are gone.
bool nothing_is_left() {
  const auto read_first = [](const char* path) {
    std::ifstream file(path);
    std::string text;
    std::getline(file, text);
    return text;
  };
  const bool gone = flexsc_guest::eventually([&] {
    // Descriptors in messages that nobody can receive any more are collected when a socket closes.
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0) {
      ::close(ends[0]);
      ::close(ends[1]);
    }
    return read_first("/sys/module/flexsc/refcnt") == "0";
  });
  if (!gone) std::cerr << "the module is still in use\n";
  return gone;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  bool nothing = false;
  CLI::App app{"Random use of /dev/flexsc by many processes."};
  app.add_option("--seed", options.seed, "everything but time follows from it");
  app.add_option("--operations", options.operations, "in all, some 200 in a process");
  app.add_option("--processes", options.processes, "at a time")->check(CLI::PositiveNumber);
  app.add_option("--life", options.life, "this process alone, of those of the seed");
  app.add_flag("--calm", options.calm, "no signals, stops, tracers or CPUs that go");
  app.add_flag("--plenty", options.plenty, "no allocation fails");
  app.add_flag("--nothing", nothing, "what a process becomes that executes itself");
  CLI11_PARSE(app, argc, argv);
  if (nothing) return 0;

  struct sigaction handler {};
  handler.sa_handler = [](int) {};  // no SA_RESTART, for the lives: calls are interrupted
  ::sigaction(SIGUSR1, &handler, nullptr);

  const unsigned wrong = Supervisor(options).run();
  const bool clean = nothing_is_left();
  std::cout << options.operations << " operations, seed " << options.seed << ": " << wrong
            << " processes went wrong" << std::endl;
  return wrong == 0 && clean ? 0 : 1;
}
