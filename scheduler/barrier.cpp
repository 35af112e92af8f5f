// SPDX-License-Identifier: MIT
#include "flexsc/barrier.hpp"

#include <cerrno>
#include <system_error>

#include "waiter.hpp"

namespace flexsc::detail {

BarrierCore::BarrierCore(std::ptrdiff_t expected) : expected_(expected), missing_(expected) {
  if (expected < 0) {
    throw std::system_error(EINVAL, std::generic_category(), "a barrier of negative participants");
  }
}

std::uint64_t BarrierCore::arrive(std::ptrdiff_t count, bool drop, void (*complete)(void*),
                                  void* with) {
  std::uint64_t phase = 0;
  {
    const std::scoped_lock guard(waiters_.guard);
    if (count < 1 || count > missing_) {
      throw std::system_error(EINVAL, std::generic_category(),
                              "more arrive at a flexsc::Barrier than it expects");
    }
    phase = phase_;
    if (drop) --expected_;
    missing_ -= count;
    if (missing_ != 0) return phase;
  }
  // Nobody else can arrive now: all have, and the next phase has not begun. So the completion
  // runs without the guard, and may park.
  complete(with);
  WaitNode* first = nullptr;
  {
    const std::scoped_lock guard(waiters_.guard);
    ++phase_;
    missing_ = expected_;
    first = waiters_.take_all();
  }
  wake_chain(first);
  return phase;
}

void BarrierCore::wait(std::uint64_t phase) {
  interleave();
  Waiter waiter("barrier", this);
  WaitNode node(waiter);
  {
    const std::scoped_lock guard(waiters_.guard);
    if (phase_ != phase) return;
    waiters_.push(node);
  }
  const Wake how = waiter.wait(kForEver, Cancel::heeded);
  if (how == Wake::notified) return;
  {
    const std::scoped_lock guard(waiters_.guard);
    waiters_.remove(node);
  }
  throw_if_cancelled(how);
}

}  // namespace flexsc::detail
