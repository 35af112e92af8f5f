// SPDX-License-Identifier: MIT
// What a call costs on one CPU: directly, by flush, by a wait in which the caller executes what it
// posted, and by a worker on the same CPU.
#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>

#include "device.hpp"
#include "measurements.hpp"
#include "uring.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr unsigned kCallPairs = 31;
constexpr unsigned kSampleCalls = 2048;  // of a sample
constexpr std::array kBreakEvenSizes = {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 12U, 16U, 32U, 64U};
constexpr std::array kTableSizes = {1U, 2U, 4U, 8U, 16U, 32U, 64U};

enum class How {
  flush,   ///< executed by FLEXSC_CMD_FLUSH
  help,    ///< posted to the pool, executed by the caller in FLEXSC_CMD_WAIT
  worker,  ///< posted to the pool, executed by its worker while the caller waits
};

/// Samples of instructions per call.
class Caller {
 public:
  explicit Caller(unsigned pages, bool with_pool) : client_(group_, pages) {
    if (with_pool) group_.create_pool({.concurrency = 1});
  }
  [[nodiscard]] const Client& client() const { return client_; }

  /// The call by itself.
  template <__u32 Nr, class... A>
  [[gnu::noinline]] double direct(A... args) {
    return timed([&] {
             for (unsigned i = 0; i < kSampleCalls; ++i) (void)enter(Nr, args...);
           }) /
           kSampleCalls;
  }

  /// In batches: fill the entries, set the bits, cross once, take the bits, read the results.
  template <How how, __u32 Nr, class... A>
  [[gnu::noinline]] double batches(unsigned size, A... args) {
    const unsigned count = (kSampleCalls + size - 1) / size;
    const long expected = enter(Nr, args...);
    bool right = true;
    long sum = 0;
    const double time = timed([&] {
      for (unsigned i = 0; i < count; ++i) {
        fill<Nr>(client_.entry(0), size, args...);
        right &= execute<how>(size);
        right &= client_.take(0, size);
        sum += sum_results(client_.entry(0), size);
      }
    });
    if (!right || sum != expected * count * size) {
      throw std::runtime_error("a batch of " + std::to_string(size) + " went wrong");
    }
    return time / (count * size);
  }

 private:
  template <How how>
  [[gnu::always_inline]] bool execute(unsigned size) {
    if constexpr (how == How::flush) {
      client_.post(FLEXSC_QUEUE_FLUSH, 0, size);
      return command(client_.fd(), FLEXSC_CMD_FLUSH, 0) == size;
    } else if constexpr (how == How::help) {
      // No doorbell: the wait that follows executes them, and wakes a worker if it cannot.
      client_.post(0, 0, size);
      return command(client_.fd(), FLEXSC_CMD_WAIT,
                     FLEXSC_WAIT(FLEXSC_WAIT_HELP, size, FLEXSC_WAIT_FOREVER)) == size;
    } else {
      client_.submit(0, 0, size);
      return command(client_.fd(), FLEXSC_CMD_WAIT, FLEXSC_WAIT(0, size, FLEXSC_WAIT_FOREVER)) ==
             size;
    }
  }

  Group group_;
  Client client_;
};

template <How how>
json no_op_pairs(Caller& caller, Context& context, unsigned size) {
  return alternate(
      context.samples(kCallPairs), [&] { return caller.batches<how, FLEXSC_NR_NOP>(size); },
      [&] { return caller.direct<FLEXSC_NR_NOP>(); });
}

template <How how>
json break_even(Context& context) {
  Caller caller(1, how != How::flush);
  json result;
  unsigned done = 0;
  for (const unsigned size : kBreakEvenSizes) {
    result["batches"][std::to_string(size)] = no_op_pairs<how>(caller, context, size);
    context.progress(static_cast<double>(++done) / kBreakEvenSizes.size());
  }
  return result;
}

/// One call by each way, for each size of the table; one line per way.
template <__u32 Nr, class... A>
void add_call_lines(json& lines, Caller& caller, Context& context, const char* name, A... args) {
  json direct = {{"call", name}, {"how", "direct"}};
  json flush = {{"call", name}, {"how", "flush"}};
  json help = {{"call", name}, {"how", "wait, helping"}};
  json worker = {{"call", name}, {"how", "worker, same CPU"}};
  const unsigned samples = context.samples(kCallPairs / 2);
  const auto sample = [&](json& line, unsigned size, auto&& measure) {
    json& values = line["batches"][std::to_string(size)];
    (void)measure();
    for (unsigned i = 0; i < samples; ++i) values.push_back(measure());
  };
  sample(direct, 1, [&] { return caller.direct<Nr>(args...); });
  for (const unsigned size : kTableSizes) {
    sample(flush, size, [&] { return caller.batches<How::flush, Nr>(size, args...); });
    sample(help, size, [&] { return caller.batches<How::help, Nr>(size, args...); });
    sample(worker, size, [&] { return caller.batches<How::worker, Nr>(size, args...); });
  }
  for (json* line : {&direct, &flush, &help, &worker}) lines.push_back(std::move(*line));
}

json reduction(Context& context, unsigned size) {
  Caller caller((size + FLEXSC_PAGE_ENTRIES - 1) / FLEXSC_PAGE_ENTRIES, false);
  return {{"pairs", no_op_pairs<How::flush>(caller, context, size)}};
}

}  // namespace

json flush64(Context& context) {
  return reduction(context, 64);
}

json flush1024(Context& context) {
  return reduction(context, 1024);
}

json breakeven_flush(Context& context) {
  return break_even<How::flush>(context);
}

json breakeven_wait(Context& context) {
  return break_even<How::help>(context);
}

json post_reap(Context& context) {
  constexpr unsigned kSize = FLEXSC_PAGE_ENTRIES;
  const Group group;
  group.create_pool({.concurrency = 1});
  const Client client(group, 1);
  json result;
  bool ring = false;
  bool right = true;
  long sum = 0;
  for (unsigned i = 0; i <= context.samples(kCallPairs); ++i) {
    const double post = timed([&] {
      fill<FLEXSC_NR_NOP>(client.entry(0), kSize);
      client.post(0, 0, kSize);
      ring = client.wants_doorbell(0);
    });
    if (ring) checked(command(client.fd(), FLEXSC_CMD_DOORBELL, 0), "FLEXSC_CMD_DOORBELL");
    checked(command(client.fd(), FLEXSC_CMD_WAIT, FLEXSC_WAIT(0, kSize, FLEXSC_WAIT_FOREVER)),
            "FLEXSC_CMD_WAIT");
    const double reap = timed([&] {
      right &= client.take(0, kSize);
      sum = sum_results(client.entry(0), kSize);
    });
    if (!right || sum != -ENOSYS * long{kSize}) throw std::runtime_error("a batch went wrong");
    if (i != 0) result["values"].push_back((post + reap) / kSize);  // the first warms up
  }
  return result;
}

json table(Context& context) {
  Caller caller(1, true);
  const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const Fd file(::memfd_create("table", MFD_CLOEXEC));
  const char text[] = "8 bytes.";
  const auto null_fd = static_cast<__u64>(null.get());
  const auto file_fd = static_cast<__u64>(file.get());
  json lines = json::array();
  add_call_lines<FLEXSC_NR_NOP>(lines, caller, context, "no-op");
  context.progress(0.25);
  add_call_lines<SYS_getppid>(lines, caller, context, "getppid");
  context.progress(0.5);
  add_call_lines<SYS_lseek>(lines, caller, context, "lseek", file_fd, __u64{0}, __u64{SEEK_CUR});
  context.progress(0.75);
  add_call_lines<SYS_write>(lines, caller, context, "write", null_fd,
                            reinterpret_cast<std::uintptr_t>(text), __u64{8});
  return {{"table", std::move(lines)}};
}

json sizes(Context& context) {
  constexpr unsigned kMost = 1024;
  Caller caller(kMost / FLEXSC_PAGE_ENTRIES, true);
  Ring ring(kMost);
  const unsigned samples = context.samples(kCallPairs / 2, 1);
  json direct = {{"call", "no-op"}, {"how", "direct"}};
  json flush = {{"call", "no-op"}, {"how", "flush"}};
  json help = {{"call", "no-op"}, {"how", "wait, helping"}};
  json uring = {{"call", "no-op of io_uring"}, {"how", "io_uring"}};
  const auto sample = [&](json& line, unsigned size, auto&& measure) {
    json& values = line["batches"][std::to_string(size)];
    (void)measure();
    for (unsigned i = 0; i < samples; ++i) values.push_back(measure());
  };
  sample(direct, 1, [&] { return caller.direct<FLEXSC_NR_NOP>(); });
  for (unsigned size = 1; size <= kMost; size *= 2) {
    sample(flush, size, [&] { return caller.batches<How::flush, FLEXSC_NR_NOP>(size); });
    sample(help, size, [&] { return caller.batches<How::help, FLEXSC_NR_NOP>(size); });
    sample(uring, size, [&] { return ring.batches(size, kSampleCalls); });
  }
  return {{"table", json::array({direct, flush, help, uring})}};
}

}  // namespace flexsc::bench
