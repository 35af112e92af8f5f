// SPDX-License-Identifier: MIT
/// @file
/// The way of a channel's calls into an io_uring and, for those it has no operation for, to the
/// workers of engine `threads`.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "entry_set.hpp"
#include "fork_guard.hpp"
#include "ring_call.hpp"
#include "transport.hpp"
#include "worker_pool.hpp"

namespace flexsc::detail {

/// What the channels of an engine have done: all of them add to it, stats() reads it. Relaxed:
/// numbers.
struct RingCounts {
  std::atomic<std::uint64_t> operations{0};  ///< calls that were made by a ring
};

/// There are two regions of pages with the same places. The channel's own ones nobody else sees:
/// the transport takes what is posted there when it is asked to (doorbell(), wait()), in the
/// channel's thread. A call for the workers is copied to the same place of the second region, which
/// they serve, and its result back.
///
///     posted -> ring    -> completed        an operation; the ring's user data is the place
///     posted -> workers -> completed        no operation, or one that fits
///     posted -> completed                   made in the channel's thread, as it does not wait
///
/// So everything but notify() runs in that one thread, and what the workers share with it is the
/// second region and its parker, as with engine `threads`. The carrier sleeps in the ring: the
/// parker wakes it through the eventfd of the second region, which the ring watches.
class UringTransport final : public Transport {
 public:
  /// `workers` has an eventfd, and the pools know it already; the transport takes it out at the
  /// end.
  /// Calls of pools whose bit in `by_workers` is set all go to the workers.
  /// @throws std::system_error
  UringTransport(const RingOptions& ring, bool plain, Mapping mapping, Pages pages,
                 WorkerPools pools, std::shared_ptr<PoolClient> workers, unsigned by_workers,
                 std::shared_ptr<RingCounts> counts);
  UringTransport(const UringTransport&) = delete;
  UringTransport& operator=(const UringTransport&) = delete;
  ~UringTransport() override;

  [[nodiscard]] bool doorbell(unsigned pool) override;
  [[nodiscard]] bool wait(const WaitTerms& terms) override;
  void look() override;
  [[nodiscard]] bool helps() const noexcept override { return true; }
  [[nodiscard]] bool makes_quick_calls() const noexcept override { return true; }
  void notify() override { workers_->parker.notify(); }
  void cancel(unsigned page, unsigned bit) override;
  void cancel_is_over(unsigned page, unsigned bit) override;
  [[nodiscard]] std::uint64_t crossings() const noexcept override;

 private:
  /// User data that is no place. That of a request to cancel is slots_.size() and the place.
  static constexpr std::uint64_t kWake = ~std::uint64_t{0};
  static constexpr std::uint64_t kIgnored = kWake - 1;

  [[nodiscard]] std::size_t index(unsigned page, unsigned bit) const noexcept {
    return std::size_t{page} * FLEXSC_PAGE_ENTRIES + bit;
  }
  void bind();
  void watch_eventfd();
  void take_posted();
  void begin(unsigned pool, unsigned page, unsigned bit);
  void to_ring(unsigned page, unsigned bit);
  void to_workers(unsigned page, unsigned bit, unsigned length);
  void show_workers();
  void complete(unsigned page, unsigned bit, long result);
  void complete_cancelled(unsigned page, unsigned bit);
  void take_completions();
  void completed(std::uint64_t place, long result);
  void cancel_in_ring(std::uint64_t place);
  void cancel_made(std::uint64_t place, long result);
  void take_from_workers();
  [[nodiscard]] unsigned chain_length(unsigned page, unsigned bit) const noexcept;
  [[nodiscard]] bool enough(unsigned min);

  Mapping mapping_;  ///< of pages_
  Pages pages_;
  WorkerPools pools_;
  std::shared_ptr<PoolClient> workers_;
  const unsigned by_workers_;
  std::shared_ptr<RingCounts> counts_;
  ForkGuard fork_;
  Ring ring_;
  RingCalls calls_;
  std::vector<RingCall> slots_;  ///< by place
  EntrySet forwarded_;           ///< the workers have, with all members of chains
  std::size_t in_ring_ = 0;
  EntrySet unshown_;  ///< copied to the workers' pages, their bits not set yet
  std::uint64_t direct_ = 0;
};

}  // namespace flexsc::detail
