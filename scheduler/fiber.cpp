// SPDX-License-Identifier: MIT
#include "flexsc/fiber.hpp"

#include <cerrno>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "carrier.hpp"
#include "runtime.hpp"
#include "waiter.hpp"

namespace flexsc {

using detail::Carrier;
using detail::FiberControl;

Fiber::Fiber(std::shared_ptr<detail::FiberControl> control) noexcept
    : control_(std::move(control)) {}

Fiber& Fiber::operator=(Fiber&& other) noexcept {
  if (joinable()) std::terminate();
  control_ = std::move(other.control_);
  return *this;
}

Fiber::~Fiber() {
  if (joinable()) std::terminate();
}

bool Fiber::joinable() const noexcept {
  return control_ != nullptr;
}

void Fiber::join() {
  (void)join_until_deadline(detail::kForEver);
}

bool Fiber::join_until_deadline(detail::Deadline until) {
  if (!joinable()) {
    throw std::system_error(EINVAL, std::generic_category(), "joining no fiber");
  }
  if (Carrier::running_fiber() == control_.get()) {
    throw std::system_error(EDEADLK, std::generic_category(), "a fiber joining itself");
  }
  {
    detail::Waiter waiter("end of a fiber", control_.get());
    waiter.registered_in(control_->end, FiberControl::running());
    void* running = FiberControl::running();
    // release: the waiter, for Carrier::finish(), which acquires it. acquire, if the fiber
    // has ended already: what it did; pairs with the release in finish().
    if (control_->end.compare_exchange_strong(running, &waiter, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
      const detail::Wake how = waiter.wait(until, detail::Cancel::heeded);
      detail::throw_if_cancelled(how);
      if (how == detail::Wake::timeout) return false;
    }
  }
  const std::shared_ptr<FiberControl> ended = std::move(control_);
  if (ended->exception != nullptr) {
    std::rethrow_exception(std::exchange(ended->exception, nullptr));
  }
  return true;
}

void Fiber::cancel() {
  if (!joinable()) {
    throw std::system_error(EINVAL, std::generic_category(), "cancelling no fiber");
  }
  detail::request_cancel(control_);
}

void Fiber::detach() {
  if (!joinable()) {
    throw std::system_error(EINVAL, std::generic_category(), "detaching no fiber");
  }
  const std::shared_ptr<FiberControl> fiber = std::move(control_);
  void* running = FiberControl::running();
  // acquire, if the fiber has ended: its exception; pairs with the release in finish().
  if (!fiber->end.compare_exchange_strong(running, FiberControl::detached(),
                                          std::memory_order_acq_rel, std::memory_order_acquire) &&
      fiber->exception != nullptr && !fiber->ended_by_cancel) {
    detail::end_program(*fiber);
  }
}

Runtime::Runtime(const RuntimeOptions& options)
    : impl_(std::make_unique<detail::RuntimeImpl>(options)) {}
Runtime::~Runtime() = default;

Fiber Runtime::spawn(std::function<void()> body, SpawnOptions options) {
  return Fiber(impl_->spawn(std::move(body), std::move(options)));
}
RuntimeStats Runtime::stats() const {
  return impl_->stats();
}
Engine& Runtime::engine() noexcept {
  return impl_->engine();
}
std::size_t Runtime::carriers() const noexcept {
  return impl_->carriers();
}

namespace this_fiber {

bool inside() noexcept {
  return Carrier::running_fiber() != nullptr;
}

void yield() {
  if (inside()) return Carrier::of_this_thread()->yield();
  std::this_thread::yield();
}

void sleep_until(std::chrono::steady_clock::time_point when) {
  if (!inside()) return std::this_thread::sleep_until(when);
  detail::Waiter waiter("a time");
  detail::throw_if_cancelled(waiter.wait(when, detail::Cancel::heeded));
}

std::string_view name() noexcept {
  const FiberControl* fiber = Carrier::running_fiber();
  return fiber != nullptr ? std::string_view(fiber->name) : std::string_view();
}

detail::RuntimeImpl* runtime() noexcept {
  return inside() ? &Carrier::of_this_thread()->runtime() : nullptr;
}

}  // namespace this_fiber
}  // namespace flexsc
