// SPDX-License-Identifier: MIT
#include "fiber_table.hpp"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

// For debuggers, under a name that does not depend on the language.
extern "C" {
[[gnu::used, gnu::visibility("default")]] flexsc::detail::FiberTable* flexsc_fiber_table = nullptr;
}

namespace flexsc::detail {
namespace {

std::mutex table_mutex;  // a leaf

/// A private mapping of a file with that name, as maps of processes show it.
FiberTable* make_table() noexcept {
  const int file = ::memfd_create(kTableName, MFD_CLOEXEC);
  if (file < 0) return nullptr;
  void* memory = MAP_FAILED;
  if (::ftruncate(file, sizeof(FiberTable)) == 0) {
    memory = ::mmap(nullptr, sizeof(FiberTable), PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  }
  ::close(file);
  return memory == MAP_FAILED ? nullptr : new (memory) FiberTable;
}

}  // namespace

void enter_table(RuntimeRecord& runtime) noexcept {
  const std::scoped_lock lock(table_mutex);
  if (flexsc_fiber_table == nullptr) flexsc_fiber_table = make_table();
  if (flexsc_fiber_table == nullptr) return;
  FiberTable& table = *flexsc_fiber_table;
  if (table.process != ::getpid()) table.runtimes = nullptr;  // we are the child of a fork
  table.process = ::getpid();
  runtime.next = table.runtimes;
  // release: whoever reads our memory from outside (fiber_list.cpp) finds the record whole.
  std::atomic_ref(table.runtimes).store(&runtime, std::memory_order_release);
}

void leave_table(RuntimeRecord& runtime) noexcept {
  const std::scoped_lock lock(table_mutex);
  if (flexsc_fiber_table == nullptr) return;
  for (RuntimeRecord** at = &flexsc_fiber_table->runtimes; *at != nullptr; at = &(*at)->next) {
    if (*at != &runtime) continue;
    *at = runtime.next;
    return;
  }
}

std::int64_t coarse_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

StackRegister::~StackRegister() {
  for (StackTable* table = first_; table != nullptr;) {
    StackTable* next = table->next;
    delete table;
    table = next;
  }
}

StackPlace& StackRegister::add(std::byte* first_top, std::size_t stride, std::size_t count) {
  StackPlace* place = nullptr;
  if (!unused_.empty()) {
    place = unused_.back();
    unused_.pop_back();
  } else {
    if (last_->used == StackTable::kPlaces) {
      unused_.reserve(unused_.capacity() + StackTable::kPlaces);
      auto* table = new StackTable;
      // release: as in enter_table().
      std::atomic_ref(last_->next).store(table, std::memory_order_release);
      last_ = table;
    }
    place = &last_->places[last_->used++];
  }
  place->first_top = first_top;
  place->stride = stride;
  // release: the count last, with it the place is in use.
  std::atomic_ref(place->count).store(count, std::memory_order_release);
  return *place;
}

void StackRegister::remove(StackPlace& place) noexcept {
  place.count = 0;
  unused_.push_back(&place);
}

}  // namespace flexsc::detail
