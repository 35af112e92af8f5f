// SPDX-License-Identifier: MIT
#include "fiber_list.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "syscall_names.hpp"

namespace flexsc::detail {
namespace {

// What is read may be anything, so nothing that is counted or chained there is believed beyond
// this.
constexpr std::size_t kMostRuntimes = 1024;
constexpr std::size_t kMostCarriers = 4096;
constexpr std::size_t kMostTables = 100'000;
constexpr std::size_t kMostInPlace = 4096;
constexpr std::size_t kLongestName = 256;
/// Looks at a fiber that changes meanwhile.
constexpr int kLooks = 5;

const void* at(std::uint64_t address) noexcept {
  return reinterpret_cast<const void*>(address);  // NOLINT(performance-no-int-to-ptr)
}

std::uint64_t number(const volatile void* address) noexcept {
  return reinterpret_cast<std::uint64_t>(address);
}

/// Text that ends with 0, as far as it is there.
std::string text(const ProcessMemory& memory, const char* from, std::size_t most) {
  std::string found;
  for (char letter = 0; found.size() < most && memory.read(from + found.size(), letter);) {
    if (letter == 0) break;
    found += letter;
  }
  return found;
}

bool same(const FiberRecord& a, const FiberRecord& b) noexcept {
  return a.mark == b.mark && a.state == b.state && a.parks == b.parks && a.since == b.since &&
         a.carrier == b.carrier && a.waits_on == b.waits_on && a.call == b.call;
}

/// What `record` says, and what hangs on it.
FiberView view(const ProcessMemory& memory, const FiberRecord& record) {
  FiberView fiber;
  fiber.name.resize(std::min<std::size_t>(record.name_size, kLongestName));
  if (!memory.read(record.name_text, fiber.name.data(), fiber.name.size())) fiber.name = "?";
  fiber.state = record.state;
  fiber.parks = record.parks;
  fiber.since = record.since;
  void* stack_pointer = nullptr;
  if (record.state != FiberState::fresh && record.state != FiberState::running &&
      memory.read(record.saved, stack_pointer)) {
    fiber.stack_pointer = number(stack_pointer);
  }
  if (record.state != FiberState::parked) return fiber;
  if (record.call != nullptr) {
    CallRecord made;
    Call call;
    if (memory.read(record.call, made)) {
      fiber.chain = made.call == nullptr;
      if (!fiber.chain && memory.read(made.call, call)) fiber.call = call;
    }
  } else if (record.waits_on != nullptr) {
    WaitRecord wait{};
    if (memory.read(record.waits_on, wait)) {
      fiber.waits_for = text(memory, wait.what, kLongestName);
      fiber.on = number(wait.on);
    }
  }
  return fiber;
}

}  // namespace

ProcessMemory::ProcessMemory(pid_t process) : process_(process) {
  const std::string path = "/proc/" + std::to_string(process) + "/mem";
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) throw std::system_error(errno, std::generic_category(), path);
}

ProcessMemory::~ProcessMemory() {
  ::close(file_);
}

bool ProcessMemory::read(const void* from, void* into, std::size_t bytes) const noexcept {
  const std::uint64_t offset = number(from);
  if (offset > std::uint64_t{1} << 62U) return false;
  return ::pread(file_, into, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

const FiberTable* find_fiber_table(const ProcessMemory& memory) {
  const std::string path = "/proc/" + std::to_string(memory.process()) + "/maps";
  std::ifstream maps(path);
  if (!maps) throw std::system_error(errno, std::generic_category(), path);
  for (std::string line; std::getline(maps, line);) {
    if (line.find(std::string("/memfd:") + kTableName) == std::string::npos) continue;
    const auto* found =
        static_cast<const FiberTable*>(at(std::strtoull(line.c_str(), nullptr, 16)));
    FiberTable table;
    if (!memory.read(found, table) || table.magic != kTableMagic) continue;
    if (table.version != kTableVersion) {
      throw std::runtime_error("its table of fibers has version " + std::to_string(table.version) +
                               ", which this program does not know");
    }
    if (table.process != memory.process()) {
      throw std::runtime_error("it is the child of a fork of a process with fibers, and has none");
    }
    return found;
  }
  throw std::runtime_error("process " + std::to_string(memory.process()) +
                           " has no fibers of flexsc");
}

std::optional<FiberView> view_fiber(const ProcessMemory& memory, std::uint64_t address) {
  FiberView fiber;
  for (int look = 0; look < kLooks; ++look) {
    FiberRecord before;
    FiberRecord after;
    const std::uint64_t mark = kFiberMark ^ address;
    if (!memory.read(at(address), before) || before.mark != mark) return std::nullopt;
    fiber = view(memory, before);
    fiber.address = address;
    // For looking up its thread.
    fiber.carrier = 0;
    if (!memory.read(at(address), after) || after.mark != mark) return std::nullopt;
    fiber.changing = !same(before, after);
    if (!fiber.changing) break;
  }
  return fiber;
}

void visit_fibers(const ProcessMemory& memory, const StackTable* first,
                  const std::function<void(std::uint64_t address)>& visit) {
  const StackTable* next = first;
  auto stacks = std::make_unique<StackTable>();
  for (std::size_t t = 0; t < kMostTables && next != nullptr; ++t) {
    if (!memory.read(next, *stacks)) break;
    next = stacks->next;
    for (std::size_t p = 0; p < std::min(stacks->used, StackTable::kPlaces); ++p) {
      const StackPlace& place = stacks->places[p];
      for (std::size_t s = 0; s < std::min(place.count, kMostInPlace); ++s) {
        std::uint64_t owner = 0;
        const std::uint64_t top = number(place.first_top) + s * place.stride;
        if (memory.read(at(top - kOwnerBelowTop), owner) && owner != 0) visit(owner);
      }
    }
  }
}

FiberList list_fibers(const ProcessMemory& memory, const FiberTable* where) {
  FiberList list;
  FiberTable table;
  if (!memory.read(where, table)) return list;
  list.registers = table.registers;
  RuntimeRecord runtime;
  runtime.next = table.runtimes;
  for (std::size_t i = 0; i < kMostRuntimes && runtime.next != nullptr; ++i) {
    if (!memory.read(runtime.next, runtime)) break;
    std::map<const Carrier*, CarrierRecord> carriers;
    for (std::size_t c = 0; c < std::min(runtime.carrier_count, kMostCarriers); ++c) {
      CarrierRecord carrier;
      if (memory.read(runtime.carriers + c, carrier)) carriers[carrier.carrier] = carrier;
    }
    visit_fibers(memory, runtime.stacks, [&](std::uint64_t owner) {
      FiberRecord record;
      std::optional<FiberView> fiber = view_fiber(memory, owner);
      if (!fiber || !memory.read(at(owner), record)) return;
      if (const auto found = carriers.find(record.carrier); found != carriers.end()) {
        fiber->thread = found->second.thread;
        fiber->carrier = found->second.index;
      }
      list.fibers.push_back(std::move(*fiber));
    });
  }
  return list;
}

std::string waits_text(const FiberView& fiber) {
  std::array<char, 32> word{};
  if (fiber.chain) return "a chain of calls";
  if (fiber.call) {
    const char* name = syscall_name(fiber.call->nr);
    std::string all = name != nullptr ? name : "call " + std::to_string(fiber.call->nr);
    all += '(';
    for (std::size_t i = 0; i < fiber.call->args.size(); ++i) {
      const std::uint64_t argument = fiber.call->args[i];
      const auto small = static_cast<std::int64_t>(argument);
      constexpr std::int64_t kSmall = 1'000'000;
      if (small < kSmall && small > -kSmall) {
        std::snprintf(word.data(), word.size(), "%" PRId64, small);
      } else {
        std::snprintf(word.data(), word.size(), "0x%" PRIx64, argument);
      }
      all += std::string(i == 0 ? "" : ", ") + word.data();
    }
    return all + ')';
  }
  if (fiber.on == 0) return fiber.waits_for;
  std::snprintf(word.data(), word.size(), " 0x%" PRIx64, fiber.on);
  return fiber.waits_for + word.data();
}

const char* state_text(FiberState state) noexcept {
  switch (state) {
    case FiberState::fresh:
      return "fresh";
    case FiberState::ready:
      return "ready";
    case FiberState::running:
      return "running";
    case FiberState::parked:
      return "waiting";
    case FiberState::finished:
      return "finished";
  }
  return "?";
}

}  // namespace flexsc::detail
