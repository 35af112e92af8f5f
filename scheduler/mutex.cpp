// SPDX-License-Identifier: MIT
#include "flexsc/mutex.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

#include "carrier.hpp"
#include "waiter.hpp"

namespace flexsc {
namespace {

using detail::caller_identity;
using detail::Carrier;
using detail::Deadline;
using detail::Waiter;
using detail::WaitNode;

constexpr std::uintptr_t kWaited = 1;

std::uintptr_t word_of(const void* identity) noexcept {
  return reinterpret_cast<std::uintptr_t>(identity);
}

/// Looks at a mutex that is held on another CPU before the caller is parked: for about as long as
/// it takes to park and be woken, or, where the carrier has other work, to get on with that.
constexpr int kLooks = 8;
constexpr int kLooksWithWork = 3;
/// Before each, in cycles of the time-stamp counter: twice as long as before, up to the most. Who
/// looks takes the line from the owner, and who gets the mutex takes what it guards as well, so
/// many short waits would cost both more than a longer one.
constexpr std::uint64_t kFirstWait = 2000;
constexpr std::uint64_t kLongestWait = 4000;

void pause_for(std::uint64_t cycles) noexcept {
  const std::uint64_t begun = __builtin_ia32_rdtsc();
  do {
    __builtin_ia32_pause();
  } while (__builtin_ia32_rdtsc() - begun < cycles);
}
/// How often a waiter that was woken finds it taken before it is given it.
constexpr int kPatience = 4;

/// Whether the waiter is a fiber of the calling one's carrier.
bool is_here(const Waiter& waiter) noexcept {
  return waiter.carrier() != nullptr && waiter.carrier() == Carrier::of_this_thread();
}

[[noreturn, gnu::cold]] void refuse(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

// ---- Mutex. The order of the word and the queue:
//
// With the bit clear nobody waits, and the word alone is the mutex: acquire when it is taken,
// release when it is let go. To wait, a caller sets the bit under the guard, so an unlock()
// after that finds it and takes the guard too: it sees the node, which was pushed under the
// same hold of the guard. Only under the guard is the bit set or cleared, or ownership handed
// over; a free mutex with the bit set may be taken without it.

bool Mutex::owned() const noexcept {
  // relaxed: the caller reads its own store, or any other value.
  return (owner_.load(std::memory_order_relaxed) & ~kWaited) == word_of(caller_identity());
}

bool Mutex::try_lock() noexcept {
  detail::interleave();
  std::uintptr_t found = 0;
  const std::uintptr_t me = word_of(caller_identity());
  do {
    // acquire: pairs with the release in unlock().
    if (owner_.compare_exchange_weak(found, me | found, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      place_.store(Carrier::of_this_thread(), std::memory_order_relaxed);
      return true;
    }
  } while ((found & ~kWaited) == 0);
  return false;
}

void Mutex::lock() {
  (void)lock_until(detail::kForEver);
}

bool Mutex::lock_until(Deadline until) {
  if (try_lock()) return true;
  const void* me = caller_identity();
  if (owned()) refuse(EDEADLK, "locking a flexsc::Mutex that the caller holds");
  return spin() || wait_for_it(me, until);
}

/// Waits for it to be free, without parking; whether it has got it.
bool Mutex::spin() {
  const Carrier* here = Carrier::of_this_thread();
  std::uint64_t cycles = kFirstWait;
  for (int look = 0; look < kLooks; ++look) {
    if (here != nullptr) {
      // The owner cannot go on while we are in its carrier's way.
      if (place_.load(std::memory_order_relaxed) == here) return false;
      if (look >= kLooksWithWork && here->others_wait()) return false;
    }
    pause_for(cycles);
    cycles = std::min(2 * cycles, kLongestWait);
    if ((owner_.load(std::memory_order_relaxed) & ~kWaited) == 0 && try_lock()) return true;
  }
  return false;
}

bool Mutex::wait_for_it(const void* me, Deadline until) {
  for (int passed_over = 0;; ++passed_over) {
    Waiter waiter("mutex", this);
    WaitNode node(waiter);
    if (passed_over >= kPatience) node.payload = &node;  // to be given it
    {
      const std::scoped_lock guard(waiters_.guard);
      std::uintptr_t found = owner_.load(std::memory_order_relaxed);  // the exchange checks it
      while (true) {
        const bool free = (found & ~kWaited) == 0;
        const std::uintptr_t wanted = free ? word_of(me) | found : found | kWaited;
        // acquire, if it is taken here: pairs with the release in unlock().
        if (!owner_.compare_exchange_weak(found, wanted, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
          continue;
        }
        if (!free) break;
        place_.store(Carrier::of_this_thread(), std::memory_order_relaxed);
        return true;
      }
      if (passed_over == 0) {
        waiters_.push(node);
      } else {
        waiters_.push_front(node);  // it had its turn and keeps its place
      }
    }
    if (waiter.wait(until) != detail::Wake::notified) {
      const std::scoped_lock guard(waiters_.guard);
      waiters_.remove(node);
      // So that the word tells again of no waiters, and the next unlock() needs no guard. relaxed:
      // a read-modify-write keeps what unlock() has released into the word.
      if (waiters_.empty()) owner_.fetch_and(~kWaited, std::memory_order_relaxed);
      return false;
    }
    if (owned() || try_lock() || spin()) return true;  // given by unlock(), or free for the taking
  }
}

void Mutex::unlock() {
  const std::uintptr_t me = word_of(caller_identity());
  std::uintptr_t found = owner_.load(std::memory_order_relaxed);  // as in owned()
  // Or until the next owner has said where it is, a fiber that wants it would take it for one of
  // this carrier, and not look a second time.
  if ((found & ~kWaited) == me) place_.store(nullptr, std::memory_order_relaxed);
  found = me;
  // release: what the owner did, for the next; pairs with the acquire of the lockers.
  if (owner_.compare_exchange_strong(found, 0, std::memory_order_release,
                                     std::memory_order_relaxed)) {
    return;
  }
  if (found != (me | kWaited)) {
    refuse(EPERM, "unlocking a flexsc::Mutex that the caller does not hold");
  }
  WaitNode* next = nullptr;
  {
    const std::scoped_lock guard(waiters_.guard);
    next = waiters_.pop();
    std::uintptr_t word = waiters_.empty() ? 0 : kWaited;
    if (next != nullptr && (next->payload != nullptr || is_here(*next->waiter))) {
      word |= word_of(next->waiter->identity());
      place_.store(next->waiter->carrier(), std::memory_order_relaxed);
    }
    // release, if it is free now: as above. A new owner gets what we did by its wake-up. Who is
    // left, waiting or just giving up or about to take it, still uses the mutex, so nobody
    // may destroy it before we have let go of the guard.
    owner_.store(word, std::memory_order_release);
  }
  // Nothing of *this from here on: the woken one may unlock and destroy it.
  if (next != nullptr) next->waiter->wake();
}

// ---- RecursiveMutex

bool RecursiveMutex::again() {
  if (!mutex_.owned()) return false;
  if (depth_ == std::numeric_limits<unsigned>::max()) {
    refuse(EAGAIN, "a flexsc::RecursiveMutex is locked too often");
  }
  ++depth_;
  return true;
}

bool RecursiveMutex::entered(bool locked) noexcept {
  if (locked) depth_ = 1;
  return locked;
}

void RecursiveMutex::lock() {
  if (again()) return;
  mutex_.lock();
  depth_ = 1;
}

bool RecursiveMutex::try_lock() {
  return again() || entered(mutex_.try_lock());
}

void RecursiveMutex::unlock() {
  if (!mutex_.owned()) {
    refuse(EPERM, "unlocking a flexsc::RecursiveMutex that the caller does not hold");
  }
  if (--depth_ == 0) mutex_.unlock();
}

// ---- SharedMutex. All under the guard; a waiter's payload says whether it wants it alone.

namespace {

/// Addresses that stand for the two wishes.
char alone_mark;
char shared_mark;

}  // namespace

bool SharedMutex::take(bool alone, const void* me) noexcept {
  if (writer_ != nullptr || !waiters_.empty() || (alone && readers_ != 0)) return false;
  if (alone) {
    writer_ = me;
  } else {
    ++readers_;
  }
  return true;
}

/// Hands it to those at the head of the queue that can have it; they are to be woken.
WaitNode* SharedMutex::grant() noexcept {
  WaitNode* first = nullptr;
  WaitNode** end = &first;
  while (const WaitNode* head = waiters_.front()) {
    const bool alone = head->payload == &alone_mark;
    if (writer_ != nullptr || (alone && readers_ != 0)) break;
    WaitNode* node = waiters_.front();
    waiters_.remove(*node);
    if (!node->waiter->claim(detail::Wake::notified)) continue;
    if (alone) {
      writer_ = node->waiter->identity();
    } else {
      ++readers_;
    }
    *end = node;
    end = &node->next;
  }
  *end = nullptr;
  return first;
}

bool SharedMutex::try_lock() noexcept {
  detail::interleave();
  const std::scoped_lock guard(waiters_.guard);
  return take(true, caller_identity());
}

bool SharedMutex::try_lock_shared() noexcept {
  detail::interleave();
  const std::scoped_lock guard(waiters_.guard);
  return take(false, nullptr);
}

bool SharedMutex::lock_until(bool alone, Deadline until) {
  detail::interleave();
  const void* me = caller_identity();
  std::unique_lock guard(waiters_.guard);
  if (writer_ == me) refuse(EDEADLK, "locking a flexsc::SharedMutex that the caller holds");
  if (take(alone, me)) return true;
  Waiter waiter(alone ? "shared mutex, alone" : "shared mutex", this);
  WaitNode node(waiter);
  node.payload = alone ? &alone_mark : &shared_mark;
  waiters_.push(node);
  guard.unlock();
  if (waiter.wait(until) == detail::Wake::notified) return true;  // grant() has made it so
  guard.lock();
  waiters_.remove(node);
  WaitNode* behind = grant();  // readers that waited behind a writer who gave up
  guard.unlock();
  wake_chain(behind);
  return false;
}

void SharedMutex::unlock() {
  WaitNode* next = nullptr;
  {
    const std::scoped_lock guard(waiters_.guard);
    if (writer_ != caller_identity()) {
      refuse(EPERM, "unlocking a flexsc::SharedMutex that the caller does not hold");
    }
    writer_ = nullptr;
    next = grant();
  }
  wake_chain(next);  // nothing of *this from here on
}

void SharedMutex::unlock_shared() {
  WaitNode* next = nullptr;
  {
    const std::scoped_lock guard(waiters_.guard);
    if (readers_ == 0) {
      refuse(EPERM, "unlocking a flexsc::SharedMutex that no reader holds");
    }
    if (--readers_ == 0) next = grant();
  }
  wake_chain(next);
}

}  // namespace flexsc
