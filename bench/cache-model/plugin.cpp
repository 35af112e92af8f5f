// SPDX-License-Identifier: MIT
// The cache model as a plugin of QEMU's emulator: `-plugin libflexsc-cache-model.so,out=FILE`. With
// `,caches=off` it counts all but misses, and slows the guest so little that what the guest's
// kernel does on its own each millisecond hardly counts beside what a program does. With
// `,places=on` it also says how many instructions were executed where. Counts for each virtual CPU,
// user and kernel side apart, what happens between marks (marks.hpp), and writes it to FILE as JSON
// whenever counting stops: what was counted up to now, and what had been up to each stop before.
//
// Up to the first mark only marks are watched, so that a guest boots at its usual speed. That mark
// throws all translations away, and they are made anew with everything watched. There is no way
// back: QEMU 7.2 crashes if accesses to memory cease to be watched while code that makes them runs.
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "caches.hpp"
#include "qemu_plugin.h"

namespace {

using flexsc::cache_model::Core;
using flexsc::cache_model::Counts;
using flexsc::cache_model::kLineBits;
using nlohmann::json;

constexpr unsigned kMaxCpus = 16;
constexpr unsigned kPageBits = 12;
constexpr unsigned kLargePageBits = 21;  // with which the kernel maps itself and all memory
constexpr std::uint64_t kPlaces = std::uint64_t{1} << 62;  // keeps code and data apart in the L2

constexpr std::size_t kMarkSize = 7;
constexpr std::array<unsigned char, kMarkSize> kStart{0x0f, 0x1f, 0x80, 0x01, 0x58, 0x4c, 0x46};
constexpr std::array<unsigned char, kMarkSize> kStop{0x0f, 0x1f, 0x80, 0x00, 0x58, 0x4c, 0x46};
constexpr std::array<unsigned char, 2> kSyscall{0x0f, 0x05};

enum Side : unsigned char { kUser, kKernel };
std::array<Side, 2> sides{kUser, kKernel};  // for callbacks to point to

/// A piece of code that the emulator runs as one.
struct Block {
  Side side = kUser;
  std::uint64_t address = 0;
  std::uint64_t instructions = 0;
  bool calls = false;  ///< ends with a system call
  struct Line {
    std::uint64_t line;
    std::uint64_t page;
  };
  std::vector<Line> lines;
  /// With places: how many since the last stop. Any CPU adds, without order, as to `counting`.
  std::atomic<std::uint64_t> executed{0};
};

/// One virtual CPU. Only its own thread uses it, but for write_results(), for which it does not
/// matter whether a last step of another CPU is in or not.
struct Cpu {
  Core core;
  std::array<Counts, 2> counts;
  std::uint64_t kernel_entries = 0;
  std::uint64_t system_calls = 0;
  Side side = kUser;
};

std::array<std::unique_ptr<Cpu>, kMaxCpus> cpus;
std::string output;
bool caches = true;
bool places = false;
// Read by every CPU at every step, without order: what another CPU does as counting starts or stops
// may count or not.
std::atomic<bool> counting{false};
// Translations may be made by any CPU, and counting starts and stops on any; under `guard`. Blocks
// stay to the end, as translations do.
std::mutex guard;
std::deque<Block> blocks;
json stops = json::array();        ///< results at each stop
json stop_places = json::array();  ///< instructions by address, from each stop to the next
bool watched = false;              ///< everything, not marks alone

Side side_of(std::uint64_t address) {
  return address >> 63 != 0 ? kKernel : kUser;
}

/// A page of one address space: the place in memory tells those of several apart.
std::uint64_t page_key(std::uint64_t address, std::uint64_t place) {
  const unsigned bits = side_of(address) == kKernel ? kLargePageBits : kPageBits;
  return (address >> bits) ^ (side_of(address) == kUser ? place >> kPageBits << 20U : 0);
}

json to_json(const Counts& counts) {
  if (!caches) return {{"instructions", counts.instructions}};
  return {{"instructions", counts.instructions}, {"loads_and_stores", counts.loads_and_stores},
          {"l1i_misses", counts.l1i_misses},     {"l1d_misses", counts.l1d_misses},
          {"l2_misses", counts.l2_misses},       {"itlb_misses", counts.itlb_misses},
          {"dtlb_misses", counts.dtlb_misses},   {"stlb_misses", counts.stlb_misses}};
}

/// What was executed since the last stop.
json take_places() {
  std::map<std::uint64_t, std::uint64_t> found;  // a place may have been translated several times
  for (Block& block : blocks) {
    const std::uint64_t executed = block.executed.exchange(0, std::memory_order_relaxed);
    if (executed != 0) found[block.address] += executed * block.instructions;
  }
  return json(found);  // pairs: JSON has no keys that are numbers
}

void write_results() {
  json result = json::array();
  for (unsigned i = 0; i < kMaxCpus; ++i) {
    const Cpu& cpu = *cpus[i];
    if (cpu.counts[kUser].instructions + cpu.counts[kKernel].instructions == 0) continue;
    result.push_back({{"cpu", i},
                      {"kernel_entries", cpu.kernel_entries},
                      {"system_calls", cpu.system_calls},
                      {"user", to_json(cpu.counts[kUser])},
                      {"kernel", to_json(cpu.counts[kKernel])}});
  }
  stops.push_back(result);
  json all{{"model", caches ? "caches" : "none"}, {"cpus", std::move(result)}, {"stops", stops}};
  if (places) {
    stop_places.push_back(take_places());
    all["places"] = stop_places;
  }
  std::ofstream(output) << all << '\n';
}

void on_block(unsigned vcpu, void* data) {
  if (!counting.load(std::memory_order_relaxed)) return;
  auto& block = *static_cast<Block*>(data);
  Cpu& cpu = *cpus[vcpu % kMaxCpus];
  Counts& counts = cpu.counts[block.side];
  cpu.kernel_entries += block.side == kKernel && cpu.side == kUser ? 1 : 0;
  cpu.side = block.side;
  cpu.system_calls += block.calls ? 1 : 0;
  counts.instructions += block.instructions;
  if (places) block.executed.fetch_add(1, std::memory_order_relaxed);
  for (const Block::Line& line : block.lines) cpu.core.fetch(line.line, line.page, counts);
}

void on_access(unsigned vcpu, qemu_plugin_meminfo_t info, std::uint64_t address, void* data) {
  if (!counting.load(std::memory_order_relaxed)) return;
  const Side side = *static_cast<const Side*>(data);
  const qemu_plugin_hwaddr* const where = qemu_plugin_get_hwaddr(info, address);
  if (where == nullptr || qemu_plugin_hwaddr_is_io(where)) return;
  const std::uint64_t place = qemu_plugin_hwaddr_phys_addr(where);
  Cpu& cpu = *cpus[vcpu % kMaxCpus];
  cpu.core.access((place >> kLineBits) | kPlaces, page_key(address, place), cpu.counts[side]);
}

void watch_all(qemu_plugin_id_t id, qemu_plugin_tb* tb);

qemu_plugin_id_t own_id;

void on_start(unsigned /*vcpu*/, void* /*data*/) {
  const std::lock_guard lock(guard);
  counting.store(true, std::memory_order_relaxed);
  if (std::exchange(watched, true)) return;
  qemu_plugin_reset(
      own_id, [](qemu_plugin_id_t id) { qemu_plugin_register_vcpu_tb_trans_cb(id, watch_all); });
}

void on_stop(unsigned /*vcpu*/, void* /*data*/) {
  const std::lock_guard lock(guard);
  if (counting.exchange(false, std::memory_order_relaxed)) write_results();
}

template <std::size_t N>
bool is(const qemu_plugin_insn* insn, const std::array<unsigned char, N>& bytes) {
  return qemu_plugin_insn_size(insn) == N &&
         std::memcmp(qemu_plugin_insn_data(insn), bytes.data(), N) == 0;
}

void watch_mark(qemu_plugin_insn* insn) {
  if (is(insn, kStart)) {
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_start, QEMU_PLUGIN_CB_NO_REGS, nullptr);
  } else if (is(insn, kStop)) {
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_stop, QEMU_PLUGIN_CB_NO_REGS, nullptr);
  }
}

void watch_marks(qemu_plugin_id_t /*id*/, qemu_plugin_tb* tb) {
  const std::size_t count = qemu_plugin_tb_n_insns(tb);
  for (std::size_t i = 0; i < count; ++i) watch_mark(qemu_plugin_tb_get_insn(tb, i));
}

void watch_all(qemu_plugin_id_t /*id*/, qemu_plugin_tb* tb) {
  const std::lock_guard lock(guard);
  Block& block = blocks.emplace_back();
  block.address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
  block.side = side_of(block.address);
  block.instructions = qemu_plugin_tb_n_insns(tb);
  for (std::size_t i = 0; i < block.instructions; ++i) {
    qemu_plugin_insn* const insn = qemu_plugin_tb_get_insn(tb, i);
    watch_mark(insn);
    block.calls |= is(insn, kSyscall);
    if (!caches) continue;
    qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                     &sides[block.side]);
    const auto place = reinterpret_cast<std::uintptr_t>(qemu_plugin_insn_haddr(insn));
    const std::uint64_t line = place >> kLineBits;
    if (block.lines.empty() || block.lines.back().line != line)
      block.lines.push_back({line, page_key(qemu_plugin_insn_vaddr(insn), place)});
  }
  qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, &block);
}

}  // namespace

extern "C" {

[[gnu::visibility("default")]] extern const int qemu_plugin_version;
const int qemu_plugin_version = FLEXSC_QEMU_PLUGIN_VERSION;

[[gnu::visibility("default")]] int qemu_plugin_install(qemu_plugin_id_t id,
                                                       const qemu_info* /*info*/, int argc,
                                                       char** argv) {
  constexpr std::string_view kOut = "out=";
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kOut)) {
      output = argument.substr(kOut.size());
    } else if (argument == "caches=off") {
      caches = false;
    } else if (argument == "places=on") {
      places = true;
    } else {
      return -1;
    }
  }
  if (output.empty()) return -1;
  for (auto& cpu : cpus) cpu = std::make_unique<Cpu>();
  own_id = id;
  qemu_plugin_register_vcpu_tb_trans_cb(id, watch_marks);
  return 0;
}
}
