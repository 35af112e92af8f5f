// SPDX-License-Identifier: MIT
/// @file
/// The fibers that a carrier's own fibers have spawned and that have not started.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace flexsc::detail {

/// First in, first out; one producer, who also consumes, and thieves. Bounded.
///
/// Producer: one thread; push() is wait-free and without a locked instruction. Consumers: any
/// thread; pop() retries only if another one took the element in between. (The single-producer
/// queue of Go's scheduler, runqput and runqget.)
///
/// Order: the producer's release of tail_ publishes the slot; a consumer acquires it, reads the
/// slot, and owns the element if its compare-exchange of head_ succeeds. The producer
/// overwrites a slot only after it has seen (acquire) that head_ has passed it; a consumer that
/// reads such a slot too late fails its compare-exchange, as head_ only ever grows (64 bits).
template <class T, std::size_t N>
class FreshRing {
 public:
  /// By the producer. False when it is full. With `order` seq_cst it is the store half of the
  /// sleeping handshake of carrier.hpp; else release is enough.
  [[nodiscard, gnu::always_inline]] bool push(T& element, std::memory_order order) noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);  // our own
    // acquire: pairs with the release in pop().
    if (tail - head_.load(std::memory_order_acquire) == N) return false;
    slots_[tail % N].store(&element, std::memory_order_relaxed);
    tail_.store(tail + 1, order);
    return true;
  }

  /// The oldest element, or null.
  [[nodiscard]] T* pop() noexcept {
    // acquire: no tail_ from before this head; pairs with the release of the pop() that wrote it.
    std::uint64_t head = head_.load(std::memory_order_acquire);
    while (true) {
      // acquire: the slot and the element; pairs with push().
      if (head == tail_.load(std::memory_order_acquire)) return nullptr;
      T* element = slots_[head % N].load(std::memory_order_relaxed);
      // release: we are done with the slot; acquire: the next look at tail_ comes later.
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        return element;
      }
    }
  }

  /// pop() of a producer that has no thieves: without a locked instruction. relaxed: all of it is
  /// of one thread, and who reads size() concludes nothing from it.
  [[nodiscard]] T* pop_alone() noexcept {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
    T* element = slots_[head % N].load(std::memory_order_relaxed);
    head_.store(head + 1, std::memory_order_relaxed);
    return element;
  }

  /// Old as soon as it is returned, but for the producer, for whom it can only have shrunk.
  /// seq_cst: the load half of the sleeping handshake; pairs with push().
  [[nodiscard]] std::size_t size() const noexcept {
    // head_ first (acquire): the other way round it could have passed the tail that was read.
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    return static_cast<std::size_t>(tail_.load(std::memory_order_seq_cst) - head);
  }

 private:
  alignas(64) std::atomic<std::uint64_t> head_{0};  ///< of the oldest; written by consumers
  alignas(64) std::atomic<std::uint64_t> tail_{0};  ///< of the next; written by the producer
  std::array<std::atomic<T*>, N> slots_{};          ///< relaxed: tail_ and head_ order them
};

}  // namespace flexsc::detail
