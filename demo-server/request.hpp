// SPDX-License-Identifier: MIT
/// @file
/// HTTP/1.x requests: what is kept of one, and the incremental parser (llhttp).
#pragma once

#include <llhttp/llhttp.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace flexsc::http {

/// Limits on what a client may send. Beyond them it gets the status named.
struct Limits {
  std::size_t target_bytes = 8192;   ///< 414
  std::size_t header_bytes = 16384;  ///< 431; the request line included
  std::size_t header_fields = 100;   ///< 431
  std::size_t body_bytes = 65536;    ///< 413; bodies are read and dropped
};

/// A request, as far as a static-file server needs it. Header fields that were not sent
/// are empty optionals.
struct Request {
  int method = HTTP_GET;  ///< an llhttp_method
  std::string target;
  /// 0, or the status (4xx, 5xx) with which the request must be refused.
  int refusal = 0;
  bool keep_alive = false;
  bool http10 = false;
  /// Bytes of this request may still arrive that nobody will parse: the connection
  /// must be closed after the answer.
  bool unread_input = false;
  std::optional<std::string> range;
  std::optional<std::string> if_range;
  std::optional<std::string> if_none_match;
  std::optional<std::string> if_modified_since;
};

/// Cuts a byte stream into requests. One per connection; one thread at a time.
class RequestParser {
 public:
  explicit RequestParser(const Limits& limits = {});
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Parses on from the front of `data` up to the end of the current request at most.
  /// Returns how many bytes it took; all of them unless complete() holds afterwards.
  /// After a complete request the next feed() begins a new one. Must not be called
  /// again after a request with `refusal` or `unread_input`.
  std::size_t feed(std::string_view data);

  /// Whether request() is complete: it is to be answered before feeding further.
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  [[nodiscard]] const Request& request() const noexcept { return request_; }

  /// Whether a request has begun to arrive and is not complete.
  [[nodiscard]] bool in_request() const noexcept { return begun_ && !complete_; }

 private:
  struct Callbacks;

  std::optional<std::string>* slot_for_field();
  void end_field();
  int end_headers();
  int count_header_bytes(std::size_t bytes);
  void refuse(int status);
  void refuse_by_error(llhttp_errno_t error);

  Limits limits_;
  llhttp_t parser_{};
  Request request_;
  std::string field_;  ///< name of the header field being parsed
  std::string value_;
  std::string method_;         ///< as sent, for a method that the parser does not know
  std::size_t raw_bytes_ = 0;  ///< fed since the last request, with all that is between
  std::size_t header_bytes_ = 0;
  std::size_t fields_ = 0;
  std::size_t hosts_ = 0;
  std::size_t body_bytes_ = 0;
  bool expects_continue_ = false;
  bool begun_ = false;
  bool headers_done_ = false;
  bool complete_ = false;
};

}  // namespace flexsc::http
