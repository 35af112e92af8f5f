// SPDX-License-Identifier: MIT
// libflexsc-locks.so: account of the locks of the operating system that fibers hold, so that the
// scheduler can tell who leaves its carrier with one. Preload it, or link it before libc, to find
// such places; it makes every lock of a fiber slower (by a backtrace), and nothing else.
//
// A lock is written down by the thread in which it is taken, for the fiber that runs there; those
// taken outside of fibers are none of its business. A condition variable's wait gives its mutex
// back and takes it again inside of libc, while the thread waits: nothing leaves its carrier
// meanwhile.
#include <execinfo.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "carrier.hpp"
#include "held_locks.hpp"
#include "next.hpp"

namespace flexsc::detail {
namespace {

/// Of one thread, which alone touches it. Nothing here switches fibers, so a function stays in one
/// thread.
struct Account {
  static constexpr std::size_t kMost = 32;  ///< beyond that the oldest is forgotten
  std::array<HeldLock, kMost> held{};
  std::size_t count = 0;
  bool writing = false;  ///< a lock that is taken by what writes down another one does not count
};
constinit thread_local Account account;

void drop(std::size_t index) noexcept {
  std::move(account.held.begin() + static_cast<std::ptrdiff_t>(index) + 1,
            account.held.begin() + static_cast<std::ptrdiff_t>(account.count),
            account.held.begin() + static_cast<std::ptrdiff_t>(index));
  --account.count;
}

/// `caller`: the return address of the function that has taken it.
void taken(const volatile void* lock, const char* kind, void* caller) noexcept {
  const FiberControl* fiber = Carrier::running_fiber();
  if (fiber == nullptr || account.writing) return;
  account.writing = true;
  if (account.count == Account::kMost) drop(0);
  HeldLock& entry = account.held[account.count++];
  entry = {lock, kind, fiber, {}};
  constexpr std::size_t kOurs = 4;  // frames at the most, before the caller's
  std::array<void*, HeldLock::kFrames + kOurs> frames{};
  const auto size = static_cast<std::size_t>(
      std::max(0, ::backtrace(frames.data(), static_cast<int>(frames.size()))));
  const auto end = frames.begin() + static_cast<std::ptrdiff_t>(size);
  const auto first = std::find(frames.begin(), end, caller);
  if (first == end) {
    entry.taken_at[0] = caller;
  } else {
    std::copy(first, std::min(end, first + HeldLock::kFrames), entry.taken_at.begin());
  }
  account.writing = false;
}

void given_back(const volatile void* lock) noexcept {
  if (account.writing) return;
  for (std::size_t i = account.count; i-- > 0;) {
    if (account.held[i].lock == lock) return drop(i);
  }
}

/// The outermost one; with it go all others of the same lock, which is one that is held repeatedly.
bool take(const FiberControl* fiber, HeldLock& into) {
  bool found = false;
  for (std::size_t i = 0; i < account.count;) {
    const HeldLock& entry = account.held[i];
    if (entry.fiber != fiber || (found && entry.lock != into.lock)) {
      ++i;
      continue;
    }
    if (!found) into = entry;
    found = true;
    drop(i);
  }
  return found;
}

[[gnu::constructor]] void begin() noexcept {
  std::array<void*, 1> frame{};
  (void)::backtrace(frame.data(), 1);  // loads what it needs, now and not under a lock
  take_held_lock.store(&take, std::memory_order_relaxed);
}

}  // namespace
}  // namespace flexsc::detail

// Types and parameter lists cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)

/// Defines libc's `symbol`, which takes the lock `lock` if it returns 0 or EOWNERDEAD. The C++ name
/// is another, so that libc's own declarations do not matter.
#define FLEXSC_TAKES(symbol, kind, type, params, args)                    \
  extern "C" int flexsc_locks_##symbol params asm(#symbol);               \
  int flexsc_locks_##symbol params {                                      \
    static constinit ::flexsc::intercept::Next<int params> next(#symbol); \
    const int result = (*next)args;                                       \
    if (result == 0 || result == EOWNERDEAD) {                            \
      ::flexsc::detail::taken(lock, kind, __builtin_return_address(0));   \
    }                                                                     \
    return result;                                                        \
  }
/// The same of what gives it back, if it returns 0.
#define FLEXSC_GIVES(symbol, type)                                        \
  extern "C" int flexsc_locks_##symbol(type* lock) asm(#symbol);          \
  int flexsc_locks_##symbol(type* lock) {                                 \
    static constinit ::flexsc::intercept::Next<int(type*)> next(#symbol); \
    const int result = (*next)(lock);                                     \
    if (result == 0) ::flexsc::detail::given_back(lock);                  \
    return result;                                                        \
  }
#define FLEXSC_TAKES_NOW(symbol, kind, type) FLEXSC_TAKES(symbol, kind, type, (type * lock), (lock))
#define FLEXSC_TAKES_UNTIL(symbol, kind, type) \
  FLEXSC_TAKES(symbol, kind, type, (type * lock, const timespec* until), (lock, until))
#define FLEXSC_TAKES_ON_CLOCK(symbol, kind, type)                                         \
  FLEXSC_TAKES(symbol, kind, type, (type * lock, clockid_t clock, const timespec* until), \
               (lock, clock, until))
// NOLINTEND(bugprone-macro-parentheses)

FLEXSC_TAKES_NOW(pthread_mutex_lock, "pthread_mutex", pthread_mutex_t)
FLEXSC_TAKES_NOW(pthread_mutex_trylock, "pthread_mutex", pthread_mutex_t)
FLEXSC_TAKES_UNTIL(pthread_mutex_timedlock, "pthread_mutex", pthread_mutex_t)
FLEXSC_TAKES_ON_CLOCK(pthread_mutex_clocklock, "pthread_mutex", pthread_mutex_t)
FLEXSC_GIVES(pthread_mutex_unlock, pthread_mutex_t)

FLEXSC_TAKES_NOW(pthread_rwlock_rdlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_TAKES_NOW(pthread_rwlock_wrlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_TAKES_NOW(pthread_rwlock_tryrdlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_TAKES_NOW(pthread_rwlock_trywrlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_TAKES_UNTIL(pthread_rwlock_timedrdlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_TAKES_UNTIL(pthread_rwlock_timedwrlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_TAKES_ON_CLOCK(pthread_rwlock_clockrdlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_TAKES_ON_CLOCK(pthread_rwlock_clockwrlock, "pthread_rwlock", pthread_rwlock_t)
FLEXSC_GIVES(pthread_rwlock_unlock, pthread_rwlock_t)

FLEXSC_TAKES_NOW(pthread_spin_lock, "pthread_spinlock", pthread_spinlock_t)
FLEXSC_TAKES_NOW(pthread_spin_trylock, "pthread_spinlock", pthread_spinlock_t)
FLEXSC_GIVES(pthread_spin_unlock, pthread_spinlock_t)

FLEXSC_TAKES_NOW(mtx_lock, "mtx", mtx_t)
FLEXSC_TAKES_NOW(mtx_trylock, "mtx", mtx_t)
FLEXSC_TAKES_UNTIL(mtx_timedlock, "mtx", mtx_t)
FLEXSC_GIVES(mtx_unlock, mtx_t)
