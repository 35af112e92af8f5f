// SPDX-License-Identifier: MIT
// The memory of fibers: kept for others, and fetched ahead.
#include <cstddef>
#include <new>

#include "carrier.hpp"
#include "runtime.hpp"
#include "sanitizer.hpp"

namespace flexsc::detail {
namespace {
constexpr std::size_t kLine = 64;
/// From where a context was left: the frames that are left next.
constexpr std::size_t kLines = 10;
}  // namespace

// The sanitizers are to see the end of each fiber's memory.
#if defined(FLEXSC_ASAN) || defined(FLEXSC_TSAN)
void* FiberControl::operator new(std::size_t size) {
  return ::operator new(size);
}

void FiberControl::operator delete(void* memory) noexcept {
  ::operator delete(memory);
}
#else
void* FiberControl::operator new(std::size_t size) {
  Carrier* here = Carrier::of_this_thread();
  void* memory = here != nullptr ? here->take_memory() : nullptr;
  return memory != nullptr ? memory : ::operator new(size);
}

void FiberControl::operator delete(void* memory) noexcept {
  Carrier* here = Carrier::of_this_thread();
  if (here == nullptr || !here->keep_memory(memory)) ::operator delete(memory);
}
#endif

void Carrier::take_stack(std::size_t size, Stack& stack) {
  if (size != runtime_.stacks().pooled_size() || spare_stacks_.empty()) {
    stack = runtime_.stacks().take(size);
    return;
  }
  stack = spare_stacks_.back();
  spare_stacks_.pop_back();
#ifdef FLEXSC_ASAN
  __asan_unpoison_memory_region(stack.bottom, stack.size);
#endif
}

/// Of many fibers each is out of the caches when its turn comes, and its stack out of the TLB: gets
/// what is needed to resume those that have their turn soon. The page of a stack has to be read, as
/// processors may drop a prefetch that misses the TLB; so one fiber later its lines are prefetched.
[[gnu::noinline]] void Carrier::fetch_ahead() const noexcept {
  const auto touch = [](const void* at) {
    // NOLINTNEXTLINE(hicpp-no-assembler): nobody waits for the value
    asm volatile("movzbl (%0), %%eax" ::"r"(at) : "rax");
  };
  const FiberControl& second = *ready_.front().ready_next;
  const FiberControl& third = *second.ready_next;
  const auto* frames = static_cast<const std::byte*>(*second.context.saved());
  for (std::size_t line = 1; line < kLines; ++line) __builtin_prefetch(frames + line * kLine, 1);
  touch(*third.context.saved());
  if (third.stack.examined) touch(third.stack.bottom);
  const auto* record = reinterpret_cast<const std::byte*>(third.ready_next);
  for (std::size_t at = 0; at < sizeof(FiberControl); at += kLine)
    __builtin_prefetch(record + at, 1);
}

}  // namespace flexsc::detail
