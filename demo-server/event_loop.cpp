// SPDX-License-Identifier: MIT
#include "event_loop.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "flexsc/posix.hpp"

namespace flexsc::http {

namespace {
constexpr std::chrono::seconds kSweepEvery{1};
constexpr std::size_t kRush = 16;  // waiting clients for each further one that is accepted
using Phase = EventConnection::Phase;
}  // namespace

EventLoop::EventLoop(Service& service, const Listener& listener, Engine* batching)
    : service_(service),
      listener_(listener),
      batching_(batching),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      now_(Clock::now()),
      next_sweep_(now_ + kSweepEvery) {
  if (epoll_.get() < 0 || wake_.get() < 0 || !watch(EPOLL_CTL_ADD, wake_.get(), EPOLLIN)) {
    throw std::system_error(errno, std::generic_category(), "epoll or eventfd");
  }
  watch_listener(true);
}

void EventLoop::wake() noexcept {
  (void)::eventfd_write(wake_.get(), 1);
}

bool EventLoop::watch(int operation, int fd, std::uint32_t events) const {
  epoll_event event{.events = events, .data = {.fd = fd}};
  return flexsc::syscall(SYS_epoll_ctl, epoll_.get(), operation, fd,
                         reinterpret_cast<long>(&event)) == 0;
}

void EventLoop::watch_listener(bool on) {
  // EXCLUSIVE: one loop is woken per client, not all.
  if (on) {
    listening_ = watch(EPOLL_CTL_ADD, listener_.fd(), EPOLLIN | EPOLLEXCLUSIVE);
  } else if (listening_) {
    (void)watch(EPOLL_CTL_DEL, listener_.fd(), 0);
    listening_ = false;
  }
}

int EventLoop::timeout_ms() const {
  Clock::time_point until = next_sweep_;
  if (!listening_ && !service_.stopping()) until = std::min(until, listen_again_);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now_).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

void EventLoop::run() {
  std::array<epoll_event, 256> events{};
  ReadyList ready;
  // The thread's first segment takes a descriptor; later there may be none left.
  begin_segment();
  end_segment();
  while (!service_.stopping() || !connections_.empty()) {
    const long got =
        flexsc::syscall(SYS_epoll_wait, epoll_.get(), reinterpret_cast<long>(events.data()),
                        static_cast<long>(events.size()), timeout_ms());
    now_ = Clock::now();
    ready.clear();
    for (long i = 0; i < got; ++i) handle(events[static_cast<std::size_t>(i)], ready);
    if (now_ >= next_sweep_) sweep(ready);
    serve(ready);
    if (service_.stopping()) {
      watch_listener(false);
    } else if (!listening_ && now_ >= listen_again_) {
      watch_listener(true);
    }
  }
  close_retired();
  flush_crossings_ = batch_crossings();
}

void EventLoop::handle(const epoll_event& event, ReadyList& ready) {
  if (event.data.fd == wake_.get()) {
    eventfd_t count = 0;
    (void)::eventfd_read(wake_.get(), &count);
    return;
  }
  if (event.data.fd == listener_.fd()) return accept_some();
  const auto found = connections_.find(event.data.fd);
  if (found == connections_.end()) return;
  EventConnection& connection = *found->second;
  if (connection.phase() != Phase::sending) connection.on_readable(now_);
  if (connection.phase() == Phase::dead) {
    bury(connection);
  } else if (connection.phase() == Phase::sending) {
    ready.push_back(&connection);
  }
}

// One client per wake-up, so that several loops share them; of a rush, a part of it.
void EventLoop::accept_some() {
  std::size_t left = 1 + listener_.waiting() / kRush;
  while (left > 0 && accept_one()) --left;
}

bool EventLoop::accept_one() {
  Accepted accepted = accept_connection(listener_, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted.what == Accepted::What::stopped) {
    watch_listener(false);
    listen_again_ = Clock::time_point::max();
  } else if (accepted.what == Accepted::What::exhausted) {
    watch_listener(false);
    listen_again_ = now_ + kAcceptBackoff;
  } else if (accepted.what == Accepted::What::connection) {
    const int fd = accepted.socket.get();
    auto connection = std::make_unique<EventConnection>(service_, std::move(accepted.socket), now_);
    if (watch(EPOLL_CTL_ADD, fd, EPOLLIN)) connections_[fd] = std::move(connection);
  }
  return accepted.what == Accepted::What::connection;
}

void EventLoop::serve(ReadyList& ready) {
  ReadyList again;
  while (!ready.empty()) {
    round(ready, &EventConnection::wants_to_send_head, &EventConnection::send_head,
          &EventConnection::settle_head);
    round(ready, &EventConnection::wants_to_send_body, &EventConnection::send_body,
          &EventConnection::settle_body);
    again.clear();
    for (EventConnection* connection : ready) after_round(*connection, again);
    ready.swap(again);
  }
  // Files may wait for the next segment, clients that wait for the end may not.
  if (socket_retired_) close_retired();
}

template <class Wants, class Send, class Settle>
void EventLoop::round(const ReadyList& ready, Wants wants, Send send, Settle settle) {
  ReadyList senders;
  for (EventConnection* connection : ready) {
    if ((connection->*wants)()) senders.push_back(connection);
  }
  if (senders.empty()) return;
  begin_segment();
  for (EventConnection* connection : senders) (connection->*send)();
  end_segment();
  for (EventConnection* connection : senders) (connection->*settle)(now_);
}

void EventLoop::begin_segment() {
  if (batching_ == nullptr) return;
  if (const int error = batch_start(*batching_)) {
    throw std::system_error(error, std::generic_category(), "batch_start");
  }
  for (const int fd : std::exchange(retired_, {})) (void)flexsc::close(fd);
  socket_retired_ = false;
}

void EventLoop::end_segment() {
  if (batching_ == nullptr) return;
  // What a call was told is "all sent"; here it learns what was.
  for (const BatchFailure& failure : batch_flush().failures) {
    const auto found = connections_.find(static_cast<int>(failure.call.args[0]));
    // Not found: a close() of a descriptor, after which there is nothing to do.
    if (found != connections_.end() && failure.call.nr != SYS_close) {
      found->second->correct(failure.result);
    }
  }
}

void EventLoop::after_round(EventConnection& connection, ReadyList& again) {
  if (connection.phase() == Phase::sending && connection.sent()) {
    const int file = connection.finish(now_);
    if (file >= 0) retire(file);
    if (connection.phase() == Phase::reading) connection.parse(now_);  // pipelined
  } else if (connection.phase() == Phase::sending) {
    // Blocked: go on when there is room.
    if (!connection.watched_for_output && watch(EPOLL_CTL_MOD, connection.fd(), EPOLLOUT)) {
      connection.watched_for_output = true;
    }
    return;
  }
  if (connection.phase() == Phase::dead) return bury(connection);
  if (connection.phase() == Phase::sending) return again.push_back(&connection);
  if (connection.watched_for_output && watch(EPOLL_CTL_MOD, connection.fd(), EPOLLIN)) {
    connection.watched_for_output = false;
  }
}

void EventLoop::bury(EventConnection& connection) {
  const int fd = connection.release();
  connections_.erase(fd);
  retire(fd);
  socket_retired_ = true;
}

void EventLoop::retire(int fd) {
  if (batching_ == nullptr) {
    (void)flexsc::close(fd);
  } else {
    retired_.push_back(fd);
  }
}

void EventLoop::close_retired() {
  if (retired_.empty()) return;
  begin_segment();
  end_segment();
}

void EventLoop::sweep(ReadyList& ready) {
  next_sweep_ = now_ + kSweepEvery;
  ReadyList late;
  for (const auto& [fd, connection] : connections_) {
    if (connection->deadline() <= now_) late.push_back(connection.get());
  }
  for (EventConnection* connection : late) {
    if (std::find(ready.begin(), ready.end(), connection) != ready.end()) continue;
    connection->on_deadline(now_);
    if (connection->phase() == Phase::sending) {
      ready.push_back(connection);
    } else {
      bury(*connection);
    }
  }
  close_retired();
}

}  // namespace flexsc::http
