// SPDX-License-Identifier: MIT
// Calls on sockets.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstddef>
#include <string_view>

#include "cases.hpp"

namespace flexsc::conformance {

namespace {

sockaddr_un local(std::string_view path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(&name.sun_path[0], sizeof name.sun_path);
  return name;
}

/// In the folder of the world.
Value at(const char* path) {
  return pointer(path, [path](World& world) -> const void* {
    world.need_files();
    return world.place(local(path));
  });
}

/// With room for an address, so that what is written there is seen.
Value room_for_address() {
  return structure("room", sockaddr_storage{});
}
Values lengths_of_addresses() {
  return {none(), structure<socklen_t>("enough", sizeof(sockaddr_storage)),
          structure<socklen_t>("one", 1), structure<socklen_t>("minus", ~0U), nowhere()};
}

Values receivers() {
  return fds({"negative", "file", "pipe", "stream", "stream_now", "stream_end", "stream_last",
              "stream_limit", "datagram", "datagram_now", "packet", "packet_end", "tcp", "alone",
              "listener"});
}
Values senders() {
  return fds({"negative", "file", "pipe_w", "stream", "stream_end", "stream_full", "datagram",
              "packet", "packet_end", "tcp", "alone", "alone_tcp", "alone_udp", "listener"});
}

struct Shape {
  const char* name;
  std::size_t bytes;
  bool gone = false;  ///< the buffer
  std::size_t vectors = 1;
  std::size_t control = 0;
};

Value message(const Shape& shape, bool to_receive) {
  return pointer(shape.name, [shape, to_receive](World& world) -> const void* {
    const Memory& memory = world.memory();
    std::uint8_t* const bytes = shape.gone   ? memory.nowhere()
                                : to_receive ? memory.out()
                                             : memory.data();
    msghdr header{};
    header.msg_iov = world.place(iovec{bytes, shape.bytes});
    header.msg_iovlen = shape.vectors;
    if (shape.control != 0) {
      header.msg_control = to_receive ? memory.out() + 4096 : memory.nowhere();
      header.msg_controllen = shape.control;
    }
    return world.place(header);
  });
}

Values messages(bool to_receive) {
  return {message({"eight", 8}, to_receive),
          message({"large", 4000}, to_receive),
          message({"nothing", 0}, to_receive),
          message({"gone", 8, true}, to_receive),
          message({"no_vector", 8, false, 0}, to_receive),
          message({"vectors", 8, false, 1025}, to_receive),
          message({"control", 8, false, 1, 64}, to_receive),
          none(),
          nowhere()};
}

void add_receives(std::vector<Table>& to) {
  to.push_back({"recvfrom",
                SYS_recvfrom,
                {receivers(),
                 {out()},
                 numbers({0, 8}),
                 named({{"usual", 0},
                        {"peek", MSG_PEEK},
                        {"now", MSG_DONTWAIT},
                        {"trunc", MSG_TRUNC},
                        {"errors", MSG_ERRQUEUE},
                        {"urgent", MSG_OOB}})}});
  to.push_back({"recvfrom:memory",
                SYS_recvfrom,
                {receivers(),
                 {edge(), nowhere(), kernel()},
                 just(8),
                 named({{"usual", 0}, {"trunc", MSG_TRUNC}})}});
  to.push_back({"recvfrom:whole",
                SYS_recvfrom,
                {fds({"stream", "stream_end", "stream_last", "stream_end_later", "datagram"}),
                 {out()},
                 numbers({4, 21}),
                 named({{"whole", MSG_WAITALL}})}});
  to.push_back(
      {"recvfrom:later",
       SYS_recvfrom,
       {fds({"stream_later", "stream_end_later", "datagram_later", "tcp_later", "tcp_end_later"}),
        {out(), nowhere()},
        numbers({8, 4000}),
        named({{"usual", 0}, {"peek", MSG_PEEK}})}});
  to.push_back(
      {"recvfrom:whole_later",
       SYS_recvfrom,
       {fds({"stream_later", "tcp_later"}), {out()}, just(21), named({{"whole", MSG_WAITALL}})}});
  to.push_back({"recvfrom:address",
                SYS_recvfrom,
                {fds({"stream", "datagram", "alone_udp"}),
                 {out()},
                 just(8),
                 named({{"now", MSG_DONTWAIT}}),
                 {room_for_address(), nowhere()},
                 lengths_of_addresses()}});
  to.push_back({"recvmsg",
                SYS_recvmsg,
                {receivers(), messages(true), named({{"usual", 0}, {"peek", MSG_PEEK}})}});
  to.push_back({"recvmsg:flags",
                SYS_recvmsg,
                {receivers(),
                 {message({"large", 4000}, true), nowhere()},
                 named({{"now", MSG_DONTWAIT}, {"cloexec", MSG_CMSG_CLOEXEC}})}});
  to.push_back({"recvmsg:later",
                SYS_recvmsg,
                {fds({"stream_later", "stream_end_later", "datagram_later", "tcp_later"}),
                 {message({"large", 4000}, true), message({"gone", 8, true}, true)},
                 just(0)}});
}

void add_sends(std::vector<Table>& to) {
  const Values flags = named({{"usual", 0},
                              {"quiet", MSG_NOSIGNAL},
                              {"now", MSG_DONTWAIT},
                              {"more", MSG_MORE},
                              {"record", MSG_EOR},
                              {"urgent", MSG_OOB}});
  to.push_back({"sendto", SYS_sendto, {senders(), {data()}, numbers({0, 8}), flags}});
  to.push_back({"sendto:memory",
                SYS_sendto,
                {senders(),
                 {edge(), nowhere(), kernel()},
                 just(8),
                 named({{"usual", 0}, {"now", MSG_DONTWAIT}})}});
  to.push_back({"sendto:much",
                SYS_sendto,
                {fds({"stream_now", "stream_end", "datagram_now"}),
                 {data(), edge()},
                 numbers({70000, 250000}),
                 named({{"usual", 0}, {"now", MSG_DONTWAIT}})}});
  to.push_back({"sendto:address",
                SYS_sendto,
                {fds({"stream", "datagram", "alone_udp"}),
                 {data()},
                 just(8),
                 just(MSG_DONTWAIT),
                 {at("nobody"), nowhere()},
                 numbers({0, 2, 20, 110, 999})}});
  to.push_back({"sendmsg",
                SYS_sendmsg,
                {senders(), messages(false), named({{"usual", 0}, {"now", MSG_DONTWAIT}})}});
}

void add_connections(std::vector<Table>& to) {
  const Value nobody = at("nobody");
  const Value door = at("door");
  const Value file = at("file");
  const Value family = structure<sa_family_t>("family", 77);
  to.push_back(
      {"accept4",
       SYS_accept4,
       {fds({"negative", "file", "stream", "alone", "alone_udp", "listener", "listener_knock"}),
        {none(), room_for_address()},
        {none(), structure<socklen_t>("enough", 128)},
        named({{"usual", 0}, {"now", SOCK_NONBLOCK}, {"cloexec", SOCK_CLOEXEC}, {"unknown", 1}})}});
  to.push_back(
      {"accept",
       SYS_accept,
       {fds({"negative", "pipe", "alone_tcp", "listener", "listener_knock", "listener_later"}),
        {none(), room_for_address(), nowhere()},
        lengths_of_addresses()}});
  to.push_back({"connect",
                SYS_connect,
                {fds({"negative", "file", "stream", "alone", "alone_tcp", "alone_udp", "datagram",
                      "listener_knock"}),
                 {nobody, door, file, family, none(), nowhere()},
                 numbers({0, 2, 110, 111, -1})}});
  to.push_back({"bind",
                SYS_bind,
                {fds({"negative", "file", "stream", "alone", "alone_udp", "listener"}),
                 {at("fresh"), door, family, nowhere()},
                 numbers({0, 110, 111, -1})}});
  to.push_back(
      {"listen",
       SYS_listen,
       {fds({"negative", "file", "stream", "alone", "alone_udp", "listener"}), numbers({0, -1})}});
  to.push_back({"shutdown",
                SYS_shutdown,
                {fds({"negative", "file", "stream", "stream_end", "datagram", "alone", "listener"}),
                 numbers({0, 1, 2, 3, -1})}});
}

void add_options(std::vector<Table>& to) {
  to.push_back({"getsockname",
                SYS_getsockname,
                {fds({"negative", "pipe", "stream", "listener", "alone"}),
                 {room_for_address(), nowhere()},
                 lengths_of_addresses()}});
  to.push_back({"getpeername",
                SYS_getpeername,
                {fds({"negative", "pipe", "stream", "stream_end", "alone"}),
                 {room_for_address(), nowhere()},
                 lengths_of_addresses()}});
  to.push_back({"getsockopt",
                SYS_getsockopt,
                {fds({"negative", "file", "stream", "tcp"}),
                 numbers({SOL_SOCKET, 12345}),
                 numbers({SO_TYPE, SO_ERROR, 9999}),
                 {out(), nowhere()},
                 {structure<socklen_t>("four", 4), structure<int>("minus", -1), none()}}});
  to.push_back({"setsockopt",
                SYS_setsockopt,
                {fds({"negative", "file", "stream"}),
                 numbers({SOL_SOCKET, 12345}),
                 numbers({SO_REUSEADDR, SO_RCVTIMEO, 9999}),
                 {structure<std::int64_t>("one", 1), none()},
                 numbers({0, 4, 16, -1})}});
  to.push_back(
      {"socket",
       SYS_socket,
       {numbers({AF_UNIX, AF_INET, 77, -1}),
        named({{"stream", SOCK_STREAM}, {"now", SOCK_STREAM | SOCK_NONBLOCK}, {"unknown", 99}}),
        numbers({0, 6, 999})}});
  to.push_back({"socketpair",
                SYS_socketpair,
                {numbers({AF_UNIX, AF_INET, 77}),
                 named({{"stream", SOCK_STREAM}, {"packets", SOCK_SEQPACKET | SOCK_CLOEXEC}}),
                 just(0),
                 {out(), nowhere()}}});
}

}  // namespace

void add_sockets(std::vector<Table>& to) {
  add_receives(to);
  add_sends(to);
  add_connections(to);
  add_options(to);
}

}  // namespace flexsc::conformance
