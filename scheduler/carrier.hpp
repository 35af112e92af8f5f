// SPDX-License-Identifier: MIT
/// @file
/// A carrier: one thread that runs fibers and makes their system calls through a channel.
///
/// Rules that always hold:
///
///  1. A fiber that has started never leaves its carrier, unless it may move (FiberControl::stays).
///     Everything of a started fiber but its `end` belongs to the carrier's thread.
///  2. A fiber is on at most one queue: `own_` or `fresh_` (it never ran, or may go on and move),
///     `ready_` (may go on here) or `inbox_` (woken by another thread, not yet noticed). Its state
///     in an inbox is still `parked`, as only its carrier changes it, or `ready`, if a thief had
///     to give it back.
///  3. Private to the carrier's thread: ready_, timers_ (which lie on fibers' stacks), backlog_,
///     spare_stacks_, spare_memory_, current_ (the watchdog reads that as memory of a process, see
///     watch.hpp), the channel (but for notify()) and all counters without "published". Touched by
///     other threads: inbox_ and cancels_ (they push), own_ (they steal), now_, fresh_ (they push
///     and steal, under fresh_mutex_), sleeping_, wakers_; the counters they read.
///  4. Who moves a fiber where:
///       spawn            -> own_ of the spawning fiber's carrier      the fiber
///       spawn            -> fresh_ of a carrier                      any other thread
///       steal            own_, fresh_ of one -> own_ of another      the idle carrier
///       next_in_round    own_, fresh_ or ready_ -> running           its carrier
///       yield            running -> ready_; if it may move, own_     the fiber; the next one
///       park, run_call   running -> parked                           the fiber
///       wake             parked -> ready_ or own_, or into inbox_    its carrier; any other
///       take_inbox       inbox_ -> ready_ or own_                    its carrier
///       settle           parked -> ready_ or own_ (its call is done) its carrier
///       finish           running -> finished                         the fiber
///       bury             finished -> its handle's, or destroyed      its carrier
///  5. A parked fiber has exactly one wake-up to come: one completion or one wake(), by who
///     has claimed its Waiter (waiter.hpp). Nothing wakes a fiber that is not parked or about to
///     park: a wake-up from another thread that overtakes park() stays in the inbox until the fiber
///     is off its stack, since its carrier looks there only in between.
///  6. Locks: fresh_mutex_ is a leaf (nothing is locked and nothing waits while it is
///     held). A WaitQueue's guard is a leaf too. No lock is held over a switch.
///  7. On the way of a system call (run_call, settle) nothing is allocated, no lock is
///     taken and nothing is written that another carrier writes.
///
/// Orders. With a run order of the user's (RuntimeOptions::order, or that of a seed) all ready
/// fibers are in order_, and ready_ stays empty; those that have not started are put there when the
/// carrier chooses next. FiberControl::stays tells on the way of a yield, so the usual order costs
/// nothing.
///
/// Moving. A fiber that may move is put where thieves look (own_, fresh_) only by code that runs
/// after the switch away from it: by the next context, if it yields (pick_up()), else by who wakes
/// it. So its registers are in its Context and nobody is on its stack. The push is a release, the
/// pop of the thief an acquire (fresh_ring.hpp; or fresh_mutex_), and with that everything the
/// fiber and its old carrier did comes before what the new one does. What of a fiber is in its
/// carrier is taken out before: its timer by offer(), its call and its Waiter by their end, which
/// made it ready. It has no wake-up to come (rule 5). A cancellation that is announced keeps it:
/// adopt(). After a switch away from a fiber that may move, `this` is no longer its carrier.
///
/// Helping. Where the channel helps(), calls are executed by the carrier itself in
/// Channel::wait(): when it has nothing to run and, so that fibers which only yield do not keep
/// others from their calls, before rounds in which calls are posted or have long been waiting.
///
/// Sleeping. A carrier sleeps in Channel::wait() and only others' work can be missed:
///   sleeper:  sleeping_ = true, ++sleepers;   look at inbox_, all own_ and fresh_, the end; wait()
///   others:   push to inbox_, own_ or fresh_ (or end);   read sleepers, sleeping_;   if set,
///   notify()
/// All four accesses are sequentially consistent, so of the two reads at least one sees
/// the other side's write. notify() is sticky, so it may come before wait() begins. Whoever
/// notifies takes the flag away first: one sleep costs one notify().
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "fiber_control.hpp"
#include "flexsc/chain.hpp"
#include "flexsc/engine.hpp"
#include "flexsc/fiber.hpp"
#include "fresh_ring.hpp"
#include "interleaving.hpp"
#include "timers.hpp"

namespace flexsc::detail {

class RuntimeImpl;

/// A call, or a chain, whose fiber is parked on it. Lives on that fiber's stack; its address is
/// the completion token.
struct PendingCall : CallRecord {
  PendingCall(FiberControl& whose, const Call& what) noexcept : fiber(whose) { call = &what; }
  PendingCall(FiberControl& whose, const Chain& what, std::span<long> into) noexcept
      : fiber(whose), chain(&what), results(into) {}

  FiberControl& fiber;
  const Chain* chain = nullptr;  ///< then there is no `call`
  std::span<long> results = {};  ///< of the chain
  long result = 0;
  bool heeds_cancel = false;  ///< cancel() of its fiber ends it
  bool ended = false;         ///< it was cancelled
  bool late = false;          ///< ... for a deadline
  PendingCall* backlog_next = nullptr;
};

// What others write is kept on lines of its own.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
class alignas(64) Carrier {
 public:
  /// `seed`: of the runtime, if it has one.
  Carrier(RuntimeImpl& runtime, std::size_t index, std::unique_ptr<Channel> channel,
          const RuntimeOptions& options, bool sole, std::optional<std::uint64_t> seed);
  Carrier(const Carrier&) = delete;
  Carrier& operator=(const Carrier&) = delete;
  /// After run() has returned. Waits for the last of the wakers to be gone.
  ~Carrier();

  /// The carrier whose thread this is, or null.
  [[nodiscard]] static Carrier* of_this_thread() noexcept;
  /// The fiber that the caller is in, or null.
  [[nodiscard]] static FiberControl* running_fiber() noexcept;
  [[nodiscard]] std::uint64_t spawned() const noexcept {
    return spawned_.load(std::memory_order_acquire);  // pairs with push_own(); see at_end()
  }
  [[nodiscard]] std::uint64_t finished() const noexcept {
    return finished_.load(std::memory_order_acquire);  // pairs with finish()
  }

  /// Body of the thread: runs fibers until the runtime is at its end.
  void run();

  // In a fiber of this carrier.
  [[nodiscard]] long run_call(const Call& call);
  [[nodiscard]] long run_chain(const Chain& chain, std::span<long> results);
  void yield();
  /// yield() if anything waits for this thread.
  void checkpoint();
  /// Whether the carrier has anything else to do, or may soon have. In a fiber of this carrier.
  [[nodiscard]] bool others_wait() const noexcept;
  void park() noexcept;
  /// yield(), if the seed wants it. In a fiber of this carrier.
  void perhaps_yield();
  [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }

  // In this carrier's thread.
  /// Into its place at once: to return it would copy it twice, and a processor cannot forward
  /// the halves of the first copy to the second.
  void take_stack(std::size_t size, Stack& stack);
  /// Memory for a FiberControl, kept from one that was destroyed in this thread, or null: fibers
  /// that are spawned and end by turns need no allocation. It comes from operator new and goes back
  /// there.
  [[nodiscard]] void* take_memory() noexcept {
    if (spare_memory_ == nullptr) return nullptr;
    --spare_memories_;
    return std::exchange(spare_memory_, spare_memory_->next);
  }
  /// Keeps it, unless it has enough; whether it did.
  [[nodiscard]] bool keep_memory(void* memory) noexcept {
    if (spare_memories_ == kSpareMemories) return false;
    ++spare_memories_;
    spare_memory_ = new (memory) SpareMemory{spare_memory_};
    return true;
  }
  /// Whether every fiber that its own ones spawn will run here.
  [[nodiscard]] bool keeps_its_own() const noexcept { return sole_; }
  /// Takes a fiber that has not started, from one of its own.
  void push_own(FiberControl& fiber) noexcept;
  /// Shows the channel's counters to other threads.
  void publish() noexcept;

  /// Ends the call that a fiber of this carrier is parked on: with ECANCELED or, if it is late,
  /// with ETIMEDOUT, unless it completes first. Outside of fibers.
  void end_call(PendingCall& pending, bool late);

  // From any thread.
  /// Makes a parked (or parking) fiber of this carrier ready. The caller owes the fiber
  /// its one wake-up.
  void wake(FiberControl& fiber) noexcept;
  /// Takes an announced cancellation, see fiber_end.
  void cancel(FiberControl& fiber) noexcept;
  /// Takes a fiber that has not started.
  void push_fresh(FiberControl& fiber) noexcept;
  /// Ends its sleep, if it sleeps; whether it did.
  bool rouse() noexcept;
  /// A look at whether fresh fibers wait here. seq_cst: part of the sleeping handshake.
  [[nodiscard]] bool has_fresh() const noexcept {
    return own_.size() != 0 || fresh_count_.load(std::memory_order_seq_cst) != 0;
  }
  /// Adds the counters; those of the channel are exact whenever a fiber ends and while the
  /// carrier sleeps, else a few rounds old.
  void add_stats(RuntimeStats& stats) const noexcept;

  /// Whether an exception unwinds the running fiber. In it.
  [[nodiscard]] bool unwinding() const noexcept { return thread_state_.exceptions->uncaught != 0; }
  [[nodiscard]] RuntimeImpl& runtime() const noexcept { return runtime_; }
  [[nodiscard]] const FiberControl* current() const noexcept { return current_; }

  // For the watchdog.
  /// Times a fiber was let run: another number whenever one has begun or gone on. From any thread.
  [[nodiscard]] std::uint64_t switches() const noexcept {
    return switches_.load(std::memory_order_relaxed);
  }
  /// Where current() is kept. It is the carrier's own; others read it as memory of a process.
  [[nodiscard]] const void* place_of_current() const noexcept { return &current_; }
  /// Tells it what coarse_now() is. From any thread.
  void keep_time(std::int64_t now) noexcept { now_.store(now, std::memory_order_relaxed); }

 private:
  static void fiber_main(Context::Transfer transfer);
  [[nodiscard]] Context::Transfer finish() noexcept;

  // Choosing and switching (carrier.cpp).
  [[nodiscard]] bool run_round() noexcept;
  void begin_round() noexcept;
  [[nodiscard]] bool may_go_on() const noexcept;
  [[nodiscard]] FiberControl* next_in_round() noexcept;
  void fetch_ahead() const noexcept;
  [[nodiscard]] FiberControl* next_in_order() noexcept;
  void make_ready_specially(FiberControl& fiber) noexcept;
  [[nodiscard]] FiberControl* pop_fresh() noexcept;
  void place(FiberControl& fiber) noexcept;
  void offer(FiberControl& fiber) noexcept;
  [[nodiscard]] bool adopt(FiberControl& fiber) noexcept;
  void start(FiberControl& fiber) noexcept;
  [[nodiscard]] FiberControl* next_after(FiberControl& self) noexcept;
  [[nodiscard]] Context& start_or_loop(FiberControl* next) noexcept;
  void leave(FiberControl& self) noexcept;
  void examine(FiberControl& self) noexcept;
  /// After each switch: takes care of the fiber that was left, if it asked for that.
  void pick_up() noexcept {
    if (left_ != nullptr) pick_up_left();
  }
  void pick_up_left() noexcept;
  void bury(FiberControl& fiber) noexcept;
  void tell_end(FiberControl& fiber) noexcept;
  void tell_joiner(FiberControl& fiber) noexcept;
  void make_ready(FiberControl& fiber) noexcept;

  // Calls (carrier_call.cpp).
  [[nodiscard]] bool alone() const noexcept;
  /// Another number after each call that was made, posted or completed.
  [[nodiscard]] std::uint64_t calls_seen() const noexcept {
    return channel_stats_.posted + channel_stats_.direct + channel_stats_.reaped;
  }
  [[nodiscard]] bool any_ready() const noexcept {
    return !ready_.empty() || (order_ != nullptr && order_->size() != 0);
  }
  /// has_fresh() as an estimate.
  [[nodiscard]] bool seems_fresh() const noexcept {
    return own_.size() != 0 || fresh_count_.load(std::memory_order_relaxed) != 0;
  }
  [[nodiscard]] long must_end(FiberControl& fiber) const noexcept;
  [[nodiscard]] bool heeds_cancel(const FiberControl& fiber) const noexcept;
  [[nodiscard]] long post_and_wait(PendingCall& pending);
  [[nodiscard]] long wait_for(PendingCall& pending);
  [[nodiscard]] bool post(PendingCall& pending);
  void post_backlog();
  bool settle();
  void submit();
  void help();

  // Nothing to run (carrier_idle.cpp).
  bool take_inbox() noexcept;
  bool take_cancels() noexcept;
  void deliver_cancel(FiberControl& fiber) noexcept;
  bool fire_timers() noexcept;
  [[nodiscard]] bool steal() noexcept;
  [[nodiscard]] bool spin();
  bool sleep();
  void wait(std::chrono::nanoseconds timeout);

  RuntimeImpl& runtime_;
  const std::size_t index_;
  const std::unique_ptr<Channel> channel_;
  const bool helps_;  ///< channel_->helps()
  const bool quick_;  ///< channel_->makes_quick_calls()
  const std::chrono::nanoseconds spin_;
  const WaitPolicy wait_;
  const bool sleeps_soon_;  ///< it executes its calls itself, and one that is complete ends a wait
  const ChannelStats& channel_stats_;
  const bool steals_;
  const std::unique_ptr<Interleaving> forced_;  ///< with a seed
  const std::unique_ptr<RunOrder> order_;       ///< null: the usual one
  const bool sole_;                             ///< no other carrier of the runtime steals

  // Private to the thread.
  Context loop_;
  ThreadState thread_state_;
  FiberControl* current_ = nullptr;
  FiberControl* left_ = nullptr;   ///< switched away from: it has finished, or may move
  Waiter* dead_joiner_ = nullptr;  ///< of another thread, to be woken when it is buried
  bool dead_told_ = false;         ///< `end` says ended already
  ReadyQueue ready_;
  std::size_t fresh_budget_ = 0;  ///< fresh and ready fibers left in this round
  std::size_t ready_budget_ = 0;
  std::size_t order_budget_ = 0;
  TimerWheel timers_;
  Fifo<PendingCall, &PendingCall::backlog_next> backlog_;  ///< calls that found no entry
  std::size_t unsubmitted_ = 0;
  unsigned made_alone_ = 0;      ///< calls in this round that needed no parking
  std::uint64_t helped_in_ = 0;  ///< the round of the last crossing in which we helped
  bool impatient_ = false;       ///< the last wait for some() brought nothing: take any()
  static constexpr std::size_t kSpareStacks = 64;
  std::vector<Stack> spare_stacks_;  ///< kept to itself
  struct SpareMemory {
    SpareMemory* next;
  };
  static constexpr unsigned kSpareMemories = 64;
  SpareMemory* spare_memory_ = nullptr;
  unsigned spare_memories_ = 0;
  std::uint64_t rounds_ = 0;
  /// coarse_now() not long ago. Written by the watchdog too, so that it goes on while a fiber does
  /// not yield. relaxed: whichever of the two was later, it is a time not long ago.
  std::atomic<std::int64_t> now_{0};
  unsigned rounds_inside_ = 0;         ///< begun since the loop had its turn
  unsigned pops_ = 0;                  ///< of fresh fibers
  RuntimeStats own_stats_;             ///< stolen, sleeps, slept and taken
  std::uint64_t published_calls_ = 0;  ///< what publish() has shown last, and when
  std::uint64_t published_round_ = 0;
  // Written by the carrier's thread alone, see count(); read by others. Relaxed, as they are
  // numbers, but for the two that at_end() concludes something from: released here, acquired there.
  std::atomic<std::uint64_t> switches_{0};
  std::atomic<std::uint64_t> notifies_{0};
  std::atomic<std::uint64_t> spawned_{0};
  std::atomic<std::uint64_t> finished_{0};
  std::atomic<std::uint64_t> moved_{0};  ///< started fibers taken from others
  std::array<std::atomic<std::uint64_t>, std::tuple_size_v<decltype(RuntimeStats::reaps)>> reaps_{};

  FreshRing<FiberControl, 256> own_;  ///< spawned by this carrier's fibers, or of those that move

  // Shared. On lines of their own: others' pushes must not disturb what is above.
  alignas(64) Inbox inbox_;
  CancelInbox cancels_;  ///< to be cancelled
  /// Set by the carrier, taken away by it or by who notifies it. See "Sleeping" above.
  std::atomic<bool> sleeping_{false};
  /// Threads inside wake() or cancel() from outside, which keep the carrier. ~Carrier() waits for
  /// 0: acquire, pairs with the release of the last one.
  std::atomic<unsigned> wakers_{0};

  alignas(64) std::mutex fresh_mutex_;
  FreshQueue fresh_;  ///< by others, and what found no room; guarded by fresh_mutex_
  /// Its size; written under fresh_mutex_. A larger one seq_cst, for the sleeping handshake; a
  /// smaller one relaxed, as a sleeper that reads the one before only looks once more.
  std::atomic<std::size_t> fresh_count_{0};

  static constexpr std::size_t kPublished = 12;
  /// Of publish(), for add_stats(). Relaxed: numbers.
  alignas(64) std::array<std::atomic<std::uint64_t>, kPublished> published_{};
  std::array<Completion, 64> reaped_;  // settle()'s, here so that it is not made anew each time
};

/// The carrier of the thread. Read through of_this_thread() only.
extern constinit thread_local Carrier* this_carrier
    [[gnu::tls_model("initial-exec")]] asm("flexsc_this_carrier");

/// Here, and not in a function of another file, as it is on the way of every yield. In assembly, as
/// compilers keep the address of a thread-local over a call, even where that has switched and the
/// fiber has moved to another thread.
inline Carrier* Carrier::of_this_thread() noexcept {
#ifdef __x86_64__
  Carrier* carrier = nullptr;
  // NOLINTNEXTLINE(hicpp-no-assembler)
  asm volatile(
      "movq flexsc_this_carrier@GOTTPOFF(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(carrier));
  return carrier;
#else
#error "how this processor reads a thread-local is not known here"
#endif
}

inline FiberControl* Carrier::running_fiber() noexcept {
  const Carrier* carrier = of_this_thread();
  return carrier != nullptr ? carrier->current_ : nullptr;
}

/// A counter that one thread writes and others read.
inline void count(std::atomic<std::uint64_t>& counter,
                  std::memory_order order = std::memory_order_relaxed) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, order);
}

}  // namespace flexsc::detail
