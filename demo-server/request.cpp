// SPDX-License-Identifier: MIT
#include "request.hpp"

#include <strings.h>

#include <algorithm>
#include <array>
#include <utility>

namespace flexsc::http {

namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

}  // namespace

/// What llhttp calls back; `data` of the parser is the RequestParser. A callback that
/// returns HPE_PAUSED ends llhttp_execute() right behind the byte it was called for.
struct RequestParser::Callbacks {
  static RequestParser& self(llhttp_t* parser) {
    return *static_cast<RequestParser*>(parser->data);
  }

  static int begin(llhttp_t* parser) {
    RequestParser& p = self(parser);
    p.request_ = Request{};
    p.header_bytes_ = p.fields_ = p.hosts_ = p.body_bytes_ = 0;
    p.expects_continue_ = p.headers_done_ = false;
    p.begun_ = true;
    return 0;
  }

  static int url(llhttp_t* parser, const char* at, std::size_t length) {
    RequestParser& p = self(parser);
    if (p.request_.target.size() + length > p.limits_.target_bytes) {
      p.refuse(HTTP_STATUS_URI_TOO_LONG);
      return HPE_USER;
    }
    p.request_.target.append(at, length);
    return p.count_header_bytes(length);
  }

  static int field(llhttp_t* parser, const char* at, std::size_t length) {
    RequestParser& p = self(parser);
    if (int error = p.count_header_bytes(length)) return error;
    p.field_.append(at, length);
    return 0;
  }

  static int value(llhttp_t* parser, const char* at, std::size_t length) {
    RequestParser& p = self(parser);
    if (int error = p.count_header_bytes(length)) return error;
    p.value_.append(at, length);
    return 0;
  }

  static int value_complete(llhttp_t* parser) {
    RequestParser& p = self(parser);
    if (++p.fields_ > p.limits_.header_fields) {
      p.refuse(HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
      return HPE_USER;
    }
    p.end_field();
    return 0;
  }

  static int headers_complete(llhttp_t* parser) { return self(parser).end_headers(); }

  static int body(llhttp_t* parser, const char*, std::size_t length) {
    RequestParser& p = self(parser);
    p.body_bytes_ += length;
    if (p.body_bytes_ <= p.limits_.body_bytes) return 0;
    p.refuse(HTTP_STATUS_PAYLOAD_TOO_LARGE);
    return HPE_USER;
  }

  static int message_complete(llhttp_t* parser) {
    self(parser).complete_ = true;
    return HPE_PAUSED;
  }

  static const llhttp_settings_t* settings() {
    static const llhttp_settings_t made = [] {
      llhttp_settings_t s;
      llhttp_settings_init(&s);
      s.on_message_begin = begin;
      s.on_url = url;
      s.on_header_field = field;
      s.on_header_value = value;
      s.on_header_value_complete = value_complete;
      s.on_headers_complete = headers_complete;
      s.on_body = body;
      s.on_message_complete = message_complete;
      return s;
    }();
    return &made;
  }
};

RequestParser::RequestParser(const Limits& limits) : limits_(limits) {
  llhttp_init(&parser_, HTTP_REQUEST, Callbacks::settings());
  // Accept any version number here; end_headers() refuses those that are not HTTP/1.
  parser_.lenient_flags |= LENIENT_VERSION;
  parser_.data = this;
}

std::size_t RequestParser::feed(std::string_view data) {
  if (complete_) {
    complete_ = begun_ = headers_done_ = false;
    raw_bytes_ = 0;
    method_.clear();
    llhttp_resume(&parser_);
  }
  if (data.empty()) return 0;
  if (!begun_ && method_.empty()) {
    // Kept in case the parser does not know it (see refuse_by_error()). Clients send the
    // request line in one piece; if not, the answer is 400 instead of 501.
    const std::size_t start = data.find_first_not_of("\r\n");
    if (start != std::string_view::npos) {
      const std::size_t end = std::min(data.find(' ', start), start + 32);
      if (end < data.size()) method_ = data.substr(start, end - start);
    }
  }
  const llhttp_errno_t error = llhttp_execute(&parser_, data.data(), data.size());
  if (error == HPE_OK) {
    // The callbacks count what they are given; this bounds what has none (white space,
    // chunk extensions, trailers). A chunk of one byte takes six.
    raw_bytes_ += data.size();
    const std::size_t limit =
        2 * limits_.header_bytes + (headers_done_ ? 8 * limits_.body_bytes : 0);
    if (raw_bytes_ > limit) {
      refuse(headers_done_ ? HTTP_STATUS_PAYLOAD_TOO_LARGE
                           : HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    return data.size();
  }
  if (error == HPE_PAUSED) {
    const char* stop = llhttp_get_error_pos(&parser_);
    return static_cast<std::size_t>(stop - data.data());
  }
  if (request_.refusal == 0) refuse_by_error(error);
  return data.size();
}

std::optional<std::string>* RequestParser::slot_for_field() {
  if (equals_ignoring_case(field_, "range")) return &request_.range;
  if (equals_ignoring_case(field_, "if-range")) return &request_.if_range;
  if (equals_ignoring_case(field_, "if-none-match")) return &request_.if_none_match;
  if (equals_ignoring_case(field_, "if-modified-since")) return &request_.if_modified_since;
  return nullptr;
}

void RequestParser::end_field() {
  if (std::optional<std::string>* slot = slot_for_field()) {
    // A list field may be sent in several lines (RFC 9110, 5.3).
    *slot = slot->has_value() ? **slot + ", " + value_ : value_;
  } else if (equals_ignoring_case(field_, "host")) {
    ++hosts_;
  } else if (equals_ignoring_case(field_, "expect")) {
    expects_continue_ = equals_ignoring_case(value_, "100-continue");
  }
  field_.clear();
  value_.clear();
}

int RequestParser::end_headers() {
  headers_done_ = true;
  parser_.upgrade = 0;  // no upgrade is offered: the request is answered as it stands
  request_.method = parser_.method;
  request_.http10 = parser_.http_major == 1 && parser_.http_minor == 0;
  request_.keep_alive = llhttp_should_keep_alive(&parser_) != 0;
  if (parser_.http_major != 1) {
    // 0 stands for a request line without a version, which is no HTTP/1 at all.
    refuse(parser_.http_major == 0 ? HTTP_STATUS_BAD_REQUEST
                                   : HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED);
    return HPE_PAUSED;
  }
  if (hosts_ > 1 || (hosts_ == 0 && !request_.http10)) {
    refuse(HTTP_STATUS_BAD_REQUEST);
    return HPE_PAUSED;
  }
  if ((parser_.flags & F_CONTENT_LENGTH) != 0 && parser_.content_length > limits_.body_bytes) {
    refuse(HTTP_STATUS_PAYLOAD_TOO_LARGE);
    return HPE_PAUSED;
  }
  const bool has_body = (parser_.flags & (F_CHUNKED | F_TRANSFER_ENCODING)) != 0 ||
                        ((parser_.flags & F_CONTENT_LENGTH) != 0 && parser_.content_length > 0);
  if (has_body && expects_continue_) {
    // The client waits for leave to send a body that nobody wants: answer finally at
    // once (RFC 9110, 10.1.1) and close, since it may send the body all the same.
    request_.keep_alive = false;
    request_.unread_input = true;
    complete_ = true;
    return HPE_PAUSED;
  }
  return 0;
}

int RequestParser::count_header_bytes(std::size_t bytes) {
  header_bytes_ += bytes;
  if (header_bytes_ <= limits_.header_bytes) return 0;
  refuse(HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
  return HPE_USER;
}

void RequestParser::refuse(int status) {
  request_.refusal = status;
  request_.keep_alive = false;
  request_.unread_input = true;
  complete_ = true;
}

void RequestParser::refuse_by_error(llhttp_errno_t error) {
  // A method of RTSP is known to llhttp, but not in a request of HTTP.
  const bool foreign = error == HPE_INVALID_CONSTANT && parser_.method > HTTP_PRI;
  if ((error == HPE_INVALID_METHOD || foreign) && is_token(method_)) {
    refuse(HTTP_STATUS_NOT_IMPLEMENTED);
  } else if (error == HPE_PAUSED_H2_UPGRADE || error == HPE_INVALID_VERSION) {
    refuse(HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED);
  } else {
    refuse(HTTP_STATUS_BAD_REQUEST);
  }
}

}  // namespace flexsc::http
