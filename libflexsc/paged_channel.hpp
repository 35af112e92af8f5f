// SPDX-License-Identifier: MIT
/// @file
/// A channel over system-call pages, whoever serves them.
#pragma once

#include <memory>

#include "entry_set.hpp"
#include "flexsc/engine.hpp"
#include "fork_guard.hpp"
#include "pages.hpp"
#include "parker.hpp"
#include "policy.hpp"
#include "transport.hpp"

namespace flexsc::detail {

/// The carrier's side of the pages.
///
/// An entry is in exactly one of these states, each a set that only the carrier touches:
///
///     free -> pending -> posted -> done -> free      what workers run
///     free -> direct -> free                          what they may not run
///     posted -> direct                                withdrawn, the group stopped
///
/// pending: filled, its submission bit not set yet. posted: owned by the workers until
/// its completion bit is taken. done: completion bit taken, result not handed out yet.
/// direct: to be made in the carrier by the next reap().
///
/// When the group stops (header.state, or a transport that says so) the channel goes on
/// alone: submission bits that are still set are taken back and become direct, claimed
/// entries complete normally or with -FLEXSC_E_STOPPED, and whatever is posted later is
/// direct. No call is lost and none is made twice: a submission bit is taken by exactly
/// one side, and -FLEXSC_E_STOPPED is returned only for a call that was not begun.
class PagedChannel final : public Channel {
 public:
  /// `queue` is the pool that serves the channel. `policy` must outlive it.
  PagedChannel(std::unique_ptr<Transport> transport, Pages pages, unsigned queue,
               std::shared_ptr<const Policy> policy);
  ~PagedChannel() override;

  [[nodiscard]] bool post(const Call& call, void* token) override;
  [[nodiscard]] Made call_or_post(const Call& call, void* token, long& result) override;
  void submit() override;
  [[nodiscard]] std::size_t reap(std::span<Completion> out) override;
  using Channel::wait;
  void wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) override;
  [[nodiscard]] bool helps() const noexcept override { return helps_; }
  void notify() override;
  [[nodiscard]] std::size_t in_flight() const noexcept override {
    return static_cast<std::size_t>(stats_.posted - stats_.reaped);
  }
  [[nodiscard]] const ChannelStats& stats() const noexcept override { return stats_; }

 private:
  void publish();
  [[nodiscard]] bool help_now(unsigned page, unsigned bit);
  void stop();
  void withdraw();
  void collect();
  [[nodiscard]] bool reapable(bool last_look);
  [[nodiscard]] WaitTerms terms_for(const WaitPolicy& policy, std::chrono::nanoseconds timeout);
  [[nodiscard]] bool enough(const WaitPolicy& policy, unsigned min);
  [[nodiscard]] bool unclaimed();
  [[nodiscard]] Completion finish(unsigned page, unsigned bit);
  [[nodiscard]] Completion run_directly(unsigned page, unsigned bit);
  [[nodiscard]] void* release(unsigned page, unsigned bit);
  void wait_stopped(std::chrono::nanoseconds timeout);

  std::unique_ptr<Transport> transport_;
  Pages pages_;
  unsigned queue_;
  std::shared_ptr<const Policy> policy_;
  ForkGuard fork_;

  EntrySet free_, pending_, posted_, done_, direct_;
  unsigned unpublished_ = 0;  ///< entries in pending_
  bool unrung_ = false;       ///< bits are set that no worker may know of
  bool stopped_ = false;
  const bool helps_;
  ChannelStats stats_;
  std::unique_ptr<void*[]> tokens_;  ///< by entry
  Parker stopped_parker_;            ///< where wait() sleeps after the stop
};

}  // namespace flexsc::detail
