// SPDX-License-Identifier: MIT
#include "waitable.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <atomic>

namespace flexsc_guest {

struct Waitable::Message {
  iovec vector{};
  msghdr header{};
};

namespace {

constexpr std::size_t kChunk = 4096;

sockaddr_in loopback(in_port_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = port;
  return address;
}

Fd make_socket(int family, int type) {
  Fd made(::socket(family, type | SOCK_CLOEXEC, 0));
  REQUIRE(made.get() >= 0);
  return made;
}

void bind_to_loopback(const Fd& socket) {
  const sockaddr_in address = loopback(0);
  REQUIRE_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

void set_nonblocking(const Fd& fd, bool on) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  REQUIRE_EQ(::fcntl(fd.get(), F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
}

/// Writes until nothing more fits.
void fill_up(const Fd& fd) {
  const std::string chunk(kChunk, 'f');
  set_nonblocking(fd, true);
  while (::write(fd.get(), chunk.data(), chunk.size()) > 0) {
  }
  // What is left over may be less than a chunk.
  while (::write(fd.get(), chunk.data(), 1) > 0) {
  }
  set_nonblocking(fd, false);
}

/// Reads everything, also what is only on its way.
void drain_all(const Fd& fd) {
  std::string chunk(1 << 16, '\0');
  set_nonblocking(fd, true);
  const auto until = std::chrono::steady_clock::now() + 5ms;
  do {
    while (::read(fd.get(), chunk.data(), chunk.size()) > 0) {
    }
  } while (std::chrono::steady_clock::now() < until);
  set_nonblocking(fd, false);
}

}  // namespace

sockaddr_in address_of(const Fd& socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  REQUIRE_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return address;
}

std::string name_of(Kind kind) {
  constexpr std::array kNames = {"PipeRead",     "PipeReadv",   "PipeWrite",   "UnixRead",
                                 "UnixRecvfrom", "UnixRecvmsg", "UnixSendto",  "UnixSendmsg",
                                 "TcpRead",      "TcpRecvfrom", "TcpWrite",    "TcpAccept",
                                 "TcpAccept4",   "UnixAccept",  "UdpRecvfrom", "EventfdRead",
                                 "EventfdWrite", "TimerfdRead", "InotifyRead"};
  static_assert(kNames.size() == kKinds);
  return kNames[static_cast<std::size_t>(kind)];
}

Fd tcp_listener() {
  Fd listener = make_socket(AF_INET, SOCK_STREAM);
  bind_to_loopback(listener);
  REQUIRE_EQ(::listen(listener.get(), 128), 0);
  return listener;
}

Fd tcp_connect(const Fd& listener) {
  Fd made = make_socket(AF_INET, SOCK_STREAM);
  const sockaddr_in address = address_of(listener);
  REQUIRE_EQ(::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return made;
}

TcpPair::TcpPair() {
  const Fd listener = tcp_listener();
  near = tcp_connect(listener);
  far = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(far.get() >= 0);
}

Waitable::Waitable(Kind kind) : buffer_(kChunk), message_(std::make_unique<Message>()) {
  make_ends(kind);
  make_call(kind);
}

void Waitable::make_ends(Kind kind) {
  switch (kind) {
    case Kind::kPipeRead:
    case Kind::kPipeReadv:
    case Kind::kPipeWrite: {
      Pipe pipe = make_pipe();
      near_ = std::move(kind == Kind::kPipeWrite ? pipe.writer : pipe.reader);
      far_ = std::move(kind == Kind::kPipeWrite ? pipe.reader : pipe.writer);
      break;
    }
    case Kind::kUnixRead:
    case Kind::kUnixRecvfrom:
    case Kind::kUnixRecvmsg:
    case Kind::kUnixSendto:
    case Kind::kUnixSendmsg: {
      std::array<int, 2> ends{};
      REQUIRE_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
      near_ = Fd(ends[0]);
      far_ = Fd(ends[1]);
      break;
    }
    case Kind::kTcpRead:
    case Kind::kTcpRecvfrom:
    case Kind::kTcpWrite: {
      TcpPair pair;
      near_ = std::move(pair.near);
      far_ = std::move(pair.far);
      break;
    }
    case Kind::kUdpRecvfrom: {
      near_ = make_socket(AF_INET, SOCK_DGRAM);
      bind_to_loopback(near_);
      far_ = make_socket(AF_INET, SOCK_DGRAM);
      const sockaddr_in address = address_of(near_);
      REQUIRE_EQ(::connect(far_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
                 0);
      break;
    }
    default:
      break;
  }
}

void Waitable::make_call(Kind kind) {
  switch (kind) {
    case Kind::kPipeWrite:
    case Kind::kUnixSendto:
    case Kind::kUnixSendmsg:
    case Kind::kTcpWrite:
      return make_writer(kind, far_, near_);
    case Kind::kTcpAccept:
    case Kind::kTcpAccept4:
    case Kind::kUnixAccept:
      return make_acceptor(kind);
    case Kind::kEventfdRead:
    case Kind::kEventfdWrite:
    case Kind::kTimerfdRead:
      return make_counter(kind);
    case Kind::kInotifyRead:
      return make_notifier();
    default:
      return make_reader(kind, near_, far_);
  }
}

Waitable::~Waitable() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void Waitable::make_reader(Kind kind, const Fd& from, const Fd& to) {
  const int fd = from.get();
  char* const bytes = buffer_.data();
  message_->vector = {bytes, 8};
  message_->header.msg_iov = &message_->vector;
  message_->header.msg_iovlen = 1;
  switch (kind) {
    case Kind::kPipeReadv:
      call_ = call(SYS_readv, fd, &message_->vector, 1);
      break;
    case Kind::kUnixRecvfrom:
    case Kind::kTcpRecvfrom:
    case Kind::kUdpRecvfrom:
      call_ = call(SYS_recvfrom, fd, bytes, 8, 0, nullptr, nullptr);
      break;
    case Kind::kUnixRecvmsg:
      call_ = call(SYS_recvmsg, fd, &message_->header, 0);
      break;
    default:
      call_ = call(SYS_read, fd, bytes, 8);
  }
  wanted_ = 5;
  ready_ = [&to] { put(to, "ready"); };
}

void Waitable::make_writer(Kind kind, const Fd& from, const Fd& to) {
  const int fd = to.get();
  message_->vector = {buffer_.data(), 8};
  message_->header.msg_iov = &message_->vector;
  message_->header.msg_iovlen = 1;
  switch (kind) {
    case Kind::kUnixSendto:
      call_ = call(SYS_sendto, fd, buffer_.data(), 8, 0, nullptr, 0);
      break;
    case Kind::kUnixSendmsg:
      call_ = call(SYS_sendmsg, fd, &message_->header, 0);
      break;
    default:
      call_ = call(SYS_write, fd, buffer_.data(), 8);
  }
  wanted_ = 8;
  fill_up(to);
  ready_ = [&from] { drain_all(from); };
  reset_ = [&to] { fill_up(to); };
}

void Waitable::make_acceptor(Kind kind) {
  accepts_ = true;
  if (kind == Kind::kUnixAccept) {
    near_ = make_socket(AF_UNIX, SOCK_STREAM);
    // An abstract name, of the kernel's choice.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE_EQ(::bind(near_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
    REQUIRE_EQ(::listen(near_.get(), 16), 0);
    ready_ = [this] {
      sockaddr_un name{};
      socklen_t length = sizeof name;
      REQUIRE_EQ(::getsockname(near_.get(), reinterpret_cast<sockaddr*>(&name), &length), 0);
      const Fd client = make_socket(AF_UNIX, SOCK_STREAM);
      REQUIRE_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&name), length), 0);
    };
  } else {
    near_ = tcp_listener();
    ready_ = [this] { tcp_connect(near_); };
  }
  call_ = kind == Kind::kTcpAccept4 ? call(SYS_accept4, near_.get(), nullptr, nullptr, SOCK_CLOEXEC)
                                    : call(SYS_accept, near_.get(), nullptr, nullptr);
}

void Waitable::make_counter(Kind kind) {
  wanted_ = 8;
  auto* number = reinterpret_cast<__u64*>(buffer_.data());
  if (kind == Kind::kTimerfdRead) {
    near_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    call_ = call(SYS_read, near_.get(), number, 8);
    ready_ = [this] {
      itimerspec soon{};
      soon.it_value.tv_nsec = 1'000'000;
      REQUIRE_EQ(::timerfd_settime(near_.get(), 0, &soon, nullptr), 0);
    };
    return;
  }
  near_ = Fd(::eventfd(0, EFD_CLOEXEC));
  if (kind == Kind::kEventfdRead) {
    call_ = call(SYS_read, near_.get(), number, 8);
    ready_ = [this] { REQUIRE_EQ(::eventfd_write(near_.get(), 3), 0); };
    return;
  }
  *number = 1;
  const auto fill = [this] { REQUIRE_EQ(::eventfd_write(near_.get(), ~__u64{0} - 1), 0); };
  fill();
  call_ = call(SYS_write, near_.get(), number, 8);
  ready_ = [this] {
    eventfd_t value = 0;
    REQUIRE_EQ(::eventfd_read(near_.get(), &value), 0);
  };
  reset_ = [this, fill] {
    ready_();
    fill();
  };
}

void Waitable::make_notifier() {
  static std::atomic<unsigned> number{0};
  ::mkdir("/tmp", 01777);
  path_ = "/tmp/flexsc-inotify-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
  far_ = Fd(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  near_ = Fd(::inotify_init1(IN_CLOEXEC));
  REQUIRE(::inotify_add_watch(near_.get(), path_.c_str(), IN_MODIFY) >= 0);
  call_ = call(SYS_read, near_.get(), buffer_.data(), kChunk);
  wanted_ = sizeof(inotify_event);
  ready_ = [this] { put(far_, "x"); };
}

bool Waitable::is_right(long result) const {
  if (!accepts_) return result == wanted_;
  if (result < 0) return false;
  ::close(static_cast<int>(result));
  return true;
}

}  // namespace flexsc_guest
