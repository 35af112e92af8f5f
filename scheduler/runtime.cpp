// SPDX-License-Identifier: MIT
#include "runtime.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>

#include "cpus.hpp"
#include "expect.hpp"
#include "overflow.hpp"

namespace flexsc::detail {
namespace {

std::vector<int> carrier_cpus(const RuntimeOptions& options) {
  return options.carrier_cpus.empty() ? default_carrier_cpus() : options.carrier_cpus;
}

/// Whether the carriers run wherever these workers may.
bool covers(const std::vector<int>& carriers, const std::vector<int>& worker_cpus) {
  const std::vector<int> workers = worker_cpus.empty() ? allowed_cpus() : worker_cpus;
  return std::all_of(workers.begin(), workers.end(), [&](int cpu) {
    return std::find(carriers.begin(), carriers.end(), cpu) != carriers.end();
  });
}

/// Decides Help::automatic. A carrier executes the calls of all pools, so it helps only where no
/// pool has a CPU or a scheduling of its own.
EngineOptions engine_options(const RuntimeOptions& options) {
  EngineOptions engine = options.engine;
  if (engine.help != Help::automatic) return engine;
  const std::vector<int> carriers = carrier_cpus(options);
  bool helps = covers(carriers, engine.worker_cpus) && !engine.scheduling;
  for (const PoolOptions& pool : engine.more_pools) {
    helps = helps && covers(carriers, pool.worker_cpus) && !pool.scheduling;
  }
  engine.help = helps ? Help::always : Help::never;
  return engine;
}

}  // namespace

void block_signals() noexcept {
  sigset_t set;
  sigfillset(&set);
  for (const int own :
       {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPIPE, SIGXFSZ, SIGPROF}) {
    sigdelset(&set, own);
  }
  (void)pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

RuntimeImpl::RuntimeImpl(const RuntimeOptions& options)
    : engine_(Engine::open(engine_options(options))),
      pools_(1 + options.engine.more_pools.size()),
      stack_size_(stack_size_for(options.stack_bytes)),
      steals_(options.steal && carrier_cpus(options).size() > 1),
      seed_(seed_to_use(options.seed)),
      ordered_(seed_ || options.order),
      stacks_(stack_size_),
      report_(options.watch.report) {
  install_overflow_handler();
  const std::vector<int> cpus = carrier_cpus(options);
  carriers_.reserve(cpus.size());
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    carriers_.push_back(std::make_unique<Carrier>(*this, i, engine_->make_channel(), options,
                                                  cpus.size() == 1, seed_));
  }
  carrier_records_.resize(cpus.size());
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    carrier_records_[i] = {carriers_[i].get(), 0, static_cast<std::uint32_t>(i)};
  }
  record_ = {nullptr, carrier_records_.data(), cpus.size(), stacks_.table()};
  if (options.watch.busy.count() != 0 || options.watch.stuck.count() != 0) {
    watch_ = std::make_unique<Watch>(*this, options.watch);
  }
  enter_table(record_);
  // Threads last: they look at all carriers, so all of them must be there.
  threads_.reserve(cpus.size());
  try {
    for (std::size_t i = 0; i < cpus.size(); ++i) {
      threads_.emplace_back([this, i] {
        block_signals();
        const SignalStack signal_stack;
        carrier_records_[i].thread = ::gettid();
        carriers_[i]->run();
      });
      pin(threads_.back(), cpus[i]);
      const std::string name = "flexsc/" + std::to_string(i);
      (void)pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
    }
    if (watch_ != nullptr) watch_->begin();
  } catch (...) {
    stop();
    throw;
  }
}

RuntimeImpl::~RuntimeImpl() {
  const Carrier* here = Carrier::of_this_thread();
  if (here != nullptr && &here->runtime() == this) {
    (void)std::fputs(
        "flexsc: a Runtime is destroyed by one of its own fibers, which it has to wait for\n",
        stderr);
    std::abort();
  }
  stop();
}

void RuntimeImpl::stop() noexcept {
  stopping_.store(true, std::memory_order_seq_cst);  // before rouse_all() reads who sleeps
  rouse_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (watch_ != nullptr) watch_->end();  // until here it tells who does not end
  leave_table(record_);
}

/// There is no count of living fibers, which all carriers would write, but two of each carrier
/// that only grow. If all that had ended were read before all that had been spawned, and they are
/// equal, then between the two nobody lived: fewer had been spawned then than were read, and
/// more had ended. Whoever sees a fiber in the first sees it in the second (release and
/// acquire of `finished`), and after stopping_ is set only living fibers spawn.
///
/// A carrier that sees the end rouses the others. One that goes to sleep has added itself to
/// `sleepers` before it looks here. So of two that end the last fibers at the same time, and go to
/// sleep, the second to add itself sees both: what it adds to has the release of the first in it,
/// which comes after that one's end.
bool RuntimeImpl::at_end() const noexcept {
  if (!stopping_.load(std::memory_order_seq_cst)) return false;
  std::uint64_t finished = 0;
  for (const auto& carrier : carriers_) finished += carrier->finished();
  std::uint64_t spawned = spawned_.load(std::memory_order_acquire);  // pairs with spawn()
  for (const auto& carrier : carriers_) spawned += carrier->spawned();
  return finished == spawned;
}

bool RuntimeImpl::any_fresh() const noexcept {
  return std::any_of(carriers_.begin(), carriers_.end(),
                     [](const auto& carrier) { return carrier->has_fresh(); });
}

void RuntimeImpl::rouse_one() noexcept {
  // seq_cst, after what there is to be seen was written; pairs with sleep().
  if (sleepers.load(std::memory_order_seq_cst) == 0) return;
  for (const auto& carrier : carriers_) {
    if (carrier->rouse()) return;
  }
}

void RuntimeImpl::rouse_all() noexcept {
  for (const auto& carrier : carriers_) carrier->rouse();
}

FiberControl* RuntimeImpl::spawn(std::function<void()>&& body, SpawnOptions&& options) {
  Carrier* here = Carrier::of_this_thread();
  if (here != nullptr && &here->runtime() != this) here = nullptr;
  // See at_end(). What still spawns at the moment in which the destructor begins races with it.
  if (here == nullptr && stopping_.load(std::memory_order_seq_cst)) {
    throw std::system_error(ESHUTDOWN, std::generic_category(),
                            "spawning on a Runtime whose destructor waits for its fibers");
  }

  auto fiber = std::make_unique<FiberControl>(std::move(body), std::move(options.name));
  const std::size_t size =
      options.stack_bytes == 0 ? stack_size_ : stack_size_for(options.stack_bytes);
  if (options.migratable && steals_) fiber->stays = 0;
  if (ordered_) fiber->stays = FiberControl::kOrdered;
  fiber->priority_ = options.priority;
  fiber->deadline_ = options.deadline;
  fiber->tag_ = options.tag;
  if (here != nullptr) {
    here->take_stack(size, fiber->stack);
    if (here->keeps_its_own()) fiber->bound_to = here;
  } else {
    fiber->stack = stacks_.take(size);
  }
  fiber->stack.belongs_to(fiber->record());
  if (here != nullptr) {
    here->push_own(*fiber);
  } else {
    // Before it can end; at_end() acquires it.
    spawned_.fetch_add(1, std::memory_order_release);
    const std::size_t turn = next_carrier_.fetch_add(1, std::memory_order_relaxed);
    carriers_[turn % carriers_.size()]->push_fresh(*fiber);
  }
  FiberControl* const spawned = fiber.release();
  if (here != nullptr) interleave();
  return spawned;
}

RuntimeStats RuntimeImpl::stats() const noexcept {
  Carrier* here = Carrier::of_this_thread();
  if (here != nullptr && &here->runtime() == this) here->publish();
  RuntimeStats stats;
  for (const auto& carrier : carriers_) carrier->add_stats(stats);
  // After what has ended, which was acquired, so that it is never the smaller one.
  stats.spawned = spawned_.load(std::memory_order_relaxed);
  for (const auto& carrier : carriers_) stats.spawned += carrier->spawned();
  stats.busy_reports = reports_[0].load(std::memory_order_relaxed);
  stats.stuck_reports = reports_[1].load(std::memory_order_relaxed);
  stats.lock_reports = reports_[2].load(std::memory_order_relaxed);
  return stats;
}

void RuntimeImpl::report(const WatchReport& report) noexcept {
  reports_[static_cast<std::size_t>(report.kind)].fetch_add(1, std::memory_order_relaxed);
  if (report_) return report_(report);
  const std::string line = "flexsc: " + to_text(report) + "\n";
  (void)std::fputs(line.c_str(), stderr);
}

void end_program(const FiberControl& fiber) noexcept {
  std::fprintf(stderr, "flexsc: the detached fiber '%s' ended with an exception\n%s",
               fiber.name.c_str(), seed_note());
  // Out of a noexcept function, so std::terminate() is called with the exception active.
  std::rethrow_exception(fiber.exception);
}

}  // namespace flexsc::detail
