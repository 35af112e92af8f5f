// SPDX-License-Identifier: MIT
// What system calls do to the user code around them, after figure 2 of FlexSC: a loop with code and
// data of its own makes one call for so many of its instructions, directly, or posted to a worker
// on another CPU. The misses of the loop itself are counted, by the cache model or by the
// processor.
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cache-model/marks.hpp"
#include "device.hpp"
#include "exchange.hpp"
#include "measurements.hpp"
#include "patience.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr std::array kEvery = {1000U, 2000U, 5000U, 10'000U, 20'000U, 50'000U, 100'000U};
constexpr unsigned kStep = 100;                // instructions of a step, about
constexpr unsigned kSteps = 48;                // different ones: some 18 KB of code
constexpr unsigned kInstructions = 4'000'000;  // of a region
constexpr unsigned kQuickInstructions = 400'000;
constexpr unsigned kWriteBytes = 1024;  // that each call writes
constexpr unsigned kFileBytes = 256 * 1024;

/// What the loop works on: half of a first-level cache of 32 KiB, and eight times as much of which
/// each step takes one line.
struct Data {
  static constexpr std::size_t kHot = std::size_t{16} * 1024;
  static constexpr std::size_t kWarm = std::size_t{128} * 1024;
  alignas(4096) std::array<char, kHot> hot{};
  alignas(4096) std::array<char, kWarm> warm{};
  std::size_t hot_at = 0;
  std::size_t warm_at = 0;
  unsigned long sum = 0;
};

/// The instances differ by where their code is.
template <std::size_t>
[[gnu::noinline]] void step(Data& data) {
  unsigned long loaded = 0;
  asm volatile(
      ".rept 18\n\t"
      "mov (%[hot], %[at]), %[loaded]\n\t"
      "add %[loaded], %[sum]\n\t"
      "lea 64(%[at]), %[at]\n\t"
      "and %[mask], %[at]\n\t"
      ".endr"
      : [loaded] "=&r"(loaded), [sum] "+&r"(data.sum), [at] "+&r"(data.hot_at)
      : [hot] "r"(data.hot.data()), [mask] "i"(Data::kHot - 1), "m"(data.hot)
      : "cc");
  // To another line of another page.
  data.warm_at = (data.warm_at + 4096 + 64) % Data::kWarm;
  data.sum += static_cast<unsigned char>(data.warm[data.warm_at]);
}

using Step = void (*)(Data&);

template <std::size_t... I>
constexpr std::array<Step, sizeof...(I)> all_steps(std::index_sequence<I...> /*numbers*/) {
  return {step<I>...};
}

/// The calls of the loop: `pwrite` of some bytes to a file in memory.
class Poster {
 public:
  Poster()
      : client_(group_, 1),
        pool_(group_.create_pool(
            {.concurrency = 1, .spin_us = FLEXSC_MAX_SPIN_US, .cpus = {cpu(kWorkerCpu)}})),
        file_(::memfd_create("indirect", MFD_CLOEXEC)),
        pinned_(cpu(kApplicationCpu)) {
    if (::ftruncate(file_.get(), kFileBytes) != 0) fail("ftruncate", errno);
  }

  void direct() { check(enter(SYS_pwrite64, file(), buffer(), kWriteBytes, offset())); }

  /// Posts it, and goes on. The result is looked at when its entry is needed again.
  void post() {
    const unsigned entry = posted_ % FLEXSC_PAGE_ENTRIES;
    if (posted_ >= FLEXSC_PAGE_ENTRIES) reap(entry);
    fill<SYS_pwrite64>(client_.entry(entry), 1, file(), buffer(), __u64{kWriteBytes}, offset());
    client_.submit(pool_, entry, 1);
    ++posted_;
  }

  /// Reaps what is posted.
  void finish() {
    for (unsigned i = 0; i < std::min<unsigned>(posted_, FLEXSC_PAGE_ENTRIES); ++i) reap(i);
    posted_ = 0;
  }

 private:
  void reap(unsigned entry) {
    double begun = 0;
    for (unsigned i = 1; client_.completed(entry, 1) == 0; ++i) {
      if (i % kLooks != 0) continue;
      if (begun == 0) begun = now();
      if (now() - begun > kPatience) throw std::runtime_error("a call did not complete");
    }
    if (!client_.take(entry, 1)) throw std::runtime_error("a completion bit went away");
    check(static_cast<long>(client_.entry(entry)->result));
  }

  static void check(long result) {
    if (result != long{kWriteBytes}) throw std::runtime_error("pwrite: " + std::to_string(result));
  }

  [[nodiscard]] __u64 file() const { return static_cast<__u64>(file_.get()); }
  [[nodiscard]] __u64 buffer() { return reinterpret_cast<std::uintptr_t>(buffer_.data()); }
  [[nodiscard]] __u64 offset() { return offset_ = (offset_ + kWriteBytes) % kFileBytes; }

  Group group_;
  Client client_;
  unsigned pool_;
  Fd file_;
  Pinned pinned_;
  std::array<char, kWriteBytes> buffer_{};
  __u64 offset_ = 0;
  unsigned posted_ = 0;
};

/// A counter of the processor, of the calling thread's user side; off until it is started.
class Counter {
 public:
  Counter(__u32 type, __u64 config) {
    perf_event_attr wanted{};
    wanted.size = sizeof wanted;
    wanted.type = type;
    wanted.config = config;
    wanted.disabled = 1;
    wanted.exclude_kernel = 1;
    wanted.exclude_hv = 1;
    fd_ = Fd(
        static_cast<int>(::syscall(SYS_perf_event_open, &wanted, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
    if (fd_.get() < 0) error_ = errno;
  }
  /// 0: there is one.
  [[nodiscard]] int error() const { return error_; }
  void start() const {
    ::ioctl(fd_.get(), PERF_EVENT_IOC_RESET, 0);
    ::ioctl(fd_.get(), PERF_EVENT_IOC_ENABLE, 0);
  }
  [[nodiscard]] long stop() const {
    long value = 0;
    ::ioctl(fd_.get(), PERF_EVENT_IOC_DISABLE, 0);
    if (::read(fd_.get(), &value, sizeof value) != long{sizeof value}) fail("a counter", errno);
    return value;
  }

 private:
  Fd fd_;
  int error_ = 0;
};

constexpr __u64 missed(__u64 cache) {
  return cache | PERF_COUNT_HW_CACHE_OP_READ << 8U | PERF_COUNT_HW_CACHE_RESULT_MISS << 16U;
}

struct Event {
  const char* name;  ///< that of the model's count
  __u32 type;
  __u64 config;
};

constexpr std::array kEvents = {
    Event{"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    Event{"l1i_misses", PERF_TYPE_HW_CACHE, missed(PERF_COUNT_HW_CACHE_L1I)},
    Event{"l1d_misses", PERF_TYPE_HW_CACHE, missed(PERF_COUNT_HW_CACHE_L1D)},
    Event{"itlb_misses", PERF_TYPE_HW_CACHE, missed(PERF_COUNT_HW_CACHE_ITLB)},
    Event{"dtlb_misses", PERF_TYPE_HW_CACHE, missed(PERF_COUNT_HW_CACHE_DTLB)},
};

class Loop {
 public:
  explicit Loop(bool quick) : steps_(quick ? kQuickInstructions / kStep : kInstructions / kStep) {
    // The pages are there before anything counts.
    data_.hot.fill(1);
    data_.warm.fill(1);
  }

  /// Runs it twice: the first time only brings caches to what they hold in the second. `call` is
  /// made once for `every` instructions.
  json measure(const char* how, unsigned every, const std::function<void()>& call,
               const std::function<void()>& finish) {
    json region = {{"how", how}, {"every", every}, {"steps", steps_}};
    for (unsigned pass = 0; pass < 2; ++pass) {
      cache_model::start_counting();
      region["calls"] = run(every, call);
      cache_model::stop_counting();
      finish();
    }
    // One at a time, so that the processor has a counter for each.
    for (const Event& event : kEvents) {
      const Counter counter(event.type, event.config);
      if (counter.error() != 0) {
        region["no_counters"][event.name] = std::strerror(counter.error());
        continue;
      }
      counter.start();
      run(every, call);
      region["counters"][event.name] = counter.stop();
      finish();
    }
    return region;
  }

 private:
  /// Returns how many calls were made.
  template <class Call>
  unsigned run(unsigned every, const Call& call) {
    static constexpr std::array kAll = all_steps(std::make_index_sequence<kSteps>());
    const unsigned between = every / kStep;
    unsigned calls = 0;
    unsigned left = between;
    for (unsigned i = 0; i < steps_; ++i) {
      kAll[i % kSteps](data_);
      if (--left != 0) continue;
      left = between;
      call();
      ++calls;
    }
    return calls;
  }

  unsigned steps_;
  Data data_;
};

}  // namespace

json indirect(Context& context) {
  Poster caller;
  const auto loop = std::make_unique<Loop>(context.quick());
  json regions = json::array();
  const auto nothing = [] {};
  for (const unsigned every : kEvery) {
    regions.push_back(loop->measure("no calls", every, nothing, nothing));
    regions.push_back(loop->measure(
        "direct", every, [&] { caller.direct(); }, nothing));
    regions.push_back(loop->measure(
        "posted", every, [&] { caller.post(); }, [&] { caller.finish(); }));
    context.progress(static_cast<double>(regions.size()) / (3.0 * kEvery.size()));
  }
  return {{"regions", std::move(regions)}};
}

}  // namespace flexsc::bench
