// SPDX-License-Identifier: MIT
/// @file
/// Worker threads in user space that serve system-call pages as the kernel's workers do.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "flexsc/engine.hpp"
#include "pages.hpp"
#include "parker.hpp"
#include "policy.hpp"

namespace flexsc::detail {

/// One channel's pages as the workers know them. Shared by the channel and every worker
/// that saw it, so that a worker may touch it after its last completion.
struct PoolClient {
  explicit PoolClient(unsigned pages)
      : mapping(Mapping::anonymous(Pages::bytes(pages))), pages(mapping.address(), pages) {}
  /// For a carrier that sleeps where a write to `wakes_by`, an eventfd, ends it.
  PoolClient(unsigned pages, Descriptor wakes_by) : PoolClient(pages) {
    eventfd = std::move(wakes_by);
    parker.wake_by(eventfd.get());
  }

  Mapping mapping;
  Pages pages;
  Descriptor eventfd;  ///< of the parker: a worker may write to it after its last completion
  Parker parker;       ///< where the carrier sleeps
};

/// An entry's name.
struct EntryName {
  PoolClient* client = nullptr;
  unsigned page = 0;
  unsigned bit = 0;
  friend bool operator==(const EntryName&, const EntryName&) = default;
};

using ClientList = std::vector<std::shared_ptr<PoolClient>>;

/// The threads of one engine.
///
/// A *seat* is the right to look for calls; there are `concurrency` of them. A thread
/// with a seat claims calls and makes them; one without is inside a call that blocks, or
/// stands by. Before a call that may_block(), a thread gives claimed calls that it has
/// not begun back and its seat to a standby thread, made on demand. When the standby
/// limit is reached (or threads cannot be had) the seat stays vacant until a blocked
/// call returns: then calls do wait for each other.
///
/// Cancelling: entries to cancel are listed in `cancels_` until their completion has been taken,
/// so that neither an entry that is given back and claimed again nor a call that is about to begin
/// escapes. A thread looks there before each call; one that is inside a call without a seat
/// (`away_`) is interrupted, and again at every tick of the monitor until it is out, since a
/// signal that comes before the call begins is lost. Only threads in `away_` are sent signals and
/// they leave it before their next call, so no other call is interrupted.
///
/// may_block() can be wrong, so a monitor takes the seat from a thread that has been in
/// the same call for two of its ticks, and gives it on in the same way.
///
/// Everything but scanning, claiming and completing happens under `mutex_`. Invariants
/// under it:
///  1. every seat is held by a thread (`held_` of them) or in `vacant_`;
///  2. a seat in `idle_` is held, its thread sleeps or is about to, and its wake-up goes
///     through wake_one();
///  3. need_doorbell of every client is 1 (`announced_`) only while all held seats are
///     idle; a thread that goes idle looks at all submission words after announcing.
class WorkerPool : public std::enable_shared_from_this<WorkerPool> {
 public:
  /// @throws std::system_error for CPUs that cannot be used.
  WorkerPool(const PoolOptions& options, unsigned number);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() = default;

  /// Starts the threads. @throws std::system_error
  void start();
  /// Ends all threads and waits for them. No call may be in flight.
  void stop();

  /// @throws std::system_error (EMFILE) when there are FLEXSC_MAX_CLIENTS.
  void add_client(const std::shared_ptr<PoolClient>& client);
  void remove_client(const std::shared_ptr<PoolClient>& client);

  /// Wakes a thread if all that hold seats are idle.
  void doorbell();
  /// Cancels an entry that its channel has posted, if it is in this pool.
  void cancel(const EntryName& name);
  /// Its completion has been taken.
  void cancel_is_over(const EntryName& name);
  [[nodiscard]] EngineStats stats() const;

 private:
  /// A thread, as those see it who want it out of a call. Lives on the thread's stack.
  struct Worker {
    pid_t thread = 0;
    EntryName entry;  ///< what it makes; under mutex_ while it is in away_
    /// Whether it was interrupted for a cancel. Set under mutex_; relaxed: the thread reads it
    /// between the calls of a chain as a hint, and under mutex_ when it counts.
    std::atomic<bool> cancelled{false};
  };

  /// What a holder and the monitor share. The holder writes what is below `call` only outside
  /// calls; whoever makes `call` even owns it, and a next holder gets it through mutex_.
  struct alignas(64) Seat {
    /// Odd inside a call that is made while holding the seat; grows with every change, so that no
    /// value comes twice. Going from odd to even, by the holder (run_entry()) or by the monitor
    /// (rescue()), decides whose the seat is. The holder releases the odd value, with the claim;
    /// the monitor's exchange acquires it. Nothing else is ordered by it: a holder that finds its
    /// seat gone goes on under mutex_.
    std::atomic<std::uint64_t> call{0};
    /// By holders, written by them alone, one after the other. Relaxed: a number.
    std::atomic<std::uint64_t> executed{0};
    PoolClient* client = nullptr;  ///< of the claim, while rest is not 0
    unsigned page = 0;
    unsigned bit = 0;             ///< of the call being made
    Worker* worker = nullptr;     ///< the holder
    Word rest = 0;                ///< claimed and not begun
    std::uint64_t last_call = 0;  ///< what the monitor saw at its last tick
    // Under mutex_:
    bool idle = false;
    std::condition_variable awake;
  };

  /// A thread without a seat that waits for one.
  struct Standby {
    Seat* seat = nullptr;
    std::condition_variable given;
  };

  struct Start;

  // worker_threads.cpp: what a thread does with its seat, without the mutex.
  void serve(Seat& seat);
  [[nodiscard]] bool scan(Seat& seat, const ClientList& clients, bool& lost);
  [[nodiscard]] bool run_claim(Seat& seat);
  [[nodiscard]] bool run_entry(Seat& seat, const EntryName& name, const Call& call);
  void run_away(Seat& seat, const EntryName& name, const Call& call);
  void run_chain(Seat& seat, const EntryName& name);
  void complete(const EntryName& name, long result, unsigned length = 1);
  void complete_cancelled(const EntryName& name);

  // worker_pool.cpp
  void spawn(Seat* seat);
  static void* run_thread(void* start);
  void set_up();
  void work(Seat* seat);
  [[nodiscard]] Seat* next_seat();
  void hand_on(Seat& seat);
  [[nodiscard]] bool go_idle(Seat& seat);
  void wake_one();
  void announce(bool idle);
  [[nodiscard]] bool any_posted() const;
  void refresh(ClientList& clients, std::uint64_t& version);
  void monitor();
  void rescue(Seat& seat);
  void wake_monitor();

  // worker_cancel.cpp
  void leave(Seat& seat, const EntryName& name);
  [[nodiscard]] bool come_back(Worker& worker);
  [[nodiscard]] bool is_cancelled(const EntryName& name) const;
  void interrupt_cancelled();

  const Policy& policy_ = threads_policy();
  const unsigned number_;  ///< of the pool, and of its queue
  const std::optional<Scheduling> scheduling_;
  const std::chrono::microseconds spin_;
  const std::size_t thread_limit_;
  std::vector<int> cpus_;
  std::vector<std::unique_ptr<Seat>> seats_;

  mutable std::mutex mutex_;
  ClientList clients_;
  std::vector<Seat*> idle_;
  std::vector<Seat*> vacant_;
  std::vector<Standby*> standby_;
  std::vector<Worker*> away_;  ///< threads inside a call without a seat
  std::vector<EntryName> cancels_;
  int refused_scheduling_ = 0;  ///< an errno
  std::size_t starting_ = 0;    ///< threads that have not set themselves up yet
  std::size_t held_ = 0;
  std::size_t workers_ = 0;  ///< threads, but for the monitor
  std::size_t threads_ = 0;  ///< threads that have not ended
  bool announced_ = false;
  bool monitor_sleeps_ = false;
  std::uint64_t parks_ = 0;
  std::condition_variable ended_;
  std::condition_variable started_;
  std::condition_variable monitor_wakes_;

  /// Changes, under mutex_, with clients_. Release/acquire: a thread that sees the new
  /// number takes the mutex, so relaxed would do; the order keeps that argument short.
  std::atomic<std::uint64_t> version_{1};
  /// Set once, under mutex_, where sleepers look. Relaxed: a thread that looks for calls sees it
  /// some turns later.
  std::atomic<bool> stopping_{false};
  /// Hint: cancels_ is not empty. Orders nothing: a thread that misses it is in away_ or taken
  /// there by the monitor if its call sleeps, and found by the monitor's next tick.
  std::atomic<bool> some_cancelled_{false};
  /// Hint: idle_ is not empty; written under mutex_. Orders nothing: doorbell() looks under mutex_,
  /// and what a thread misses the monitor finds.
  std::atomic<bool> some_idle_{false};

  // Counters, of all threads. Relaxed: they order nothing.
  std::atomic<std::uint64_t> executed_{0};  ///< without a seat
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> blocked_{0};
  std::atomic<std::uint64_t> handed_back_{0};
  std::atomic<std::uint64_t> batches_{0};
};

using WorkerPools = std::vector<std::shared_ptr<WorkerPool>>;

}  // namespace flexsc::detail
