// SPDX-License-Identifier: MIT
/// @file
/// Chains: calls that are made one after the other without coming back in between (the multi-calls
/// of Rajagopalan et al., System Call Clustering, 2003). Copying a file is one chain:
///
///     flexsc::Chain copy;
///     const auto got = copy.add(SYS_read, in, buffer, size).end_on_zero();
///     copy.add(SYS_write, out, buffer, got.result()).end_on_short().sum();
///     copy.repeat();
///     std::array<long, 2> results;
///     const long copied = flexsc::run_chain(copy, results);
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "flexsc/call.hpp"
#include "flexsc/uapi.h"

namespace flexsc {

/// Where an argument of a call is expected: the result of an earlier member of its chain.
struct ResultOf {
  unsigned position = 0;
};

/// A call of a chain, as flexsc_entry describes it.
struct ChainCall {
  Call call;
  std::uint16_t flags = 0;  ///< FLEXSC_ENTRY_* but _LINK and _DEADLINE
  std::uint16_t from = 0;   ///< bit i: args[i] is a position whose result is passed
};

/// A list of calls and when to end. It ends at a result below 0, after its last call, and where
/// its members say so; with repeat(), it begins anew instead of ending after its last call.
///
/// A value; not thread-safe. What arguments point to must stay valid until the chain completes.
/// All its calls must be such as workers may run, or the whole chain is run by the caller.
class Chain {
 public:
  /// Most members: a chain lies in one system-call page.
  static constexpr std::size_t kMembers = FLEXSC_PAGE_ENTRIES;

  Chain() = default;
  Chain(const Chain&) = default;
  Chain& operator=(const Chain&) = default;
  Chain(Chain&& other) noexcept
      : room_(std::move(other.room_)), size_(std::exchange(other.size_, 0)) {}
  Chain& operator=(Chain&& other) noexcept {
    std::swap(room_, other.room_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Chain() = default;

  /// A member that add() made. Valid while its chain is.
  class Member {
   public:
    /// A result below 0 does not end the chain.
    Member& go_on() { return mark(FLEXSC_ENTRY_GO_ON); }
    /// A result of 0 ends the chain.
    Member& end_on_zero() { return mark(FLEXSC_ENTRY_END_ON_ZERO); }
    /// A result that is not the size that was asked for ends the chain. That is the third argument,
    /// of sendfile the fourth, of splice and copy_file_range the fifth.
    Member& end_on_short() { return mark(FLEXSC_ENTRY_END_ON_SHORT); }
    /// Its result is the sum over all rounds; an error replaces the sum, which begins anew.
    Member& sum() { return mark(FLEXSC_ENTRY_SUM); }
    /// An argument for later members: what this one returned last.
    [[nodiscard]] ResultOf result() const noexcept { return {position_}; }

   private:
    friend class Chain;
    Member(Chain& chain, unsigned position) noexcept : chain_(&chain), position_(position) {}
    Member& mark(unsigned flag) {
      ChainCall& member = chain_->room_[position_];
      member.flags = static_cast<std::uint16_t>(member.flags | flag);
      return *this;
    }

    Chain* chain_;
    unsigned position_;
  };

  /// Appends a call. Arguments are integers, enums, pointers, or the result() of an earlier
  /// member. @throws std::length_error beyond kMembers, std::invalid_argument for the result of
  /// what is not an earlier member.
  template <class... Args>
  Member add(long nr, Args... args) {
    static_assert(sizeof...(Args) <= 6, "a system call has at most six arguments");
    ChainCall& member = append();
    member.call.nr = static_cast<std::uint32_t>(nr);
    unsigned at = 0;
    (set(member, at++, args), ...);
    return checked(member);
  }

  /// Appends a call as it is described. @throws as the other
  Member add(const ChainCall& call) {
    const ChainCall copy = call;  // which may be a member of ours, and move
    ChainCall& member = append();
    member = copy;
    return checked(member);
  }

  /// Appends a condition: the chain ends here with -ESTALE unless two pieces of memory are the same
  /// by then, in those words of 8 bytes that `words` has a bit for (the lowest for the first). So
  /// an answer that was prepared for what a call is expected to find can follow that call. Memory
  /// that cannot be read: -EFAULT where the kernel compares; elsewhere it is a fault of the
  /// program.
  /// @throws std::length_error beyond kMembers
  Member compare(const void* a, const void* b, std::uint64_t words) {
    return add(FLEXSC_NR_COMPARE, a, b, words);
  }

  /// When the last member did not end it, the chain begins again: at most FLEXSC_MAX_ROUNDS
  /// times, then its last result is -ELOOP. Call it when all members are there.
  /// @throws std::logic_error for an empty chain
  Chain& repeat() {
    if (size_ == 0) throw std::logic_error("an empty chain cannot repeat");
    room_[size_ - 1].flags |= FLEXSC_ENTRY_REPEAT;
    return *this;
  }

  [[nodiscard]] std::span<const ChainCall> members() const noexcept {
    return {room_.data(), size_};
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Takes all calls away, and keeps the memory for others.
  void clear() noexcept { size_ = 0; }

 private:
  /// Most chains have few calls: one allocation.
  static constexpr std::size_t kFew = 8;

  ChainCall& append() {
    if (size_ == room_.size()) [[unlikely]]
      grow();
    return room_[size_++] = {};
  }
  [[gnu::noinline]] void grow() {
    if (size_ == kMembers) throw std::length_error("a chain has at most 64 calls");
    // Never more than kMembers, so that this is asked for the next one.
    room_.resize(std::clamp(2 * size_, kFew, kMembers));
  }
  /// The last member, if its arguments are such as may be; else it is taken away again.
  Member checked(const ChainCall& member) {
    const std::size_t position = size_ - 1;
    for (std::size_t at = 0; member.from >> at != 0 && at < member.call.args.size(); ++at) {
      if ((member.from >> at & 1U) != 0 && member.call.args[at] >= position) {
        --size_;
        throw std::invalid_argument("the result of a call that is not earlier in the chain");
      }
    }
    return {*this, static_cast<unsigned>(position)};
  }

  template <class T>
  static void set(ChainCall& member, unsigned at, T value) {
    member.call.args[at] = detail::as_argument(value);
  }
  static void set(ChainCall& member, unsigned at, ResultOf value) {
    member.call.args[at] = value.position;
    member.from = static_cast<std::uint16_t>(member.from | (1U << at));
  }

  std::vector<ChainCall> room_;  // the members, and what is kept for others
  std::size_t size_ = 0;
};

/// Runs a chain in the calling thread, call by call. Returns the result of its last member;
/// `results`, which has a place for each member, gets all of them. Never touches errno.
/// @throws std::system_error (EINVAL) for an empty chain or too few places.
long run_chain_directly(const Chain& chain, std::span<long> results);

}  // namespace flexsc
