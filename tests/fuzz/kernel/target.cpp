// SPDX-License-Identifier: MIT
// The module as the target of a fuzzer, see play.hpp for what an input means. It has to run as
// root, with the module loaded. What it checks of each input: that its process can be killed, that
// nothing of it is left, and that the kernel does not complain. What the kernel's own checkers see
// is the harness's business (tests/harness/fuzz.py).
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include "cell.hpp"
#include "coverage.hpp"
#include "kernel_log.hpp"
#include "kit.hpp"
#include "play.hpp"

namespace {

using flexsc_fuzz::Cell;
using flexsc_fuzz::Coverage;
using flexsc_fuzz::KernelLog;

constexpr int kMilliseconds = 1500;
constexpr unsigned kRunsOfAProbe = 200;
/// Where the offsets of what was reached go, one a line.
constexpr const char* kReachedFile = "/out/reached";

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  return text;
}

/// One that inputs may become: it needs no libraries, which are not in the cell. -1: there is none.
int open_program() {
  const int low = ::open("/bin/busybox", O_RDONLY | O_CLOEXEC);
  const int fd = low < 0 ? -1 : ::fcntl(low, F_DUPFD_CLOEXEC, flexsc_fuzz::kOwnDescriptors);
  ::close(low);
  return fd;
}

/// Writes the input as a line of digits, and returns when that has left the machine: when the
/// kernel dies of the input, its last lines are what the harness has. Not to the kernel's log: its
/// console would be busy with it for long.
void tell(std::span<const std::uint8_t> input) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string line = "flexsc-fuzz: input ";
  for (const std::uint8_t byte : input) {
    line += kDigits[byte >> 4];
    line += kDigits[byte & 15];
  }
  std::cerr << line << std::endl;
  ::tcdrain(STDERR_FILENO);
}

class Fuzzer {
 public:
  Fuzzer()
      : program_(open_program()), cell_([this](std::span<const std::uint8_t> input) {
          flexsc_fuzz::play(input, coverage_, program_);
        }) {
    std::cerr << "flexsc-fuzz: coverage of the module: "
              << (coverage_.available() ? "KCOV" : "none in this kernel") << std::endl;
  }
  Fuzzer(const Fuzzer&) = delete;
  Fuzzer& operator=(const Fuzzer&) = delete;
  ~Fuzzer() {
    if (!coverage_.available()) return;
    std::ofstream file(kReachedFile);
    for (const std::uint64_t offset : coverage_.reached()) file << offset << '\n';
  }

  void run(std::span<const std::uint8_t> input) {
    if (tells_) tell(input);
    coverage_.reset();
    std::string wrong = cell_.run(input, kMilliseconds);
    coverage_.collect();
    // Its last references are given back by what comes after its end.
    if (wrong.empty() &&
        !flexsc_guest::eventually([] { return first_line("/sys/module/flexsc/refcnt") == "0"; })) {
      wrong = "the module is still in use, although no process of the input is left";
    }
    if (const std::string said = log_.complaint(); !said.empty()) wrong = said;
    if (wrong.empty() && ++runs_ % kRunsOfAProbe == 0) wrong = probe();
    if (wrong.empty()) return;
    log_.release();
    std::cerr << "flexsc-fuzz: " << wrong << std::endl;
    std::abort();  // which is how libFuzzer and the replay see a failure
  }

 private:
  /// Whether the module says that there is nobody, and serves others as before: "", or what is
  /// wrong.
  static std::string probe() {
    std::ifstream groups("/sys/kernel/debug/flexsc/groups");
    std::string line;
    std::getline(groups, line);  // what the text is
    if (std::getline(groups, line)) return "a group is left: " + line;
    groups.close();
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const flexsc_guest::Rig rig;
        REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
        REQUIRE_EQ(rig.client.run_flushed(flexsc_guest::call(SYS_getppid)), ::getppid());
      } catch (const std::exception& failure) {
        std::cerr << failure.what() << std::endl;
        ::_exit(1);
      }
      ::_exit(0);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0 ? "" : "a process is not served as it should be";
  }

  Coverage coverage_;
  int program_;
  Cell cell_;
  KernelLog log_;
  bool tells_ = std::getenv("FLEXSC_FUZZ_TELL") != nullptr;
  unsigned runs_ = 0;
};

std::unique_ptr<Fuzzer> fuzzer;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  fuzzer = std::make_unique<Fuzzer>();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzzer->run({data, size});
  return 0;
}
