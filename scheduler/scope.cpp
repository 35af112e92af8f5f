// SPDX-License-Identifier: MIT
#include "flexsc/scope.hpp"

#include <exception>

#include "flexsc/cancel.hpp"

namespace flexsc {

void Scope::spawn(std::function<void()> body, SpawnOptions options) {
  children_.emplace_back();  // first: what is spawned must not be without a place
  try {
    children_.back() = runtime_.spawn(
        [this, body = std::move(body)] {
          try {
            body();
          } catch (...) {
            failed_.store(true, std::memory_order_relaxed);
            ended_.release();
            throw;
          }
          ended_.release();
        },
        std::move(options));
  } catch (...) {
    children_.pop_back();
    throw;
  }
}

void Scope::cancel() {
  for (Fiber& child : children_) {
    if (child.joinable()) child.cancel();
  }
}

Scope::~Scope() {
  cancel();
  const CancelShield shield;
  for (Fiber& child : children_) {
    try {
      if (child.joinable()) child.join();
    } catch (...) {  // NOLINT(bugprone-empty-catch): a destructor has nobody to tell
    }
  }
}

void Scope::join() {
  std::exception_ptr first;
  bool only_cancelled = true;
  const auto keep = [&](bool cancelled) {
    if (first != nullptr && (cancelled || !only_cancelled)) return;
    first = std::current_exception();
    only_cancelled = cancelled;
  };
  std::size_t left = children_.size();
  try {
    for (; left > 0; --left) {
      ended_.acquire();
      if (failed_.load(std::memory_order_relaxed)) cancel();
    }
  } catch (const Cancelled&) {  // our own wait
    keep(true);
    cancel();
  }
  const CancelShield shield;  // they all end soon
  for (; left > 0; --left) ended_.acquire();
  failed_.store(false, std::memory_order_relaxed);
  for (; !children_.empty(); children_.pop_front()) {
    try {
      children_.front().join();
    } catch (const Cancelled&) {
      keep(true);
    } catch (...) {
      keep(false);
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace flexsc
