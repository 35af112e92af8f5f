// SPDX-License-Identifier: MIT
/// @file
/// An event loop whose events are the ends of system calls, for programs without fibers (the
/// event-driven libflexsc: Soares and Stumm, Exception-Less System Calls for Event-Driven Servers,
/// USENIX ATC 2011, section 3). From C: flexsc/loop.h. For completions by token instead of
/// callbacks use a Channel itself (flexsc/engine.hpp).
///
///     flexsc::Loop loop(*engine);
///     loop.post(flexsc::make_call(SYS_read, fd, buffer, size), [&](long got) { ... });
///     loop.run();
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "flexsc/chain.hpp"
#include "flexsc/engine.hpp"

namespace flexsc {

/// Posts calls and runs a callback for each when it is complete. Callbacks run in run() and
/// run_once(), one at a time, never inside of post() or cancel(). They may do everything but run
/// the loop. What a callback throws comes out of run(); nothing is lost, and run() can be called
/// again.
///
/// Threads: all but stop() and dispatch() is for one thread at a time.
class Loop {
 public:
  /// Gets a value or -errno.
  using Callback = std::function<void(long result)>;
  using Clock = std::chrono::steady_clock;

  /// Names a call in flight, or a timer. Names are not used again for four thousand million calls.
  enum class Id : std::uint64_t { none = 0 };

  /// The engine must live longer. `policy`: how many completions a sleep is for.
  /// @throws std::system_error as Engine::make_channel()
  explicit Loop(Engine& engine, WaitPolicy policy = WaitPolicy::any());
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  /// With calls in flight it ends the program, as a Channel does: their memory could still be
  /// written. Cancel them and run() first.
  ~Loop();

  /// Posts a call. When every entry is in flight it waits for one in the order of posting, so
  /// that nothing is refused. What its arguments point to must stay valid until the callback.
  /// A deadline holds from when it has an entry. Does not block, except on engine `direct`.
  /// @throws std::system_error (EINVAL) for a pool that there is not, unless the call waits for an
  /// entry: then that is its result; std::bad_alloc
  Id post(const Call& call, Callback done, const PostOptions& how = {});
  /// The same for a chain, which is copied; `results` has a place for each member.
  /// @throws std::system_error (EINVAL) also for an empty chain or too few places
  Id post_chain(const Chain& chain, std::span<long> results, Callback done,
                const PostOptions& how = {});

  /// Runs `done`, with 0, at a time.
  Id at(Clock::time_point when, Callback done);

  /// Asks a call or a timer to end: its callback then gets -ECANCELED, or the call's own result if
  /// that was faster or cannot be interrupted. False: it is over already, or its callback is next.
  bool cancel(Id id);
  /// Cancels all calls whose first argument is this descriptor, and chains with such a call, say
  /// before closing it. Returns how many.
  std::size_t cancel_descriptor(int fd);

  /// Runs callbacks until stop(), or until nothing is left that could call back.
  /// @throws std::system_error (EDEADLK) in a callback of this loop
  void run();
  /// Waits until something is complete or `timeout` is over (negative: never) and runs the
  /// callbacks; returns how many. A signal, stop() and dispatch() end the wait too.
  /// @throws std::system_error (EDEADLK) in a callback of this loop
  std::size_t run_once(std::chrono::nanoseconds timeout);

  /// Makes run() return, or the next run() if none is under way, after the callback that runs now.
  /// From any thread.
  void stop();
  /// Runs `work` in the loop's thread, in run(). It does not keep run() from returning.
  /// From any thread.
  void dispatch(std::function<void()> work);

  /// Calls and timers whose callbacks are still to come.
  [[nodiscard]] std::size_t pending() const noexcept { return pending_; }
  [[nodiscard]] const ChannelStats& stats() const noexcept { return channel_->stats(); }

 private:
  struct Operation {
    enum class State : std::uint8_t { free, posted, waiting, timer, ended };
    Callback done;
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    State state = State::free;
    Call call{};
    std::unique_ptr<Chain> chain;  ///< then `call` means nothing
    std::span<long> results;
    PostOptions how;
    Clock::time_point when;  ///< of a timer
    long result = 0;         ///< when ended
  };
  using Timers = std::multimap<Clock::time_point, Operation*>;

  [[nodiscard]] Operation& take(Callback done);
  [[nodiscard]] static Id id_of(const Operation& operation) noexcept;
  [[nodiscard]] Operation* find(Id id) noexcept;
  [[nodiscard]] bool try_post(Operation& operation);
  Id start(Operation& operation);
  void end(Operation& operation, long result);
  void end_waiting(Operation& operation);
  void post_waiting();
  void collect();
  void expire();
  void run_dispatched();
  [[nodiscard]] std::size_t call_back();
  [[nodiscard]] std::chrono::nanoseconds until_timer(std::chrono::nanoseconds timeout) const;

  std::unique_ptr<Channel> channel_;
  WaitPolicy policy_;
  std::deque<Operation> operations_;  ///< never move
  std::vector<Operation*> free_;
  std::deque<Operation*> waiting_;  ///< for an entry, in the order of posting
  std::deque<Operation*> ended_;    ///< callbacks to run
  Timers timers_;
  std::size_t pending_ = 0;
  bool running_ = false;

  // Shared with other threads. What they set they set before notify(), which the loop's wait()
  // takes before the loop looks: so none is missed.
  std::atomic<bool> stop_{false};  ///< set by any thread, taken by run()
  std::mutex dispatched_mutex_;    ///< a leaf
  std::vector<std::function<void()>> dispatched_;
  /// dispatched_ is not empty. Written under the mutex, looked at without; what is in dispatched_
  /// is ordered by the mutex.
  std::atomic<bool> any_dispatched_{false};
};

}  // namespace flexsc
