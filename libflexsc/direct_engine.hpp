// SPDX-License-Identifier: MIT
/// @file
/// The engine that makes every call at once, and the batch of engines that have no
/// crossing to save.
#pragma once

#include <vector>

#include "flexsc/engine.hpp"
#include "parker.hpp"

namespace flexsc::detail {

/// Most calls that a batch can hold.
inline constexpr std::size_t kBatchCalls = 1024;
/// Capacity of a batch of an engine with these options.
[[nodiscard]] std::size_t batch_capacity(const EngineOptions& options) noexcept;

/// Makes each call in post().
class DirectChannel final : public Channel {
 public:
  DirectChannel(std::size_t entries, std::size_t pools) : entries_(entries), pools_(pools) {
    done_.reserve(entries);
  }
  ~DirectChannel() override;

  using Channel::call_or_post;
  using Channel::post;
  using Channel::post_chain;
  [[nodiscard]] bool post(const Call& call, void* token, const PostOptions& how) override;
  [[nodiscard]] bool post_chain(const Chain& chain, std::span<long> results, void* token,
                                const PostOptions& how) override;
  /// Nothing that is in flight is not complete.
  bool cancel(void* token) override;
  std::size_t cancel_descriptor(int /*fd*/) override { return 0; }
  [[nodiscard]] bool call_at_once(const Call& call, long& result) override;
  [[nodiscard]] Made call_or_post(const Call& call, void* token, long& result,
                                  const PostOptions& how) override;
  void submit() override {}
  [[nodiscard]] std::size_t reap(std::span<Completion> out) override;
  using Channel::wait;
  void wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) override;
  void notify() override { parker_.notify(); }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return done_.size() - next_; }
  [[nodiscard]] const ChannelStats& stats() const noexcept override { return stats_; }

 private:
  void check(const PostOptions& how) const;
  [[nodiscard]] bool make_room(std::size_t count);

  std::size_t entries_;
  std::size_t pools_;
  std::vector<Completion> done_;  ///< from next_ on: not reaped; never grows
  std::size_t next_ = 0;
  ChannelStats stats_;
  Parker parker_;
};

/// Makes the calls one by one at the flush.
class DirectBatch final : public Batch {
 public:
  explicit DirectBatch(std::size_t capacity) : capacity_(capacity) { calls_.reserve(capacity); }

  [[nodiscard]] bool add(const Call& call) override;
  [[nodiscard]] std::span<const FlushedCall> flush() override;
  [[nodiscard]] std::size_t size() const noexcept override { return flushed_ ? 0 : calls_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept override { return capacity_; }
  [[nodiscard]] std::uint64_t crossings() const noexcept override { return crossings_; }

 private:
  std::size_t capacity_;
  std::vector<FlushedCall> calls_;
  bool flushed_ = false;  ///< calls_ are the last flush's
  std::uint64_t crossings_ = 0;
};

class DirectEngine final : public Engine {
 public:
  explicit DirectEngine(const EngineOptions& options) : options_(options) {}

  [[nodiscard]] EngineKind kind() const noexcept override { return EngineKind::direct; }
  [[nodiscard]] std::unique_ptr<Channel> make_channel() override;
  [[nodiscard]] std::unique_ptr<Batch> make_batch() override;
  [[nodiscard]] EngineStats stats() const override { return {}; }

 private:
  EngineOptions options_;
};

}  // namespace flexsc::detail
