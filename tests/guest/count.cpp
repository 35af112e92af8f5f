// SPDX-License-Identifier: MIT
// Guest instructions per call: direct, by flush, and by a worker on the same CPU, for batches of 1
// to 64. Run under `-icount shift=0,sleep=off -smp 1`, where the clock advances one nanosecond per
// instruction of the guest; elsewhere the numbers are nanoseconds and mean little.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>

#include "kit.hpp"

namespace flexsc_guest {
namespace {

constexpr std::array<unsigned, 7> kBatches = {1, 2, 4, 8, 16, 32, 64};
constexpr int kRepetitions = 31;
constexpr unsigned kCallsEach = 2048;

double now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// The shortest way into the kernel and back: no libc, no errno.
inline long enter(const Call& c) {
  register __u64 fourth asm("r10") = c.args[3];
  register __u64 fifth asm("r8") = c.args[4];
  register __u64 sixth asm("r9") = c.args[5];
  long result = c.nr;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(c.args[0]), "S"(c.args[1]), "d"(c.args[2]), "r"(fourth), "r"(fifth), "r"(sixth)
               : "rcx", "r11", "memory");
  return result;
}

/// Median over the repetitions of what body takes per call; body makes kCallsEach calls.
template <class F>
double per_call(F body) {
  body();  // once for the caches, the TLB and the first doorbell
  const double clock_start = now();
  const double clock = now() - clock_start;
  std::vector<double> times;
  for (int i = 0; i < kRepetitions; ++i) {
    const double start = now();
    body();
    times.push_back((now() - start - clock) / kCallsEach);
  }
  std::nth_element(times.begin(), times.begin() + kRepetitions / 2, times.end());
  return times[kRepetitions / 2];
}

struct Subject {
  const char* name;
  Call call;
};

struct Row {
  double direct = 0;
  std::map<unsigned, double> flush, worker;
};

/// A batch as a program makes one: fill the entries, set the bits, cross once, take the results.
void make_batch(const Client& client, const Call& c, unsigned size, bool flush) {
  const __u64 bits = size == 64 ? ~__u64{0} : (__u64{1} << size) - 1;
  flexsc_entry* const entries = &client.entry(0, 0);
  for (unsigned bit = 0; bit < size; ++bit) {
    entries[bit].nr = c.nr;
    entries[bit].flags = 0;
    entries[bit].from = 0;
    for (unsigned i = 0; i < c.args.size(); ++i) entries[bit].args[i] = c.args[i];
  }
  client.submit(0, bits, flush ? FLEXSC_QUEUE_FLUSH : 0);
  if (flush) {
    if (client.flush() != size) throw Failure("a flush was incomplete");
  } else if (client.wait(size, kLong) != size) {
    throw Failure("a batch was incomplete");
  }
  std::atomic_ref(client.header().completion.page[0]).fetch_and(~bits, std::memory_order_acquire);
  long sum = 0;
  for (unsigned bit = 0; bit < size; ++bit) sum += static_cast<long>(entries[bit].result);
  asm volatile("" : : "r"(sum));  // the results are read
}

Row measure(const Client& client, const Call& c) {
  Row row;
  row.direct = per_call([&] {
    for (unsigned i = 0; i < kCallsEach; ++i) enter(c);
  });
  for (const unsigned size : kBatches) {
    const auto batches = [&](bool flush) {
      return per_call([&] {
        for (unsigned done = 0; done < kCallsEach; done += size) {
          make_batch(client, c, size, flush);
        }
      });
    };
    row.flush[size] = batches(true);
    row.worker[size] = batches(false);
  }
  return row;
}

void print_table(const std::map<std::string, Row>& rows) {
  std::printf("guest instructions per call (nanoseconds without icount)\n%-10s %8s  ", "call",
              "direct");
  for (const unsigned size : kBatches) std::printf("%8u", size);
  std::printf("   calls per batch\n");
  for (const auto& [name, row] : rows) {
    std::printf("%-10s %8.1f  ", name.c_str(), row.direct);
    for (const auto& [size, value] : row.flush) std::printf("%8.1f", value);
    std::printf("   flush\n%-10s %8s  ", "", "");
    for (const auto& [size, value] : row.worker) std::printf("%8.1f", value);
    std::printf("   worker, same CPU\n");
  }
}

void write_json(const char* path, const std::map<std::string, Row>& rows) {
  std::ofstream out(path);
  const auto batches = [&](const char* key, const std::map<unsigned, double>& values) {
    out << "\"" << key << "\": {";
    const char* separator = "";
    for (const auto& [size, value] : values) {
      out << separator << "\"" << size << "\": " << value;
      separator = ", ";
    }
    out << "}";
  };
  out << "{\n  \"unit\": \"guest instructions per call\",\n  \"repetitions\": " << kRepetitions
      << ",\n  \"calls\": {";
  const char* separator = "";
  for (const auto& [name, row] : rows) {
    out << separator << "\n    \"" << name << "\": {\"direct\": " << row.direct << ", ";
    batches("flush", row.flush);
    out << ", ";
    batches("worker", row.worker);
    out << "}";
    separator = ",";
  }
  out << "\n  }\n}\n";
  if (!out.flush()) throw Failure(std::string("cannot write ") + path);
}

int run(const char* json) {
  const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "count", MFD_CLOEXEC)));
  const std::array<Subject, 4> subjects = {{
      {"no-op", call(FLEXSC_NR_NOP)},
      {"getppid", call(SYS_getppid)},
      {"lseek", call(SYS_lseek, file.get(), 0, SEEK_CUR)},
      {"write", call(SYS_write, null.get(), "8 bytes.", 8)},
  }};
  const Rig rig({.concurrency = 1, .spin_us = 0});
  // What follows the loading of the module and the making of workers is over by then.
  ::sleep(1);
  std::map<std::string, Row> rows;
  for (const Subject& subject : subjects) rows[subject.name] = measure(rig.client, subject.call);
  print_table(rows);
  if (json != nullptr) write_json(json, rows);
  return 0;
}

}  // namespace
}  // namespace flexsc_guest

int main(int argc, char** argv) {
  const bool json = argc == 3 && std::strcmp(argv[1], "--json") == 0;
  if (argc != 1 && !json) {
    std::fprintf(stderr, "usage: flexsc-count [--json FILE]\n");
    return 2;
  }
  try {
    return flexsc_guest::run(json ? argv[2] : nullptr);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "flexsc-count: %s\n", e.what());
    return 1;
  }
}
