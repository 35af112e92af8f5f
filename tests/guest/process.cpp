// SPDX-License-Identifier: MIT
#include "process.hpp"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <sstream>

namespace flexsc_guest {
namespace {

std::vector<std::string> threads_of(pid_t pid) {
  std::vector<std::string> found;
  const std::string path = "/proc/" + std::to_string(pid) + "/task";
  if (DIR* dir = ::opendir(path.c_str()); dir != nullptr) {
    while (const dirent* entry = ::readdir(dir)) {
      if (entry->d_name[0] != '.') found.push_back(path + "/" + entry->d_name);
    }
    ::closedir(dir);
  }
  return found;
}

bool sleeps(pid_t tid) {
  const std::string stat = read_file("/proc/self/task/" + std::to_string(tid) + "/stat");
  const auto name_end = stat.rfind(") ");
  return name_end != std::string::npos && stat[name_end + 2] == 'S';
}

void wait_for_stage(const std::function<bool()>& condition, const char* what) {
  if (!eventually(condition)) throw Failure(std::string("never happened: ") + what);
}

}  // namespace

std::vector<pid_t> workers_of(pid_t pid) {
  std::vector<pid_t> workers;
  for (const std::string& thread : threads_of(pid)) {
    if (read_file(thread + "/comm").starts_with("flexsc-w")) {
      workers.push_back(std::stoi(thread.substr(thread.rfind('/') + 1)));
    }
  }
  return workers;
}

std::string thread_states(pid_t pid) {
  std::string states;
  for (const std::string& thread : threads_of(pid)) {
    const std::string stat = read_file(thread + "/stat");
    const auto name_end = stat.rfind(") ");
    if (name_end != std::string::npos) states += stat[name_end + 2];
  }
  return states;
}

std::string module_file() {
  const char* named = std::getenv("FLEXSC_KO");
  for (const std::string& path :
       {std::string(named != nullptr ? named : ""), std::string("/flexsc.ko"),
        std::string("/lib/flexsc.ko"), std::string("/lib/modules/flexsc.ko")}) {
    if (!path.empty() && ::access(path.c_str(), R_OK) == 0) return path;
  }
  return {};
}

bool write_file(const std::string& path, const std::string& text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.get() >= 0 &&
         ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void GuestTest::SetUp() {
  const Fd device(::open(FLEXSC_DEVICE, O_RDWR | O_CLOEXEC));
  if (device.get() >= 0) return;
  const std::string why = std::string(FLEXSC_DEVICE ": ") + std::strerror(errno);
  if (!module_file().empty()) FAIL() << "in a guest with the module's file, but " << why;
  GTEST_SKIP() << "the module is not here: " << why;
}

void GuestTest::TearDown() {
  EXPECT_TRUE(eventually([] { return workers_of(::getpid()).empty(); }))
      << workers_of(::getpid()).size() << " workers are still in the process";
}

SharedBoard::SharedBoard() {
  void* page =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  board_ = std::shared_ptr<Board>(new (page) Board,
                                  [](Board* board) { ::munmap(board, sizeof(Board)); });
}

Child::Child(const std::function<void()>& body) {
  Pipe pipe = make_pipe();
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ > 0) {
    message_ = std::move(pipe.reader);
    return;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    body();
    ::_exit(0);
  } catch (const std::exception& e) {
    const ssize_t written = ::write(pipe.writer.get(), e.what(), std::strlen(e.what()));
    ::_exit(written < 0 ? 254 : 255);
  }
}

Child::~Child() {
  if (pid_ > 0) {
    kill(SIGKILL);
    join(10s);
  }
}

void Child::kill(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

std::string Child::join(std::chrono::seconds limit) {
  int status = 0;
  const pid_t pid = pid_;
  const auto ended = [&] { return ::waitpid(pid, &status, WNOHANG) == pid; };
  if (!eventually(ended, limit)) {
    const std::string states = thread_states(pid);
    ::kill(pid, SIGKILL);
    const bool died = eventually(ended, 10s);
    pid_ = -1;
    return "hung: threads " + states + (died ? "" : ", and SIGKILL does not end it");
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  if (WEXITSTATUS(status) != 255) return "exit " + std::to_string(WEXITSTATUS(status));
  std::array<char, 512> text{};
  const ssize_t bytes = ::read(message_.get(), text.data(), text.size());
  return "failed: " + std::string(text.data(), bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
}

int Child::wait_status(int options, std::chrono::seconds limit) {
  int status = 0;
  const bool came =
      eventually([&] { return ::waitpid(pid_, &status, options | WNOHANG) == pid_; }, limit);
  return came ? status : -1;
}

std::string in_child(const std::function<void()>& body, std::chrono::seconds limit) {
  return Child(body).join(limit);
}

Rig sleeping_rig(const PoolOptions& options, unsigned pages) {
  Rig rig(options, pages);
  const auto all_sleep = [&] {
    if (rig.group.stats().parks == 0) return false;
    for (const pid_t worker : workers_of(::getpid())) {
      if (!sleeps(worker)) return false;
    }
    return true;
  };
  wait_for_stage(all_sleep, "sleep of all workers");
  return rig;
}

Rig lone_worker(unsigned pages) {
  return Rig({.concurrency = 1, .standby_max = 0, .spin_us = 0}, pages);
}

bool waits(const Rig& rig, unsigned calls) {
  return eventually([&] { return rig.group.stats().waiting == calls; });
}

bool asleep(pid_t tid) {
  return eventually([tid] { return sleeps(tid); });
}

Sleeper::Sleeper(const std::function<long()>& body)
    : thread_([body, this] {
        tid_ = ::gettid();
        result_ = body();
      }) {
  REQUIRE(eventually([this] { return tid_ != 0 && sleeps(tid_); }));
}

long Sleeper::result() {
  thread_.join();
  return result_;
}

long Sleeper::interrupted_by(int signal) {
  ::pthread_kill(handle(), signal);
  return result();
}

void wait_in_read(const Client& client, unsigned page, unsigned bit, const Pipe& pipe, char* to) {
  REQUIRE_EQ(client.post(page, bit, call(SYS_read, pipe.reader.get(), to, 1)), 0);
  wait_for_stage([&] { return (client.submitted(page) >> bit & 1) == 0; }, "claim of a read");
}

void block_in_poll(const Client& client, unsigned page, unsigned bit, const Pipe& pipe,
                   pollfd* watched) {
  *watched = {pipe.reader.get(), POLLIN, 0};
  REQUIRE_EQ(client.post(page, bit, call(SYS_poll, watched, 1, -1)), 0);
  wait_for_stage([&] { return (client.submitted(page) >> bit & 1) == 0; }, "claim of a poll");
}

Waiters::Waiters(const Client& client, unsigned from, unsigned count, unsigned page)
    : from_(from), page_(page), bytes_(count), watched_(count) {
  for (unsigned i = 0; i < count; ++i) {
    pipes_.push_back(make_pipe());
    if (is_read(i)) {
      wait_in_read(client, page, from + i, pipes_[i], &bytes_[i]);
    } else {
      block_in_poll(client, page, from + i, pipes_[i], &watched_[i]);
    }
  }
}

void Waiters::finish(const Client& client) const {
  for (unsigned i = 0; i < size(); ++i) {
    REQUIRE(!client.done(page_, from_ + i));
    feed(i);
    REQUIRE_EQ(client.await(page_, from_ + i), 1);
    if (is_read(i)) REQUIRE_EQ(byte(i), 'w');
  }
}

std::unique_ptr<Child> busy_child(const SharedBoard& board, unsigned spin_us) {
  auto child = std::make_unique<Child>([&] {
    const Rig rig({.spin_us = spin_us});
    const Waiters waiters(rig.client, 10, 4);
    for (;;) {
      REQUIRE_EQ(rig.client.run(SYS_getppid), ::getppid());
      ++board->count;
      ::poll(nullptr, 0, 20);
    }
  });
  REQUIRE(eventually([&] { return board->count > 0; }));
  return child;
}

}  // namespace flexsc_guest
