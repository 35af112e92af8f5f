// SPDX-License-Identifier: MIT
#include "server_process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <thread>

#include "flexsc/engine.hpp"

namespace flexsc::http::driver {

namespace fs = std::filesystem;

namespace {

std::string contents(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// Only calls that are safe between fork and exec.
[[noreturn]] void become(const std::vector<char*>& argv, const char* errors,
                         const ProcessLimits& limits) {
  const int fd = ::open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd >= 0) ::dup2(fd, 2);
  if (limits.max_files != 0) {
    const rlimit limit{limits.max_files, limits.max_files};
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  restrict_to_cpus(limits.cpus);
  ::execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

std::vector<std::string> Side::arguments() const {
  std::vector<std::string> result{"--model", model};
  if (!engine.empty()) result.insert(result.end(), {"--engine", engine});
  return result;
}

std::string Side::missing() const {
  if (engine.empty()) return {};
  for (const Availability& found : probe()) {
    if (to_string(found.kind) == engine && !found.available) return found.reason;
  }
  return {};
}

const std::vector<Side>& all_sides() {
  static const std::vector<Side> sides{
      {"threads", ""},    {"pool", ""},          {"epoll", ""},       {"esca", "direct"},
      {"esca", "kernel"}, {"fibers", "threads"}, {"fibers", "uring"}, {"fibers", "kernel"},
  };
  return sides;
}

void restrict_to_cpus(const std::vector<int>& cpus) noexcept {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "flexsc-http-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), name);
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

ServerProcess::ServerProcess(const Side& side, const fs::path& root,
                             const std::vector<std::string>& arguments,
                             const ProcessLimits& limits) {
  std::vector<std::string> words{fs::read_symlink("/proc/self/exe").parent_path() / "flexsc-httpd",
                                 "--quiet",
                                 "--root",
                                 root,
                                 "--port-file",
                                 folder_.path() / "port",
                                 "--stats",
                                 folder_.path() / "stats"};
  const std::vector<std::string> of_side = side.arguments();
  words.insert(words.end(), of_side.begin(), of_side.end());
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string errors = folder_.path() / "errors";
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) become(argv, errors.c_str(), limits);
}

ServerProcess::~ServerProcess() {
  if (!running()) return;
  signal(SIGKILL);
  (void)reap(true);
}

bool ServerProcess::reap(bool block) {
  if (pid_ < 0) return true;
  if (::waitpid(pid_, &status_, block ? 0 : WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

bool ServerProcess::running() {
  return !reap(false);
}

std::uint16_t ServerProcess::port() {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (port_ == 0 && running() && std::chrono::steady_clock::now() < end) {
    std::ifstream(folder_.path() / "port") >> port_;
    if (port_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return port_;
}

void ServerProcess::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

Ended ServerProcess::wait() {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (running()) {
    if (std::chrono::steady_clock::now() > end) {
      signal(SIGKILL);
      (void)reap(true);
      return {-1, errors()};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const int code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  return {code, errors()};
}

std::string ServerProcess::errors() const {
  return contents(folder_.path() / "errors");
}

nlohmann::json ServerProcess::stats() const {
  return nlohmann::json::parse(contents(folder_.path() / "stats"));
}

}  // namespace flexsc::http::driver
