// SPDX-License-Identifier: MIT
#include "child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

namespace flexsc::http::driver {

namespace {

void put_into(const std::string& file, int fd) {
  if (file.empty()) return;
  const int opened =
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (opened >= 0) ::dup2(opened, fd);
}

/// Only calls that are safe between fork and exec.
[[noreturn]] void become(char* const* argv, const ProcessLimits& limits,
                         const ProcessOutput& output) {
  put_into(output.out, 1);
  put_into(output.errors, 2);
  if (limits.max_files != 0) {
    const rlimit limit{limits.max_files, limits.max_files};
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  restrict_to_cpus(limits.cpus);
  ::execvp(argv[0], argv);
  _exit(kNotFound);
}

}  // namespace

void restrict_to_cpus(const std::vector<int>& cpus) noexcept {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

std::string contents_of(const std::string& path) {
  std::ostringstream contents;
  contents << std::ifstream(path).rdbuf();
  return contents.str();
}

Child::Child(std::vector<std::string> words, const ProcessLimits& limits,
             const ProcessOutput& output) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) become(argv.data(), limits, output);
}

Child::~Child() {
  signal(SIGKILL);
  (void)reap(0);
}

bool Child::reap(int options) noexcept {
  if (pid_ < 0) return true;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid_, &status_, options)) < 0 && errno == EINTR) {
  }
  if (ended != pid_) return false;
  pid_ = -1;
  return true;
}

bool Child::running() noexcept {
  return !reap(WNOHANG);
}

void Child::signal(int number) const noexcept {
  if (pid_ > 0) ::kill(pid_, number);
}

int Child::wait() noexcept {
  return reap(0) ? exit_code() : -1;
}

int Child::exit_code() const noexcept {
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

}  // namespace flexsc::http::driver
