// SPDX-License-Identifier: MIT
/// @file
/// A result that comes later, between fibers and plain threads, in the shape of std::future:
/// the errors are std::future_error with the codes of the standard.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "flexsc/fiber.hpp"
#include "flexsc/latch.hpp"

namespace flexsc {

template <class T>
class Promise;

namespace detail {

struct Nothing {};

/// What a promise and its future share. The outcome is written once, by who has won `taken`,
/// before the latch opens (its guard orders it), and read after. `taken` orders nothing.
template <class T>
struct Outcome {
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;
  std::atomic<bool> taken{false};
  std::optional<Value> value;
  std::exception_ptr exception;
  Latch there{1};

  template <class Set>
  void settle(Set set) {
    // relaxed: only who is first.
    if (taken.exchange(true, std::memory_order_relaxed)) {
      throw std::future_error(std::future_errc::promise_already_satisfied);
    }
    try {
      set();
    } catch (...) {  // of the value's copy: then that is the outcome
      exception = std::current_exception();
    }
    there.count_down();
  }
};

}  // namespace detail

/// The receiving end. Movable; get() once. Waiting is a cancellation point, after which the
/// future is as it was.
template <class T>
class Future {
 public:
  Future() noexcept = default;

  [[nodiscard]] bool valid() const noexcept { return outcome_ != nullptr; }
  /// @throws std::future_error (no_state) when it is not valid
  void wait() const { outcome().there.wait(); }
  template <class Rep, class Period>
  [[nodiscard]] std::future_status wait_for(std::chrono::duration<Rep, Period> duration) const {
    return outcome().there.wait_for(duration) ? std::future_status::ready
                                              : std::future_status::timeout;
  }
  template <class Clock, class Duration>
  [[nodiscard]] std::future_status wait_until(std::chrono::time_point<Clock, Duration> when) const {
    return outcome().there.wait_until(when) ? std::future_status::ready
                                            : std::future_status::timeout;
  }
  /// Waits, and gives the value or throws the exception. Afterwards it is not valid.
  T get() {
    wait();
    const std::shared_ptr<detail::Outcome<T>> outcome = std::move(outcome_);
    if (outcome->exception != nullptr) std::rethrow_exception(outcome->exception);
    if constexpr (!std::is_void_v<T>) return std::move(*outcome->value);
  }

 private:
  friend class Promise<T>;
  explicit Future(std::shared_ptr<detail::Outcome<T>> outcome) noexcept
      : outcome_(std::move(outcome)) {}
  [[nodiscard]] detail::Outcome<T>& outcome() const {
    if (!valid()) throw std::future_error(std::future_errc::no_state);
    return *outcome_;
  }

  std::shared_ptr<detail::Outcome<T>> outcome_;
};

/// The giving end. One that is destroyed without an outcome gives broken_promise.
template <class T>
class Promise {
 public:
  Promise() : outcome_(std::make_shared<detail::Outcome<T>>()) {}
  Promise(Promise&& other) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    Promise(std::move(other)).swap(*this);
    return *this;
  }
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  // set_exception() throws only to a second setter, and who destroys a promise is alone with it.
  // NOLINTNEXTLINE(bugprone-exception-escape)
  ~Promise() {
    // relaxed: our own, or another's who was first.
    if (outcome_ == nullptr || outcome_->taken.load(std::memory_order_relaxed)) return;
    set_exception(std::make_exception_ptr(std::future_error(std::future_errc::broken_promise)));
  }
  void swap(Promise& other) noexcept {
    outcome_.swap(other.outcome_);
    std::swap(retrieved_, other.retrieved_);
  }

  /// @throws std::future_error: no_state, future_already_retrieved
  [[nodiscard]] Future<T> get_future() {
    (void)outcome();
    if (std::exchange(retrieved_, true)) {
      throw std::future_error(std::future_errc::future_already_retrieved);
    }
    return Future<T>(outcome_);
  }
  /// @throws std::future_error: no_state, promise_already_satisfied
  template <class... Args>
  void set_value(Args&&... args) {
    static_assert(std::is_void_v<T> ? sizeof...(Args) == 0 : sizeof...(Args) == 1);
    auto& into = outcome();
    into.settle([&] { into.value.emplace(std::forward<Args>(args)...); });
  }
  /// @throws std::future_error: no_state, promise_already_satisfied
  void set_exception(const std::exception_ptr& exception) {
    auto& into = outcome();
    into.settle([&] { into.exception = exception; });
  }

 private:
  [[nodiscard]] detail::Outcome<T>& outcome() const {
    if (outcome_ == nullptr) throw std::future_error(std::future_errc::no_state);
    return *outcome_;
  }

  std::shared_ptr<detail::Outcome<T>> outcome_;
  bool retrieved_ = false;
};

/// Runs `function` in a fiber of its own, on `runtime`. Unlike the future of std::async, the one
/// that is returned does not wait when it is destroyed. @throws std::bad_alloc
template <class Function>
[[nodiscard]] auto async(Runtime& runtime, Function function, const SpawnOptions& options = {}) {
  using T = std::invoke_result_t<Function&>;
  // Shared, because std::function wants its target copyable.
  struct Work {
    explicit Work(Function&& what) : function(std::move(what)) {}
    Function function;
    Promise<T> promise;
  };
  auto work = std::make_shared<Work>(std::move(function));
  Future<T> future = work->promise.get_future();
  runtime
      .spawn(
          [work = std::move(work)] {
            try {
              if constexpr (std::is_void_v<T>) {
                work->function();
                work->promise.set_value();
              } else {
                work->promise.set_value(work->function());
              }
            } catch (...) {
              work->promise.set_exception(std::current_exception());
            }
          },
          options)
      .detach();
  return future;
}

}  // namespace flexsc
