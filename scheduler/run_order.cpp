// SPDX-License-Identifier: MIT
#include "flexsc/run_order.hpp"

#include <utility>

#include "fiber_control.hpp"

namespace flexsc {
namespace {

/// The least key first, of equal keys the one pushed first. A pairing heap (Fredman, Sedgewick,
/// Sleator and Tarjan, 1986) of links in the fibers: `child` is the first of those below, `next`
/// the next one below the same.
class HeapOrder final : public RunOrder {
 public:
  using Key = std::int64_t (*)(const Runnable&);
  explicit HeapOrder(Key key) noexcept : key_(key) {}

  void push(Runnable& fiber) noexcept override {
    fiber.links = {nullptr, nullptr, key_(fiber), number_++};
    root_ = merged(root_, &fiber);
    ++size_;
  }

  [[nodiscard]] Runnable* pop() noexcept override {
    Runnable* first = root_;
    if (first == nullptr) return nullptr;
    --size_;
    // In pairs from the left, then the pairs from the right. The pairs are chained backwards.
    Runnable* pairs = nullptr;
    Runnable* rest = first->links.child;
    while (rest != nullptr) {
      Runnable* a = rest;
      Runnable* b = a->links.next;
      rest = b != nullptr ? b->links.next : nullptr;
      Runnable* pair = merged(a, b);
      pair->links.next = std::exchange(pairs, pair);
    }
    root_ = nullptr;
    while (pairs != nullptr) {
      Runnable* pair = pairs;
      pairs = pair->links.next;
      root_ = merged(root_, pair);
    }
    return first;
  }

  [[nodiscard]] std::size_t size() const noexcept override { return size_; }

 private:
  [[nodiscard]] static bool before(const Runnable& a, const Runnable& b) noexcept {
    if (a.links.key != b.links.key) return a.links.key < b.links.key;
    return a.links.number < b.links.number;
  }

  /// Of two heaps, or of one and null. The result has no next one.
  [[nodiscard]] static Runnable* merged(Runnable* a, Runnable* b) noexcept {
    if (a == nullptr) std::swap(a, b);
    if (b != nullptr) {
      if (before(*b, *a)) std::swap(a, b);
      b->links.next = std::exchange(a->links.child, b);
    }
    a->links.next = nullptr;
    return a;
  }

  const Key key_;
  Runnable* root_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t number_ = 0;
};

RunOrders by(HeapOrder::Key key) {
  return [key] { return std::make_unique<HeapOrder>(key); };
}

}  // namespace

std::string_view Runnable::name() const noexcept {
  return static_cast<const detail::FiberControl*>(this)->name;
}

bool Runnable::fresh() const noexcept {
  return static_cast<const detail::FiberControl*>(this)->state == detail::FiberState::fresh;
}

RunOrders round_robin() {
  return nullptr;
}

RunOrders by_priority() {
  return by([](const Runnable& fiber) { return -std::int64_t{fiber.priority()}; });
}

RunOrders by_deadline() {
  return by([](const Runnable& fiber) {
    return std::int64_t{fiber.deadline().time_since_epoch().count()};
  });
}

}  // namespace flexsc
