// SPDX-License-Identifier: MIT
/// @file
/// The two containers of the scheduler. Elements carry their links, so neither allocates.
/// Each queue has a link of its own: an element cannot be put on a queue by the link of
/// another, that does not compile.
#pragma once

#include <atomic>
#include <cstddef>

#include "expect.hpp"

namespace flexsc::detail {

/// First in, first out. Not synchronised.
template <class T, T* T::*Next>
class Fifo {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  void push(T& element) noexcept {
    FLEXSC_EXPECT(element.*Next == nullptr && tail_ != &element);
    (tail_ != nullptr ? tail_->*Next : head_) = &element;
    tail_ = &element;
    ++size_;
  }

  /// The oldest element; there must be one.
  [[nodiscard]] T& front() const noexcept { return *head_; }

  /// Takes the oldest element, or null.
  [[nodiscard]] T* pop() noexcept {
    T* element = head_;
    if (element == nullptr) return nullptr;
    head_ = element->*Next;
    if (head_ == nullptr) tail_ = nullptr;
    element->*Next = nullptr;
    --size_;
    return element;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
  std::size_t size_ = 0;
};

/// Many producers, one consumer that takes everything at once.
///
/// Producers: any thread. push() is lock-free: it retries only if another push or the
/// consumer's exchange came in between. Consumer: one thread; take_all() is wait-free.
///
/// No ABA: elements leave only through the consumer's exchange of the whole chain, never
/// singly, so a producer's compare-exchange that succeeds has linked its element before
/// exactly the chain that is there, whatever happened to the head in between.
///
/// Lifetime: from the moment push() has succeeded the element belongs to the consumer and
/// the producer must not touch it. The consumer may free it: no producer reads a link of
/// an element that it did not push itself.
///
/// An empty() of false may be stale the moment it is returned; an empty() of true means
/// only that no push was ordered before it. Callers that sleep on it need the handshake
/// described in carrier.hpp, for which push() and empty() are sequentially consistent.
template <class T, T* T::*Next>
class MpscStack {
 public:
  void push(T& element) noexcept {
    FLEXSC_EXPECT(element.*Next == nullptr);
    T* head = head_.load(std::memory_order_relaxed);  // the exchange below checks it
    do {
      element.*Next = head;
      // seq_cst: release of the element and its link, pairs with the acquire in
      // take_all(); and the store half of the sleeping handshake of carrier.hpp.
    } while (!head_.compare_exchange_weak(head, &element, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
  }

  /// seq_cst: the load half of the sleeping handshake; pairs with push().
  [[nodiscard]] bool empty() const noexcept {
    return head_.load(std::memory_order_seq_cst) == nullptr;
  }

  /// The same as an estimate, for the consumer's thread.
  [[nodiscard]] bool seems_empty() const noexcept {
    return head_.load(std::memory_order_relaxed) == nullptr;
  }

  /// Hands every element to `consume`, oldest first.
  template <class Consume>
  void take_all(Consume consume) noexcept {
    // Relaxed look first: an empty inbox costs a read of a line that nobody writes.
    if (head_.load(std::memory_order_relaxed) == nullptr) return;
    // acquire: pairs with the release in push().
    T* newest = head_.exchange(nullptr, std::memory_order_acquire);
    T* oldest = nullptr;
    while (newest != nullptr) {
      T* older = newest->*Next;
      newest->*Next = oldest;
      oldest = newest;
      newest = older;
    }
    while (oldest != nullptr) {
      T* next = oldest->*Next;
      oldest->*Next = nullptr;
      consume(*oldest);
      oldest = next;
    }
  }

 private:
  std::atomic<T*> head_{nullptr};  ///< the newest; written by producers and by the consumer
};

}  // namespace flexsc::detail
