// SPDX-License-Identifier: MIT
/// @file
/// A channel over system-call pages, whoever serves them.
#pragma once

#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "entry_set.hpp"
#include "flexsc/chain.hpp"
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
/// direct: to be made in the carrier by the next reap(). The entries of a chain other than its
/// head are in none of the sets; the head stands for them.
///
/// cancel() moves what no worker has yet (pending, direct) to done, with its result; of what is
/// posted it tells the transport.
///
/// Deadlines are the transport's if it keeps them, else the channel's own: it cancels what is late
/// in reap() and wait().
///
/// When the group stops (header.state, or a transport that says so) the channel goes on
/// alone: submission bits that are still set are taken back and become direct, claimed
/// entries complete normally or with -FLEXSC_E_STOPPED, and whatever is posted later is
/// direct. No call is lost and none is made twice: a submission bit is taken by exactly
/// one side, and -FLEXSC_E_STOPPED is returned only for a call that was not begun.
class PagedChannel final : public Channel {
 public:
  /// Served by the pools 0 to `pools` - 1.
  PagedChannel(std::unique_ptr<Transport> transport, Pages pages, unsigned pools,
               std::shared_ptr<const Policy> policy);
  ~PagedChannel() override;

  using Channel::call_or_post;
  using Channel::post;
  using Channel::post_chain;
  using Channel::wait;
  [[nodiscard]] bool post(const Call& call, void* token, const PostOptions& how) override;
  [[nodiscard]] bool post_chain(const Chain& chain, std::span<long> results, void* token,
                                const PostOptions& how) override;
  bool cancel(void* token) override;
  std::size_t cancel_descriptor(int fd) override;
  [[nodiscard]] bool call_at_once(const Call& call, long& result) override;
  [[nodiscard]] Made call_or_post(const Call& call, void* token, long& result,
                                  const PostOptions& how) override;
  [[nodiscard]] Made chain_or_post(const Chain& chain, std::span<long> results, void* token,
                                   long& result, const PostOptions& how) override;
  void submit() override;
  [[nodiscard]] std::size_t reap(std::span<Completion> out) override;
  void wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) override;
  [[nodiscard]] bool helps() const noexcept override { return helps_; }
  [[nodiscard]] bool makes_quick_calls() const noexcept override { return quick_; }
  void notify() override;
  [[nodiscard]] std::size_t in_flight() const noexcept override {
    return static_cast<std::size_t>(stats_.posted - stats_.reaped);
  }
  [[nodiscard]] const ChannelStats& stats() const noexcept override { return stats_; }

 private:
  using Clock = std::chrono::steady_clock;

  /// An entry's place.
  struct Place {
    unsigned page = 0;
    unsigned bit = 0;
    [[nodiscard]] std::size_t index() const noexcept {
      return std::size_t{page} * FLEXSC_PAGE_ENTRIES + bit;
    }
    friend bool operator==(const Place&, const Place&) = default;
    friend bool operator<(const Place& a, const Place& b) noexcept { return a.index() < b.index(); }
  };
  /// A chain in flight.
  struct PostedChain {
    unsigned length = 0;
    long* results = nullptr;
  };

  // Posting and reaping (paged_channel.cpp).
  void post_at(Place place, const Call& call, void* token, const PostOptions& how);
  void show(Place place, unsigned pool);
  void publish();
  [[nodiscard]] bool help_now(Place place);
  [[nodiscard]] bool serves_no_more() noexcept {
    return stopped_ || group_state(pages_.state()) != FLEXSC_STATE_OPEN;
  }
  void stop();
  void withdraw();
  void collect();
  [[nodiscard]] bool first_free(Place& place) noexcept;
  [[nodiscard]] Completion finish(Place place);
  [[nodiscard]] Completion finish_odd(Place place, long result);
  [[nodiscard]] Completion run_directly(Place place);
  [[nodiscard]] void* release(Place place);
  void complete_here(Place place, long result);
  void count_crossings() noexcept;

  // Waiting (paged_wait.cpp).
  [[nodiscard]] bool reapable(bool last_look);
  [[nodiscard]] WaitTerms terms_for(const WaitPolicy& policy, std::chrono::nanoseconds timeout);
  [[nodiscard]] bool enough(const WaitPolicy& policy, unsigned min);
  [[nodiscard]] unsigned outstanding();
  [[nodiscard]] bool unclaimed(unsigned pool);
  void look_for_unclaimed();
  void wait_stopped(std::chrono::nanoseconds timeout);

  // Chains (paged_chain.cpp).
  [[nodiscard]] bool find_room(unsigned length, Place& place);
  [[nodiscard]] Completion finish_chain(Place head);
  [[nodiscard]] Completion release_chain(Place head);
  [[nodiscard]] Completion run_chain_directly(Place head);
  [[nodiscard]] bool post_at_head(Place& head, const Chain& chain, std::span<long> results,
                                  void* token, const PostOptions& how);
  [[nodiscard]] static bool worker_may_run(const Policy& policy, const ChainCall& member);

  // Cancelling and deadlines (paged_cancel.cpp).
  void set_deadline(Place place, flexsc_entry& entry, Clock::time_point deadline);
  [[nodiscard]] Clock::time_point deadline_of(Place place) const;
  void cancel_at(Place place);
  [[nodiscard]] bool works_on(Place place, int fd);
  void expire();
  [[nodiscard]] long end_of(Place place, long result);
  template <class Visit>
  bool any_in_flight(Visit visit);

  std::unique_ptr<Transport> transport_;
  Pages pages_;
  std::shared_ptr<const Policy> policy_;
  ForkGuard fork_;

  EntrySet free_, posted_, done_, direct_;
  std::vector<EntrySet> pending_;  ///< by pool
  unsigned unpublished_ = 0;       ///< entries in pending_
  unsigned used_pages_ = 0;        ///< as the header says
  unsigned unrung_ = 0;            ///< pools: bits are set that no worker may know of
  bool stopped_ = false;
  const bool helps_;
  const bool quick_;  ///< transport_->makes_quick_calls()
  ChannelStats stats_;
  std::unique_ptr<void*[]> tokens_;  ///< by entry
  Parker stopped_parker_;            ///< where wait() sleeps after the stop

  /// Those whose end needs more than a look at the result: they are, or were, in one of the sets
  /// below. Others, nearly all, are not asked about each of these.
  EntrySet odd_;
  EntrySet chains_;                         ///< heads of chains in flight
  std::vector<PostedChain> posted_chains_;  ///< by head; empty until the first chain
  unsigned chain_page_ = 0;                 ///< where the last chain found room
  EntrySet cancelled_;                      ///< posted, and the transport was told to cancel them
  EntrySet late_;                           ///< cancelled for their deadline
  EntrySet limited_;                        ///< with a deadline, which is in limits_
  std::vector<Clock::time_point> limits_;   ///< by entry; empty until the first deadline
  std::set<std::pair<Clock::time_point, Place>> deadlines_;  ///< that the channel keeps itself
};

}  // namespace flexsc::detail
