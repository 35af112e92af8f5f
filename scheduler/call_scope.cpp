// SPDX-License-Identifier: MIT
#include "flexsc/call_scope.hpp"

#include <cerrno>
#include <new>
#include <system_error>

#include "carrier.hpp"
#include "runtime.hpp"

namespace flexsc {

using detail::Carrier;
using detail::FiberControl;

/// Runs in the fiber's carrier, as all that looks at these members of the fiber.
class DeadlineScope::Alarm final : public detail::Timer {
 public:
  Alarm(std::chrono::steady_clock::time_point when, FiberControl& fiber) noexcept
      : Timer(when), fiber_(fiber) {
    ++fiber_.stays;  // its carrier's wheel has us
    fiber_.carrier->timers().add(*this);
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm() {
    if (pending()) fiber_.carrier->timers().remove(*this);
    if (passed_) --fiber_.late;
    --fiber_.stays;
  }

  void expire() noexcept override {
    passed_ = true;
    ++fiber_.late;
    if (fiber_.call != nullptr) fiber_.carrier->end_call(*fiber_.call, true);
  }
  [[nodiscard]] bool passed() const noexcept { return passed_; }

 private:
  FiberControl& fiber_;
  bool passed_ = false;
};

DeadlineScope::DeadlineScope(std::chrono::steady_clock::time_point when)
    : in_fiber_(Carrier::running_fiber() != nullptr) {
  static_assert(sizeof(Alarm) <= sizeof(alarm_) && alignof(Alarm) <= alignof(std::max_align_t));
  if (in_fiber_) new (&alarm_) Alarm(when, *Carrier::running_fiber());
}

DeadlineScope::~DeadlineScope() {
  if (in_fiber_) alarm()->~Alarm();
}

DeadlineScope::Alarm* DeadlineScope::alarm() noexcept {
  return std::launder(reinterpret_cast<Alarm*>(&alarm_));
}

bool DeadlineScope::passed() const noexcept {
  return in_fiber_ && const_cast<DeadlineScope*>(this)->alarm()->passed();
}

PoolScope::PoolScope(unsigned pool) {
  FiberControl* fiber = Carrier::running_fiber();
  if (fiber == nullptr) return;
  if (pool >= fiber->carrier->runtime().pools()) {
    throw std::system_error(EINVAL, std::generic_category(),
                            "a pool that the engine does not have");
  }
  before_ = fiber->pool;
  fiber->pool = pool;
}

PoolScope::~PoolScope() {
  if (FiberControl* fiber = Carrier::running_fiber()) fiber->pool = before_;
}

CarrierScope::CarrierScope() noexcept {
  if (FiberControl* fiber = Carrier::running_fiber()) ++fiber->stays;
}

CarrierScope::~CarrierScope() {
  if (FiberControl* fiber = Carrier::running_fiber()) --fiber->stays;
}

}  // namespace flexsc
