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
  explicit DirectChannel(std::size_t entries) : entries_(entries) { done_.reserve(entries); }
  ~DirectChannel() override;

  [[nodiscard]] bool post(const Call& call, void* token) override;
  [[nodiscard]] Made call_or_post(const Call& call, void* token, long& result) override;
  void submit() override {}
  [[nodiscard]] std::size_t reap(std::span<Completion> out) override;
  using Channel::wait;
  void wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) override;
  void notify() override { parker_.notify(); }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return done_.size() - next_; }
  [[nodiscard]] const ChannelStats& stats() const noexcept override { return stats_; }

 private:
  std::size_t entries_;
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
