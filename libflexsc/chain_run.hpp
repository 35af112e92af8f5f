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

namespace flexsc::detail {

/// Checks the rules. 0, or the position of the member that breaks one plus 1.
[[nodiscard]] std::size_t chain_fault(std::span<const ChainCall> chain) noexcept;

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

/// Runs a chain: `make(call)` makes a call, `end()` says before each whether the chain is to end
/// there (an error below 0, or 0).
template <class Make, class End>
void run_chain(std::span<const ChainCall> chain, std::span<long> results, Make make, End end) {
  ChainRun run(chain, results);
  while (run.goes_on()) {
    if (const long why = end(); why < 0) {
      run.cut_off(why);
    } else {
      run.made(make(run.next()));
    }
  }
}

}  // namespace flexsc::detail
