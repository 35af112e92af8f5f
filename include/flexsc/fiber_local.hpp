// SPDX-License-Identifier: MIT
/// @file
/// Values of which each fiber has its own. A thread_local is the carrier's, hence shared by all
/// its fibers.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace flexsc {

namespace detail {

/// A number that no other FiberLocal of this process ever has.
[[nodiscard]] std::uint64_t next_local_key() noexcept;
/// The caller's value of that key; made by `make(with)` if there is none. `destroy` ends it,
/// with the fiber (before it can be joined) or the thread. Later ones go first.
/// @throws std::bad_alloc, or what `make` throws
[[nodiscard]] void* local_value(std::uint64_t key, void* (*make)(const void*), const void* with,
                                void (*destroy)(void*) noexcept);

}  // namespace detail

/// `static flexsc::FiberLocal<Request> request;` and in each fiber `request->…`. In a plain thread
/// it is the thread's. Values are made at the first use and live until their fiber has ended,
/// also if the FiberLocal does not.
template <class T>
class FiberLocal {
 public:
  FiberLocal() : FiberLocal([] { return T(); }) {}
  /// `make` gives the first value; in each fiber, when it first asks.
  explicit FiberLocal(std::function<T()> make)
      : key_(detail::next_local_key()), make_(std::move(make)) {}
  FiberLocal(const FiberLocal&) = delete;
  FiberLocal& operator=(const FiberLocal&) = delete;
  ~FiberLocal() = default;

  /// The caller's own. Valid until its fiber or thread ends. Thread-safe.
  [[nodiscard]] T& get() {
    return *static_cast<T*>(detail::local_value(
        key_,
        [](const void* make) -> void* {
          return new T((*static_cast<const std::function<T()>*>(make))());
        },
        &make_, [](void* value) noexcept { delete static_cast<T*>(value); }));
  }
  T& operator*() { return get(); }
  T* operator->() { return &get(); }

 private:
  const std::uint64_t key_;
  const std::function<T()> make_;
};

}  // namespace flexsc
