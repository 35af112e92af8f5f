// SPDX-License-Identifier: MIT
#include "flexsc/engine.hpp"

#include <sched.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "direct_engine.hpp"
#include "flexsc/uapi.h"
#include "kernel_engine.hpp"
#include "pool_options.hpp"
#include "threads_engine.hpp"
#include "uring_engine.hpp"

namespace flexsc {

namespace {
constexpr EngineKind kKinds[] = {EngineKind::kernel, EngineKind::uring, EngineKind::threads,
                                 EngineKind::direct, EngineKind::automatic};

[[noreturn]] void invalid(const char* what) {
  throw std::system_error(EINVAL, std::generic_category(), what);
}

void validate(const EngineOptions& options) {
  if (options.pages_per_channel < 1 || options.pages_per_channel > FLEXSC_MAX_PAGES) {
    invalid("pages_per_channel must be 1 to 256");
  }
  const std::vector<PoolOptions> pools = detail::pools_of(options);
  if (pools.size() > FLEXSC_MAX_POOLS) invalid("an engine has at most 8 pools");
  for (const PoolOptions& pool : pools) {
    if (pool.spin.count() < 0) invalid("spin must not be negative");
    for (const int cpu : pool.worker_cpus) {
      if (cpu < 0 || cpu >= CPU_SETSIZE) invalid("worker_cpus names a CPU that cannot be");
    }
  }
}
}  // namespace

std::string_view to_string(EngineKind kind) noexcept {
  switch (kind) {
    case EngineKind::kernel:
      return "kernel";
    case EngineKind::uring:
      return "uring";
    case EngineKind::threads:
      return "threads";
    case EngineKind::direct:
      return "direct";
    case EngineKind::automatic:
      return "auto";
  }
  return "unknown";
}

std::optional<EngineKind> engine_kind(std::string_view name) noexcept {
  for (const EngineKind kind : kKinds) {
    if (name == to_string(kind)) return kind;
  }
  return std::nullopt;
}

EngineKind engine_named(std::string_view name) {
  if (const auto kind = engine_kind(name)) return *kind;
  std::string names;
  for (const EngineKind kind : kKinds) {
    names += (names.empty() ? "" : ", ") + std::string(to_string(kind));
  }
  invalid(("there is no engine \"" + std::string(name) + "\", only " + names).c_str());
}

Engine::Engine() noexcept {
  // Relaxed: only the number counts.
  static std::atomic<std::uint64_t> last{0};
  serial_ = last.fetch_add(1, std::memory_order_relaxed) + 1;
}

std::unique_ptr<Engine> Engine::open(const EngineOptions& options) {
  validate(options);
  switch (options.kind) {
    case EngineKind::kernel:
      return std::make_unique<detail::KernelEngine>(options);
    case EngineKind::uring:
      return std::make_unique<detail::UringEngine>(options);
    case EngineKind::threads:
      return std::make_unique<detail::ThreadsEngine>(options);
    case EngineKind::direct:
      return std::make_unique<detail::DirectEngine>(options);
    case EngineKind::automatic: {
      EngineOptions chosen = options;
      chosen.kind = choose_engine().kind;
      return open(chosen);
    }
  }
  invalid("no such engine");
}

}  // namespace flexsc
