// SPDX-License-Identifier: MIT
/// @file
/// The values of FiberLocal objects of one fiber or thread.
#pragma once

#include <cstdint>
#include <vector>

namespace flexsc::detail {

/// For the fiber or thread that owns it alone. A fiber has few, so they are looked up one by one.
class LocalValues {
 public:
  LocalValues() = default;
  LocalValues(const LocalValues&) = delete;
  LocalValues& operator=(const LocalValues&) = delete;
  ~LocalValues() { clear(); }

  [[nodiscard]] void* find(std::uint64_t key) const noexcept;
  /// Takes a value over. @throws std::bad_alloc: then it is destroyed
  void add(std::uint64_t key, void* value, void (*destroy)(void*) noexcept);
  /// Ends them, the latest first. What their destructors add is ended too.
  void clear() noexcept;

 private:
  struct Value {
    std::uint64_t key;
    void* value;
    void (*destroy)(void*) noexcept;
  };
  std::vector<Value> values_;
};

}  // namespace flexsc::detail
