// SPDX-License-Identifier: MIT
#include "target.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

namespace flexsc::http {

namespace {

constexpr int kBadRequest = 400;
constexpr int kNotFound = 404;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Appends one segment of a path, decoded, to `out`; 0 or the refusing status.
int decode_segment(std::string_view segment, std::string& out) {
  // Nearly all there are.
  if (segment.find('%') == std::string_view::npos && segment.find('\0') == std::string_view::npos) {
    out.append(segment);
    return 0;
  }
  for (std::size_t i = 0; i < segment.size(); ++i) {
    char c = segment[i];
    if (c == '%') {
      if (i + 2 >= segment.size()) return kBadRequest;
      const int high = hex_digit(segment[i + 1]);
      const int low = hex_digit(segment[i + 2]);
      if (high < 0 || low < 0) return kBadRequest;
      c = static_cast<char>(high * 16 + low);
      i += 2;
      // No file name holds a slash, so an encoded one names nothing here.
      if (c == '/') return kNotFound;
    }
    if (c == '\0') return kBadRequest;
    out.push_back(c);
  }
  return 0;
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Digits only; a number too large to hold becomes the largest one.
std::optional<std::uint64_t> parse_position(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end != digits.data() + digits.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::numeric_limits<std::uint64_t>::max();
  if (error != std::errc()) return std::nullopt;
  return value;
}

/// The path of an absolute-form target ("http://host/path"), or nothing.
std::optional<std::string_view> absolute_form_path(std::string_view target) {
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos || scheme == 0) return std::nullopt;
  const std::size_t path = target.find_first_of("/?", scheme + 3);
  if (path == std::string_view::npos || target[path] == '?') return "/";
  return target.substr(path);
}

}  // namespace

std::variant<SitePath, int> site_path(std::string_view target) {
  if (target.empty()) return kBadRequest;
  if (target.front() != '/') {
    const auto path = absolute_form_path(target);
    if (!path) return kBadRequest;
    target = *path;
  }
  target = target.substr(0, std::min(target.find('?'), target.find('#')));

  SitePath result;
  while (!target.empty()) {
    target.remove_prefix(1);  // the slash
    const std::size_t end = std::min(target.find('/'), target.size());
    // "//" is "/".
    if (end == 0 && end != target.size()) continue;
    if (!result.path.empty()) result.path += '/';
    const std::size_t begin = result.path.size();
    if (end == 0) {
      result.path += "index.html";
    } else if (const int status = decode_segment(target.substr(0, end), result.path)) {
      return status;
    }
    const std::string_view segment = std::string_view(result.path).substr(begin);
    // Clients resolve dot segments before they send; one that is left is an attempt to
    // leave the site, or a mistake.
    if (segment == "." || segment == "..") return kNotFound;
    target.remove_prefix(end);
  }
  return result;
}

RangeKind parse_range(std::string_view field, std::uint64_t size, ByteRange& range) {
  constexpr std::string_view kUnit = "bytes=";
  if (!field.starts_with(kUnit)) return RangeKind::whole;
  field = trim(field.substr(kUnit.size()));
  const std::size_t dash = field.find('-');
  if (dash == std::string_view::npos || field.find(',') != std::string_view::npos) {
    return RangeKind::whole;
  }
  const std::string_view first_text = field.substr(0, dash);
  const std::string_view last_text = field.substr(dash + 1);
  if (first_text.empty()) {  // the last so many bytes
    const auto length = parse_position(last_text);
    if (!length) return RangeKind::whole;
    if (*length == 0 || size == 0) return RangeKind::unsatisfiable;
    range = {size - std::min(*length, size), size - 1};
    return RangeKind::part;
  }
  const auto first = parse_position(first_text);
  const auto last =
      last_text.empty() ? std::numeric_limits<std::uint64_t>::max() : parse_position(last_text);
  if (!first || !last || *first > *last) return RangeKind::whole;
  if (*first >= size) return RangeKind::unsatisfiable;
  range = {*first, std::min(*last, size - 1)};
  return RangeKind::part;
}

std::string http_date(std::time_t time) {
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 40> text{};
  // The program never calls setlocale(), so names are English as HTTP wants them.
  const std::size_t length =
      std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), length};
}

std::optional<std::time_t> parse_http_date(const std::string& text) {
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return timegm(&parts);
}

std::string_view media_type(std::string_view path) {
  using Entry = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Entry, 12> kTypes{{
      {"html", "text/html; charset=utf-8"},
      {"htm", "text/html; charset=utf-8"},
      {"css", "text/css; charset=utf-8"},
      {"txt", "text/plain; charset=utf-8"},
      {"js", "text/javascript; charset=utf-8"},
      {"json", "application/json"},
      {"svg", "image/svg+xml"},
      {"png", "image/png"},
      {"jpg", "image/jpeg"},
      {"gif", "image/gif"},
      {"pdf", "application/pdf"},
      {"wasm", "application/wasm"},
  }};
  const std::size_t dot = path.rfind('.');
  if (dot != std::string_view::npos && path.find('/', dot) == std::string_view::npos) {
    const std::string_view extension = path.substr(dot + 1);
    for (const auto& [name, type] : kTypes) {
      if (name == extension) return type;
    }
  }
  return "application/octet-stream";
}

bool any_tag_matches(std::string_view list, std::string_view tag) {
  if (trim(list) == "*") return true;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view entry = trim(list.substr(0, comma));
    if (entry.starts_with("W/")) entry.remove_prefix(2);
    if (entry == tag) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace flexsc::http
