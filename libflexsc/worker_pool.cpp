// SPDX-License-Identifier: MIT
/// @file
/// The pool's book-keeping: threads, seats, idling and the monitor.
#include "worker_pool.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "interrupt.hpp"

namespace flexsc::detail {

namespace {
constexpr std::size_t kMaxStandby = 4096;
constexpr std::size_t kStackBytes = std::size_t{256} * 1024;
constexpr std::chrono::seconds kRetireAfter{3};
constexpr std::chrono::microseconds kFirstTick{500};
constexpr std::chrono::microseconds kLastTick{8000};
/// The monitor itself sleeps when all seats have been idle for so many ticks.
constexpr unsigned kQuietTicks = 16;

std::size_t seat_count(const PoolOptions& options) {
  if (options.concurrency != 0) return options.concurrency;
  return std::max<std::size_t>(1, options.worker_cpus.size());
}
}  // namespace

WorkerPool::WorkerPool(const PoolOptions& options, unsigned number)
    : number_(number),
      scheduling_(options.scheduling),
      spin_(options.spin),
      thread_limit_(seat_count(options) +
                    (options.standby_max != 0 ? options.standby_max : kMaxStandby)),
      cpus_(options.worker_cpus) {
  for (std::size_t i = 0; i < seat_count(options); ++i) seats_.push_back(std::make_unique<Seat>());
}

void WorkerPool::start() {
  std::unique_lock lock(mutex_);
  spawn(nullptr);  // the monitor
  for (const auto& seat : seats_) {
    ++held_;
    spawn(seat.get());
  }
  if (!scheduling_) return;
  started_.wait(lock, [this] { return starting_ == 0; });
  if (refused_scheduling_ != 0) {
    throw std::system_error(refused_scheduling_, std::generic_category(),
                            "the workers of a pool cannot be scheduled as its options say");
  }
}

/// A worker gives itself the pool's scheduling; standby threads, later, get what was possible.
void WorkerPool::set_up() {
  int error = 0;
  if (scheduling_) {
    const bool realtime = scheduling_->policy == SCHED_FIFO || scheduling_->policy == SCHED_RR;
    sched_param param{};
    param.sched_priority = realtime ? scheduling_->priority : 0;
    if (sched_setscheduler(0, scheduling_->policy, &param) != 0) error = errno;
    // Linux keeps a nice value for each thread.
    if (error == 0 && !realtime && setpriority(PRIO_PROCESS, 0, scheduling_->priority) != 0) {
      error = errno;
    }
  }
  const std::lock_guard lock(mutex_);
  if (refused_scheduling_ == 0) refused_scheduling_ = error;
  if (--starting_ == 0) started_.notify_all();
}

void WorkerPool::stop() {
  std::unique_lock lock(mutex_);
  stopping_.store(true, std::memory_order_relaxed);  // sleepers see it under the mutex
  for (const auto& seat : seats_) seat->awake.notify_one();
  for (Standby* standby : standby_) standby->given.notify_one();
  monitor_wakes_.notify_one();
  ended_.wait(lock, [this] { return threads_ == 0; });
}

void WorkerPool::add_client(const std::shared_ptr<PoolClient>& client) {
  const std::lock_guard lock(mutex_);
  if (clients_.size() == FLEXSC_MAX_CLIENTS) {
    throw std::system_error(EMFILE, std::generic_category(), "the engine has all its channels");
  }
  clients_.push_back(client);
  set_doorbell(client->pages.need_doorbell(number_), announced_);
  // release: pairs with the look of refresh(), which then takes the mutex for the list.
  version_.fetch_add(1, std::memory_order_release);
}

void WorkerPool::remove_client(const std::shared_ptr<PoolClient>& client) {
  const std::lock_guard lock(mutex_);
  std::erase(clients_, client);
  version_.fetch_add(1, std::memory_order_release);  // as above
}

void WorkerPool::refresh(ClientList& clients, std::uint64_t& version) {
  // acquire: pairs with add_client() and remove_client().
  if (version_.load(std::memory_order_acquire) == version) return;
  const std::lock_guard lock(mutex_);
  clients = clients_;
  version = version_.load(std::memory_order_relaxed);  // written under the mutex
}

// --- threads -------------------------------------------------------------------------

struct WorkerPool::Start {
  std::shared_ptr<WorkerPool> pool;
  Seat* seat;  ///< null: the monitor
};

/// Under mutex_. @throws std::system_error
void WorkerPool::spawn(Seat* seat) {
  auto start = std::make_unique<Start>(Start{shared_from_this(), seat});
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  if (!cpus_.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus_) CPU_SET(static_cast<std::size_t>(cpu), &set);
    pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
  }
  // Signals are for the program's own threads, but for the one that ends calls.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, interrupt_signal());
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread{};
  const int error = pthread_create(&thread, &attributes, &run_thread, start.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    throw std::system_error(error, std::generic_category(), "cannot start a worker thread");
  }
  pthread_setname_np(thread, seat != nullptr ? "flexsc-worker" : "flexsc-monitor");
  static_cast<void>(start.release());  // the thread's
  ++threads_;
  if (seat != nullptr) ++workers_;
  if (seat != nullptr) ++starting_;
}

void* WorkerPool::run_thread(void* argument) {
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  WorkerPool& pool = *start->pool;
  if (start->seat != nullptr) {
    pool.set_up();
    pool.work(start->seat);
  } else {
    pool.monitor();
  }
  const std::lock_guard lock(pool.mutex_);
  if (start->seat != nullptr) --pool.workers_;
  if (--pool.threads_ == 0) pool.ended_.notify_all();
  return nullptr;
}

void WorkerPool::work(Seat* seat) {
  Worker self;
  self.thread = static_cast<pid_t>(execute(make_call(SYS_gettid)));
  for (; seat != nullptr; seat = next_seat()) {
    seat->worker = &self;
    serve(*seat);
  }
}

/// A seat for a thread that lost its own; null: the thread should end.
WorkerPool::Seat* WorkerPool::next_seat() {
  std::unique_lock lock(mutex_);
  if (stopping_.load(std::memory_order_relaxed)) return nullptr;
  if (!vacant_.empty()) {
    Seat* seat = vacant_.back();
    vacant_.pop_back();
    ++held_;
    wake_monitor();
    return seat;
  }
  Standby self;
  standby_.push_back(&self);
  self.given.wait_for(lock, kRetireAfter, [&] {
    return self.seat != nullptr || stopping_.load(std::memory_order_relaxed);
  });
  if (self.seat == nullptr) std::erase(standby_, &self);
  return self.seat;
}

// --- seats ---------------------------------------------------------------------------

/// Gives the claim's rest back and the seat to another thread. Under mutex_, by whoever
/// owns the seat.
void WorkerPool::hand_on(Seat& seat) {
  blocked_.fetch_add(1, std::memory_order_relaxed);
  if (seat.rest != 0) {
    // Entries of the rest are in flight, so their client exists.
    return_bits(seat.client->pages.submission(number_, seat.page), std::exchange(seat.rest, 0));
    handed_back_.fetch_add(1, std::memory_order_relaxed);
  }
  if (!standby_.empty()) {
    Standby* standby = standby_.back();  // the one that ran last
    standby_.pop_back();
    standby->seat = &seat;
    standby->given.notify_one();
    return;
  }
  try {
    if (workers_ < thread_limit_) {
      spawn(&seat);
      return;
    }
  } catch (const std::exception&) {
    // No thread or no memory for one: as at the limit.
  }
  vacant_.push_back(&seat);
  --held_;
  wake_one();  // what was given back is for the other seats
}

/// The holder found nothing for a while. False: the pool stops.
bool WorkerPool::go_idle(Seat& seat) {
  std::unique_lock lock(mutex_);
  if (stopping_.load(std::memory_order_relaxed)) return false;
  seat.idle = true;
  idle_.push_back(&seat);
  some_idle_.store(true, std::memory_order_relaxed);
  if (idle_.size() == held_) announce(true);
  if (any_posted()) {  // after announcing: the handshake of shared_word.hpp
    std::erase(idle_, &seat);
    some_idle_.store(!idle_.empty(), std::memory_order_relaxed);
    seat.idle = false;
    if (announced_) announce(false);
    return true;
  }
  ++parks_;
  seat.awake.wait(lock, [&] { return !seat.idle || stopping_.load(std::memory_order_relaxed); });
  return !stopping_.load(std::memory_order_relaxed);
}

/// Wakes the thread that went idle last. It looks at all words after this, so posters
/// need not ring any more. Under mutex_.
void WorkerPool::wake_one() {
  if (idle_.empty()) return;
  Seat* seat = idle_.back();
  idle_.pop_back();
  some_idle_.store(!idle_.empty(), std::memory_order_relaxed);
  seat->idle = false;
  seat->awake.notify_one();
  if (announced_) announce(false);
  wake_monitor();
}

void WorkerPool::doorbell() {
  const std::lock_guard lock(mutex_);
  wake_one();
}

void WorkerPool::announce(bool idle) {
  announced_ = idle;
  for (const auto& client : clients_) set_doorbell(client->pages.need_doorbell(number_), idle);
}

bool WorkerPool::any_posted() const {
  for (const auto& client : clients_) {
    for (unsigned page = 0; page < client->pages.count(); ++page) {
      if (peek_before_sleep(client->pages.submission(number_, page)) != 0) return true;
    }
  }
  return false;
}

// --- monitor -------------------------------------------------------------------------

void WorkerPool::monitor() {
  std::unique_lock lock(mutex_);
  const auto stopping = [this] { return stopping_.load(std::memory_order_relaxed); };
  auto tick = kFirstTick;
  unsigned quiet = 0;
  while (!stopping()) {
    if (quiet == kQuietTicks) {
      monitor_sleeps_ = true;
      monitor_wakes_.wait(lock, [&] { return !monitor_sleeps_ || stopping(); });
      monitor_sleeps_ = false;
      quiet = 0;
      tick = kFirstTick;
    }
    monitor_wakes_.wait_for(lock, tick, stopping);
    quiet = idle_.size() == held_ && cancels_.empty() ? quiet + 1 : 0;
    const std::uint64_t before = blocked_.load(std::memory_order_relaxed);
    for (const auto& seat : seats_) rescue(*seat);
    if (!cancels_.empty()) interrupt_cancelled();
    // A thread that looks may be busy with a long claim while others sleep.
    if (!idle_.empty() && any_posted()) wake_one();
    const bool rescued = blocked_.load(std::memory_order_relaxed) != before;
    tick = rescued ? kFirstTick : std::min(2 * tick, kLastTick);
  }
}

/// Takes the seat if its holder is still in the call of the last tick.
void WorkerPool::rescue(Seat& seat) {
  std::uint64_t call = seat.call.load(std::memory_order_relaxed);
  const bool stuck = call % 2 == 1 && call == seat.last_call;
  seat.last_call = call;
  // relaxed: a guess, which the exchange checks. Its acquire pairs with the release in run_entry():
  // the seat's claim can be read. Its release pairs with nothing, see Seat::call.
  if (stuck && seat.call.compare_exchange_strong(call, call + 1, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed)) {
    seat.worker->entry = {seat.client, seat.page, seat.bit};
    away_.push_back(seat.worker);
    hand_on(seat);
  }
}

void WorkerPool::wake_monitor() {
  if (!monitor_sleeps_) return;
  monitor_sleeps_ = false;
  monitor_wakes_.notify_one();
}

EngineStats WorkerPool::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats;
  stats.workers = workers_;
  stats.executed = executed_.load(std::memory_order_relaxed);
  for (const auto& seat : seats_) stats.executed += seat->executed.load(std::memory_order_relaxed);
  stats.refused = refused_.load(std::memory_order_relaxed);
  stats.blocked = blocked_.load(std::memory_order_relaxed);
  stats.handed_back = handed_back_.load(std::memory_order_relaxed);
  stats.batches = batches_.load(std::memory_order_relaxed);
  stats.parks = parks_;
  return stats;
}

}  // namespace flexsc::detail
