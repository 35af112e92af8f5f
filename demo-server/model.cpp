// SPDX-License-Identifier: MIT
#include "model.hpp"

#include <array>
#include <utility>

namespace flexsc::http {

namespace {
constexpr std::array<std::pair<std::string_view, ModelKind>, 5> kNames{{
    {"threads", ModelKind::threads},
    {"pool", ModelKind::pool},
    {"epoll", ModelKind::epoll},
    {"esca", ModelKind::esca},
    {"fibers", ModelKind::fibers},
}};
}  // namespace

std::string_view to_string(ModelKind kind) noexcept {
  for (const auto& [name, value] : kNames) {
    if (value == kind) return name;
  }
  return "?";
}

std::optional<ModelKind> model_kind(std::string_view name) noexcept {
  for (const auto& [known, value] : kNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

std::unique_ptr<Model> Model::make(const ModelOptions& options, Service& service) {
  switch (options.kind) {
    case ModelKind::threads:
      return make_threads_model(service);
    case ModelKind::pool:
      return make_pool_model(service, options.threads);
    case ModelKind::epoll:
      return make_event_model(service, options.threads, nullptr);
    case ModelKind::esca:
      return make_event_model(service, options.threads, &options.engine);
    case ModelKind::fibers:
      return make_fibers_model(service, options);
  }
  return nullptr;
}

}  // namespace flexsc::http
