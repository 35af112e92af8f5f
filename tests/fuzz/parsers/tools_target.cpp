// SPDX-License-Identifier: MIT
// What `flexsc stat --file` reads: root runs it, and the text need not be the module's. A text is
// refused with a sentence, or everything that is made of it can be made: reports and tables.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "groups.hpp"
#include "promise.hpp"
#include "stat.hpp"

namespace {

using namespace flexsc::tools;

std::optional<Json> parsed(std::string_view text) {
  try {
    return parse_groups(text);
  } catch (const std::runtime_error& refused) {
    PROMISE(refused.what()[0] != '\0');
    return std::nullopt;
  }
}

/// Nothing throws.
void use(const Sample& now, const std::optional<Sample>& before) {
  const Json all = report(now, before, std::nullopt);
  PROMISE(!all.dump().empty());
  PROMISE(!table(all, true).empty());
  (void)report(now, before, 1);
}

}  // namespace

/// Two texts with a zero byte in between are two looks.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find('\0');
  const std::optional<Json> first = parsed(text.substr(0, end));
  if (first) use({1, *first}, std::nullopt);
  if (end == text.npos) return 0;
  const std::optional<Json> second = parsed(text.substr(end + 1));
  if (first && second) use({2, *second}, Sample{1, *first});
  return 0;
}
