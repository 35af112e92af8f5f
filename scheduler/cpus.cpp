// SPDX-License-Identifier: MIT
#include "cpus.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>
#include <system_error>

namespace flexsc::detail {
namespace {

constexpr int kMostCpus = 1 << 16;

/// A CPU set of any size.
class CpuSet {
 public:
  explicit CpuSet(int cpus) : cpus_(cpus), set_(CPU_ALLOC(static_cast<std::size_t>(cpus))) {
    if (set_ == nullptr) throw std::bad_alloc();
    CPU_ZERO_S(bytes(), set_);
  }
  CpuSet(const CpuSet&) = delete;
  CpuSet& operator=(const CpuSet&) = delete;
  ~CpuSet() { CPU_FREE(set_); }

  [[nodiscard]] std::size_t bytes() const noexcept {
    return CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus_));
  }
  [[nodiscard]] cpu_set_t* get() const noexcept { return set_; }
  [[nodiscard]] bool has(int cpu) const noexcept {
    return CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes(), set_);
  }
  void add(int cpu) noexcept { CPU_SET_S(static_cast<std::size_t>(cpu), bytes(), set_); }

 private:
  int cpus_;
  cpu_set_t* set_;
};

/// The limit of one cgroup in CPUs, or 0.
double limit_of(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  std::istringstream number(quota);
  double microseconds = 0;
  return number >> microseconds ? microseconds / period : 0;
}

}  // namespace

std::vector<int> allowed_cpus() {
  for (int size = 1024; size <= kMostCpus; size *= 2) {
    const CpuSet set(size);
    if (sched_getaffinity(0, set.bytes(), set.get()) != 0) {
      if (errno == EINVAL) continue;  // the kernel knows more CPUs than that
      throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < size; ++cpu) {
      if (set.has(cpu)) cpus.push_back(cpu);
    }
    return cpus;
  }
  throw std::system_error(EINVAL, std::generic_category(), "sched_getaffinity");
}

unsigned cgroup_cpus(const std::string& root, const std::string& self) {
  std::ifstream file(self);
  std::string path;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::", 0) == 0) path = line.substr(3);  // of cgroup2
  }
  double tightest = 0;
  while (!path.empty()) {
    const double limit = limit_of(root + path);
    if (limit > 0 && (tightest == 0 || limit < tightest)) tightest = limit;
    path.resize(path == "/" ? 0 : path.rfind('/') == 0 ? 1 : path.rfind('/'));
  }
  return static_cast<unsigned>(std::ceil(std::min(tightest, double{kMostCpus})));
}

std::vector<int> default_carrier_cpus() {
  std::vector<int> cpus = allowed_cpus();
  const unsigned most = cgroup_cpus();
  if (most != 0 && most < cpus.size()) cpus.resize(most);
  return cpus;
}

void pin(std::thread& thread, int cpu) {
  int error = EINVAL;
  if (cpu >= 0 && cpu < kMostCpus) {
    CpuSet set(std::max(cpu + 1, 1024));
    set.add(cpu);
    error = pthread_setaffinity_np(thread.native_handle(), set.bytes(), set.get());
  }
  if (error != 0) {
    throw std::system_error(error, std::generic_category(),
                            "cannot pin a carrier thread to CPU " + std::to_string(cpu) +
                                " (see RuntimeOptions::carrier_cpus; is it among the CPUs of this "
                                "process, as taskset -p shows them?)");
  }
}

}  // namespace flexsc::detail
