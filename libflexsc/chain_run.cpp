// SPDX-License-Identifier: MIT
#include "chain_run.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <system_error>

namespace flexsc::detail {

namespace {
constexpr unsigned kFlags = FLEXSC_ENTRY_REPEAT | FLEXSC_ENTRY_GO_ON | FLEXSC_ENTRY_END_ON_ZERO |
                            FLEXSC_ENTRY_END_ON_SHORT | FLEXSC_ENTRY_SUM;

bool breaks_a_rule(const ChainCall& member, std::size_t position, bool last) noexcept {
  if ((member.flags & ~kFlags) != 0 || member.from >> member.call.args.size() != 0) return true;
  if ((member.flags & FLEXSC_ENTRY_REPEAT) != 0 && !last) return true;
  if (member.from == 0) return false;
  for (std::size_t i = 0; i < member.call.args.size(); ++i) {
    if ((member.from >> i & 1) != 0 && member.call.args[i] >= position) return true;
  }
  return false;
}
}  // namespace

void check_chain_post(const Chain& chain, std::span<const long> results) {
  if (chain.size() == 0) {
    throw std::system_error(EINVAL, std::generic_category(), "posting a chain without calls");
  }
  if (results.size() < chain.size()) {
    throw std::system_error(EINVAL, std::generic_category(),
                            "posting a chain without a place for each result");
  }
}

void throw_no_pool() {
  throw std::system_error(EINVAL, std::generic_category(),
                          "posting a call to a pool that the engine does not have");
}

std::size_t chain_fault(std::span<const ChainCall> chain) noexcept {
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (breaks_a_rule(chain[i], i, i + 1 == chain.size())) return i + 1;
  }
  return 0;
}

ChainRun::ChainRun(std::span<const ChainCall> chain, std::span<long> results) noexcept
    : chain_(chain), results_(results), goes_on_(!chain.empty()) {
  std::fill_n(results_.begin(), chain_.size(), -ECANCELED);
  if (const std::size_t fault = chain_fault(chain_); fault != 0) {
    results_[fault - 1] = -EINVAL;
    goes_on_ = false;
  }
}

const Call& ChainRun::next() noexcept {
  const ChainCall& member = chain_[position_];
  bound_ = member.call;
  for (std::size_t i = 0; i < bound_.args.size(); ++i) {
    // Below position_, as chain_fault() has seen.
    if ((member.from >> i & 1) != 0) {
      bound_.args[i] = static_cast<std::uint64_t>(last_[member.call.args[i]]);
    }
  }
  return bound_;
}

namespace {

/// How many bytes a call is asked for, if it is asked for some.
long size_asked(const Call& call) noexcept {
  switch (call.nr) {
    case SYS_sendfile:
      return static_cast<long>(call.args[3]);
    case SYS_splice:
    case SYS_copy_file_range:
      return static_cast<long>(call.args[4]);
    default:
      return static_cast<long>(call.args[2]);
  }
}

}  // namespace

bool ChainRun::ends(const ChainCall& member, long result) const noexcept {
  if (result < 0) return (member.flags & FLEXSC_ENTRY_GO_ON) == 0;
  if (result == 0 && (member.flags & FLEXSC_ENTRY_END_ON_ZERO) != 0) return true;
  return (member.flags & FLEXSC_ENTRY_END_ON_SHORT) != 0 && result != size_asked(bound_);
}

void ChainRun::made(long result) noexcept {
  const ChainCall& member = chain_[position_];
  last_[position_] = result;
  const bool sums = (member.flags & FLEXSC_ENTRY_SUM) != 0 && ran_[position_];
  // An error replaces the sum, and is no part of the next one.
  if (sums && result >= 0 && results_[position_] >= 0) {
    results_[position_] += result;
  } else {
    results_[position_] = result;
  }
  ran_[position_] = true;
  if (ends(member, result)) {
    goes_on_ = false;
  } else if (++position_ == chain_.size()) {
    goes_on_ = (member.flags & FLEXSC_ENTRY_REPEAT) != 0;
    position_ = 0;
    if (goes_on_ && ++rounds_ >= FLEXSC_MAX_ROUNDS) {
      position_ = chain_.size() - 1;
      cut_off(-ELOOP);
    }
  }
}

long compare(const Call& call) noexcept {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  // NOLINTBEGIN(performance-no-int-to-ptr)
  const auto* a = reinterpret_cast<const char*>(call.args[0]);
  const auto* b = reinterpret_cast<const char*>(call.args[1]);
  // NOLINTEND(performance-no-int-to-ptr)
  for (std::uint64_t words = call.args[2]; words != 0; words &= words - 1) {
    const std::size_t at = kWord * static_cast<std::size_t>(std::countr_zero(words));
    if (std::memcmp(a + at, b + at, kWord) != 0) return -ESTALE;
  }
  return 0;
}

void ChainRun::cut_off(long why) noexcept {
  results_[position_] = why;
  goes_on_ = false;
}

}  // namespace flexsc::detail

namespace flexsc {

long run_chain_directly(const Chain& chain, std::span<long> results) {
  detail::check_chain_post(chain, results);
  detail::run_chain(
      chain.members(), results, [](const Call& call) { return execute(call); }, [] { return 0L; });
  return results[chain.size() - 1];
}

}  // namespace flexsc
