// SPDX-License-Identifier: MIT
/// @file
/// A folder of files, and the answers it gives to requests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "file_calls.hpp"
#include "request.hpp"

namespace flexsc::http {

/// Closes its file descriptor, through flexsc::close(), unless it was given away.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

/// What to send for one request: `head`, then `file_bytes` bytes of `file` from its
/// current position.
struct Answer {
  int status = 0;
  std::string head;  ///< status line and fields; short bodies too
  OwnedFd file;
  std::uint64_t file_bytes = 0;
  bool close = false;   ///< close the connection afterwards
  bool linger = false;  ///< ... but take in what still arrives first, lest a reset
                        ///< destroys the answer on its way
};

/// Serves the files below one folder. Thread-safe; makes its system calls through
/// posix.hpp, so in a fiber it parks.
class Site {
 public:
  /// @throws std::system_error when `root` is not a folder that can be opened.
  explicit Site(const std::string& root);

  /// Answers a request. Never throws for what a client sent or the file system says.
  /// `last`: the server is stopping, so the connection must end with this answer.
  [[nodiscard]] Answer answer(const Request& request, bool last, Chain* chain) const;

  /// An answer that is all in memory.
  [[nodiscard]] static Answer text(const Request& request, bool last, std::string_view type,
                                   std::string_view body);
  /// A short answer with a plain-text body that says the status.
  [[nodiscard]] static Answer refusal(int status, const Request& request, bool last);

 private:
  [[nodiscard]] static Answer refusal(int status, const Request& request, bool last,
                                      std::optional<std::uint64_t> size);
  Answer answer_with_file(const Request& request, const std::string& path, bool last,
                          Chain* chain) const;

  OwnedFd root_;
};

}  // namespace flexsc::http
