// SPDX-License-Identifier: MIT
// What a client of the HTTP server can send. The first byte says in what pieces the rest arrives;
// the pieces must make no difference. Every field of a request then goes where the server takes it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "promise.hpp"
#include "request.hpp"
#include "target.hpp"

namespace {

using namespace flexsc::http;

/// The requests of a stream, as a connection cuts it.
std::vector<Request> requests_of(std::string_view stream, std::size_t piece) {
  std::vector<Request> found;
  RequestParser parser;
  while (!stream.empty()) {
    std::string_view arrived = stream.substr(0, piece);
    stream.remove_prefix(arrived.size());
    while (!arrived.empty()) {
      const std::size_t taken = parser.feed(arrived);
      PROMISE(taken <= arrived.size());
      PROMISE(taken == arrived.size() || parser.complete());
      PROMISE(taken > 0 || parser.complete());
      arrived.remove_prefix(taken);
      if (!parser.complete()) continue;
      PROMISE(!parser.in_request());
      found.push_back(parser.request());
      if (found.back().refusal != 0 || found.back().unread_input) return found;
    }
  }
  return found;
}

bool same(const Request& a, const Request& b) {
  // Of a method that nobody knows in a line that comes in pieces, no more than that it is wrong is
  // known (RequestParser::feed).
  const bool both_refused = a.refusal != 0 && b.refusal != 0;
  if (both_refused) return true;
  return a.refusal == b.refusal && a.method == b.method && a.target == b.target &&
         a.keep_alive == b.keep_alive && a.http10 == b.http10 && a.unread_input == b.unread_input &&
         a.range == b.range && a.if_range == b.if_range && a.if_none_match == b.if_none_match &&
         a.if_modified_since == b.if_modified_since;
}

/// A path that is opened below the site's root must not lead out of it.
void check_path(const std::string& path) {
  PROMISE(path.find('\0') == std::string::npos);
  PROMISE(!path.empty() && path.front() != '/');
  for (std::size_t from = 0; from <= path.size();) {
    const std::size_t slash = path.find('/', from);
    const std::string segment = path.substr(from, slash - from);
    PROMISE(segment != "." && segment != "..");
    if (slash == std::string::npos) break;
    from = slash + 1;
  }
  PROMISE(!media_type(path).empty());
}

void check_range(std::string_view field) {
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4729}, ~std::uint64_t{0}}) {
    ByteRange range;
    if (parse_range(field, size, range) == RangeKind::part) {
      PROMISE(range.first <= range.last && range.last < size);
    }
  }
}

void check_date(const std::string& field) {
  if (const auto time = parse_http_date(field)) {
    const auto again = parse_http_date(http_date(*time));
    PROMISE(again == time);
  }
}

void check(const Request& request) {
  PROMISE(request.refusal == 0 || (request.refusal >= 400 && request.refusal < 600));
  const auto mapped = site_path(request.target);
  if (const auto* site = std::get_if<SitePath>(&mapped)) {
    check_path(site->path);
  } else {
    PROMISE(std::get<int>(mapped) == 400 || std::get<int>(mapped) == 404);
  }
  if (request.range) check_range(*request.range);
  if (request.if_range) check_date(*request.if_range);
  if (request.if_modified_since) check_date(*request.if_modified_since);
  if (request.if_none_match) (void)any_tag_matches(*request.if_none_match, "\"1-2\"");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::vector<Request> whole = requests_of(stream, stream.size());
  const std::vector<Request> pieces = requests_of(stream, data[0] % 64U + 1);
  PROMISE(whole.size() == pieces.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    PROMISE(same(whole[i], pieces[i]));
    check(whole[i]);
  }
  return 0;
}
