// SPDX-License-Identifier: MIT
/// @file
/// What all serving models share: settings, the listening socket, the connections that
/// are open, stopping, and the counters.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "live.hpp"
#include "request.hpp"
#include "site.hpp"

namespace flexsc::http {

struct ServiceOptions {
  std::string root = ".";
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: any free one
  Limits limits;
  /// How long a connection may be silent, between requests or inside an answer.
  std::chrono::milliseconds idle_timeout{30000};
  /// How long a request may take from its first byte to its last (then: 408).
  std::chrono::milliseconds request_timeout{10000};
  /// Whether the server shows its counters, below /-/, and the cores that are shown.
  bool live = false;
  std::vector<Live::Core> live_cores;
};

/// Counters of a connection, or of all that have ended. Plain numbers, no locking.
struct Tally {
  std::uint64_t connections = 0;
  std::uint64_t bytes = 0;                 ///< sent, heads included
  std::map<int, std::uint64_t> responses;  ///< by status
  void add(const Tally& other);
  [[nodiscard]] std::uint64_t requests() const;
};

/// How the sockets of a listener wait.
enum class Waits {
  blocking,     ///< no longer than the idle timeout (SO_RCVTIMEO, SO_SNDTIMEO)
  unlimited,    ///< blocking, and whoever waits has another time limit
  nonblocking,  ///< the listener does not block; accepted sockets are as accept4() is told
};

/// A listening TCP socket.
class Listener {
 public:
  /// @throws std::system_error
  Listener(const ServiceOptions& options, Waits waits);
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// How many connections wait to be accepted; 0 if that cannot be told.
  [[nodiscard]] std::size_t waiting() const noexcept;
  /// Ends accept() calls that wait (EINVAL) and refuses further clients. Any thread.
  void stop() noexcept;

 private:
  OwnedFd fd_;
  std::uint16_t port_ = 0;
};

/// What became of an attempt to take a connection from a listener.
struct Accepted {
  enum class What {
    connection,
    nothing,    ///< none waits, or one that was waiting is gone: try again
    exhausted,  ///< no descriptor or memory for it: back off, then try again
    stopped,    ///< Listener::stop() was called
  };
  What what = What::nothing;
  OwnedFd socket;
};

/// Takes one connection; `flags` as for accept4(). Reports exhaustion on stderr, at most
/// once a second.
[[nodiscard]] Accepted accept_connection(const Listener& listener, int flags);

/// How long to back off when exhausted. Long enough not to burn a CPU, short enough not
/// to be noticed by a client that waits in the backlog.
inline constexpr std::chrono::milliseconds kAcceptBackoff{50};

/// A client that has been told that its connection ends gets this long to notice, and may
/// send this much in the meantime.
inline constexpr std::chrono::seconds kLingerTime{2};
inline constexpr std::size_t kLingerBytes = 1U << 20;

/// State of a running server. Thread-safe.
class Service {
 public:
  explicit Service(const ServiceOptions& options);

  [[nodiscard]] const ServiceOptions& options() const noexcept { return options_; }
  /// A request has come, for the counter that live() shows.
  void count() noexcept {
    if (live_) live_->count();
  }
  /// Answers a request, with a file or with what live() shows.
  [[nodiscard]] Answer answer(const Request& request, Chain* chain);
  /// See Site::foresee(). Never what live() shows: answer() has not found it as a file.
  [[nodiscard]] bool foresee(const Request& request, Foreseen& foreseen) const {
    return Site::foresee(request, stopping(), foreseen);
  }
  [[nodiscard]] int root() const noexcept { return site_.root(); }
  /// Null if the server does not show itself.
  [[nodiscard]] Live* live() noexcept { return live_ ? &*live_ : nullptr; }
  [[nodiscard]] bool stopping() const noexcept { return stopping_.load(std::memory_order_relaxed); }

  /// Registers an open connection, so that stop() reaches it.
  void opened(int fd);
  /// To be called before the descriptor is closed: stop() must not hit another file that
  /// got the same number.
  void closed(int fd, const Tally& tally);

  /// Begins to stop: answers from now on end their connection, and reading ends on all
  /// connections, which wakes those that wait for a request. What is being sent is not
  /// disturbed.
  void stop();

  /// Blocks the calling thread until stop() was called and no connection is left. Not
  /// for fibers.
  void wait_until_drained();

  /// Counters of all connections that have ended.
  [[nodiscard]] Tally tally() const;
  [[nodiscard]] std::size_t open_connections() const noexcept {
    // relaxed: an estimate, but to whoever has just held the lock (check_drained() of the pool).
    return open_count_.load(std::memory_order_relaxed);
  }

 private:
  ServiceOptions options_;
  Site site_;
  std::optional<Live> live_;
  // Set once, under the lock. relaxed: who reads it without the lock looks again when stop() has
  // ended its reads or woken it.
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;  // guards what follows; held for moments only, never while parked
  std::condition_variable drained_;
  std::unordered_set<int> open_;
  std::atomic<std::size_t> open_count_{0};  // its size; written with the lock
  Tally total_;
};

}  // namespace flexsc::http
