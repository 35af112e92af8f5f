// SPDX-License-Identifier: MIT
#include "exchange.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>

#include "device.hpp"

namespace flexsc::bench {

namespace {

constexpr unsigned kExchangeSamples = 21;
constexpr unsigned kExchanges = 256;  // of a sample

}  // namespace

Pinned::Pinned(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (::sched_getaffinity(0, sizeof before_, &before_) < 0 ||
      ::sched_setaffinity(0, sizeof set, &set) < 0) {
    fail("pinning to CPU " + std::to_string(cpu), errno);
  }
}

Exchange::~Exchange() {
  submission_.value.store(kStop, std::memory_order_relaxed);
  worker_.join();
}

double Exchange::measure() {
  const Pinned pinned(cpu(kApplicationCpu));
  std::array<double, kExchangeSamples> times{};
  bool right = call(0);  // the thread has come to its CPU
  for (double& time : times) {
    time = timed([&] {
             for (unsigned i = 0; i < kExchanges; ++i) right &= call(i);
           }) /
           kExchanges;
  }
  if (!right) throw std::runtime_error("the other thread of an exchange went wrong");
  std::nth_element(times.begin(), times.begin() + kExchangeSamples / 2, times.end());
  return times[kExchangeSamples / 2];
}

// The orders are those of a client and a worker: the entry is ordered by the changes of the bits.
bool Exchange::call(unsigned number) {
  entry_.argument = number;
  submission_.value.fetch_or(kPosted);  // release: pairs with the exchange in serve()
  while (completion_.value.load(std::memory_order_relaxed) == 0) {
  }
  // Acquire: pairs with the fetch_or in serve().
  completion_.value.fetch_and(~kPosted, std::memory_order_acquire);
  return entry_.result == number + 1;
}

void Exchange::serve() {
  const Pinned pinned(worker_cpu_);
  for (;;) {
    if (submission_.value.load(std::memory_order_relaxed) == 0) continue;
    if (submission_.value.exchange(0) == kStop) return;
    entry_.result = entry_.argument + 1;
    completion_.value.fetch_or(kPosted);
  }
}

}  // namespace flexsc::bench
