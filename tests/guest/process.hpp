// SPDX-License-Identifier: MIT
/// @file
/// The fixture of all tests, and child processes: whatever may end, stop or spoil the process that
/// does it runs in one.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kit.hpp"

namespace flexsc_guest {

/// The threads of a process that the module made.
std::vector<pid_t> workers_of(pid_t pid);
/// State letters of all threads of a process, "" when it is gone.
std::string thread_states(pid_t pid);

/// Where the module's file is in the guest; empty outside of one. Tests that touch the whole
/// machine (reload, suspend, CPUs) run only if it is known.
std::string module_file();

/// The module's list of groups.
inline constexpr const char* kGroups = "/sys/kernel/debug/flexsc/groups";

/// A user and a group without any rights.
inline constexpr uid_t kNobody = 65534;

bool write_file(const std::string& path, const std::string& text);
std::string read_file(const std::string& path);

/// Skips without the module (in a guest: fails), and checks after each test that no worker is left
/// in this process.
class GuestTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
};

/// Memory shared with children: flags and numbers to agree on what happens when.
struct Board {
  std::atomic<int> stage{0};
  std::atomic<long> count{0};
  std::atomic<long> value{0};
};

class SharedBoard {
 public:
  SharedBoard();
  Board* operator->() const { return board_.get(); }

 private:
  std::shared_ptr<Board> board_;
};

/// A child that dies with its parent. What it ends with is a sentence:
/// "exit N", "signal N", "failed: ..." (an exception left body), or "hung: ..." (it was killed).
class Child {
 public:
  explicit Child(const std::function<void()>& body);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();
  [[nodiscard]] pid_t pid() const { return pid_; }
  void kill(int signal) const;
  /// The test itself has seen its end.
  void reaped() { pid_ = -1; }
  std::string join(std::chrono::seconds limit = kLong);
  /// waitpid for a stop or a continuation: the raw status, or -1 after the limit.
  int wait_status(int options, std::chrono::seconds limit = kLong);

 private:
  pid_t pid_;
  Fd message_;
};

/// Runs body in a child and returns how it ended.
std::string in_child(const std::function<void()>& body, std::chrono::seconds limit = kLong);

/// A group whose workers are asleep, so that nobody looks at what is posted until somebody is told.
Rig sleeping_rig(const PoolOptions& options = {.spin_us = 0}, unsigned pages = 1);

/// One worker that does not spin, and no other.
Rig lone_worker(unsigned pages = 1);
/// Whether so many calls come to wait for their files, which holds no worker.
bool waits(const Rig& rig, unsigned calls);

/// A call that waits for its file, which holds no worker: posted and seen to be claimed.
void wait_in_read(const Client& client, unsigned page, unsigned bit, const Pipe& pipe, char* to);
/// A worker that sleeps inside a call until the pipe can be read: posted and seen to be claimed.
void block_in_poll(const Client& client, unsigned page, unsigned bit, const Pipe& pipe,
                   pollfd* watched);

/// Whether this thread of ours comes to sleep in the kernel: what must happen to a waiter happens
/// to one.
bool asleep(pid_t tid);

/// A thread that waits in the kernel, seen to sleep there. What body returns is its result.
class Sleeper {
 public:
  explicit Sleeper(const std::function<long()>& body);
  [[nodiscard]] pthread_t handle() { return thread_.native_handle(); }
  [[nodiscard]] long result();
  long interrupted_by(int signal);

 private:
  std::atomic<pid_t> tid_{0};
  std::atomic<long> result_{0};
  std::jthread thread_;
};

/// Signals that a Handler has handled.
inline std::atomic<int> handled{0};

/// Counts a signal in place of what it does.
class Handler {
 public:
  explicit Handler(int signal, int flags = 0) : signal_(signal) {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { ++handled; };
    action.sa_flags = flags;
    ::sigaction(signal, &action, &before_);
  }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() { ::sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_ {};
};

/// Calls at (page, from) and behind it that wait, each until something comes into a pipe of its
/// own: reads, which hold no worker, and polls, which do, in turn. All are claimed.
class Waiters {
 public:
  Waiters(const Client& client, unsigned from, unsigned count, unsigned page = 0);
  [[nodiscard]] unsigned size() const { return static_cast<unsigned>(pipes_.size()); }
  void feed(unsigned i) const { put(pipes_[i].writer, "w"); }
  [[nodiscard]] const Pipe& pipe(unsigned i) const { return pipes_[i]; }
  static bool is_read(unsigned i) { return i % 2 == 0; }
  /// What a read has got.
  [[nodiscard]] char byte(unsigned i) const { return bytes_[i]; }
  /// Ends all of them and takes their results.
  void finish(const Client& client) const;

 private:
  unsigned from_;
  unsigned page_;
  std::vector<Pipe> pipes_;
  std::vector<char> bytes_;
  std::vector<pollfd> watched_;
};

/// A child that makes calls, each counted, while other workers of it spin, sleep and block.
std::unique_ptr<Child> busy_child(const SharedBoard& board, unsigned spin_us);

/// What main() does for the program that the exec tests start; -1 if it is not one of theirs.
int exec_entry(int argc, char** argv);

}  // namespace flexsc_guest
