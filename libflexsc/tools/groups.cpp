// SPDX-License-Identifier: MIT
#include "groups.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace flexsc::tools {

namespace {

constexpr int kFormat = 1;

[[noreturn]] void malformed(const std::string& what) {
  throw std::runtime_error("this is not a list of groups of the flexsc module (" + what +
                           "): install module and tools of the same release");
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "1:20,4:3"
Json histogram(const std::string& text) {
  Json buckets = Json::object();
  std::istringstream pairs(text);
  for (std::string pair; std::getline(pairs, pair, ',');) {
    const auto colon = pair.find(':');
    const auto count = number<std::uint64_t>(
        std::string_view(pair).substr(colon == std::string::npos ? pair.size() : colon + 1));
    if (!count || !number<std::uint64_t>(std::string_view(pair).substr(0, colon))) {
      malformed("bucket " + pair);
    }
    buckets[pair.substr(0, colon)] = *count;
  }
  return buckets;
}

/// The module writes spaces, backslashes and what is not printable ASCII as \ooo. The former two
/// are turned back; the rest stays as it is, fit for a terminal and for JSON.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool space = text.compare(i, 4, "\\040") == 0;
    const bool backslash = text.compare(i, 4, "\\134") == 0;
    plain += space ? ' ' : text[i];  // \134 is a backslash and begins with one
    if (space || backslash) i += 3;
  }
  return plain;
}

Json value(const std::string& key, const std::string& text) {
  if (key == "batch_size" || key == "latency_ns") return histogram(text);
  if (key == "name") return unescaped(text);
  if (key == "cpus") return text;  // "3" is a list too
  if (const auto found = number<std::uint64_t>(text)) return *found;
  if (const auto found = number<std::int64_t>(text)) return *found;
  return text;
}

Json keys_of(std::istringstream& words) {
  Json keys = Json::object();
  for (std::string word; words >> word;) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) malformed(word);
    const std::string key = word.substr(0, equals);
    keys[key] = value(key, word.substr(equals + 1));
  }
  return keys;
}

bool module_is_loaded() {
  return ::access("/sys/module/flexsc", F_OK) == 0;
}

/// What every record of a kind has, and the keys of any record whose values are of one type. What
/// makes reports of them relies on it.
struct Kind {
  const char* name;
  std::vector<const char*> keys;
};
const std::array kKinds{
    Kind{"group", {"id", "process", "name", "state", "workers", "running", "waiting"}},
    Kind{"pool", {"group", "index", "cpus", "workers", "running", "waiting"}},
    Kind{"client", {"group", "index", "waiting"}},
};
constexpr std::array kTexts{"name", "state", "cpus"};
constexpr std::array kNumbers{"id",      "process", "group",       "index",     "workers",
                              "running", "waiting", "executed",    "helped",    "flushed",
                              "refused", "stopped", "cancelled",   "timed_out", "batches",
                              "armed",   "blocked", "handed_back", "parks",     "doorbells",
                              "wakes",   "waits",   "flushes"};

void check_record(const std::string& kind, const Json& keys) {
  const auto known = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const Kind& each) { return each.name == kind; });
  if (known == kKinds.end()) malformed("record " + kind);
  for (const char* key : known->keys) {
    if (!keys.contains(key)) malformed("a " + kind + " without " + key);
  }
  for (const char* key : kTexts) {
    if (keys.contains(key) && !keys[key].is_string()) malformed(key + std::string(" is a number"));
  }
  for (const char* key : kNumbers) {
    if (keys.contains(key) && !keys[key].is_number_unsigned()) {
      malformed(key + std::string(" is no number"));
    }
  }
}

/// The module writes nothing else, and neither a terminal nor JSON could take it.
void check_ascii(std::string_view text) {
  for (const char c : text) {
    if (c != '\n' && (c < ' ' || c > '~')) malformed("a byte that is no printable ASCII");
  }
}

/// Puts a pool or a client into its group, which comes before it.
void add_part(Json& groups, const char* list, Json part) {
  if (groups.empty() || part["group"] != groups.back()["id"]) {
    malformed("a part without its group");
  }
  part.erase("group");
  groups.back()[list].push_back(std::move(part));
}

}  // namespace

Json parse_groups(std::string_view text) {
  check_ascii(text);
  std::istringstream lines{std::string(text)};
  Json found;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    Json keys = keys_of(words);
    if (found.is_null()) {
      if (kind != "flexsc" || !keys.contains("format")) malformed("no format");
      if (keys["format"] != kFormat) malformed("format " + keys["format"].dump());
      if (!keys.contains("abi") || !keys["abi"].is_number()) malformed("no abi");
      found = {{"abi", keys["abi"]}, {"groups", Json::array()}};
      continue;
    }
    check_record(kind, keys);
    if (kind == "group") {
      keys["pools"] = Json::array();  // in place of their number
      keys["clients"] = Json::array();
      found["groups"].push_back(std::move(keys));
    } else if (kind == "pool") {
      add_part(found["groups"], "pools", std::move(keys));
    } else {
      add_part(found["groups"], "clients", std::move(keys));
    }
  }
  if (found.is_null()) malformed("it is empty");
  return found;
}

std::string why_unreadable(const std::string& file, int error, bool module_loaded) {
  const std::string failed = "cannot read " + file;
  switch (error) {
    case EACCES:
    case EPERM:
      return failed + ", which is for root: run it as root (`sudo flexsc stat`)";
    case ENOENT:
    case ENXIO:
      if (file != kGroupsFile) break;
      if (!module_loaded) {
        return failed + " because the module is not loaded: `modprobe flexsc` (`flexsc doctor`)";
      }
      return failed + " because debugfs is not mounted: `mount -t debugfs none /sys/kernel/debug`";
    default:
      break;
  }
  return failed + ": " + std::generic_category().message(error);
}

std::string read_groups(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw std::runtime_error(why_unreadable(file, errno, module_is_loaded()));
  std::string text;
  std::array<char, 65536> some{};
  ssize_t got = 0;
  while ((got = ::read(fd, some.data(), some.size())) > 0) {
    text.append(some.data(), static_cast<std::size_t>(got));
  }
  const int error = errno;
  ::close(fd);
  if (got < 0) throw std::runtime_error(why_unreadable(file, error, module_is_loaded()));
  return text;
}

}  // namespace flexsc::tools
