// SPDX-License-Identifier: MIT
/// @file
/// Calls that wait until their file is ready, one of each kind.
#pragma once

#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kit.hpp"

namespace flexsc_guest {

enum class Kind {
  kPipeRead,
  kPipeReadv,
  kPipeWrite,
  kUnixRead,
  kUnixRecvfrom,
  kUnixRecvmsg,
  kUnixSendto,
  kUnixSendmsg,
  kTcpRead,
  kTcpRecvfrom,
  kTcpWrite,
  kTcpAccept,
  kTcpAccept4,
  kUnixAccept,
  kUdpRecvfrom,
  kEventfdRead,
  kEventfdWrite,
  kTimerfdRead,
  kInotifyRead,
};
inline constexpr int kKinds = static_cast<int>(Kind::kInotifyRead) + 1;
std::string name_of(Kind kind);

/// A call on a descriptor that is not ready, and what makes it ready, once.
class Waitable {
 public:
  explicit Waitable(Kind kind);
  Waitable(const Waitable&) = delete;
  Waitable& operator=(const Waitable&) = delete;
  ~Waitable();

  [[nodiscard]] const Call& made() const { return call_; }
  /// The descriptor that it works on.
  [[nodiscard]] int fd() const { return static_cast<int>(call_.args[0]); }
  /// The event that it waits for.
  void make_ready() const { ready_(); }
  /// Whether a result is the one of a direct call after make_ready(). Closes what came of it.
  [[nodiscard]] bool is_right(long result) const;
  /// Takes back what make_ready() and the call did: the call would wait again.
  void reset() const { reset_(); }

 private:
  void make_ends(Kind kind);
  void make_call(Kind kind);
  void make_reader(Kind kind, const Fd& from, const Fd& to);
  void make_writer(Kind kind, const Fd& from, const Fd& to);
  void make_acceptor(Kind kind);
  void make_counter(Kind kind);
  void make_notifier();

  Call call_{};
  std::function<void()> ready_;
  std::function<void()> reset_ = [] {};
  long wanted_ = 0;  ///< its result; of an accept, any descriptor
  bool accepts_ = false;
  Fd near_, far_;
  std::vector<char> buffer_;
  struct Message;
  std::unique_ptr<Message> message_;
  std::string path_;
};

sockaddr_in address_of(const Fd& socket);
/// Two connected TCP sockets on the loopback device.
struct TcpPair {
  TcpPair();
  Fd near, far;
};
/// A listening TCP socket on the loopback device, and a connection to it.
Fd tcp_listener();
Fd tcp_connect(const Fd& listener);

}  // namespace flexsc_guest
