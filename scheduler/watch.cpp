// SPDX-License-Identifier: MIT
#include "watch.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <new>
#include <system_error>
#include <utility>

#include "fiber_table.hpp"
#include "runtime.hpp"

namespace flexsc {

std::string to_text(const WatchReport& report) {
  std::array<char, 160> text{};
  const double seconds = std::chrono::duration<double>(report.lasts).count();
  std::string line = "fiber '" + std::string(report.name);
  std::snprintf(text.data(), text.size(), "' (0x%" PRIx64 ") on carrier %zu (thread %d) has ",
                report.fiber, report.carrier, report.thread);
  line += text.data();
  if (report.kind == WatchReport::Kind::busy) {
    std::snprintf(text.data(), text.size(), "run for %.3f s without letting others run", seconds);
    return line + text.data();
  }
  if (report.kind == WatchReport::Kind::lock) {
    return line + "left it to others and holds " + std::string(report.what);
  }
  std::snprintf(text.data(), text.size(), "waited for %.3f s for ", seconds);
  return line + text.data() + std::string(report.what);
}

namespace detail {
namespace {

using std::chrono::nanoseconds;

constexpr std::int64_t kLooksPerLimit = 4;
constexpr std::int64_t kMostOften = 1'000'000;       // ns
constexpr std::int64_t kLeastOften = 1'000'000'000;  // ns
/// Of the time, the share that goes to looks at the fibers is one of so many.
constexpr std::int64_t kShare = 20;

std::int64_t interval(std::int64_t limit) noexcept {
  return std::clamp(limit / kLooksPerLimit, kMostOften, kLeastOften);
}

std::int64_t checked(nanoseconds limit) {
  if (limit.count() < 0) {
    throw std::system_error(EINVAL, std::generic_category(), "a limit to watch is negative");
  }
  return limit.count();
}

}  // namespace

Watch::Watch(RuntimeImpl& runtime, const WatchOptions& options)
    : runtime_(runtime),
      busy_(checked(options.busy)),
      stuck_(checked(options.stuck)),
      memory_(::getpid()),
      seen_(runtime.carriers()) {}

void Watch::begin() {
  thread_ = std::thread([this] {
    block_signals();
    run();
  });
  (void)pthread_setname_np(thread_.native_handle(), "flexsc/watch");
}

void Watch::end() noexcept {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_one();
  thread_.join();
}

void Watch::run() {
  using Clock = std::chrono::steady_clock;
  Clock::time_point carriers_next = busy_ != 0 ? Clock::now() : Clock::time_point::max();
  Clock::time_point fibers_next = stuck_ != 0 ? Clock::now() : Clock::time_point::max();
  std::unique_lock lock(mutex_);
  while (!ended_changed_.wait_until(lock, std::min(carriers_next, fibers_next),
                                    [this] { return ended_; })) {
    lock.unlock();
    const Clock::time_point begun = Clock::now();
    try {
      if (begun >= carriers_next) {
        look_at_carriers(coarse_now());
        carriers_next = begun + nanoseconds(interval(busy_));
      }
      if (begun >= fibers_next) {
        const std::int64_t now = coarse_now();
        keep_time(now);
        look_at_fibers(now);
        const nanoseconds took = Clock::now() - begun;
        fibers_next = begun + std::max(nanoseconds(interval(stuck_)), took * kShare);
      }
    } catch (const std::bad_alloc&) {
      // There is no memory to report what is wrong; there may be at the next look.
      carriers_next = busy_ != 0 ? begun + nanoseconds(kLeastOften) : carriers_next;
      fibers_next = stuck_ != 0 ? begun + nanoseconds(kLeastOften) : fibers_next;
    }
    lock.lock();
  }
}

void Watch::keep_time(std::int64_t now) noexcept {
  for (std::size_t i = 0; i < runtime_.carriers(); ++i) runtime_.carrier(i).keep_time(now);
}

void Watch::look_at_carriers(std::int64_t now) {
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    Seen& seen = seen_[i];
    const Carrier& carrier = runtime_.carrier(i);
    const std::uint64_t switches = carrier.switches();
    std::uint64_t fiber = 0;
    (void)memory_.read(carrier.place_of_current(), fiber);
    if (fiber == 0 || switches != seen.switches || fiber != seen.fiber) {
      seen = {switches, fiber, now, false};
      continue;
    }
    // The count is the one before, so it is the same stretch, if it has not ended just now.
    if (seen.reported || now - seen.since < busy_ || carrier.switches() != switches) continue;
    seen.reported = true;
    report_busy(i, seen, now);
  }
}

void Watch::report_busy(std::size_t carrier, const Seen& seen, std::int64_t now) {
  // An address: nothing of it is looked at here. NOLINTNEXTLINE(performance-no-int-to-ptr)
  const FiberRecord* record = reinterpret_cast<const FiberControl*>(seen.fiber);
  const auto fiber = view_fiber(memory_, reinterpret_cast<std::uint64_t>(record));
  if (!fiber) return;
  CarrierRecord place;
  (void)memory_.read(runtime_.record().carriers + carrier, place);
  WatchReport report;
  report.kind = WatchReport::Kind::busy;
  report.name = fiber->name;
  report.fiber = fiber->address;
  report.carrier = carrier;
  report.thread = place.thread;
  report.lasts = nanoseconds(now - seen.since);
  runtime_.report(report);
}

void Watch::look_at_fibers(std::int64_t now) {
  std::unordered_map<std::uint64_t, std::uint64_t> still;
  visit_fibers(memory_, runtime_.record().stacks, [&](std::uint64_t address) {
    FiberRecord record;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    if (!memory_.read(reinterpret_cast<const void*>(address), record)) return;
    if (record.mark != (kFiberMark ^ address) || record.state != FiberState::parked) return;
    if (now - record.since < stuck_) return;
    const auto found = reported_.find(address);
    if (found == reported_.end() || found->second != record.parks) {
      const std::optional<FiberView> fiber = view_fiber(memory_, address);
      if (!fiber || fiber->changing || fiber->state != FiberState::parked) return;
      if (fiber->parks != record.parks) return;
      report_stuck(*fiber, record, now);
    }
    still.emplace(address, record.parks);
  });
  reported_ = std::move(still);
}

void Watch::report_stuck(const FiberView& fiber, const FiberRecord& record, std::int64_t now) {
  const std::string what = waits_text(fiber);
  WatchReport report;
  report.kind = WatchReport::Kind::stuck;
  report.name = fiber.name;
  report.fiber = fiber.address;
  for (std::size_t i = 0; i < runtime_.carriers(); ++i) {
    if (&runtime_.carrier(i) != record.carrier) continue;
    CarrierRecord place;
    (void)memory_.read(runtime_.record().carriers + i, place);
    report.carrier = i;
    report.thread = place.thread;
  }
  report.lasts = nanoseconds(now - fiber.since);
  report.what = what;
  runtime_.report(report);
}

}  // namespace detail
}  // namespace flexsc
