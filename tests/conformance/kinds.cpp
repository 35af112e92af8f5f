// SPDX-License-Identifier: MIT
// The kinds of descriptors that cases name.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "world.hpp"

namespace flexsc::conformance {

namespace {

constexpr std::string_view kSome = "some bytes to be read";

void check(bool holds) {
  if (!holds) throw std::system_error(errno, std::generic_category(), "making a descriptor");
}

void put(int fd, std::string_view bytes) {
  check(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

struct Ends {
  int near;
  int far;
};

/// The reader is the near end.
Ends pipe_of(World& world, int flags = 0) {
  std::array<int, 2> ends{};
  check(pipe2(ends.data(), flags | O_CLOEXEC) == 0);
  return {world.keep(ends[0]), world.keep(ends[1])};
}

Ends pair_of(World& world, int type) {
  std::array<int, 2> ends{};
  check(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) == 0);
  return {world.keep(ends[0]), world.keep(ends[1])};
}

Ends with_bytes(Ends ends) {
  put(ends.far, kSome);
  return ends;
}

int without_far(Ends ends) {
  check(close(ends.far) == 0);
  return ends.near;
}

int arrived(Ends ends) {
  pollfd one{ends.near, POLLIN, 0};
  check(poll(&one, 1, -1) == 1);
  return ends.near;
}

int bytes_later(World& world, Ends ends) {
  world.meanwhile([ends] { put(ends.far, kSome); });
  return ends.near;
}

int end_later(World& world, Ends ends) {
  world.meanwhile([ends] { shutdown(ends.far, SHUT_RDWR); });
  return ends.near;
}

/// Connected over the loopback.
Ends tcp_of(World& world) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  check(bind(listener, name, length) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, name, &length) == 0);
  const int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  check(connect(far, name, length) == 0);
  const int near = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  check(near >= 0);
  close(listener);
  return {world.keep(near), world.keep(far)};
}

/// Until nothing more fits without waiting.
int full(Ends ends) {
  const std::vector<char> much(65536, 'f');
  const int flags = fcntl(ends.near, F_GETFL);
  check(fcntl(ends.near, F_SETFL, flags | O_NONBLOCK) == 0);
  while (write(ends.near, much.data(), much.size()) > 0) {
  }
  while (write(ends.near, "f", 1) > 0) {
  }
  return ends.near;
}

Ends turned(Ends ends) {
  return {ends.far, ends.near};
}

int with_limit(Ends ends, int option) {
  const timeval limit{.tv_sec = 0, .tv_usec = 1000};
  check(setsockopt(ends.near, SOL_SOCKET, option, &limit, sizeof limit) == 0);
  return ends.near;
}

int file_of(World& world, const char* name, int flags) {
  world.need_files();
  return world.keep(open(name, flags | O_CLOEXEC, 0600));
}

/// Named in the working directory.
int listener_of(World& world, int type) {
  world.need_files();
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::string_view("door").copy(name.sun_path, sizeof name.sun_path);
  const int fd = world.keep(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  check(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  check(listen(fd, 4) == 0);
  return fd;
}

int knock() {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::string_view("door").copy(name.sun_path, sizeof name.sun_path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  check(connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  return fd;
}

int epoll_on(World& world, int fd) {
  const int epoll = world.keep(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 7;
  check(fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  return epoll;
}

int sealed(World& world) {
  const int fd = world.keep(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  put(fd, kSome);
  check(lseek(fd, 0, SEEK_SET) == 0);
  check(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  return fd;
}

int closed(World& world) {
  const int fd = pipe_of(world).near;
  check(close(fd) == 0);
  return fd;
}

constexpr int kStream = SOCK_STREAM;
constexpr int kStreamNow = SOCK_STREAM | SOCK_NONBLOCK;
using Maker = int (*)(World&);

const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> all{
      // None
      {"negative", [](World&) { return -1; }},
      {"here", [](World&) { return AT_FDCWD; }},
      {"large", [](World&) { return 99999; }},
      {"closed", [](World& w) { return closed(w); }},
      // Files
      {"file", [](World& w) { return file_of(w, "file", O_RDWR); }},
      {"file_now", [](World& w) { return file_of(w, "file", O_RDWR | O_NONBLOCK); }},
      {"file_ro", [](World& w) { return file_of(w, "file", O_RDONLY); }},
      {"file_wo", [](World& w) { return file_of(w, "file", O_WRONLY); }},
      {"file_append", [](World& w) { return file_of(w, "file", O_RDWR | O_APPEND); }},
      {"file_path", [](World& w) { return file_of(w, "file", O_PATH); }},
      {"new", [](World& w) { return file_of(w, "new", O_RDWR | O_CREAT); }},
      {"dir", [](World& w) { return file_of(w, "dir", O_RDONLY | O_DIRECTORY); }},
      {"dir_path", [](World& w) { return file_of(w, "dir", O_PATH); }},
      {"null", [](World& w) { return file_of(w, "/dev/null", O_RDWR); }},
      {"zero", [](World& w) { return file_of(w, "/dev/zero", O_RDWR); }},
      {"full", [](World& w) { return file_of(w, "/dev/full", O_RDWR); }},
      {"sealed", [](World& w) { return sealed(w); }},
      // Pipes: the end that is read, or (pipe_w…) written
      {"pipe", [](World& w) { return with_bytes(pipe_of(w)).near; }},
      {"pipe_now", [](World& w) { return pipe_of(w, O_NONBLOCK).near; }},
      {"pipe_later", [](World& w) { return bytes_later(w, pipe_of(w)); }},
      {"pipe_end", [](World& w) { return without_far(pipe_of(w)); }},
      {"pipe_last", [](World& w) { return without_far(with_bytes(pipe_of(w))); }},
      {"pipe_w", [](World& w) { return pipe_of(w).far; }},
      {"pipe_w_now", [](World& w) { return pipe_of(w, O_NONBLOCK).far; }},
      {"pipe_w_full", [](World& w) { return full(turned(pipe_of(w))); }},
      {"pipe_w_broken", [](World& w) { return without_far(turned(pipe_of(w))); }},
      // Sockets
      {"stream", [](World& w) { return with_bytes(pair_of(w, kStream)).near; }},
      {"stream_now", [](World& w) { return pair_of(w, kStreamNow).near; }},
      {"stream_later", [](World& w) { return bytes_later(w, pair_of(w, kStream)); }},
      {"stream_end", [](World& w) { return without_far(pair_of(w, kStream)); }},
      {"stream_end_later", [](World& w) { return end_later(w, pair_of(w, kStream)); }},
      {"stream_last", [](World& w) { return without_far(with_bytes(pair_of(w, kStream))); }},
      {"stream_full", [](World& w) { return full(pair_of(w, kStream)); }},
      {"stream_limit", [](World& w) { return with_limit(pair_of(w, kStream), SO_RCVTIMEO); }},
      {"datagram", [](World& w) { return with_bytes(with_bytes(pair_of(w, SOCK_DGRAM))).near; }},
      {"datagram_now", [](World& w) { return pair_of(w, SOCK_DGRAM | SOCK_NONBLOCK).near; }},
      {"datagram_later", [](World& w) { return bytes_later(w, pair_of(w, SOCK_DGRAM)); }},
      {"packet", [](World& w) { return with_bytes(with_bytes(pair_of(w, SOCK_SEQPACKET))).near; }},
      {"packet_end", [](World& w) { return without_far(pair_of(w, SOCK_SEQPACKET)); }},
      {"tcp", [](World& w) { return arrived(with_bytes(tcp_of(w))); }},
      {"tcp_later", [](World& w) { return bytes_later(w, tcp_of(w)); }},
      {"tcp_end_later", [](World& w) { return end_later(w, tcp_of(w)); }},
      {"alone", [](World& w) { return w.keep(socket(AF_UNIX, kStream | SOCK_CLOEXEC, 0)); }},
      {"alone_tcp", [](World& w) { return w.keep(socket(AF_INET, kStream | SOCK_CLOEXEC, 0)); }},
      {"alone_udp", [](World& w) { return w.keep(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }},
      {"listener", [](World& w) { return listener_of(w, kStreamNow); }},
      {"listener_knock",
       [](World& w) {
         const int fd = listener_of(w, kStream);
         w.keep(knock());
         return fd;
       }},
      {"listener_later",
       [](World& w) {
         const int fd = listener_of(w, kStream);
         // Made before, so that numbers do not depend on who is first.
         const int far = w.keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
         w.meanwhile([far] {
           sockaddr_un name{};
           name.sun_family = AF_UNIX;
           std::string_view("door").copy(name.sun_path, sizeof name.sun_path);
           check(connect(far, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
         });
         return fd;
       }},
      // Others
      {"event", [](World& w) { return w.keep(eventfd(5, EFD_CLOEXEC)); }},
      {"event_now", [](World& w) { return w.keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }},
      {"epoll", [](World& w) { return epoll_on(w, -1); }},
      {"epoll_ready", [](World& w) { return epoll_on(w, with_bytes(pipe_of(w)).near); }},
      {"epoll_later", [](World& w) { return epoll_on(w, bytes_later(w, pipe_of(w))); }},
  };
  return all;
}

}  // namespace

int make_descriptor(World& world, const std::string& kind) {
  return makers().at(kind)(world);
}

}  // namespace flexsc::conformance
