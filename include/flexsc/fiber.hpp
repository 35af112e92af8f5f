// SPDX-License-Identifier: MIT
/// @file
/// The M:N fiber runtime: fibers, and what they do to themselves.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flexsc/cancel.hpp"
#include "flexsc/chain.hpp"
#include "flexsc/detail/wait_queue.hpp"
#include "flexsc/engine.hpp"
#include "flexsc/run_order.hpp"
#include "flexsc/watch.hpp"

namespace flexsc {

namespace detail {
class FiberControl;
class RuntimeImpl;
}  // namespace detail

struct RuntimeOptions {
  EngineOptions engine;
  /// One carrier thread per CPU named here, pinned to it. Empty: one per CPU on which
  /// the caller may run (sched_getaffinity), pinned, but no more than the cgroup gives time
  /// for (cpu.max, rounded up).
  std::vector<int> carrier_cpus;
  /// Usable bytes of a fiber's stack, rounded up to pages; more under sanitizers.
  std::size_t stack_bytes = std::size_t{256} * 1024;
  /// How long a carrier with nothing to run polls for completions before it sleeps
  /// in the kernel.
  std::chrono::microseconds spin{20};
  /// Whether a carrier with nothing to run takes fibers that have not started, or are migratable,
  /// from others. If not, a fiber runs where it was spawned: on the carrier of who spawned it;
  /// those of plain threads on the carriers in turn.
  bool steal = true;
  /// How many completions a carrier with nothing to run sleeps for. With none() it does not
  /// sleep: it polls and keeps its CPU.
  WaitPolicy wait = WaitPolicy::adaptive();
  /// In which order a carrier's ready fibers run; nothing: round_robin(). With any other, a fiber
  /// that has not started is put in order when its carrier chooses next (until then an idle carrier
  /// may take it), and none moves after it has started.
  RunOrders order = {};
  /// For finding races: any ready fiber may be the next (`order` does not count), fibers yield now
  /// and then where they make calls or use synchronisation objects, and carriers steal from any
  /// other, all by random numbers from this seed. It is said on stderr. With one carrier, the same
  /// seed repeats the same order, as far as nothing from outside decides it (time, other threads,
  /// calls that complete in workers). Without a value, the environment variable FLEXSC_SEED counts:
  /// a number, or "random".
  std::optional<std::uint64_t> seed = std::nullopt;
  /// Whether a thread reports fibers that run, or wait, for too long; by itself there is none.
  WatchOptions watch = {};
};

struct SpawnOptions {
  std::string name;             ///< for messages and debuggers
  std::size_t stack_bytes = 0;  ///< 0: the runtime's
  /// Whether idle carriers may take it also after it has started, whenever it is ready to go on:
  /// after each yield, call, lock or other wait it may be in another thread. Its errno and the
  /// exceptions that it handles go with it. What a compiler may have kept over such a point is then
  /// that of the thread before, so in such a fiber
  ///  - read errno by this_fiber::last_error(), and do not set it before such a point to read it
  ///    after;
  ///  - keep no reference to a thread-local over such a point, and read none on both sides of it
  ///    in one function: what is inlined into it counts. A FiberLocal is safe;
  ///  - hold no std::mutex or other lock of the thread over it.
  /// CarrierScope keeps it where it is for a while. Without effect if nobody steals.
  bool migratable = false;
  // For run orders, see run_order.hpp.
  int priority = 0;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::uint64_t tag = 0;  ///< means what the user's order takes it for
};

/// Counters summed over the carriers.
struct RuntimeStats {
  std::uint64_t spawned = 0;
  std::uint64_t finished = 0;
  std::uint64_t switches = 0;
  std::uint64_t notifies = 0;         ///< crossings of one carrier to wake another
  std::uint64_t moved = 0;            ///< times a carrier took a started fiber from another
  std::uint64_t stolen = 0;           ///< the same for all fibers
  std::uint64_t ready = 0;            ///< fibers that wait for their turn; as old as stats() says
  std::uint64_t sleeps = 0;           ///< of carriers with nothing to run
  std::chrono::nanoseconds slept{0};  ///< in these, all carriers together
  /// How many calls' results were taken together: bucket n counts 2^n to 2^(n+1) - 1.
  std::array<std::uint64_t, 7> reaps{};
  std::uint64_t taken = 0;          ///< results in these
  ChannelStats channels;            ///< sums
  std::uint64_t busy_reports = 0;   ///< by the watchdog: fibers that ran for too long
  std::uint64_t stuck_reports = 0;  ///< the same of those that waited
  std::uint64_t lock_reports = 0;   ///< OS locks that fibers held when they left their carrier
  /// Fibers in a system call.
  [[nodiscard]] std::uint64_t in_calls() const noexcept {
    return channels.posted - channels.reaped;
  }
  /// Entries into the kernel by carriers: doorbells, waits, notifies, direct calls and
  /// others.
  [[nodiscard]] std::uint64_t crossings() const noexcept {
    return channels.doorbells + channels.waits + channels.direct + channels.further + notifies;
  }
};

/// Handle of a fiber, like std::thread: movable, joinable once; destroying a joinable
/// handle terminates the program.
class Fiber {
 public:
  Fiber() noexcept = default;
  /// Of a fiber that no other handle owns.
  explicit Fiber(detail::FiberControl* control) noexcept : control_(control) {}
  Fiber(Fiber&& other) noexcept : control_(std::exchange(other.control_, nullptr)) {}
  Fiber& operator=(Fiber&& other) noexcept;
  ~Fiber() {
    if (joinable()) std::terminate();
  }

  [[nodiscard]] bool joinable() const noexcept { return control_ != nullptr; }
  /// Waits for the fiber to end, parking a fiber or blocking a plain thread, and
  /// rethrows what it threw. A cancellation point: the handle then stays joinable.
  /// @throws std::system_error: not joinable (EINVAL; so also a second time), joining
  /// oneself (EDEADLK).
  void join();
  /// The same until a time; whether the fiber has ended (and then is joined).
  template <class Rep, class Period>
  [[nodiscard]] bool join_for(std::chrono::duration<Rep, Period> duration) {
    return join_until_deadline(detail::deadline_after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool join_until(std::chrono::time_point<Clock, Duration> when) {
    return join_until_deadline(detail::deadline_at(when));
  }
  /// Lets it run on its own; an exception it throws then ends the program, unless it is
  /// Cancelled.
  void detach();
  /// Asks it to end, see cancel.hpp. Does not wait for it; once is enough, and a fiber that has
  /// ended does not mind. From any thread. @throws std::system_error: not joinable (EINVAL)
  void cancel();

 private:
  [[nodiscard]] bool join_until_deadline(detail::Deadline until);

  detail::FiberControl* control_ = nullptr;
};

/// Carriers and the engine they use. Thread-safe.
///
/// Signals: carriers block all but those that a thread causes itself (SIGSEGV, SIGPIPE, ...)
/// and SIGPROF, so handlers run in the program's other threads. A process or thread started
/// from a fiber inherits that mask.
///
/// The engine belongs to the thread that makes the Runtime: see Engine::open().
///
/// Calls in flight: `engine.pages_per_channel` bounds the calls in which a carrier's fibers
/// can be at the same time, waiting ones included; a fiber beyond that waits for an entry
/// (RuntimeStats::channels.full counts).
///
/// fork() in a fiber: in the child that fiber goes on as a plain thread, to exec or _exit().
class Runtime {
 public:
  /// Opens the engine and starts the carriers. @throws std::system_error; for `watch`: a limit is
  /// negative (EINVAL), or the process may not read its own memory (EACCES where it cannot be
  /// dumped, ENOENT without /proc).
  explicit Runtime(const RuntimeOptions& options);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  /// Waits until every fiber has ended, those that its fibers still spawn too, then stops the
  /// carriers. Not from one of them.
  ~Runtime();

  /// Starts a fiber. From a fiber: on the same carrier's queue, until another idle
  /// carrier takes it before it has started. From a plain thread: carriers in turn.
  /// A started fiber changes its carrier only if it is migratable.
  /// @throws std::bad_alloc when there is no memory for the stack; std::system_error (ESHUTDOWN) by
  /// others than its own fibers when its destructor waits.
  [[nodiscard]] Fiber spawn(std::function<void()> body, SpawnOptions options = {});

  /// Exact for the carrier of the calling fiber, for carriers that sleep, and up to the end
  /// of each fiber; a few switches old for a carrier that is busy.
  [[nodiscard]] RuntimeStats stats() const;
  [[nodiscard]] Engine& engine() noexcept;
  [[nodiscard]] std::size_t carriers() const noexcept;
  /// That forces its interleavings, if one does.
  [[nodiscard]] std::optional<std::uint64_t> seed() const noexcept;

 private:
  std::unique_ptr<detail::RuntimeImpl> impl_;
};

namespace this_fiber {
/// Whether the caller runs in a fiber. Everything below also works in a plain thread,
/// where it acts on the thread.
[[nodiscard]] bool inside() noexcept;
/// Lets other ready fibers of this carrier run.
void yield();
/// errno of the running fiber, where `errno` itself may be that of another thread: in a migratable
/// fiber. The same as errno in any other, and in a plain thread.
[[nodiscard]] int last_error() noexcept;
/// A cancellation point.
void sleep_until(std::chrono::steady_clock::time_point when);
inline void sleep_for(std::chrono::nanoseconds duration) {
  sleep_until(std::chrono::steady_clock::now() + duration);
}
/// Lets other fibers of this carrier run if any wait for it; else it costs a few instructions. For
/// loops that compute for long. In a plain thread it does nothing.
void checkpoint();
/// Of the running fiber's stack, how many bytes have been in use at the most, by it or by a fiber
/// that had the stack before: an upper bound for sizing it. 0 in a plain thread.
[[nodiscard]] std::size_t stack_high_water();
/// Usable bytes of the running fiber's stack. 0 in a plain thread.
[[nodiscard]] std::size_t stack_size() noexcept;
/// What run orders look at; from when the fiber is ready the next time. In a plain thread nothing.
void set_priority(int priority) noexcept;
void set_deadline(std::chrono::steady_clock::time_point deadline) noexcept;
/// Name given at spawn; empty in a plain thread.
[[nodiscard]] std::string_view name() noexcept;
/// The runtime of the running fiber; null in a plain thread.
[[nodiscard]] detail::RuntimeImpl* runtime() noexcept;
}  // namespace this_fiber

/// Runs `call` for the running fiber on its engine, parking the fiber until the result
/// is there; in a plain thread, records it in an open batch segment or makes it directly.
/// Returns a value or -errno; never touches errno.
[[nodiscard]] long run_call(const Call& call);

/// The same for a chain; `results`, which has a place for each member, gets all of them. Returns
/// the last member's result. In a plain thread the calls are made one by one.
/// @throws std::system_error (EINVAL) for an empty chain or too few places.
long run_chain(const Chain& chain, std::span<long> results);

/// Direct calls that run_call() and the functions of posix.hpp made in plain threads of
/// this process so far, summed over all threads that ever were. Thread-safe.
[[nodiscard]] std::uint64_t direct_crossings() noexcept;

}  // namespace flexsc
