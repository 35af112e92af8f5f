// SPDX-License-Identifier: MIT
#include "flexsc/fiber.hpp"

#include <cerrno>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "carrier.hpp"
#include "posix_result.hpp"
#include "runtime.hpp"
#include "waiter.hpp"

namespace flexsc {

using detail::Carrier;
using detail::FiberControl;
namespace fiber_end = detail::fiber_end;
using fiber_end::Word;

Fiber& Fiber::operator=(Fiber&& other) noexcept {
  if (joinable()) std::terminate();
  control_ = std::exchange(other.control_, nullptr);
  return *this;
}

void Fiber::join() {
  (void)join_until_deadline(detail::kForEver);
}

bool Fiber::join_until_deadline(detail::Deadline until) {
  if (!joinable()) {
    throw std::system_error(EINVAL, std::generic_category(), "joining no fiber");
  }
  if (Carrier::running_fiber() == control_) {
    throw std::system_error(EDEADLK, std::generic_category(), "a fiber joining itself");
  }
  detail::Waiter waiter("end of a fiber", control_);
  if (waiter.joins(*control_)) {
    const detail::Wake how = waiter.wait(until, detail::Cancel::heeded);
    detail::throw_if_cancelled(how);
    if (how == detail::Wake::timeout) return false;
  }
  const std::unique_ptr<FiberControl> ended(std::exchange(control_, nullptr));
  if (ended->exception != nullptr) {
    std::rethrow_exception(std::exchange(ended->exception, nullptr));
  }
  return true;
}

void Fiber::cancel() {
  if (!joinable()) {
    throw std::system_error(EINVAL, std::generic_category(), "cancelling no fiber");
  }
  detail::request_cancel(*control_);
}

void Fiber::detach() {
  if (!joinable()) {
    throw std::system_error(EINVAL, std::generic_category(), "detaching no fiber");
  }
  FiberControl* const fiber = std::exchange(control_, nullptr);
  // acquire, if the fiber has ended already: what it did; pairs with the release in tell_end().
  Word found = fiber->end.load(std::memory_order_acquire);
  do {
    if ((found & ~fiber_end::bits) == fiber_end::ended) {
      const std::unique_ptr<FiberControl> ended(fiber);
      if (ended->exception != nullptr && !ended->ended_by_cancel) detail::end_program(*ended);
      return;
    }
    // release and acquire: pairs with tell_end(), who of the two destroys it sees all of it.
  } while (!fiber->end.compare_exchange_weak(found, fiber_end::detached | (found & fiber_end::bits),
                                             std::memory_order_acq_rel, std::memory_order_acquire));
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

std::optional<std::uint64_t> Runtime::seed() const noexcept {
  return impl_->seed();
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

void checkpoint() {
  if (inside()) Carrier::of_this_thread()->checkpoint();
}

std::size_t stack_high_water() {
  const FiberControl* fiber = Carrier::running_fiber();
  return fiber != nullptr ? fiber->stack.high_water() : 0;
}

std::size_t stack_size() noexcept {
  const FiberControl* fiber = Carrier::running_fiber();
  return fiber != nullptr ? fiber->stack.size : 0;
}

void set_priority(int priority) noexcept {
  if (FiberControl* fiber = Carrier::running_fiber()) fiber->priority_ = priority;
}

void set_deadline(std::chrono::steady_clock::time_point deadline) noexcept {
  if (FiberControl* fiber = Carrier::running_fiber()) fiber->deadline_ = deadline;
}

int last_error() noexcept {
  return detail::get_errno();
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
