// SPDX-License-Identifier: MIT
#include "direct_engine.hpp"

#include <algorithm>

#include "flexsc/uapi.h"
#include "fork_guard.hpp"

namespace flexsc::detail {

std::size_t batch_capacity(const EngineOptions& options) noexcept {
  return std::min<std::size_t>(kBatchCalls,
                               std::size_t{options.pages_per_channel} * FLEXSC_PAGE_ENTRIES);
}

DirectChannel::~DirectChannel() {
  // No memory is at stake here, but a program must not learn it only on another engine.
  if (in_flight() != 0) fatal("a channel was destroyed with calls in flight; reap them all first");
}

bool DirectChannel::post(const Call& call, void* token) {
  if (in_flight() == entries_) {
    ++stats_.full;
    return false;
  }
  if (done_.size() == entries_) {  // all places used, some of them reaped
    done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
  }
  ++stats_.posted;
  ++stats_.direct;
  done_.push_back({token, execute(call)});
  return true;
}

Channel::Made DirectChannel::call_or_post(const Call& call, void* /*token*/, long& result) {
  ++stats_.posted;
  ++stats_.reaped;
  ++stats_.direct;
  result = execute(call);
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
  return std::make_unique<DirectChannel>(std::size_t{options_.pages_per_channel} *
                                         FLEXSC_PAGE_ENTRIES);
}

std::unique_ptr<Batch> DirectEngine::make_batch() {
  return std::make_unique<DirectBatch>(batch_capacity(options_));
}

}  // namespace flexsc::detail
