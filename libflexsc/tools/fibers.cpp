// SPDX-License-Identifier: MIT
#include "fibers.hpp"

#include <time.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <vector>

#include "backtrace.hpp"
#include "fiber_list.hpp"

namespace flexsc::tools {
namespace {

using detail::FiberState;
using detail::FiberView;

/// Tries to get a backtrace of a fiber that goes on meanwhile.
constexpr int kTries = 3;

double seconds_since(std::int64_t ns) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto now_ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  return std::max(0.0, static_cast<double>(now_ns - ns) * 1e-9);
}

std::string hexadecimal(std::uint64_t number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "0x%" PRIx64, number);
  return text.data();
}

/// Brings `fiber` up to date until it has stood still while its stack was read.
std::vector<std::string> backtrace(const detail::ProcessMemory& memory, const Backtracer& tracer,
                                   FiberView& fiber) {
  for (int i = 0; i < kTries && fiber.stack_pointer != 0 && !fiber.changing; ++i) {
    std::vector<std::string> frames = tracer.of(fiber.stack_pointer);
    std::optional<FiberView> now = detail::view_fiber(memory, fiber.address);
    if (!now) return {};
    const bool same = now->parks == fiber.parks && now->state == fiber.state &&
                      now->stack_pointer == fiber.stack_pointer && !now->changing;
    now->thread = fiber.thread;
    now->carrier = fiber.carrier;
    fiber = std::move(*now);
    if (same) return frames;
  }
  return {};
}

Json describe(const FiberView& fiber, const std::vector<std::string>& frames) {
  const bool waits = fiber.state == FiberState::parked && !fiber.changing;
  Json entry;
  entry["address"] = hexadecimal(fiber.address);
  entry["name"] = fiber.name;
  entry["state"] = fiber.changing ? "changing" : detail::state_text(fiber.state);
  entry["thread"] = fiber.thread != 0 ? Json(fiber.thread) : Json();
  entry["carrier"] = fiber.thread != 0 ? Json(fiber.carrier) : Json();
  entry["waits_for"] = waits ? Json(detail::waits_text(fiber)) : Json();
  entry["waits_s"] = waits ? Json(seconds_since(fiber.since)) : Json();
  entry["backtrace"] = frames;
  return entry;
}

}  // namespace

Json list_fibers(pid_t process, bool backtraces) {
  const detail::ProcessMemory memory(process);
  detail::FiberList list = detail::list_fibers(memory, detail::find_fiber_table(memory));
  Json result{{"process", process}, {"fibers", Json::array()}};
  std::optional<Backtracer> tracer;
  if (backtraces) tracer.emplace(memory, list.registers);
  for (FiberView& fiber : list.fibers) {
    std::vector<std::string> frames;
    if (tracer) frames = backtrace(memory, *tracer, fiber);
    result["fibers"].push_back(describe(fiber, frames));
  }
  return result;
}

std::string fibers_text(const Json& list) {
  std::string text;
  std::array<char, 64> since{};
  for (const Json& fiber : list["fibers"]) {
    text += "fiber " + fiber["address"].get<std::string>() + " '" +
            fiber["name"].get<std::string>() + "' " + fiber["state"].get<std::string>();
    if (!fiber["waits_for"].is_null()) {
      std::snprintf(since.data(), since.size(), " (%.2f s)", fiber["waits_s"].get<double>());
      text += " for " + fiber["waits_for"].get<std::string>() + since.data();
    }
    if (!fiber["thread"].is_null()) {
      text += ", carrier " + std::to_string(fiber["carrier"].get<unsigned>()) + " (thread " +
              std::to_string(fiber["thread"].get<int>()) + ")";
    }
    text += '\n';
    std::size_t number = 0;
    for (const Json& frame : fiber["backtrace"]) {
      text += "    #" + std::to_string(number++) + " " + frame.get<std::string>() + "\n";
    }
  }
  return text + std::to_string(list["fibers"].size()) + " fibers\n";
}

}  // namespace flexsc::tools
