// SPDX-License-Identifier: MIT
/// @file
/// Every atomic access to a word that two sides share: the bit words, the doorbell flag
/// and the state of the shared pages. The other side is the kernel module or our own
/// worker threads; what is said of "the worker" holds for both.
///
/// The words carry all the order there is; entries are plain memory. The bit words are changed by
/// read-modify-writes alone. So one that acquires has to do with all that have released before it,
/// whoever changed the word in between: with every post whose bits it takes, not just the last.
///
/// The two sleeping handshakes (store, full barrier, load, on both sides) are written
/// with sequentially consistent operations instead of fences: of two threads that each
/// write their own word and then read the other's, all four accesses being seq_cst, at
/// least one sees the other's write, because the four have one total order that agrees
/// with each thread's. On x86-64 this costs nothing over a fence: the read-modify-write
/// is the barrier. It is also what ThreadSanitizer understands.
#pragma once

#include <atomic>

#include "flexsc/uapi.h"

namespace flexsc::detail {

/// A bit word of the pages: bit n stands for entry n.
using Word = __u64;

/// Poster: makes filled entries visible. Orders the entries' fields before the bits
/// (release; pairs with claim_bits()), and the bits before the look at need_doorbell
/// that follows (seq_cst; pairs with set_doorbell() and peek_before_sleep()).
inline void post_bits(Word& submission, Word bits) noexcept {
  std::atomic_ref(submission).fetch_or(bits, std::memory_order_seq_cst);
}

/// Worker: takes what is posted. Acquire pairs with post_bits() and return_bits(): the
/// fields of the claimed entries can be read after it.
inline Word claim_bits(Word& submission) noexcept {
  return std::atomic_ref(submission).exchange(0, std::memory_order_acquire);
}

/// Worker: gives back claimed entries that it has not begun. Release pairs with the
/// claim_bits() of the next worker: it hands on what our own claim acquired.
inline void return_bits(Word& submission, Word bits) noexcept {
  std::atomic_ref(submission).fetch_or(bits, std::memory_order_release);
}

/// Poster, when the workers have stopped: takes back what none of them claimed. A bit
/// goes to exactly one side, because both take with an exchange. Acquire pairs with
/// return_bits(), in the kernel flexsc_put_back(); nothing else was written since our own
/// post_bits().
inline Word withdraw_bits(Word& submission) noexcept {
  return std::atomic_ref(submission).exchange(0, std::memory_order_acquire);
}

/// Canceller: takes these bits back, as far as no worker has claimed them; returns those. A bit
/// goes to exactly one side, because both take with a read-modify-write. Acquire as in
/// withdraw_bits(): whoever had claimed the entry and returned it does not touch it any more.
inline Word take_back_bits(Word& submission, Word bits) noexcept {
  return std::atomic_ref(submission).fetch_and(~bits, std::memory_order_acquire) & bits;
}

/// Worker: completes an entry. Orders the result before the bit (release; pairs with
/// take_completed()), and the bit before the look whether the carrier sleeps (seq_cst;
/// pairs with Parker's announcement and peek_before_sleep()).
inline void complete_bits(Word& completion, Word bits) noexcept {
  std::atomic_ref(completion).fetch_or(bits, std::memory_order_seq_cst);
}

/// A look that decides only whether to look properly, or counts: orders nothing.
inline Word peek(Word& word) noexcept {
  return std::atomic_ref(word).load(std::memory_order_relaxed);
}

/// The last look before sleeping, after announcing the sleep: seq_cst, pairs with
/// post_bits() (a worker goes to sleep) and complete_bits() (a carrier does).
inline Word peek_before_sleep(Word& word) noexcept {
  return std::atomic_ref(word).load(std::memory_order_seq_cst);
}

/// Poster: takes completed entries. Looks first, so that an empty word costs no write
/// to a line that the worker writes too. Acquire pairs with complete_bits(): results
/// are read after it.
inline Word take_completed(Word& completion) noexcept {
  if (peek(completion) == 0) return 0;
  return std::atomic_ref(completion).exchange(0, std::memory_order_acquire);
}

/// Worker: says whether posters must ring. seq_cst: orders this before the worker's
/// last look at the submission words; pairs with post_bits() and doorbell_needed().
inline void set_doorbell(__u32& need_doorbell, bool needed) noexcept {
  std::atomic_ref(need_doorbell).store(needed ? 1 : 0, std::memory_order_seq_cst);
}

/// Poster: whether no worker looks. seq_cst, after post_bits(); pairs with set_doorbell()
/// or, in the kernel, with the full barrier between writing this word and the last look.
inline bool doorbell_needed(__u32& need_doorbell) noexcept {
  return std::atomic_ref(need_doorbell).load(std::memory_order_seq_cst) != 0;
}

/// Poster: it uses so many pages from now on. Relaxed: the post_bits() that follows is what orders
/// it. A worker that does not see it yet misses the bit too, as one that looked a little earlier;
/// the last look before it sleeps is at all pages.
inline void set_used_pages(__u32& used_pages, __u32 count) noexcept {
  std::atomic_ref(used_pages).store(count, std::memory_order_relaxed);
}

/// Worker: how many of `count` pages there is something to see in. Relaxed, see set_used_pages().
inline __u32 used_of(__u32& used_pages, __u32 count) noexcept {
  const __u32 used = std::atomic_ref(used_pages).load(std::memory_order_relaxed);
  return used == 0 || used > count ? count : used;
}

/// The group's state, which the kernel writes once (flexsc_group_stop()) and our own workers never.
/// Relaxed: it only says that withdrawing has become sensible, and withdrawing is right at any
/// time. Who sleeps in a wait is woken after it was written.
inline __u32 group_state(__u32& state) noexcept {
  return std::atomic_ref(state).load(std::memory_order_relaxed);
}

}  // namespace flexsc::detail
