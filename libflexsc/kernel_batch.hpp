// SPDX-License-Identifier: MIT
/// @file
/// A batch that the kernel executes in one crossing.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "flexsc/engine.hpp"
#include "fork_guard.hpp"
#include "pages.hpp"
#include "policy.hpp"

namespace flexsc::detail {

/// Call n of the batch is entry n of the pages, on the flush queue. The kernel executes
/// what is posted in ascending order, so posting a run of calls and flushing it keeps
/// their order. Calls that the module refuses are made directly between two runs: those
/// refused by number are known beforehand; one that may be refused for its arguments
/// ends its run, so that nothing overtakes it.
///
/// Needs nothing of its engine once it is made.
class KernelBatch final : public Batch {
 public:
  /// Enters the kernel (FLEXSC_CMD_FLUSH) and returns its result; owns what it needs.
  using Enter = std::function<long()>;

  KernelBatch(Pages pages, std::shared_ptr<const Policy> policy, Enter enter)
      : pages_(pages), policy_(std::move(policy)), enter_(std::move(enter)) {
    calls_.reserve(capacity());
  }

  [[nodiscard]] bool add(const Call& call) override;
  [[nodiscard]] std::span<const FlushedCall> flush() override;
  [[nodiscard]] std::size_t size() const noexcept override { return flushed_ ? 0 : calls_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept override {
    return std::size_t{pages_.count()} * FLEXSC_PAGE_ENTRIES;
  }
  [[nodiscard]] std::uint64_t crossings() const noexcept override { return crossings_; }

 private:
  [[nodiscard]] std::size_t end_of_run(std::size_t from) const noexcept;
  void run(std::size_t from, std::size_t to);
  [[nodiscard]] bool posted_remains() const;
  void make_directly(FlushedCall& call);

  Pages pages_;
  std::shared_ptr<const Policy> policy_;
  Enter enter_;
  ForkGuard fork_;
  std::vector<FlushedCall> calls_;
  bool flushed_ = false;  ///< calls_ are the last flush's
  bool stopped_ = false;  ///< the module does nothing for us any more
  std::uint64_t crossings_ = 0;
};

}  // namespace flexsc::detail
