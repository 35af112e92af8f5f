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

/// Files up to here are sent in a chain. Larger ones may take their time, of which each step has
/// its own.
inline constexpr std::uint64_t kChained = 262'144;

/// An answer with a file, to give if that is found as it was the last time.
struct Foreseen {
  std::string name;         ///< of the file, below root()
  struct stat expected {};  ///< its status
  Answer answer;            ///< `file` is for the caller to open

  /// What of a file's status an answer depends on, as words for Chain::compare().
  static const std::uint64_t kWords;
};

/// Serves the files below one folder. Thread-safe; makes its system calls through
/// posix.hpp, so in a fiber it parks.
class Site {
 public:
  /// @throws std::system_error when `root` is not a folder that can be opened.
  explicit Site(const std::string& root);

  /// Answers a request. Never throws for what a client sent or the file system says.
  /// `last`: the server is stopping, so the connection must end with this answer. `chain`: see
  /// open_with_status().
  [[nodiscard]] Answer answer(const Request& request, bool last, Chain* chain) const;

  /// The same without a call, if answer() has sent a whole file for that target before, in a chain
  /// and in this thread. Whether it has.
  [[nodiscard]] static bool foresee(const Request& request, bool last, Foreseen& foreseen);
  /// The folder.
  [[nodiscard]] int root() const noexcept { return root_.get(); }

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
  [[nodiscard]] static Answer describe(const Request& request, const std::string& name,
                                       const struct stat& status, bool last, std::uint64_t& begin);

  OwnedFd root_;
};

}  // namespace flexsc::http
