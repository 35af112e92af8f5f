// SPDX-License-Identifier: MIT
#include "direct_engine.hpp"

#include <algorithm>

#include "blocking.hpp"
#include "chain_run.hpp"
#include "flexsc/uapi.h"
#include "fork_guard.hpp"
#include "interrupt.hpp"

namespace flexsc::detail {

std::size_t batch_capacity(const EngineOptions& options) noexcept {
  return std::min<std::size_t>(kBatchCalls,
                               std::size_t{options.pages_per_channel} * FLEXSC_PAGE_ENTRIES);
}

DirectChannel::~DirectChannel() {
  // No memory is at stake here, but a program must not learn it only on another engine.
  if (in_flight() != 0) fatal("a channel was destroyed with calls in flight; reap them all first");
}

void DirectChannel::check(const PostOptions& how) const {
  if (how.pool >= pools_) throw_no_pool();
}

bool DirectChannel::make_room(std::size_t count) {
  if (in_flight() + count > entries_) {
    ++stats_.full;
    return false;
  }
  if (done_.size() == entries_) {  // all places used, some of them reaped
    done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
  }
  return true;
}

bool DirectChannel::post(const Call& call, void* token, const PostOptions& how) {
  check(how);
  if (!make_room(1)) return false;
  ++stats_.posted;
  ++stats_.direct;
  done_.push_back({token, execute_until(call, how.deadline)});
  return true;
}

bool DirectChannel::post_chain(const Chain& chain, std::span<long> results, void* token,
                               const PostOptions& how) {
  check(how);
  check_chain_post(chain, results);
  if (!make_room(chain.size())) return false;
  ++stats_.posted;
  const auto made = [&](const Call& call) {
    ++stats_.direct;
    return execute_until(call, how.deadline);
  };
  run_chain(chain.members(), results, made, [] { return 0L; });
  done_.push_back({token, results[chain.size() - 1]});
  return true;
}

bool DirectChannel::cancel(void* token) {
  return std::any_of(done_.begin() + static_cast<std::ptrdiff_t>(next_), done_.end(),
                     [token](const Completion& each) { return each.token == token; });
}

bool DirectChannel::call_at_once(const Call& call, long& result) {
  if (prospect_of(call) != Prospect::at_once) return false;
  ++stats_.posted;
  ++stats_.reaped;
  ++stats_.direct;
  result = execute(call);
  return true;
}

Channel::Made DirectChannel::call_or_post(const Call& call, void* /*token*/, long& result,
                                          const PostOptions& how) {
  check(how);
  result = execute_until(call, how.deadline);
  ++stats_.posted;
  ++stats_.reaped;
  ++stats_.direct;
  return Made::done;
}

std::size_t DirectChannel::reap(std::span<Completion> out) {
  const std::size_t count = std::min(out.size(), in_flight());
  std::copy_n(done_.begin() + static_cast<std::ptrdiff_t>(next_), count, out.begin());
  next_ += count;
  if (next_ == done_.size()) {
    done_.clear();
    next_ = 0;
  }
  stats_.reaped += count;
  return count;
}

void DirectChannel::wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) {
  // Whatever is in flight is complete.
  if (in_flight() != 0 || policy.kind() == WaitPolicy::Kind::none) return;
  ++stats_.waits;
  parker_.park(timeout, [] { return false; });  // nothing but notify() can come
}

bool DirectBatch::add(const Call& call) {
  if (flushed_) {
    calls_.clear();
    flushed_ = false;
  }
  if (calls_.size() == capacity_) return false;
  calls_.push_back({call, 0});
  return true;
}

std::span<const FlushedCall> DirectBatch::flush() {
  if (flushed_) calls_.clear();
  flushed_ = true;
  for (FlushedCall& each : calls_) {
    each.result = execute(each.call);
    ++crossings_;
  }
  return calls_;
}

std::unique_ptr<Channel> DirectEngine::make_channel() {
  return std::make_unique<DirectChannel>(
      std::size_t{options_.pages_per_channel} * FLEXSC_PAGE_ENTRIES,
      1 + options_.more_pools.size());
}

std::unique_ptr<Batch> DirectEngine::make_batch() {
  return std::make_unique<DirectBatch>(batch_capacity(options_));
}

}  // namespace flexsc::detail
