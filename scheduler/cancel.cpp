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

void request_cancel(const std::shared_ptr<FiberControl>& fiber) noexcept {
  std::uint8_t before = fiber->cancel.load(std::memory_order_relaxed);
  std::uint8_t after = 0;
  do {
    if ((before & (cancel_bit::requested | cancel_bit::ended)) != 0) return;
    const bool started = (before & cancel_bit::started) != 0;
    after = before | cancel_bit::requested | (started ? cancel_bit::pushing : 0);
    // release: what we did before; acquire: the carrier. Pairs with Carrier::start().
  } while (!fiber->cancel.compare_exchange_weak(before, after, std::memory_order_acq_rel,
                                                std::memory_order_relaxed));
  if ((after & cancel_bit::pushing) == 0) return;
  fiber->cancel_keeps = fiber;
  fiber->carrier->cancel(*fiber);
  // release: pairs with the acquire in Carrier::finish(), which lets the carrier go after it.
  fiber->cancel.fetch_and(static_cast<std::uint8_t>(~cancel_bit::pushing),
                          std::memory_order_release);
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
  if (fiber != nullptr && fiber->cancel_wanted() && fiber->may_be_cancelled()) throw Cancelled();
}

}  // namespace this_fiber
}  // namespace flexsc
