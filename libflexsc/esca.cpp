// SPDX-License-Identifier: MIT
#include "flexsc/esca.h"

#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <system_error>

#include "flexsc/batch.hpp"

namespace {

/// The process's engine; never closed, since threads may use it until the end. Written once, under
/// the mutex of open_engine(), with release; acquired by batch_start(), so that it is whole.
std::atomic<flexsc::Engine*> engine{nullptr};

int open_engine() {
  static std::mutex opening;
  const std::lock_guard lock(opening);
  if (engine.load(std::memory_order_relaxed) != nullptr) return 0;  // written under the mutex
  // Segments need no workers, which all but these have.
  constexpr flexsc::EngineKind best_first[] = {flexsc::EngineKind::kernel,
                                               flexsc::EngineKind::direct};
  try {
    flexsc::EngineOptions options;
    options.kind = flexsc::choose_engine(best_first).kind;
    engine.store(flexsc::Engine::open(options).release(), std::memory_order_release);
    return 0;
  } catch (const std::system_error& error) {
    return error.code().value();
  } catch (const std::exception&) {
    return ENOMEM;
  }
}

int answer(int error) {
  if (error == 0) return 0;
  errno = error;
  return -1;
}

}  // namespace

extern "C" {

int esca_init(void) {
  return answer(open_engine());
}

int batch_start(void) {
  flexsc::Engine* opened = engine.load(std::memory_order_acquire);
  return answer(opened == nullptr ? EINVAL : flexsc::batch_start(*opened));
}

long batch_flush(void) {
  const flexsc::BatchResult result = flexsc::batch_flush();
  if (result.failures.empty()) return static_cast<long>(result.executed);
  const long first = result.failures.front().result;
  return answer(first < 0 ? static_cast<int>(-first) : EIO);
}

}  // extern "C"
