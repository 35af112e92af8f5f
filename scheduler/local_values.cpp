// SPDX-License-Identifier: MIT
#include "local_values.hpp"

#include <algorithm>
#include <atomic>

#include "carrier.hpp"
#include "fiber_control.hpp"
#include "flexsc/fiber_local.hpp"

namespace flexsc::detail {

void* LocalValues::find(std::uint64_t key) const noexcept {
  const auto found = std::find_if(values_.begin(), values_.end(),
                                  [key](const Value& value) { return value.key == key; });
  return found != values_.end() ? found->value : nullptr;
}

void LocalValues::add(std::uint64_t key, void* value, void (*destroy)(void*) noexcept) {
  try {
    values_.push_back({key, value, destroy});
  } catch (...) {
    destroy(value);
    throw;
  }
}

void LocalValues::clear() noexcept {
  while (!values_.empty()) {
    const Value last = values_.back();
    values_.pop_back();  // first: its destructor may look up others, and add
    last.destroy(last.value);
  }
}

std::uint64_t next_local_key() noexcept {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);  // relaxed: only that it is another one
}

void* local_value(std::uint64_t key, void* (*make)(const void*), const void* with,
                  void (*destroy)(void*) noexcept) {
  static thread_local LocalValues of_thread;
  FiberControl* fiber = Carrier::running_fiber();
  if (fiber != nullptr && fiber->locals == nullptr) {
    fiber->locals = std::make_unique<LocalValues>();
  }
  LocalValues& values = fiber != nullptr ? *fiber->locals : of_thread;
  if (void* value = values.find(key)) return value;
  void* value = make(with);  // may switch; the fiber's values stay where they are
  values.add(key, value, destroy);
  return value;
}

}  // namespace flexsc::detail
