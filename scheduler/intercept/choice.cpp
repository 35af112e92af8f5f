// SPDX-License-Identifier: MIT
#include "choice.hpp"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "flexsc/fiber.hpp"

namespace flexsc::intercept {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(Name::count)> kNames{
#define FLEXSC_NAME(name) #name,
    FLEXSC_INTERCEPT_NAMES(FLEXSC_NAME)
#undef FLEXSC_NAME
};

constexpr Choice bit(std::size_t index) noexcept {
  return Choice{1} << index;
}

std::optional<Choice> bit_of(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return bit(i);
  }
  return std::nullopt;
}

/// Says that the environment has been read.
constexpr Choice kKnown = Choice{1} << 63;

/// relaxed everywhere: one word that says it all; who reads it too early, or at the same
/// time, computes the same.
constinit std::atomic<Choice> chosen{0};

[[gnu::cold, gnu::noinline]] Choice read_environment() noexcept {
  Choice choice = kEverything;
  std::string unknown;
  if (const char* text = std::getenv("FLEXSC_INTERCEPT")) choice = parse_choice(text, unknown);
  const bool first = chosen.exchange(choice | kKnown, std::memory_order_relaxed) == 0;
  if (first && !unknown.empty()) {
    std::string known;
    for (const std::string_view name : kNames) known.append(known.empty() ? "" : " ").append(name);
    std::fprintf(stderr,
                 "flexsc: FLEXSC_INTERCEPT: there is no '%s'; it takes 'none' or a list of names, "
                 "separated by commas, with '-' before those to leave out. Names: %s\n",
                 unknown.c_str(), known.c_str());
  }
  return choice | kKnown;
}

/// At load, so that a wrong value is reported at once and not at the first call.
const bool read_at_load = (read_environment(), true);

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

Choice parse_choice(std::string_view text, std::string& unknown) {
  Choice with = 0;
  Choice without = 0;
  bool named = false;  // anything to take, be it an unknown name or "none"
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view item = trim(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (item.empty()) continue;
    const bool minus = item.front() == '-';
    named = named || !minus;
    if (item == "none") continue;
    const std::optional<Choice> which = bit_of(minus ? item.substr(1) : item);
    if (!which) {
      unknown.append(unknown.empty() ? "" : ",").append(item);
    } else {
      (minus ? without : with) |= *which;
    }
  }
  return (named ? with : kEverything) & ~without;
}

bool taken(Name name) noexcept {
  if (!this_fiber::inside()) return false;
  Choice choice = chosen.load(std::memory_order_relaxed);
  if (choice == 0) [[unlikely]]
    choice = read_environment();
  return (choice & bit(static_cast<std::size_t>(name))) != 0;
}

}  // namespace flexsc::intercept
