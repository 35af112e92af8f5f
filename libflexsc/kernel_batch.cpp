// SPDX-License-Identifier: MIT
#include "kernel_batch.hpp"

#include <array>
#include <cerrno>

namespace flexsc::detail {

namespace {
constexpr std::size_t kPage = FLEXSC_PAGE_ENTRIES;

unsigned page_of(std::size_t index) noexcept {
  return static_cast<unsigned>(index / kPage);
}
unsigned bit_of(std::size_t index) noexcept {
  return static_cast<unsigned>(index % kPage);
}
}  // namespace

bool KernelBatch::add(const Call& call) {
  fork_.check();
  if (flushed_) {
    calls_.clear();
    flushed_ = false;
  }
  const std::size_t index = calls_.size();
  if (index == capacity()) return false;
  fill(pages_.entry(page_of(index), bit_of(index)), call);
  calls_.push_back({call, 0});
  return true;
}

std::span<const FlushedCall> KernelBatch::flush() {
  fork_.check();
  if (flushed_) calls_.clear();
  flushed_ = true;
  for (std::size_t from = 0; from < calls_.size();) {
    if (stopped_ || policy_->class_of(calls_[from].call) == FLEXSC_CLASS_REFUSED) {
      make_directly(calls_[from++]);
      continue;
    }
    const std::size_t to = end_of_run(from);
    run(from, to);
    from = to;
  }
  return calls_;
}

/// Calls [from, result) can be posted together.
std::size_t KernelBatch::end_of_run(std::size_t from) const noexcept {
  for (std::size_t at = from; at < calls_.size(); ++at) {
    const std::uint8_t kind = policy_->class_of(calls_[at].call);
    if (kind == FLEXSC_CLASS_REFUSED) return at;
    if (kind == FLEXSC_CLASS_ARGS) return at + 1;
  }
  return calls_.size();
}

/// Has calls [from, to) executed by the module, and those that it leaves directly.
void KernelBatch::run(std::size_t from, std::size_t to) {
  for (std::size_t at = from; at < to; ++at) {
    post_bits(pages_.submission(FLEXSC_QUEUE_FLUSH, page_of(at)), Word{1} << bit_of(at));
  }
  // The kernel stops after a call that a signal interrupted, so that handlers can run.
  do {
    ++crossings_;
    const long result = enter_();
    stopped_ = result == 0 || (result < 0 && result != -EINTR);
  } while (!stopped_ && posted_remains());

  // Only this thread executes the flush queue: what is not completed is still posted, and
  // what is taken back here comes after all that was executed.
  std::array<Word, FLEXSC_MAX_PAGES> completed{};
  for (unsigned page = page_of(from); page <= page_of(to - 1); ++page) {
    if (stopped_) withdraw_bits(pages_.submission(FLEXSC_QUEUE_FLUSH, page));
    completed[page] = take_completed(pages_.completion(page));
  }
  for (std::size_t at = from; at < to; ++at) {
    const bool done = (completed[page_of(at)] >> bit_of(at) & 1) != 0;
    calls_[at].result = static_cast<long>(pages_.entry(page_of(at), bit_of(at)).result);
    if (!done || not_made(calls_[at].result)) make_directly(calls_[at]);
  }
}

bool KernelBatch::posted_remains() const {
  for (unsigned page = 0; page < pages_.count(); ++page) {
    if (peek(pages_.submission(FLEXSC_QUEUE_FLUSH, page)) != 0) return true;
  }
  return false;
}

void KernelBatch::make_directly(FlushedCall& call) {
  ++crossings_;
  call.result = execute(call.call);
}

}  // namespace flexsc::detail
