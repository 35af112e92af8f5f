// SPDX-License-Identifier: MIT
#include "flexsc/loop.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "chain_run.hpp"
#include "fork_guard.hpp"

namespace flexsc {

namespace {
/// Completions taken at a time.
constexpr std::size_t kReapBatch = 64;

/// Sets a flag for a scope.
class Raised {
 public:
  explicit Raised(bool& flag) noexcept : flag_(flag) { flag_ = true; }
  Raised(const Raised&) = delete;
  Raised& operator=(const Raised&) = delete;
  ~Raised() { flag_ = false; }

 private:
  bool& flag_;
};

void check_not_running(bool running) {
  if (!running) return;
  throw std::system_error(EDEADLK, std::generic_category(),
                          "a loop cannot be run in one of its own callbacks");
}
}  // namespace

Loop::Loop(Engine& engine, WaitPolicy policy) : channel_(engine.make_channel()), policy_(policy) {}

Loop::~Loop() = default;

// ---- Operations.

Loop::Operation& Loop::take(Callback done) {
  if (free_.empty()) {
    // Room for all of them first, so that giving one back cannot fail.
    free_.reserve(operations_.size() + 1);
    Operation& fresh = operations_.emplace_back();
    fresh.index = static_cast<std::uint32_t>(operations_.size() - 1);
    free_.push_back(&fresh);
  }
  Operation& operation = *free_.back();
  free_.pop_back();
  if (++operation.generation == 0) operation.generation = 1;  // so that no name is Id::none
  operation.done = std::move(done);
  operation.how = {};
  ++pending_;
  return operation;
}

Loop::Id Loop::id_of(const Operation& operation) noexcept {
  return Id{std::uint64_t{operation.generation} << 32 | operation.index};
}

Loop::Operation* Loop::find(Id id) noexcept {
  const auto number = static_cast<std::uint64_t>(id);
  const std::size_t index = number & 0xffffffffU;
  if (index >= operations_.size()) return nullptr;
  Operation& operation = operations_[index];
  const bool same = operation.generation == number >> 32;
  return same && operation.state != Operation::State::free ? &operation : nullptr;
}

/// Its callback is to be run.
void Loop::end(Operation& operation, long result) {
  operation.state = Operation::State::ended;
  operation.result = result;
  ended_.push_back(&operation);
}

// ---- Posting.

Loop::Id Loop::post(const Call& call, Callback done, const PostOptions& how) {
  Operation& operation = take(std::move(done));
  operation.call = call;
  operation.how = how;
  return start(operation);
}

Loop::Id Loop::post_chain(const Chain& chain, std::span<long> results, Callback done,
                          const PostOptions& how) {
  detail::check_chain_post(chain, results);
  auto copy = std::make_unique<Chain>(chain);
  Operation& operation = take(std::move(done));
  operation.chain = std::move(copy);
  operation.results = results;
  operation.how = how;
  return start(operation);
}

Loop::Id Loop::start(Operation& operation) {
  const Id id = id_of(operation);
  try {
    // Behind those that found no entry before, so that none waits for ever.
    if (!waiting_.empty() || !try_post(operation)) {
      waiting_.push_back(&operation);
      operation.state = Operation::State::waiting;
    }
  } catch (...) {
    operation.done = nullptr;
    operation.chain = nullptr;
    operation.state = Operation::State::free;
    free_.push_back(&operation);
    --pending_;
    throw;
  }
  return id;
}

bool Loop::try_post(Operation& operation) {
  const bool posted =
      operation.chain != nullptr
          ? channel_->post_chain(*operation.chain, operation.results, &operation, operation.how)
          : channel_->post(operation.call, &operation, operation.how);
  if (posted) operation.state = Operation::State::posted;
  return posted;
}

void Loop::post_waiting() {
  while (!waiting_.empty()) {
    Operation& operation = *waiting_.front();
    try {
      if (!try_post(operation)) return;
    } catch (const std::system_error& error) {
      end(operation, -error.code().value());
    }
    waiting_.pop_front();
  }
}

Loop::Id Loop::at(Clock::time_point when, Callback done) {
  Operation& operation = take(std::move(done));
  operation.state = Operation::State::timer;
  operation.when = when;
  timers_.emplace(when, &operation);
  return id_of(operation);
}

// ---- Ending.

/// Ends what still waits for an entry, and is not in waiting_ any more.
void Loop::end_waiting(Operation& operation) {
  if (operation.chain != nullptr) {
    std::fill_n(operation.results.begin(), operation.chain->size(), -ECANCELED);
  }
  end(operation, -ECANCELED);
}

bool Loop::cancel(Id id) {
  Operation* operation = find(id);
  if (operation == nullptr) return false;
  switch (operation->state) {
    case Operation::State::posted:
      return channel_->cancel(operation);
    case Operation::State::waiting:
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), operation));
      end_waiting(*operation);
      return true;
    case Operation::State::timer: {
      auto [first, last] = timers_.equal_range(operation->when);
      timers_.erase(
          std::find_if(first, last, [&](const auto& each) { return each.second == operation; }));
      end(*operation, -ECANCELED);
      return true;
    }
    case Operation::State::free:
    case Operation::State::ended:
      break;
  }
  return false;
}

std::size_t Loop::cancel_descriptor(int fd) {
  const auto works_on = [fd](const Call& call) { return static_cast<int>(call.args[0]) == fd; };
  const auto concerned = [&](const Operation* each) {
    if (each->chain == nullptr) return works_on(each->call);
    const auto members = each->chain->members();
    return std::any_of(members.begin(), members.end(), [&](const ChainCall& member) {
      return (member.from & 1) == 0 && works_on(member.call);
    });
  };
  const auto gone = std::stable_partition(waiting_.begin(), waiting_.end(),
                                          [&](const Operation* each) { return !concerned(each); });
  const auto count = static_cast<std::size_t>(waiting_.end() - gone);
  std::for_each(gone, waiting_.end(), [&](Operation* each) { end_waiting(*each); });
  waiting_.erase(gone, waiting_.end());
  return count + channel_->cancel_descriptor(fd);
}

// ---- Running.

void Loop::collect() {
  std::array<Completion, kReapBatch> completions;
  std::size_t count = 0;
  do {
    count = channel_->reap(completions);
    for (const Completion& each : std::span(completions).first(count)) {
      end(*static_cast<Operation*>(each.token), each.result);
    }
    if (count != 0) post_waiting();
  } while (count != 0);
}

void Loop::expire() {
  if (timers_.empty()) return;
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Operation& operation = *timers_.begin()->second;
    timers_.erase(timers_.begin());
    end(operation, 0);
  }
}

std::chrono::nanoseconds Loop::until_timer(std::chrono::nanoseconds timeout) const {
  if (timers_.empty()) return timeout;
  const auto left = std::max<std::chrono::nanoseconds>(timers_.begin()->first - Clock::now(), {});
  return timeout.count() < 0 ? left : std::min(timeout, left);
}

/// Runs what has ended by now; what the callbacks post may be complete at once and comes later, so
/// that timers and other threads get their turn.
std::size_t Loop::call_back() {
  std::size_t count = 0;
  for (std::size_t todo = ended_.size(); todo != 0; --todo) {
    Operation& operation = *ended_.front();
    ended_.pop_front();
    // The operation can be used again by the callback itself.
    const Callback done = std::exchange(operation.done, nullptr);
    const long result = operation.result;
    operation.chain = nullptr;
    operation.state = Operation::State::free;
    free_.push_back(&operation);
    --pending_;
    ++count;
    if (done) done(result);
    // relaxed: run() looks properly.
    if (stop_.load(std::memory_order_relaxed)) break;
  }
  return count;
}

std::size_t Loop::run_once(std::chrono::nanoseconds timeout) {
  check_not_running(running_);
  const Raised raised(running_);
  run_dispatched();
  // seq_cst: after wait() has used up a notify(), which was sent after its flag was set.
  const bool busy = !ended_.empty() || stop_.load(std::memory_order_seq_cst);
  // Nothing in flight: it sleeps for a timer or a notification all the same.
  channel_->wait(busy ? WaitPolicy::none() : policy_,
                 busy ? std::chrono::nanoseconds::zero() : until_timer(timeout));
  run_dispatched();
  collect();
  expire();
  return call_back();
}

void Loop::run() {
  check_not_running(running_);
  // acquire: pairs with stop(), what was done before it is seen after run().
  while (!stop_.exchange(false, std::memory_order_acquire)) {
    if (pending_ == 0 && !any_dispatched_.load(std::memory_order_acquire)) return;
    run_once(std::chrono::nanoseconds{-1});
  }
}

// ---- Other threads.

void Loop::stop() {
  // seq_cst, before notify(): who is woken by it, or finds it sticky, sees the flag.
  stop_.store(true, std::memory_order_seq_cst);
  channel_->notify();
}

void Loop::dispatch(std::function<void()> work) {
  {
    const std::lock_guard lock(dispatched_mutex_);
    dispatched_.push_back(std::move(work));
    any_dispatched_.store(true, std::memory_order_release);  // pairs with run()
  }
  channel_->notify();
}

void Loop::run_dispatched() {
  if (!any_dispatched_.load(std::memory_order_acquire)) return;  // an estimate; notify() follows
  std::vector<std::function<void()>> works;
  {
    const std::lock_guard lock(dispatched_mutex_);
    works.swap(dispatched_);
    any_dispatched_.store(false, std::memory_order_relaxed);  // under the mutex
  }
  for (std::size_t i = 0; i < works.size(); ++i) {
    try {
      works[i]();
    } catch (...) {
      // The others keep their order, before what came meanwhile.
      const std::lock_guard lock(dispatched_mutex_);
      dispatched_.insert(
          dispatched_.begin(),
          std::make_move_iterator(works.begin() + static_cast<std::ptrdiff_t>(i) + 1),
          std::make_move_iterator(works.end()));
      any_dispatched_.store(!dispatched_.empty(), std::memory_order_relaxed);
      throw;
    }
  }
}

}  // namespace flexsc
