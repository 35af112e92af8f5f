// SPDX-License-Identifier: MIT
/// @file
/// From what a request says (target, Range) to what is meant (file, bytes). Pure functions.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace flexsc::http {

/// A request target mapped to a path below the site's root: relative, percent-decoded,
/// never with a "." or ".." segment; "index.html" is appended to one that ends in "/".
struct SitePath {
  std::string path;
};

/// Maps a target (origin or absolute form) to a path, or to the status that refuses it:
/// 400 for one that is malformed or holds a NUL, 404 for one that could not name a file
/// of the site ("..", an encoded slash).
[[nodiscard]] std::variant<SitePath, int> site_path(std::string_view target);

/// Bytes first to last (inclusive) of a file.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

/// What a Range field asks for.
enum class RangeKind {
  whole,          ///< nothing we honour: another unit, malformed, several ranges
  part,           ///< the range given
  unsatisfiable,  ///< 416
};

/// Reads the value of a Range field for a file of `size` bytes; sets `range` for `part`.
/// Several ranges are answered with the whole file, as RFC 9110, 14.2 allows.
[[nodiscard]] RangeKind parse_range(std::string_view field, std::uint64_t size, ByteRange& range);

/// A time as HTTP writes it ("Sun, 06 Nov 1994 08:49:37 GMT").
[[nodiscard]] std::string http_date(std::time_t time);

/// Reads such a time; the two obsolete forms are not known (the field is then ignored).
[[nodiscard]] std::optional<std::time_t> parse_http_date(const std::string& text);

/// Media type by the path's extension.
[[nodiscard]] std::string_view media_type(std::string_view path);

/// Whether a list of entity tags (If-None-Match) contains `tag`, or is "*". Weak
/// comparison.
[[nodiscard]] bool any_tag_matches(std::string_view list, std::string_view tag);

}  // namespace flexsc::http
