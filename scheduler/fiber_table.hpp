// SPDX-License-Identifier: MIT
/// @file
/// The writing side of flexsc/detail/fiber_table.hpp.
#pragma once

#include <mutex>
#include <vector>

#include "flexsc/detail/fiber_table.hpp"

namespace flexsc::detail {

/// Enters a runtime in the table of the process, which it makes if it is the first one; without
/// memory for the table nobody can look, and that is all. It must stay where it is until
/// leave_table().
void enter_table(RuntimeRecord& runtime) noexcept;
void leave_table(RuntimeRecord& runtime) noexcept;

/// CLOCK_MONOTONIC_COARSE in ns: some ms old, for the price of a few loads.
[[nodiscard]] std::int64_t coarse_now() noexcept;

/// The stacks of a pool. Guarded by the pool's mutex; read from outside.
class StackRegister {
 public:
  StackRegister() = default;
  StackRegister(const StackRegister&) = delete;
  StackRegister& operator=(const StackRegister&) = delete;
  ~StackRegister();

  /// Room for one more. @throws std::bad_alloc
  [[nodiscard]] StackPlace& add(std::byte* first_top, std::size_t stride, std::size_t count);
  void remove(StackPlace& place) noexcept;
  [[nodiscard]] const StackTable* first() const noexcept { return first_; }

 private:
  StackTable* const first_ = new StackTable;
  StackTable* last_ = first_;
  /// Has room for all places, so that none is lost for want of memory.
  std::vector<StackPlace*> unused_ = [] {
    std::vector<StackPlace*> unused;
    unused.reserve(StackTable::kPlaces);
    return unused;
  }();
};

}  // namespace flexsc::detail
