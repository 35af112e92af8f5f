// SPDX-License-Identifier: MIT
/// @file
/// Locks of the operating system that fibers hold when they leave their carrier: the side of the
/// scheduler. libflexsc-locks.so (locks/locks.cpp) keeps account of them, where it is loaded.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <string>

namespace flexsc::detail {

class FiberControl;

/// One that a fiber has taken in the thread in which it is.
struct HeldLock {
  static constexpr std::size_t kFrames = 6;
  const volatile void* lock = nullptr;
  const char* kind = nullptr;             ///< in words, of static storage
  const FiberControl* fiber = nullptr;    ///< that took it
  std::array<void*, kFrames> taken_at{};  ///< return addresses, innermost first; then nulls
};

/// Takes a lock that `fiber` holds out of the calling thread's account; false: there is none.
using TakeHeldLock = bool (*)(const FiberControl* fiber, HeldLock& into);

/// Null: nobody keeps account. Set once, before there are fibers, by the library when it is loaded;
/// relaxed: whoever makes a runtime was started after that.
extern constinit std::atomic<TakeHeldLock> take_held_lock;

/// "pthread_mutex 0x7f… taken at serve()+0x18 < main+0x40". @throws std::bad_alloc
[[nodiscard]] std::string describe(const HeldLock& held);

}  // namespace flexsc::detail
