// SPDX-License-Identifier: MIT
/// @file
/// The interpreter of chains, for all engines whose calls are made in user space. What it does
/// is what kmod/chain.c does, and flexsc/uapi.h says at struct flexsc_entry.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <span>

#include "flexsc/chain.hpp"
#include "pages.hpp"

namespace flexsc::detail {

/// For post_chain(). @throws std::system_error (EINVAL) for an empty chain or too few places.
void check_chain_post(const Chain& chain, std::span<const long> results);
/// @throws std::system_error (EINVAL)
[[noreturn]] void throw_no_pool();

/// Checks the rules. 0, or the position of the member that breaks one plus 1.
[[nodiscard]] std::size_t chain_fault(std::span<const ChainCall> chain) noexcept;

/// The member of a chain that an entry holds.
inline ChainCall chain_call_in(const flexsc_entry& entry) noexcept {
  constexpr unsigned outer = FLEXSC_ENTRY_LINK | FLEXSC_ENTRY_DEADLINE;
  return {call_in(entry), static_cast<std::uint16_t>(entry.flags & ~outer), entry.from};
}

/// A chain that runs.
class ChainRun {
 public:
  /// `results` has a place for each member and gets, at any time, what the chain has come to.
  ChainRun(std::span<const ChainCall> chain, std::span<long> results) noexcept;

  /// Whether there is another call to make.
  [[nodiscard]] bool goes_on() const noexcept { return goes_on_; }
  /// That call, with the results it takes bound.
  [[nodiscard]] const Call& next() noexcept;
  /// It was made and returned this.
  void made(long result) noexcept;
  /// It is not made, for this reason.
  void cut_off(long why) noexcept;

 private:
  [[nodiscard]] bool ends(const ChainCall& member, long result) const noexcept;

  std::span<const ChainCall> chain_;
  std::span<long> results_;
  std::array<long, Chain::kMembers> last_{};
  std::array<bool, Chain::kMembers> ran_{};
  Call bound_;
  std::size_t position_ = 0;
  unsigned rounds_ = 0;
  bool goes_on_;
};

/// What FLEXSC_NR_COMPARE does.
[[nodiscard]] long compare(const Call& call) noexcept;

/// Runs a chain: `make(call)` makes a call, `end()` says before each whether the chain is to end
/// there (an error below 0, or 0).
template <class Make, class End>
void run_chain(std::span<const ChainCall> chain, std::span<long> results, Make make, End end) {
  ChainRun run(chain, results);
  while (run.goes_on()) {
    if (const long why = end(); why < 0) {
      run.cut_off(why);
    } else {
      const Call& call = run.next();
      run.made(call.nr == FLEXSC_NR_COMPARE ? compare(call) : make(call));
    }
  }
}

}  // namespace flexsc::detail
