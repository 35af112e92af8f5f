// SPDX-License-Identifier: MIT
#include "client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>

#include "server_process.hpp"

namespace flexsc::http::driver {

Client::Client(std::uint16_t port, int receive_buffer)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (receive_buffer != 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Client::~Client() {
  ::close(fd_);
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void Client::finish_sending() {
  ::shutdown(fd_, SHUT_WR);
}

bool Client::fill() {
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (got > 0) received_.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0;
}

Response Client::read(bool head_only) {
  Response response;
  std::size_t end = 0;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) {
      response.trouble = "the connection ended after \"" + received_ + '"';
      return response;
    }
  }
  std::string_view head(received_.data(), end + 2);
  const std::size_t line_end = head.find("\r\n");
  if (!head.starts_with("HTTP/1.1 ")) {
    response.trouble = "not an answer: " + std::string(head.substr(0, line_end));
    return response;
  }
  const int status = std::atoi(head.data() + 9);
  head.remove_prefix(line_end + 2);
  while (!head.empty()) {
    const std::size_t eol = head.find("\r\n");
    const std::size_t colon = head.find(": ");
    std::string name(head.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    response.fields[name] = head.substr(colon + 2, eol - colon - 2);
    head.remove_prefix(eol + 2);
  }
  received_.erase(0, end + 4);
  const bool has_body = !head_only && status != 304;
  const std::size_t length =
      has_body ? std::strtoull(response.field("content-length").c_str(), nullptr, 10) : 0;
  while (received_.size() < length) {
    if (!fill()) {
      response.trouble = "the body ended after " + std::to_string(received_.size()) + " of " +
                         std::to_string(length) + " bytes";
      return response;
    }
  }
  response.body = received_.substr(0, length);
  received_.erase(0, length);
  response.status = status;
  return response;
}

Response Client::ask(std::string_view bytes) {
  (void)send(bytes);  // if it fails, there may still be an answer that says why
  return read();
}

Response Client::get(std::string_view target, std::string_view fields) {
  return ask(request_for("GET", target, fields));
}

bool Client::at_end() {
  if (!received_.empty()) return false;
  char byte = 0;
  // A reset is an end as well: it says that bytes of ours were not wanted.
  const ssize_t got = ::recv(fd_, &byte, 1, 0);
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

std::size_t Client::drop(std::size_t bytes) {
  while (received_.size() < bytes && fill()) {
  }
  const std::size_t dropped = std::min(bytes, received_.size());
  received_.erase(0, dropped);
  return dropped;
}

std::string request_for(std::string_view method, std::string_view target, std::string_view fields) {
  std::string request(method);
  return request.append(" ").append(target).append(" HTTP/1.1\r\nHost: test\r\n").append(fields) +
         "\r\n";
}

}  // namespace flexsc::http::driver
