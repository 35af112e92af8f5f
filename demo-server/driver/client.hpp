// SPDX-License-Identifier: MIT
/// @file
/// An HTTP client that hides nothing: it sends the bytes it is given and reads answers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace flexsc::http::driver {

/// An answer as received. Field names in lower case.
struct Response {
  /// 0: none came (see `trouble`).
  int status = 0;
  std::map<std::string, std::string> fields;
  std::string body;
  std::string trouble;

  [[nodiscard]] std::string field(const std::string& name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
  }
};

/// A connection to 127.0.0.1. Reading gives up after kPatience.
class Client {
 public:
  /// `receive_buffer`: SO_RCVBUF in bytes; 0: the system's choice.
  explicit Client(std::uint16_t port, int receive_buffer = 0);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  [[nodiscard]] bool connected() const noexcept { return connected_; }
  /// Sends all of it; false if the server does not take it.
  bool send(std::string_view bytes);
  /// Ends our sending side.
  void finish_sending();
  /// Reads one answer; `head_only`: to a HEAD request, so without a body.
  [[nodiscard]] Response read(bool head_only = false);
  /// send() and read().
  [[nodiscard]] Response ask(std::string_view bytes);
  /// Sends a GET for a target with Host and further fields ("Name: value\r\n"), and reads.
  [[nodiscard]] Response get(std::string_view target, std::string_view fields = "");
  /// Whether the server closed the connection, with nothing more to read. Waits for it.
  [[nodiscard]] bool at_end();
  /// Reads at most so many bytes and drops them; how many came.
  std::size_t drop(std::size_t bytes);

 private:
  bool fill();

  int fd_ = -1;
  bool connected_ = false;
  std::string received_;
};

/// A request without a body for HTTP/1.1.
[[nodiscard]] std::string request_for(std::string_view method, std::string_view target,
                                      std::string_view fields = "");

}  // namespace flexsc::http::driver
