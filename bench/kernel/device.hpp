// SPDX-License-Identifier: MIT
/// @file
/// Groups and clients for measurements, straight on uapi.h: what is measured is the kernel service,
/// not a library on top of it. Whatever does not work throws std::runtime_error.
#pragma once

#include <flexsc/uapi.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "enter.hpp"

namespace flexsc::bench {

/// Throws std::runtime_error with what failed and why. Does not return.
[[noreturn]] void fail(const std::string& what, long error);
/// The result, which is not an error. @throws std::runtime_error
long checked(long result, const char* what);

/// A tmpfs.
inline constexpr const char* kFolder = "/dev/shm";

/// Owns a file descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// What a pool is made with. Workers never poll unless spin_us says so.
struct PoolOptions {
  unsigned concurrency = 1;
  unsigned spin_us = 0;
  unsigned standby_max = 0;  ///< 0: as many as the module allows
  std::vector<int> cpus{};   ///< empty: those of the caller
};

class Group {
 public:
  /// Opens the device. Throws if the module lacks one of `features` (FLEXSC_FEATURE_*).
  explicit Group(__u64 features = 0);
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Returns the pool's number.
  unsigned create_pool(const PoolOptions& options) const;
  [[nodiscard]] flexsc_stats stats() const;

 private:
  Fd fd_;
};

/// One mapped region. Entries of all pages are one array: entry(64) is the first of page 1.
class Client {
 public:
  Client(const Group& group, unsigned pages);
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;
  ~Client();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] unsigned entries() const { return pages_ * FLEXSC_PAGE_ENTRIES; }
  [[nodiscard]] flexsc_entry* entry(unsigned number) const { return first_ + number; }
  [[nodiscard]] flexsc_client_header& header() const { return *header_; }

  /// Posts the entries first .. first + count - 1, without a doorbell.
  void post(unsigned queue, unsigned first, unsigned count) const;
  /// Whether the poster has to ring, after posting.
  [[nodiscard]] bool wants_doorbell(unsigned pool) const;
  /// post(), and FLEXSC_CMD_DOORBELL if the module asks for it.
  void submit(unsigned pool, unsigned first, unsigned count) const;
  /// Takes the completion bits of these entries away. False: not all of them were set.
  [[nodiscard]] bool take(unsigned first, unsigned count) const;
  /// How many completion bits of these entries are set.
  [[nodiscard]] unsigned completed(unsigned first, unsigned count) const;

 private:
  Fd fd_;
  unsigned pages_;
  flexsc_client_header* header_ = nullptr;
  flexsc_entry* first_ = nullptr;
};

/// Calls f for each of them: eight at a time, as long as there are so many.
template <class Entry, class F>
[[gnu::always_inline]] inline void for_entries(Entry* entry, unsigned count, F f) {
  for (; count >= 8; count -= 8, entry += 8) {
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; ++i) f(entry[i]);
  }
  for (; count != 0; --count, ++entry) f(*entry);
}

/// Fills entries with one and the same call: what a program has to write, and nothing else.
template <__u32 Nr, class... A>
[[gnu::always_inline]] inline void fill(flexsc_entry* entry, unsigned count, A... args) {
  static_assert(sizeof...(A) <= 6);
  for_entries(entry, count, [&](flexsc_entry& e) {
    constexpr __u64 kHead = Nr;  // nr, and neither flags nor from, in one store
    std::memcpy(&e, &kHead, sizeof kHead);
    unsigned i = 0;
    ((e.args[i++] = args), ...);
  });
}

/// Sum of the results, all of which are read.
[[gnu::always_inline]] inline long sum_results(const flexsc_entry* entry, unsigned count) {
  long sum = 0;
  for_entries(entry, count, [&](const flexsc_entry& e) { sum += static_cast<long>(e.result); });
  return sum;
}

/// Calls f(page, bits) for each page that holds some of the entries first .. first + count - 1,
/// which are at least one.
template <class F>
[[gnu::always_inline]] inline void for_pages(unsigned first, unsigned count, F f) {
  if (first == 0 && count <= FLEXSC_PAGE_ENTRIES) {
    f(0U, ~__u64{0} >> (FLEXSC_PAGE_ENTRIES - count));
    return;
  }
  for (const unsigned end = first + count; first != end;) {
    const unsigned bit = first % FLEXSC_PAGE_ENTRIES;
    const unsigned here =
        end - first < FLEXSC_PAGE_ENTRIES - bit ? end - first : FLEXSC_PAGE_ENTRIES - bit;
    f(first / FLEXSC_PAGE_ENTRIES, (~__u64{0} >> (FLEXSC_PAGE_ENTRIES - here)) << bit);
    first += here;
  }
}

inline void Client::post(unsigned queue, unsigned first, unsigned count) const {
  for_pages(first, count, [&](unsigned page, __u64 bits) {
    // Release: the entries before the bits; pairs with the xchg() of whoever claims them. And the
    // bits before the look at need_doorbell, see wants_doorbell().
    std::atomic_ref(header_->submission[queue].page[page])
        .fetch_or(bits, std::memory_order_seq_cst);
  });
}

inline bool Client::wants_doorbell(unsigned pool) const {
  // After post(), with which it pairs with the barrier between a worker's setting of need_doorbell
  // and its last look at the submission words: either it sees the bits, or we see that it wants to
  // be woken. (All four are sequentially consistent instead of fenced: no cost on x86-64.)
  return std::atomic_ref(header_->need_doorbell[pool].value).load(std::memory_order_seq_cst) != 0;
}

inline bool Client::take(unsigned first, unsigned count) const {
  __u64 missing = 0;
  for_pages(first, count, [&](unsigned page, __u64 bits) {
    // Acquire: the bits before the results. Pairs with the release of whoever completed them. They
    // stay set until we take them away.
    std::atomic_ref word(header_->completion.page[page]);
    missing |= bits & ~word.load(std::memory_order_acquire);
    word.fetch_and(~bits, std::memory_order_relaxed);
  });
  return missing == 0;
}

}  // namespace flexsc::bench
