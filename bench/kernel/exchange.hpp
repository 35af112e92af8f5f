// SPDX-License-Identifier: MIT
/// @file
/// The ground under measurements with a worker on another CPU: what it takes to get a word from one
/// CPU to the other and back.
#pragma once

#include <atomic>
#include <thread>

#include <flexsc/uapi.h>
#include <sched.h>

#include "program.hpp"

namespace flexsc::bench {

/// The two CPUs of these measurements, see cpu().
inline constexpr unsigned kApplicationCpu = 0;
inline constexpr unsigned kWorkerCpu = 1;

/// The calling thread on one CPU, for as long as this lives. @throws std::runtime_error
class Pinned {
 public:
  explicit Pinned(int cpu);
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { ::sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

/// What the machine itself takes: two threads on the two CPUs do with their words and one entry
/// what the poster and the worker of a call do, and nothing else. While this lives, its thread
/// polls on kWorkerCpu.
class Exchange {
 public:
  Exchange() : worker_([this] { serve(); }) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange();

  /// The time of one call there and back, in ns: the median of some samples.
  double measure();

 private:
  static constexpr __u64 kPosted = 1;
  static constexpr __u64 kStop = 2;

  struct alignas(FLEXSC_PAGE_BYTES) Word {
    std::atomic<__u64> value{0};
  };
  struct alignas(FLEXSC_PAGE_BYTES) Entry {
    __u64 argument = 0;
    __u64 result = 0;
  };

  bool call(unsigned number);
  void serve();

  Word submission_;
  Word completion_;
  Entry entry_;
  int worker_cpu_ = cpu(kWorkerCpu);  // here, where a machine with one CPU can be refused
  std::thread worker_;
};

}  // namespace flexsc::bench
