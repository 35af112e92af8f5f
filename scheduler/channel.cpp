// SPDX-License-Identifier: MIT
#include "flexsc/channel.hpp"

#include <algorithm>
#include <functional>
#include <new>

#include "waiter.hpp"

namespace flexsc::detail {
namespace {

static_assert(sizeof(WaitNode) <= sizeof(SelectSlot::node) && alignof(WaitNode) <= 8);

WaitNode& node_of(SelectSlot& slot) noexcept {
  return *std::launder(reinterpret_cast<WaitNode*>(slot.node.data()));
}

/// The waiting case of another. Its wait was claimed, so its caller does not go on before it
/// is woken, and what the slot points to may be written.
SelectSlot& slot_of(const WaitNode& node) noexcept {
  return *static_cast<SelectSlot*>(node.payload);
}

void finish(const WaitNode& node, ChannelStatus status) noexcept {
  SelectSlot& slot = slot_of(node);
  slot.status = status;
  *slot.chosen = &slot;
}

/// Which of several cases that can be done comes first: another one each time.
std::size_t turn() noexcept {
  static thread_local std::size_t next = 0;
  return next++;
}

/// Holds the guards of all channels of a select. `order` is sorted by them.
class AllGuards {
 public:
  explicit AllGuards(std::span<std::mutex*> guards) noexcept : guards_(guards) {
    for (std::mutex* guard : guards_) guard->lock();
  }
  AllGuards(const AllGuards&) = delete;
  AllGuards& operator=(const AllGuards&) = delete;
  ~AllGuards() {
    for (std::mutex* guard : guards_) guard->unlock();
  }

 private:
  std::span<std::mutex*> guards_;
};

}  // namespace

bool ChannelCore::send(SelectSlot& slot, WaitNode*& partner) noexcept {
  slot.status = ChannelStatus::done;
  if (closed_) {
    slot.status = ChannelStatus::closed;
    return true;
  }
  partner = receivers_.pop();
  if (partner != nullptr) {  // then the buffer is empty
    hand(slot.wish.value, slot_of(*partner).wish.value);
    finish(*partner, ChannelStatus::done);
    return true;
  }
  if (size_ == capacity_) return false;
  put(slot.wish.value);
  ++size_;
  return true;
}

bool ChannelCore::receive(SelectSlot& slot, WaitNode*& partner) noexcept {
  slot.status = ChannelStatus::done;
  if (size_ > 0) {
    take(slot.wish.value);
    partner = senders_.pop();
    if (partner != nullptr) {  // the buffer was full and stays it
      put(slot_of(*partner).wish.value);
      finish(*partner, ChannelStatus::done);
    } else {
      --size_;
    }
    return true;
  }
  partner = senders_.pop();
  if (partner != nullptr) {  // capacity 0
    hand(slot_of(*partner).wish.value, slot.wish.value);
    finish(*partner, ChannelStatus::done);
    return true;
  }
  slot.status = ChannelStatus::closed;
  return closed_;
}

bool ChannelCore::attempt(SelectSlot& slot, WaitNode*& partner) noexcept {
  return slot.wish.sends ? send(slot, partner) : receive(slot, partner);
}

Selected ChannelCore::select(std::span<SelectSlot> slots, std::span<std::mutex*> room,
                             Deadline until) {
  interleave();
  for (std::size_t i = 0; i < slots.size(); ++i) {
    room[i] = &slots[i].wish.channel->receivers_.guard;
  }
  std::sort(room.begin(), room.end(), std::less<>());
  const auto last = std::unique(room.begin(), room.end());
  const std::span<std::mutex*> guards = room.first(static_cast<std::size_t>(last - room.begin()));

  WaitNode* partner = nullptr;
  SelectSlot* chosen = nullptr;
  const auto outcome = [&] {
    return Selected{static_cast<std::size_t>(chosen - slots.data()), chosen->status};
  };
  std::optional<Waiter> waiter;
  {
    const AllGuards held(guards);
    const std::size_t first = slots.size() > 1 ? turn() % slots.size() : 0;
    for (std::size_t i = 0; i < slots.size() && chosen == nullptr; ++i) {
      SelectSlot& slot = slots[(first + i) % slots.size()];
      if (slot.wish.channel->attempt(slot, partner)) chosen = &slot;
    }
    if (chosen == nullptr) {
      if (until == Deadline::min()) return {};
      waiter.emplace(slots.size() > 1      ? "select"
                     : slots[0].wish.sends ? "send"
                                           : "receive",
                     slots[0].wish.channel);
      for (SelectSlot& slot : slots) {
        auto* node = new (slot.node.data()) WaitNode(*waiter);
        node->payload = &slot;
        slot.chosen = &chosen;
        slot.wish.channel->list_of(slot).push(*node);
      }
    }
  }
  if (!waiter) {
    // Nothing of the channels from here on: the woken one may destroy them.
    if (partner != nullptr) partner->waiter->wake();
    return outcome();
  }
  const Wake how = waiter->wait(until, Cancel::heeded);
  for (SelectSlot& slot : slots) {
    if (&slot == chosen) continue;  // taken off by who has chosen it
    const std::scoped_lock guard(slot.wish.channel->receivers_.guard);
    slot.wish.channel->list_of(slot).remove(node_of(slot));
  }
  throw_if_cancelled(how);
  return how == Wake::notified ? outcome() : Selected{};
}

void ChannelCore::close() noexcept {
  interleave();
  WaitNode* senders = nullptr;
  WaitNode* receivers = nullptr;
  {
    const std::scoped_lock guard(receivers_.guard);
    closed_ = true;
    senders = senders_.take_all();
    receivers = receivers_.take_all();  // then the buffer is empty
    for (WaitNode* node = senders; node != nullptr; node = node->next) {
      finish(*node, ChannelStatus::closed);
    }
    for (WaitNode* node = receivers; node != nullptr; node = node->next) {
      finish(*node, ChannelStatus::closed);
    }
  }
  wake_chain(senders);
  wake_chain(receivers);
}

bool ChannelCore::closed() const noexcept {
  const std::scoped_lock guard(receivers_.guard);
  return closed_;
}

std::size_t ChannelCore::size() const noexcept {
  const std::scoped_lock guard(receivers_.guard);
  return size_;
}

}  // namespace flexsc::detail
