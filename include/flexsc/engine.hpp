// SPDX-License-Identifier: MIT
/// @file
/// Engines: what carries system calls out. The scheduler and event-driven programs
/// reach system calls through these three interfaces and nothing else.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flexsc/call.hpp"

namespace flexsc {

/// How calls are carried out.
enum class EngineKind {
  kernel,     ///< by the kernel workers of /dev/flexsc
  uring,      ///< by io_uring and, where it has no such operation, as `threads`
  threads,    ///< by worker threads in user space that serve the same pages
  direct,     ///< in the calling thread, at once
  automatic,  ///< the best of these that can be used here, as choose_engine() says
};

/// "kernel", "uring", "threads", "direct", "auto".
[[nodiscard]] std::string_view to_string(EngineKind kind) noexcept;
/// The kind of that name, or nothing.
[[nodiscard]] std::optional<EngineKind> engine_kind(std::string_view name) noexcept;
/// The kind of a name that a user gave.
/// @throws std::system_error (EINVAL) whose what() lists the names, for any other word
[[nodiscard]] EngineKind engine_named(std::string_view name);

/// Whether a thread that waits on a channel executes what it has posted itself, in the crossing
/// that it makes anyway, as far as that does not sleep; the rest is left to the workers. Right
/// where waiting threads and workers share their CPUs. Only engine `kernel` can do it; engine
/// `threads` makes calls that wait for nobody at once in its place.
enum class Help : std::uint8_t {
  automatic,  ///< a Runtime helps if its carriers' CPUs cover those of all pools and none has a
              ///< scheduling of its own; other users do not
  never,      ///< for workers on CPUs of their own
  always,
};

/// How the kernel schedules the workers of a pool.
struct Scheduling {
  int policy = 0;    ///< SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO or SCHED_RR
  int priority = 0;  ///< nice value, or real-time priority with SCHED_FIFO and SCHED_RR
};

/// One pool of workers: they share their CPUs, their scheduling and their limits.
struct PoolOptions {
  /// CPUs of the workers; those of them that this process may not use are left out, and no engine
  /// opens if none is left (EINVAL). Empty: those on which the caller may run.
  std::vector<int> worker_cpus;
  /// Workers running at a time. 0: one per worker CPU (with no CPUs named: 1).
  unsigned concurrency = 0;
  /// Further workers that take over while others block in a call. 0: the engine's maximum.
  unsigned standby_max = 0;
  /// How long an idle worker polls before it sleeps.
  std::chrono::microseconds spin{50};
  /// Empty: as the thread that opens the engine.
  std::optional<Scheduling> scheduling;
};

struct EngineOptions {
  EngineKind kind = EngineKind::direct;
  /// CPUs of the workers; those of them that this process may not use are left out, and no engine
  /// opens if none is left (EINVAL). Empty: those on which the caller may run.
  std::vector<int> worker_cpus;
  /// Workers running at a time. 0: one per worker CPU (with no CPUs named: 1).
  unsigned concurrency = 0;
  /// Further workers that take over while others block in a call. 0: the engine's maximum.
  unsigned standby_max = 0;
  /// How long an idle worker polls before it sleeps.
  std::chrono::microseconds spin{50};
  /// System-call pages (of 64 entries, 4 KiB) of each channel, 1 to 256. So many calls can be in
  /// flight; what is not used costs memory only.
  unsigned pages_per_channel = 8;
  Help help = Help::automatic;
  /// Engine `uring`: a promise that calls which may wait are posted for descriptors without
  /// O_NONBLOCK and sockets without SO_RCVTIMEO and SO_SNDTIMEO only. io_uring looks at neither,
  /// so without the promise the channel asks before such a call, which are two short crossings.
  bool plain_descriptors = false;
  /// Engine `uring`: a kernel thread (SQPOLL) on the first of `worker_cpus` takes what is posted,
  /// and sleeps when idle for `spin`. For a CPU of its own.
  bool submission_thread = false;
  std::optional<Scheduling> scheduling;
  /// The pool that the fields above describe is number 0; these are 1, 2, … A call names its
  /// pool when it is posted. At most 8 in all. Engine `direct` has no workers, and accepts all.
  std::vector<PoolOptions> more_pools;
};

/// How many completions a wait is for. A wait ends early when it is notified, at its timeout,
/// and at a signal. Never more is waited for than is in flight.
class WaitPolicy {
 public:
  enum class Kind : std::uint8_t { none, any, some, all, adaptive };

  /// Does not wait. What is posted is shown to the workers, or executed by a channel that helps.
  [[nodiscard]] static constexpr WaitPolicy none() noexcept { return WaitPolicy(Kind::none); }
  /// The first one.
  [[nodiscard]] static constexpr WaitPolicy any() noexcept { return WaitPolicy(Kind::any); }
  /// `count` of them or, after `patience`, as many as there are. Fewer and longer sleeps, for
  /// an answer that may come as much later.
  [[nodiscard]] static constexpr WaitPolicy some(unsigned count,
                                                 std::chrono::nanoseconds patience) noexcept {
    return WaitPolicy(Kind::some, count, patience);
  }
  /// Everything in flight: for batches, not where a call can wait for another one.
  [[nodiscard]] static constexpr WaitPolicy all() noexcept { return WaitPolicy(Kind::all); }
  /// At least one, and more as long as they come faster than it takes to sleep and to be woken
  /// again. Needs no numbers: engine `kernel` measures the pace. On `threads` the same as any().
  [[nodiscard]] static constexpr WaitPolicy adaptive() noexcept {
    return WaitPolicy(Kind::adaptive);
  }

  [[nodiscard]] constexpr Kind kind() const noexcept { return kind_; }
  [[nodiscard]] constexpr unsigned count() const noexcept { return count_; }
  [[nodiscard]] constexpr std::chrono::nanoseconds patience() const noexcept { return patience_; }

 private:
  constexpr explicit WaitPolicy(Kind kind, unsigned count = 1,
                                std::chrono::nanoseconds patience = {}) noexcept
      : kind_(kind), count_(count), patience_(patience) {}

  Kind kind_;
  unsigned count_;                     ///< of some()
  std::chrono::nanoseconds patience_;  ///< of some()
};

/// Counters since the channel was made. Plain numbers of the owning thread.
struct ChannelStats {
  std::uint64_t posted = 0;
  std::uint64_t reaped = 0;
  std::uint64_t direct = 0;  ///< executed in the carrier (refused by a worker, or engine `direct`)
  std::uint64_t doorbells = 0;  ///< crossings to wake a worker
  std::uint64_t waits = 0;      ///< crossings to sleep until a completion
  std::uint64_t full = 0;       ///< posts that found no free entry
  /// Other entries into the kernel, by engine `uring`: calls made in passing, questions about
  /// descriptors, completions looked for.
  std::uint64_t further = 0;
};

/// How a call is posted.
struct PostOptions {
  /// Who makes it. @see EngineOptions::more_pools
  unsigned pool = 0;
  /// When it passes, the call that would begin, waits or sleeps completes with -ETIME. One that
  /// has an effect by then, or cannot be interrupted, completes with its own result.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

class Chain;

/// One carrier's way into an engine: post calls, reap completions.
///
/// Threads: everything but notify() is for one thread at a time (the carrier), with engine `uring`
/// for the same thread as long as calls are in flight; a call that this thread makes after the
/// channel's end can be interrupted once (EINTR).
/// Blocking: only wait() blocks; with engine `direct`, post() makes the call.
class Channel {
 public:
  Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  /// Must not be destroyed while calls are in flight (aborts with a message): their
  /// memory could still be written.
  virtual ~Channel() = default;

  /// Posts a call; its completion will carry `token`. False when every entry is in
  /// flight: nothing was posted, reap first. The call becomes visible to workers at
  /// submit() at the latest. A call that workers refuse is made directly by reap().
  /// @throws std::system_error (EINVAL) for a pool that there is not.
  [[nodiscard]] virtual bool post(const Call& call, void* token, const PostOptions& how) = 0;
  [[nodiscard]] bool post(const Call& call, void* token) { return post(call, token, {}); }

  /// Posts a chain, which has one completion. It carries the result of the last member; before,
  /// `results`, which has a place for each member, got all of them. A member that was never made
  /// has -ECANCELED. False: there are not so many free entries next to each other. The chain is
  /// copied. A chain that breaks a rule has -EINVAL at the member that does.
  /// @throws std::system_error (EINVAL) for an empty chain, too few places, or no such pool.
  [[nodiscard]] virtual bool post_chain(const Chain& chain, std::span<long> results, void* token,
                                        const PostOptions& how) = 0;
  [[nodiscard]] bool post_chain(const Chain& chain, std::span<long> results, void* token) {
    return post_chain(chain, results, token, {});
  }

  /// Cancels the call or chain in flight that was posted with `token` (the first one, if several
  /// were). It completes as ever, once: with its own result if that came first, or if it cannot be
  /// interrupted, else with -ECANCELED. False: there is none. Does not wait for the completion.
  virtual bool cancel(void* token) = 0;
  /// Cancels every call in flight whose first argument is this descriptor, and every chain that
  /// has such a call, say before closing it. Returns how many.
  virtual std::size_t cancel_descriptor(int fd) = 0;

  /// What call_or_post() did.
  enum class Made : std::uint8_t {
    done,    ///< the call is complete, its result stored; there is no completion
    posted,  ///< as by post()
    full,    ///< nothing: every entry is in flight
  };

  /// Makes a call in the calling thread, if it is of a kind that waits neither for anybody nor
  /// for a disk; whether it did.
  [[nodiscard]] virtual bool call_at_once(const Call& call, long& result) = 0;
  /// Whether call_at_once() is the best way for all such calls, also for a caller that has
  /// something else to do: posting would not save the crossing.
  [[nodiscard]] virtual bool makes_quick_calls() const noexcept { return false; }

  /// For a caller that has nothing else to do while the call is made: makes it at once, in
  /// the calling thread, if it does not wait for anybody; else posts it and, unless the
  /// channel helps(), submits. `result` is written when done.
  [[nodiscard]] virtual Made call_or_post(const Call& call, void* token, long& result,
                                          const PostOptions& how) = 0;
  [[nodiscard]] Made call_or_post(const Call& call, void* token, long& result) {
    return call_or_post(call, token, result, {});
  }

  /// The same for a chain, where the channel helps(); other channels post it. `results` and
  /// `result` as with post_chain() and its completion.
  [[nodiscard]] virtual Made chain_or_post(const Chain& chain, std::span<long> results, void* token,
                                           long& /*result*/, const PostOptions& how) {
    return post_chain(chain, results, token, how) ? Made::posted : Made::full;
  }

  /// Makes all posted calls visible and rings the doorbell if no worker is looking.
  virtual void submit() = 0;

  /// Moves finished calls to `out`; returns how many. Does not block.
  [[nodiscard]] virtual std::size_t reap(std::span<Completion> out) = 0;

  /// Makes all posted calls visible, then sleeps until as many completions can be reaped as
  /// `policy` says, notify() was called since the last wait() returned, `timeout` is over
  /// (negative: never), a call's deadline passed, or a signal came. A channel that helps() executes
  /// the posted calls first, and rings no doorbell.
  virtual void wait(const WaitPolicy& policy, std::chrono::nanoseconds timeout) = 0;
  /// For any completion.
  void wait(std::chrono::nanoseconds timeout) { wait(WaitPolicy::any(), timeout); }

  /// Whether wait() executes calls, see Help. Then post() and wait() without submit() are the
  /// cheapest, and whoever never waits must submit().
  [[nodiscard]] virtual bool helps() const noexcept { return false; }

  /// Ends the current wait(), or the next one if none is under way. From any thread.
  virtual void notify() = 0;

  /// Calls posted and not yet reaped.
  [[nodiscard]] virtual std::size_t in_flight() const noexcept = 0;

  [[nodiscard]] virtual const ChannelStats& stats() const noexcept = 0;
};

/// What one flush of a Batch did.
struct FlushedCall {
  Call call;
  long result = 0;  ///< a value or -errno
};

/// Calls recorded to be executed together, in order, in the calling thread (ESCA's
/// batching segment). One thread at a time. Its destructor must not need its engine:
/// batch_start() keeps a thread's batch until the thread ends or uses another engine.
class Batch {
 public:
  Batch() = default;
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  virtual ~Batch() = default;

  /// Records a call. False when the batch is full: flush first.
  [[nodiscard]] virtual bool add(const Call& call) = 0;
  /// Executes all recorded calls in the order of add() and returns them with their
  /// results; the span is valid until the next add() or flush(). All of them are
  /// executed, also after one that fails.
  [[nodiscard]] virtual std::span<const FlushedCall> flush() = 0;
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
  [[nodiscard]] virtual std::size_t capacity() const noexcept = 0;
  /// Times the kernel was entered by flush().
  [[nodiscard]] virtual std::uint64_t crossings() const noexcept = 0;
};

/// Counters of an engine's workers since it was opened.
struct EngineStats {
  std::uint64_t workers = 0;      ///< existing now
  std::uint64_t executed = 0;     ///< calls
  std::uint64_t refused = 0;      ///< calls that workers may not run
  std::uint64_t blocked = 0;      ///< times a worker blocked inside a call
  std::uint64_t handed_back = 0;  ///< claims given back by a worker that blocked
  std::uint64_t batches = 0;      ///< claims of one submission word
  std::uint64_t parks = 0;        ///< times a worker went to sleep idle
};

/// The workers of one process. Thread-safe. Must outlive its channels and the use of its
/// batches. Engine `threads`, and `direct` for calls with a deadline, interrupt calls by a signal:
/// the highest real-time signal that has no handler when the first of them needs it.
/// After fork(), what the parent opened ends the child with a message when it is
/// used there (destroying it is allowed); open another engine in the child.
class Engine {
 public:
  Engine() noexcept;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  /// Opens an engine; its kind() says which if the best one was asked for. The thread that opens
  /// the `kernel` engine must live as long as the engine is used: its identity is the workers'
  /// identity.
  /// @throws std::system_error whose what() says what is missing and what to do.
  [[nodiscard]] static std::unique_ptr<Engine> open(const EngineOptions& options);

  [[nodiscard]] virtual EngineKind kind() const noexcept = 0;
  /// @throws std::system_error when no further channel can be had.
  [[nodiscard]] virtual std::unique_ptr<Channel> make_channel() = 0;
  /// @throws std::system_error
  [[nodiscard]] virtual std::unique_ptr<Batch> make_batch() = 0;
  [[nodiscard]] virtual EngineStats stats() const = 0;

  /// A number that no other engine of this process ever has.
  [[nodiscard]] std::uint64_t serial() const noexcept { return serial_; }

 private:
  std::uint64_t serial_;
};

/// Whether an engine can be used here.
struct Availability {
  EngineKind kind = EngineKind::direct;
  bool available = false;
  std::string reason;  ///< one sentence: why not and what to do, or what was found
};

/// Says of every engine whether it can be used here and why not. Opens and closes
/// /dev/flexsc and an io_uring; never throws for an absent engine.
[[nodiscard]] std::vector<Availability> probe();

/// What EngineKind::automatic stands for here.
struct EngineChoice {
  EngineKind kind = EngineKind::threads;
  std::string reason;  ///< one sentence: why not a better one, and what was found
};

/// The best engine with workers that can be used here: `kernel`, else `uring`, else `threads`.
/// Calls mean the same on each.
[[nodiscard]] EngineChoice choose_engine();
/// The first of these kinds that can be used here, for users to whom others are the best ones.
/// @throws std::system_error (ENOTSUP) that says why, if none can
[[nodiscard]] EngineChoice choose_engine(std::span<const EngineKind> best_first);

}  // namespace flexsc
