// SPDX-License-Identifier: MIT
/// @file
/// The pool's threads that are inside calls without a seat, and how they are got out.
#include <algorithm>

#include "interrupt.hpp"
#include "worker_pool.hpp"

namespace flexsc::detail {

/// The holder gives its seat up, before a call that may block.
void WorkerPool::leave(Seat& seat, const EntryName& name) {
  Worker& self = *seat.worker;
  const std::lock_guard lock(mutex_);
  self.entry = name;
  away_.push_back(&self);
  // A cancel that came before is seen at the monitor's next tick.
  if (!cancels_.empty()) wake_monitor();
  hand_on(seat);
}

/// The call that a thread made without a seat is over. Whether it was interrupted for a cancel.
/// From here on it is sent no signal, and those that were sent are delivered.
bool WorkerPool::come_back(Worker& worker) {
  bool cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    std::erase(away_, &worker);
    cancelled = worker.cancelled.exchange(false, std::memory_order_relaxed);
  }
  if (cancelled) pass_interrupts();
  return cancelled;
}

bool WorkerPool::is_cancelled(const EntryName& name) const {
  const std::lock_guard lock(mutex_);
  return std::find(cancels_.begin(), cancels_.end(), name) != cancels_.end();
}

/// Under mutex_.
void WorkerPool::interrupt_cancelled() {
  for (Worker* worker : away_) {
    if (std::find(cancels_.begin(), cancels_.end(), worker->entry) == cancels_.end()) continue;
    worker->cancelled.store(true, std::memory_order_relaxed);
    interrupt(worker->thread);
  }
}

void WorkerPool::cancel(const EntryName& name) {
  {
    const std::lock_guard lock(mutex_);
    cancels_.push_back(name);
    some_cancelled_.store(true, std::memory_order_relaxed);
    if (take_back_bits(name.client->pages.submission(number_, name.page), Word{1} << name.bit) ==
        0) {
      interrupt_cancelled();
      wake_monitor();
      return;
    }
  }
  complete_cancelled(name);
}

void WorkerPool::cancel_is_over(const EntryName& name) {
  const std::lock_guard lock(mutex_);
  std::erase(cancels_, name);
  some_cancelled_.store(!cancels_.empty(), std::memory_order_relaxed);
}

}  // namespace flexsc::detail
