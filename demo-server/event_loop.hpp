// SPDX-License-Identifier: MIT
/// @file
/// One epoll loop, with or without batch segments.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "event_connection.hpp"
#include "flexsc/batch.hpp"
#include "flexsc/engine.hpp"
#include "service.hpp"

namespace flexsc::http {

/// Accepts from a shared listener and serves what it has accepted. For one thread; only
/// wake() is for others.
///
/// After each wake-up, all ready connections are first read and their answers prepared;
/// then the heads of all answers are sent, then the bodies of those whose head is out.
/// With batching, each of these two rounds is a batch segment, and so is the closing of
/// files, which joins the next segment: for any number of ready connections the kernel is
/// entered twice where plain epoll enters it three times per answer.
class EventLoop {
 public:
  /// `batching`: engine for the segments, or null to make each call at once.
  /// @throws std::system_error
  EventLoop(Service& service, const Listener& listener, Engine* batching);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() = default;

  /// Runs until the service is stopping and no connection of this loop is left.
  void run();
  /// Makes run() look whether the service is stopping.
  void wake() noexcept;
  /// Crossings by batch flushes; after run().
  [[nodiscard]] std::uint64_t flush_crossings() const noexcept { return flush_crossings_; }

 private:
  using Clock = EventConnection::Clock;
  using ReadyList = std::vector<EventConnection*>;

  void watch_listener(bool on);
  void accept_some();
  /// Whether there was one.
  bool accept_one();
  bool watch(int operation, int fd, std::uint32_t events) const;
  void handle(const epoll_event& event, ReadyList& ready);
  void serve(ReadyList& ready);
  /// Sends one round; `Wants`, `Send`, `Settle` are members of EventConnection.
  template <class Wants, class Send, class Settle>
  void round(const ReadyList& ready, Wants wants, Send send, Settle settle);
  void begin_segment();
  void end_segment();
  void after_round(EventConnection& connection, ReadyList& again);
  void bury(EventConnection& connection);
  void retire(int fd);
  void close_retired();
  void sweep(ReadyList& ready);
  [[nodiscard]] int timeout_ms() const;

  Service& service_;
  const Listener& listener_;
  Engine* batching_;
  OwnedFd epoll_;
  OwnedFd wake_;
  std::unordered_map<int, std::unique_ptr<EventConnection>> connections_;
  /// Descriptors to be closed in the next segment. A file cannot be closed in the segment
  /// that sends it: if the send falls short, it is still needed.
  std::vector<int> retired_;
  bool socket_retired_ = false;  ///< one of them is a socket, whose client waits for the end
  bool listening_ = false;
  Clock::time_point now_;
  Clock::time_point next_sweep_;
  Clock::time_point listen_again_;
  std::uint64_t flush_crossings_ = 0;
};

}  // namespace flexsc::http
