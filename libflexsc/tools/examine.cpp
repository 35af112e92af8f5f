// SPDX-License-Identifier: MIT
/// @file
/// The doctor's eyes: what examine() finds on this machine.
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "doctor.hpp"
#include "flexsc/uapi.h"
#include "groups.hpp"

namespace flexsc::tools {

namespace {

bool exists(const char* path) {
  return ::access(path, F_OK) == 0;
}

std::string content(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

/// The value of a line "key:\tvalue" of /proc/self/status.
int status_number(const std::string& status, const std::string& key) {
  const auto at = status.find("\n" + key + ":");
  return at == std::string::npos ? 0 : std::atoi(status.c_str() + at + key.size() + 2);
}

/// "none [integrity] confidentiality" has the one that holds in brackets.
std::string chosen(const std::string& options) {
  const auto open = options.find('[');
  const auto close = options.find(']', open);
  if (open == std::string::npos || close == std::string::npos) return "";
  return options.substr(open + 1, close - open - 1);
}

std::string user_name(uid_t uid) {
  const passwd* found = ::getpwuid(uid);
  return found != nullptr ? found->pw_name : std::to_string(uid);
}

std::string group_name(gid_t gid) {
  const ::group* found = ::getgrgid(gid);
  return found != nullptr ? found->gr_name : std::to_string(gid);
}

void look_at_kernel(Facts& facts) {
  utsname system{};
  ::uname(&system);
  facts.release = system.release;
  facts.architecture = system.machine;
  facts.module_loaded = exists("/sys/module/flexsc");
  facts.module_installed =
      content("/lib/modules/" + facts.release + "/modules.dep").find("/flexsc.ko") !=
      std::string::npos;
  facts.lockdown = chosen(content("/sys/kernel/security/lockdown"));
  facts.container =
      exists("/.dockerenv") || exists("/run/.containerenv") || exists("/run/systemd/container");
}

void look_at_device(Facts& facts) {
  struct stat file {};
  facts.user = user_name(::geteuid());
  if (::stat(FLEXSC_DEVICE, &file) != 0) return;
  facts.device_exists = true;
  facts.device_is_special = S_ISCHR(file.st_mode);
  facts.device_mode = file.st_mode & 07777;
  facts.device_owner = user_name(file.st_uid) + ":" + group_name(file.st_gid);
  if (!facts.device_is_special) return;
  const int fd = ::open(FLEXSC_DEVICE, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    facts.device_error = errno;
    return;
  }
  flexsc_query query{};
  query.size = sizeof query;
  if (::ioctl(fd, FLEXSC_IOC_QUERY, &query) == 0) facts.module_abi = query.abi_version;
  ::close(fd);
}

void look_at_process(Facts& facts) {
  const std::string status = content("/proc/self/status");
  facts.seccomp = status_number(status, "Seccomp");
  facts.traced = status_number(status, "TracerPid") != 0;
  cpu_set_t cpus;
  if (::sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
    facts.cpus = static_cast<unsigned>(CPU_COUNT(&cpus));
  } else {
    facts.cpus = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));  // above 1024 of them
  }
  rlimit limit{};
  const bool limited = ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  if (limited && ::geteuid() != 0) facts.locked_memory = limit.rlim_cur;
  facts.groups_readable = ::access(kGroupsFile, R_OK) == 0;
}

constexpr std::chrono::seconds kEnough(10);  // for a call that answers at once

/// One call there and back. Returns what went wrong.
std::string one_call() {
  try {
    EngineOptions options;
    options.kind = EngineKind::kernel;
    const std::unique_ptr<Engine> engine = Engine::open(options);
    const std::unique_ptr<Channel> channel = engine->make_channel();
    std::array<Completion, 1> done{};
    if (!channel->post(make_call(SYS_getppid), nullptr)) return "a new channel takes no call";
    channel->submit();
    while (channel->reap(done) == 0) channel->wait(kEnough);
    if (done[0].result != ::getppid()) return "a call came back with a wrong result";
    if (channel->stats().direct != 0) return "no kernel worker took the call";
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

/// one_call() in a process of its own: what never returns can be ended there.
std::string try_call() {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return "no pipe can be made: raise `ulimit -n`";
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string wrong = one_call() + "\n";
    const ssize_t written = ::write(pipe[1], wrong.data(), wrong.size());
    ::_exit(written < 0 ? 1 : 0);
  }
  ::close(pipe[1]);
  std::string wrong = "a call did not return from a kernel worker: see the kernel's log (`dmesg`)";
  pollfd answer{pipe[0], POLLIN, 0};
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(kEnough).count();
  std::array<char, 1024> text{};
  if (child < 0) {
    wrong = "no process can be made: raise `ulimit -u`";
  } else if (::poll(&answer, 1, static_cast<int>(limit)) == 1) {
    const ssize_t got = ::read(pipe[0], text.data(), text.size());
    wrong = got > 0 ? std::string(text.data(), static_cast<std::size_t>(got - 1))
                    : "the process that made a call died: see the kernel's log (`dmesg`)";
  }
  ::close(pipe[0]);
  if (child > 0) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return wrong;
}

}  // namespace

Facts examine() {
  Facts facts;
  look_at_kernel(facts);
  look_at_device(facts);
  look_at_process(facts);
  facts.engines = probe();
  facts.choice = choose_engine();
  for (const Availability& engine : facts.engines) {
    if (engine.kind == EngineKind::kernel && engine.available) facts.trial = try_call();
  }
  return facts;
}

}  // namespace flexsc::tools
