// SPDX-License-Identifier: MIT
#include "stack.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <new>
#include <system_error>

#include "expect.hpp"
#include "held_locks.hpp"
#include "sanitizer.hpp"

namespace flexsc::detail {
namespace {

constexpr std::array<std::uint64_t, 4> kCanary = {0x464c455853432d31, 0xdeadbeefcafef00d,
                                                  0x0123456789abcdef, 0x464c455853432d32};
/// Stacks kept warm. Beyond that memory goes back to the system.
constexpr std::size_t kKeepWarm = 1024;
constexpr std::size_t kStacksPerSlab = 64;
/// Of a page in the middle of a slab: the last bytes of the stack above. A multiple of 64.
constexpr std::size_t kLastBytes = 64;
/// What a mapping has to be as large as to get one (x86-64).
constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// Mappings that guards leave to the rest of the program: malloc, libraries, files.
constexpr long kMappingsLeft = 8192;

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

/// How many guards this process may have, from vm.max_map_count.
long guard_limit() noexcept {
  static const long limit = [] {
    long mappings = 65530;  // the kernel's default
    if (std::FILE* file = std::fopen("/proc/sys/vm/max_map_count", "re")) {
      if (std::fscanf(file, "%ld", &mappings) != 1) mappings = 65530;  // NOLINT(cert-err34-c)
      (void)std::fclose(file);
    }
    return std::max(0L, (mappings - kMappingsLeft) / 2);
  }();
  return limit;
}

/// Guards of all pools. Relaxed: a budget, it orders nothing.
std::atomic<long> guards{0};

std::byte* map(std::size_t size) noexcept {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // A kernel that gives huge pages without being asked would make all of one resident at the first
  // touch: of a slab, dozens of stacks. From Linux 6.7 on MAP_STACK forbids it; before, it means
  // nothing. EINVAL: this kernel has no huge pages.
  if (size >= kHugePage) (void)madvise(memory, size, MADV_NOHUGEPAGE);
  return static_cast<std::byte*>(memory);
}

/// Writes the canary, and takes back what an ended fiber's frames left poisoned.
void prepare(Stack& stack) noexcept {
  stack.examined = !stack.guarded || take_held_lock.load(std::memory_order_relaxed) != nullptr;
#ifdef FLEXSC_ASAN
  __asan_unpoison_memory_region(stack.bottom, stack.size);
#endif
  if (!stack.guarded) {
    std::copy(kCanary.begin(), kCanary.end(), reinterpret_cast<std::uint64_t*>(stack.bottom));
  }
}

/// Gives the memory of a stack in a slab back, but for the pages that it shares with others.
void forget_contents(const Stack& stack) noexcept {
  const auto page = static_cast<std::uintptr_t>(page_size());
  const auto bottom = reinterpret_cast<std::uintptr_t>(stack.bottom);
  const std::uintptr_t first = (bottom + page - 1) / page * page;
  const std::uintptr_t last = (bottom + stack.size) / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace

bool Stack::intact() const noexcept {
  return guarded ||
         std::equal(kCanary.begin(), kCanary.end(), reinterpret_cast<const std::uint64_t*>(bottom));
}

// It reads frames of functions that AddressSanitizer has put red zones into.
[[gnu::no_sanitize_address]] std::size_t Stack::high_water() const {
  // Pages that were never touched are not there; and reading one would make it be there.
  const std::size_t page = page_size();
  const auto begin = reinterpret_cast<std::uintptr_t>(bottom) / page * page;
  const std::size_t pages = (reinterpret_cast<std::uintptr_t>(top()) - begin + page - 1) / page;
  std::vector<unsigned char> resident(pages);
  if (mincore(reinterpret_cast<void*>(begin),  // NOLINT(performance-no-int-to-ptr)
              pages * page, resident.data()) != 0) {
    throw std::system_error(errno, std::generic_category(), "mincore");
  }
  // The first page of one in a slab has the canary, and is the last one of its neighbour.
  std::size_t first = in_slab ? 1 : 0;
  while (first < pages && (resident[first] & 1U) == 0) ++first;
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  const auto* word = reinterpret_cast<const std::uint64_t*>(begin + first * page);
  const auto* const end = reinterpret_cast<const std::uint64_t*>(top());
  while (word < end && *word == 0) ++word;
  return static_cast<std::size_t>(end - word) * sizeof(*word);
}

bool Stack::in_guard(const void* address) const noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const auto end = reinterpret_cast<std::uintptr_t>(bottom);
  return guarded && at < end && at >= end - page_size();
}

std::size_t stack_size_for(std::size_t usable) noexcept {
  const std::size_t page = page_size();
  const std::size_t wanted = std::max(usable, 4 * page) * kStackFactor;
  return (wanted + page - 1) / page * page;
}

void StackPool::say_unguarded(const char* why) noexcept {
  if (said_.exchange(true, std::memory_order_relaxed)) return;  // relaxed: only who is first
  std::fprintf(stderr,
               "flexsc: %s: further fiber stacks have no guard page, only a canary that is "
               "checked when the fiber is switched away. More guards need a larger "
               "vm.max_map_count (two mappings for each).\n",
               why);
}

StackPool::~StackPool() {
  for (const Stack& stack : free_) {
    if (!stack.in_slab) unmap(stack);
  }
  for (const Stack& slab : slabs_) munmap(slab.bottom, slab.size);
}

Stack StackPool::take(std::size_t size) {
  if (size == pooled_size_) {
    const std::scoped_lock lock(mutex_);
    if (!free_.empty()) {
      Stack stack = free_.back();
      free_.pop_back();
      prepare(stack);
      return stack;
    }
  }
  if (guards.fetch_add(1, std::memory_order_relaxed) < guard_limit()) {
    const std::size_t page = page_size();
    std::byte* memory = map(size + page);
    if (memory != nullptr) {
      if (mprotect(memory, page, PROT_NONE) == 0) {
        Stack stack{memory + page, size, true};
        try {
          const std::scoped_lock lock(mutex_);
          stack.place = &places_.add(stack.top(), size, 1);
        } catch (...) {
          munmap(memory, size + page);
          guards.fetch_sub(1, std::memory_order_relaxed);
          throw;
        }
        prepare(stack);
        return stack;
      }
      munmap(memory, size + page);
    }
    say_unguarded("the kernel refused a guard page (out of mappings)");
  } else {
    say_unguarded("half of vm.max_map_count is used by guard pages");
  }
  guards.fetch_sub(1, std::memory_order_relaxed);

  if (size == pooled_size_) return from_slab();
  std::byte* memory = map(size);
  if (memory == nullptr) throw std::bad_alloc();
  Stack stack{memory, size};
  try {
    const std::scoped_lock lock(mutex_);
    stack.place = &places_.add(stack.top(), size, 1);
  } catch (...) {
    munmap(memory, size);
    throw;
  }
  prepare(stack);
  return stack;
}

/// Unguarded stacks are cut from larger mappings, as a mapping for each would run into
/// the same limit as the guards.
Stack StackPool::from_slab() {
  const std::scoped_lock lock(mutex_);
  if (free_.empty()) {
    // A page more than the stacks, so that they begin within a page: the end of one (its canary)
    // is then on the page with the top of the next one below, which is in use anyway. At its
    // own page the canary would cost one for each stack.
    const std::size_t bytes = pooled_size_ * kStacksPerSlab + page_size();
    const std::size_t begin = page_size() - kLastBytes;
    std::byte* memory = map(bytes);
    if (memory == nullptr) throw std::bad_alloc();
    slabs_.push_back({.bottom = memory,
                      .size = bytes,
                      .in_slab = true});  // unmapped by the destructor from here on
    (void)places_.add(memory + begin + pooled_size_, pooled_size_, kStacksPerSlab);
    free_.reserve(free_.size() + kStacksPerSlab);
    for (std::size_t i = kStacksPerSlab; i-- > 0;) {
      free_.push_back(
          {.bottom = memory + begin + i * pooled_size_, .size = pooled_size_, .in_slab = true});
    }
  }
  Stack stack = free_.back();
  free_.pop_back();
  prepare(stack);
  return stack;
}

void StackPool::give(Stack stack) noexcept {
  FLEXSC_EXPECT(stack.bottom != nullptr);
  stack.ended = nullptr;  // its memory may be given back
  const std::scoped_lock lock(mutex_);
  if (stack.size != pooled_size_) return unmap(stack);
  const bool warm = free_.size() < kKeepWarm;
  if (!warm && !stack.in_slab) return unmap(stack);
  if (!warm) forget_contents(stack);
  try {
    free_.push_back(stack);
  } catch (const std::bad_alloc&) {
    if (!stack.in_slab) unmap(stack);  // one in a slab goes with the slab
  }
}

/// One that is not in a slab. With mutex_ held, or in the destructor.
void StackPool::unmap(const Stack& stack) noexcept {
  places_.remove(*stack.place);
  const std::size_t guard = stack.guarded ? page_size() : 0;
#ifdef FLEXSC_ASAN
  __asan_unpoison_memory_region(stack.bottom, stack.size);
#endif
  munmap(stack.bottom - guard, stack.size + guard);
  if (stack.guarded) guards.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace flexsc::detail
