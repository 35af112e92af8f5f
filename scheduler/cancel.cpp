// SPDX-License-Identifier: MIT
#include "flexsc/cancel.hpp"

#include "carrier.hpp"
#include "fiber_control.hpp"
#include "flexsc/fiber.hpp"
#include "runtime.hpp"

namespace flexsc {

using detail::Carrier;
using detail::FiberControl;

namespace detail {

void request_cancel(FiberControl& fiber) noexcept {
  fiber_end::Word before = fiber.end.load(std::memory_order_relaxed);
  fiber_end::Word after = 0;
  do {
    if ((before & fiber_end::requested) != 0) return;
    if ((before & ~fiber_end::bits) == fiber_end::ended) return;
    after = before | fiber_end::requested;
    if ((before & fiber_end::at_home) != 0) after |= fiber_end::announced;
    // release: what we did before; acquire: the carrier. Pairs with wanted_or_at_home(), and the
    // release with cancel_wanted(). relaxed, if it fails or finds nothing to do: then nothing
    // follows.
  } while (!fiber.end.compare_exchange_weak(before, after, std::memory_order_acq_rel,
                                            std::memory_order_relaxed));
  if ((after & fiber_end::announced) != 0) fiber.carrier->cancel(fiber);
}

}  // namespace detail

CancelShield::CancelShield() noexcept {
  if (FiberControl* fiber = Carrier::running_fiber()) ++fiber->shields;
}

CancelShield::~CancelShield() {
  if (FiberControl* fiber = Carrier::running_fiber()) --fiber->shields;
}

namespace this_fiber {

bool cancel_requested() noexcept {
  const FiberControl* fiber = Carrier::running_fiber();
  return fiber != nullptr && fiber->cancel_wanted();
}

void check_cancel() {
  const FiberControl* fiber = Carrier::running_fiber();
  if (fiber == nullptr || !fiber->cancel_wanted()) return;
  if (fiber->shields == 0 && !fiber->carrier->unwinding()) throw Cancelled();
}

}  // namespace this_fiber
}  // namespace flexsc
