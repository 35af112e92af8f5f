// SPDX-License-Identifier: MIT
/// @file
/// Stacks of fibers: mapped lazily, guarded below while the system lets us, pooled.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "fiber_table.hpp"

namespace flexsc::detail {

inline constexpr std::size_t kReserved = 16;  // on a cache line with the first frame
static_assert(kReserved >= kOwnerBelowTop);

/// A stack. Usable memory is [bottom, bottom + size); it grows down from the end.
/// Aligned so that no part of a copy lies on two cache lines.
struct alignas(16) Stack {
  std::byte* bottom = nullptr;
  std::size_t size = 0;
  /// Whether an inaccessible page lies below. Otherwise the lowest words hold a canary.
  bool guarded = false;
  /// Something is to be looked at whenever its fiber is switched away: the canary, or what the
  /// fiber holds (held_locks.hpp).
  bool examined = false;
  /// Part of a larger mapping that the pool unmaps as a whole.
  bool in_slab = false;

  /// In the register of its pool.
  StackPlace* place = nullptr;
  /// Where the last context on it is, if that has ended and its frames are still there.
  void* ended = nullptr;

  [[nodiscard]] std::byte* top() const noexcept { return bottom + size; }
  /// Where frames begin: below the words for those who look from outside.
  [[nodiscard]] std::byte* begin() const noexcept { return top() - kReserved; }
  /// Says which fiber has it, or none.
  void belongs_to(FiberRecord* fiber) const noexcept {
    auto& owner = *reinterpret_cast<FiberRecord**>(top() - kOwnerBelowTop);
    // release: whoever reads our memory from outside (fiber_list.cpp) finds the record whole.
    std::atomic_ref(owner).store(fiber, std::memory_order_release);
  }
  /// False when something has written over the end of an unguarded stack.
  [[nodiscard]] bool intact() const noexcept;
  /// How much of it has been in use at the most. @throws std::system_error
  [[nodiscard]] std::size_t high_water() const;
  /// Whether `address` lies in the guard below.
  [[nodiscard]] bool in_guard(const void* address) const noexcept;
};

/// Size of a stack with room for `usable` bytes: whole pages, more under sanitizers.
[[nodiscard]] std::size_t stack_size_for(std::size_t usable) noexcept;

/// Stacks of one size are kept for reuse, others are unmapped when they are given back.
///
/// Every guard costs two kernel mappings, and a process has about 65,000 of them
/// (vm.max_map_count). When guards run out the pool says so once on stderr and goes on
/// with stacks cut from larger mappings, unguarded, with a canary.
///
/// Thread-safe.
class StackPool {
 public:
  explicit StackPool(std::size_t pooled_size) noexcept : pooled_size_(pooled_size) {}
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  ~StackPool();

  /// `size` as of stack_size_for(). @throws std::bad_alloc
  [[nodiscard]] Stack take(std::size_t size);
  void give(Stack stack) noexcept;

  [[nodiscard]] const StackTable* table() const noexcept { return places_.first(); }
  [[nodiscard]] std::size_t pooled_size() const noexcept { return pooled_size_; }

 private:
  [[nodiscard]] Stack from_slab();
  void unmap(const Stack& stack) noexcept;
  void say_unguarded(const char* why) noexcept;

  const std::size_t pooled_size_;
  std::atomic<bool> said_{false};  ///< that guards have run out
  std::mutex mutex_;
  std::vector<Stack> free_;
  std::vector<Stack> slabs_;  ///< each one whole mapping
  StackRegister places_;      ///< of all mappings
};

}  // namespace flexsc::detail
