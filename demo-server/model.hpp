// SPDX-License-Identifier: MIT
/// @file
/// Serving models: how connections become threads, fibers or events.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "flexsc/engine.hpp"
#include "flexsc/fiber.hpp"
#include "service.hpp"

namespace flexsc::http {

enum class ModelKind {
  threads,  ///< a thread per connection
  pool,     ///< a fixed number of threads; an idle connection occupies none
  epoll,    ///< event loops
  esca,     ///< event loops that batch what they send
  fibers,   ///< a fiber per connection
};

[[nodiscard]] std::string_view to_string(ModelKind kind) noexcept;
[[nodiscard]] std::optional<ModelKind> model_kind(std::string_view name) noexcept;

struct ModelOptions {
  ModelKind kind = ModelKind::fibers;
  /// Engine of `fibers` and `esca`; the other models make their calls directly.
  EngineOptions engine;
  std::vector<int> carrier_cpus;               ///< `fibers`: see RuntimeOptions
  std::chrono::microseconds carrier_spin{20};  ///< `fibers`
  /// `fibers`: whether calls that follow from each other are posted as one (chain.hpp). Not given:
  /// with engine `kernel`, whose workers do not wait for the ends of chains.
  std::optional<bool> multi_calls;
  std::size_t threads = 1;  ///< `pool`: threads; `epoll`, `esca`: loops
};

/// What the model did beside serving.
struct ModelStats {
  /// Entries into the kernel made for serving: by carriers (`fibers`) or by the
  /// threads that serve (others).
  std::uint64_t crossings = 0;
  std::optional<RuntimeStats> runtime;  ///< `fibers`
  std::optional<EngineStats> engine;    ///< `fibers` and `esca`
};

/// A running server. Made and run by one thread, which must live as long as it.
class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  /// Makes a model that serves on `service`. Does not listen yet to clients' data, but
  /// their connections are taken into the backlog. @throws std::system_error
  [[nodiscard]] static std::unique_ptr<Model> make(const ModelOptions& options, Service& service);

  [[nodiscard]] virtual std::uint16_t port() const noexcept = 0;
  /// Serves until stop() was called and all that was begun is done.
  virtual void run() = 0;
  /// Begins to stop: see Service::stop(). From any thread.
  virtual void stop() = 0;
  /// After run().
  [[nodiscard]] virtual ModelStats stats() const = 0;
};

// The models, one per file.
[[nodiscard]] std::unique_ptr<Model> make_threads_model(Service& service);
[[nodiscard]] std::unique_ptr<Model> make_pool_model(Service& service, std::size_t threads);
/// `batching`: the engine for batch segments, or nothing for plain epoll.
[[nodiscard]] std::unique_ptr<Model> make_event_model(Service& service, std::size_t loops,
                                                      const EngineOptions* batching);
[[nodiscard]] std::unique_ptr<Model> make_fibers_model(Service& service,
                                                       const ModelOptions& options);

}  // namespace flexsc::http
