// SPDX-License-Identifier: MIT
/// @file
/// The other side of the pages, played step by step by a test in its own thread.
#pragma once

#include <bit>
#include <utility>
#include <vector>

#include "pages.hpp"
#include "policy.hpp"
#include "support.hpp"
#include "transport.hpp"

namespace flexsc::test {

/// Pages, and what a worker would do with them.
struct FakeWorkers {
  explicit FakeWorkers(unsigned count)
      : mapping(detail::Mapping::anonymous(detail::Pages::bytes(count))),
        pages(mapping.address(), count) {}

  /// Takes the posted bits of a page.
  detail::Word claim(unsigned page, unsigned queue = 0) {
    return detail::claim_bits(pages.submission(queue, page));
  }
  void hand_back(unsigned page, detail::Word bits, unsigned queue = 0) {
    detail::return_bits(pages.submission(queue, page), bits);
  }
  /// Completes one claimed entry without making the call.
  void complete(unsigned page, unsigned bit, long result) {
    pages.entry(page, bit).result = result;
    detail::complete_bits(pages.completion(page), detail::Word{1} << bit);
  }
  /// Makes and completes all claimed entries, in ascending order.
  void execute_all(unsigned page, detail::Word bits) {
    for (; bits != 0; bits &= bits - 1) {
      const auto bit = static_cast<unsigned>(std::countr_zero(bits));
      complete(page, bit, execute(detail::call_in(pages.entry(page, bit))));
    }
  }
  void set_state(__u32 state) { std::atomic_ref(pages.state()).store(state); }

  detail::Mapping mapping;
  detail::Pages pages;
  bool alive = true;  ///< what the transport answers
  unsigned doorbells = 0;
  unsigned waits = 0;
  std::vector<std::pair<unsigned, unsigned>> cancelled;  ///< pages and bits
  unsigned cancels_over = 0;
  std::function<void()> on_doorbell = [] {};
  std::function<void()> on_wait = [] {};
};

class FakeTransport final : public detail::Transport {
 public:
  explicit FakeTransport(FakeWorkers& workers) : workers_(workers) {}
  bool doorbell(unsigned /*pool*/) override {
    ++workers_.doorbells;
    workers_.on_doorbell();
    return workers_.alive;
  }
  bool wait(const detail::WaitTerms& /*terms*/) override {
    ++workers_.waits;
    workers_.on_wait();
    return workers_.alive;
  }
  void notify() override {}
  void cancel(unsigned page, unsigned bit) override { workers_.cancelled.emplace_back(page, bit); }
  void cancel_is_over(unsigned /*page*/, unsigned /*bit*/) override { ++workers_.cancels_over; }

 private:
  FakeWorkers& workers_;
};

/// Everything may be asked of a worker.
inline std::shared_ptr<detail::Policy> open_policy() {
  auto policy = std::make_shared<detail::Policy>();
  policy->classes.fill(FLEXSC_CLASS_WORKER);
  return policy;
}

}  // namespace flexsc::test
