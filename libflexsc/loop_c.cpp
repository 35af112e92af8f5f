// SPDX-License-Identifier: MIT
// The event loop's C interface: translates, and keeps exceptions from leaving C++.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <new>
#include <span>
#include <string>
#include <system_error>

#include "flexsc/loop.h"
#include "flexsc/loop.hpp"

struct flexsc_engine {
  std::unique_ptr<flexsc::Engine> engine;
  std::string kind;
  /// Loops that use it, each of one thread. One that is closed releases what it did with the
  /// engine; whoever closes the engine acquires that, and finds 0.
  std::atomic<std::size_t> loops{0};
};

struct flexsc_loop {
  explicit flexsc_loop(flexsc_engine& of) : owner(of), loop(*of.engine) {}

  flexsc_engine& owner;
  flexsc::Loop loop;
  std::deque<flexsc_completion> completions;
  bool running = false;
};

namespace {

thread_local std::string last_error;

int fail(int error, const char* what) noexcept {
  try {
    last_error = what;
  } catch (const std::bad_alloc&) {
    last_error.clear();
  }
  return -error;
}

/// What the exception in flight is in C: -errno.
int translate() noexcept {
  try {
    throw;
  } catch (const std::system_error& error) {
    return fail(error.code().value(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM, "no memory");
  } catch (const std::exception& error) {
    return fail(EINVAL, error.what());
  }
}

template <class T>
T with_errno(int error, T failed) noexcept {
  errno = -error;
  return failed;
}

flexsc::EngineOptions options_of(const flexsc_engine_options& from) {
  flexsc::EngineOptions options;
  options.kind =
      from.kind == nullptr ? flexsc::EngineKind::automatic : flexsc::engine_named(from.kind);
  if (from.nr_worker_cpus != 0) {
    options.worker_cpus.assign(from.worker_cpus, from.worker_cpus + from.nr_worker_cpus);
  }
  options.concurrency = from.concurrency;
  options.standby_max = from.standby_max;
  if (from.spin_us != 0) options.spin = std::chrono::microseconds(from.spin_us);
  if (from.pages != 0) options.pages_per_channel = from.pages;
  return options;
}

flexsc::Call call_of(const flexsc_call& from) noexcept {
  return flexsc::make_call(from.nr, from.args[0], from.args[1], from.args[2], from.args[3],
                           from.args[4], from.args[5]);
}

flexsc::PostOptions how_of(const flexsc_post_options* from) {
  flexsc::PostOptions how;
  if (from == nullptr) return how;
  how.pool = from->pool;
  if (from->timeout_ns < 0) {
    throw std::system_error(EINVAL, std::generic_category(), "timeout_ns must not be negative");
  }
  if (from->timeout_ns > 0) {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::nanoseconds timeout(from->timeout_ns);
    if (timeout < how.deadline - now) how.deadline = now + timeout;
  }
  return how;
}

/// Hands a result on, to the callback or to flexsc_reap().
flexsc::Loop::Callback to_c(flexsc_loop& loop, flexsc_callback* done, void* token) {
  if (done == nullptr) {
    return [&loop, token](long result) { loop.completions.push_back({token, result}); };
  }
  return [&loop, done, token](long result) { done(&loop, token, result); };
}

}  // namespace

extern "C" {

const char* flexsc_error(void) {
  return last_error.c_str();
}

flexsc_engine* flexsc_engine_open(const flexsc_engine_options* options) try {
  auto opened = std::make_unique<flexsc_engine>();
  opened->engine = flexsc::Engine::open(options_of(options ? *options : flexsc_engine_options{}));
  opened->kind = to_string(opened->engine->kind());
  return opened.release();
} catch (...) {
  return with_errno<flexsc_engine*>(translate(), nullptr);
}

const char* flexsc_engine_kind(const flexsc_engine* engine) {
  return engine->kind.c_str();
}

int flexsc_engine_close(flexsc_engine* engine) {
  if (engine != nullptr && engine->loops.load(std::memory_order_acquire) != 0) {
    return fail(EBUSY, "loops use this engine; close them first");
  }
  delete engine;
  return 0;
}

flexsc_loop* flexsc_loop_open(flexsc_engine* engine) try {
  auto opened = std::make_unique<flexsc_loop>(*engine);
  engine->loops.fetch_add(1, std::memory_order_relaxed);  // the caller has the engine
  return opened.release();
} catch (...) {
  return with_errno<flexsc_loop*>(translate(), nullptr);
}

int flexsc_loop_close(flexsc_loop* loop) {
  if (loop == nullptr) return 0;
  if (loop->running) return fail(EBUSY, "a loop cannot be closed in one of its callbacks");
  if (loop->loop.pending() != 0) return fail(EBUSY, "calls or timers of this loop are pending");
  flexsc_engine& engine = loop->owner;
  delete loop;
  engine.loops.fetch_sub(1, std::memory_order_release);
  return 0;
}

flexsc_id flexsc_post(flexsc_loop* loop, const flexsc_call* call,
                      const flexsc_post_options* options, flexsc_callback* done, void* token) try {
  return static_cast<flexsc_id>(
      loop->loop.post(call_of(*call), to_c(*loop, done, token), how_of(options)));
} catch (...) {
  return with_errno<flexsc_id>(translate(), 0);
}

flexsc_id flexsc_post_chain(flexsc_loop* loop, const flexsc_chain_call* calls, size_t count,
                            long* results, const flexsc_post_options* options,
                            flexsc_callback* done, void* token) try {
  flexsc::Chain chain;
  for (const flexsc_chain_call& each : std::span(calls, count)) {
    chain.add(flexsc::ChainCall{call_of(each.call), each.flags, each.from});
  }
  return static_cast<flexsc_id>(loop->loop.post_chain(chain, std::span(results, count),
                                                      to_c(*loop, done, token), how_of(options)));
} catch (...) {
  return with_errno<flexsc_id>(translate(), 0);
}

flexsc_id flexsc_after(flexsc_loop* loop, int64_t ns, flexsc_callback* done, void* token) try {
  const auto now = flexsc::Loop::Clock::now();
  const std::chrono::nanoseconds delay(std::max<int64_t>(ns, 0));
  const auto latest = flexsc::Loop::Clock::time_point::max();
  const auto when = delay < latest - now ? now + delay : latest;
  return static_cast<flexsc_id>(loop->loop.at(when, to_c(*loop, done, token)));
} catch (...) {
  return with_errno<flexsc_id>(translate(), 0);
}

int flexsc_cancel(flexsc_loop* loop, flexsc_id id) {
  if (loop->loop.cancel(flexsc::Loop::Id{id})) return 0;
  return fail(ENOENT, "there is no such call or timer; it may be over");
}

size_t flexsc_cancel_descriptor(flexsc_loop* loop, int fd) {
  return loop->loop.cancel_descriptor(fd);
}

int flexsc_run(flexsc_loop* loop) try {
  if (loop->running) return fail(EDEADLK, "a loop cannot be run in one of its own callbacks");
  loop->running = true;
  loop->loop.run();
  loop->running = false;
  return 0;
} catch (...) {
  loop->running = false;
  return translate();
}

long flexsc_run_once(flexsc_loop* loop, int64_t timeout_ns) try {
  if (loop->running) return fail(EDEADLK, "a loop cannot be run in one of its own callbacks");
  loop->running = true;
  const std::size_t count = loop->loop.run_once(std::chrono::nanoseconds(timeout_ns));
  loop->running = false;
  return static_cast<long>(count);
} catch (...) {
  loop->running = false;
  return translate();
}

int flexsc_stop(flexsc_loop* loop) {
  loop->loop.stop();
  return 0;
}

int flexsc_dispatch(flexsc_loop* loop, flexsc_callback* work, void* token) try {
  loop->loop.dispatch([loop, work, token] { work(loop, token, 0); });
  return 0;
} catch (...) {
  return translate();
}

size_t flexsc_pending(const flexsc_loop* loop) {
  return loop->loop.pending();
}

size_t flexsc_reap(flexsc_loop* loop, flexsc_completion* out, size_t count) {
  const std::size_t taken = std::min(count, loop->completions.size());
  const auto end = loop->completions.begin() + static_cast<std::ptrdiff_t>(taken);
  std::copy(loop->completions.begin(), end, out);
  loop->completions.erase(loop->completions.begin(), end);
  return taken;
}

}  // extern "C"
