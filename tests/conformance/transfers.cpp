// SPDX-License-Identifier: MIT
// Reads, writes, and what copies between descriptors.
#include <fcntl.h>
#include <sys/syscall.h>

#include "cases.hpp"

namespace flexsc::conformance {

namespace {

constexpr std::int64_t kBeyond = 0x7ffff001;  // a byte more than a transfer moves

Values readable() {
  return fds({"negative",     "large",      "closed",     "file",        "file_now",     "file_wo",
              "file_path",    "new",        "dir",        "null",        "zero",         "full",
              "sealed",       "pipe",       "pipe_now",   "pipe_end",    "pipe_last",    "pipe_w",
              "stream",       "stream_now", "stream_end", "stream_last", "stream_limit", "datagram",
              "datagram_now", "packet",     "packet_end", "tcp",         "alone",        "listener",
              "event",        "event_now",  "epoll"});
}

/// What has something, or its end, only in a moment.
Values readable_later() {
  return fds({"pipe_later", "stream_later", "stream_end_later", "datagram_later", "tcp_later",
              "tcp_end_later"});
}

Values writable() {
  return fds({"negative",   "large",       "closed",      "file",          "file_now",
              "file_ro",    "file_append", "file_path",   "new",           "dir",
              "null",       "zero",        "full",        "sealed",        "pipe",
              "pipe_w",     "pipe_w_now",  "pipe_w_full", "pipe_w_broken", "stream",
              "stream_now", "stream_end",  "stream_full", "datagram",      "datagram_now",
              "packet",     "packet_end",  "tcp",         "alone",         "listener",
              "event",      "event_now",   "epoll"});
}

void add_positioned(std::vector<Table>& to) {
  const Values offsets = named({{"0", 0}, {"4", 4}, {"99", 99}, {"minus", -1}, {"huge", kHuge}});
  to.push_back(
      {"pread64",
       SYS_pread64,
       {fds({"negative", "file", "file_wo", "file_path", "dir", "zero", "pipe", "stream", "event"}),
        {out(), edge(), nowhere(), kernel()},
        numbers({0, 8}),
        offsets}});
  to.push_back({"pwrite64",
                SYS_pwrite64,
                {fds({"negative", "file", "file_ro", "file_append", "dir", "full", "sealed",
                      "pipe_w", "stream"}),
                 {data(), edge(), nowhere()},
                 numbers({0, 8}),
                 named({{"0", 0}, {"4", 4}, {"99", 99}, {"minus", -1}})}});
}

void add_copies(std::vector<Table>& to) {
  const Value at4 = structure<std::int64_t>("at4", 4);
  const Value before = structure<std::int64_t>("minus", -1);
  to.push_back({"sendfile",
                SYS_sendfile,
                {fds({"negative", "pipe_w", "pipe_w_full", "pipe_w_broken", "stream", "stream_end",
                      "stream_full", "tcp", "new", "file_append", "dir"}),
                 fds({"negative", "file", "file_wo", "pipe"}),
                 {none(), at4},
                 numbers({0, 4000})}});
  to.push_back({"sendfile:at",
                SYS_sendfile,
                {fds({"pipe_w", "tcp"}),
                 fds({"file", "dir", "null"}),
                 {before, nowhere()},
                 numbers({0, 8})}});
  to.push_back({"splice",
                SYS_splice,
                {fds({"negative", "pipe", "pipe_now", "pipe_end", "stream", "stream_now", "file",
                      "file_wo", "dir"}),
                 {none()},
                 fds({"negative", "pipe_w", "pipe_w_full", "pipe_w_broken", "new", "file_append"}),
                 {none()},
                 numbers({0, 8}),
                 named({{"usual", 0}, {"now", SPLICE_F_NONBLOCK}})}});
  to.push_back({"splice:at",
                SYS_splice,
                {fds({"negative", "pipe", "file"}),
                 {none(), at4, before, nowhere()},
                 fds({"negative", "pipe_w", "new"}),
                 {none(), at4},
                 just(8),
                 named({{"usual", 0}, {"unknown", 1 << 10}})}});
  to.push_back(
      {"tee",
       SYS_tee,
       {fds({"negative", "pipe", "pipe_now", "pipe_end", "file"}),
        fds({"negative", "pipe_w", "pipe_w_full", "pipe_w_broken", "file"}), numbers({0, 8}),
        named({{"usual", 0}, {"now", SPLICE_F_NONBLOCK}, {"unknown", 1 << 10}})}});
  to.push_back({"splice:later",
                SYS_splice,
                {fds({"pipe_later", "stream_later"}),
                 {none()},
                 fds({"negative", "pipe_w", "new"}),
                 {none()},
                 numbers({0, 8}),
                 just(0)}});
  to.push_back({"tee:later",
                SYS_tee,
                {fds({"pipe_later"}), fds({"negative", "pipe_w"}), numbers({0, 8}), just(0)}});
  to.push_back({"copy_file_range",
                SYS_copy_file_range,
                {fds({"negative", "file", "file_wo", "dir", "pipe"}),
                 {none(), at4},
                 fds({"negative", "new", "file_ro", "file_append"}),
                 {none()},
                 numbers({0, 8}),
                 just(0)}});
  to.push_back({"copy_file_range:at",
                SYS_copy_file_range,
                {fds({"file"}),
                 {none(), before, nowhere()},
                 fds({"new"}),
                 {none(), at4},
                 just(8),
                 numbers({0, 1})}});
}

}  // namespace

void add_transfers(std::vector<Table>& to) {
  to.push_back({"read", SYS_read, {readable(), {out(), edge(), nowhere()}, numbers({0, 8, 4000})}});
  to.push_back({"read:memory",
                SYS_read,
                {fds({"file", "zero", "pipe", "stream", "tcp", "event"}),
                 {read_only(), kernel()},
                 numbers({0, 1, 8})}});
  to.push_back({"read:lengths",
                SYS_read,
                {fds({"negative", "file", "file_wo", "pipe", "pipe_w", "stream", "event"}),
                 {out(), none()},
                 {number("8", 8), number("beyond", kBeyond), number("huge", kHuge),
                  number("all", ~std::uint64_t{0})}}});
  to.push_back(
      {"read:later", SYS_read, {readable_later(), {out(), nowhere()}, numbers({0, 4, 4000})}});
  to.push_back(
      {"write", SYS_write, {writable(), {data(), edge(), nowhere()}, numbers({0, 1, 8, 4096})}});
  to.push_back({"write:much",
                SYS_write,
                {fds({"new", "null", "pipe_w_now", "stream_now", "stream_end"}),
                 {data()},
                 numbers({4097, 65536, 200000})}});
  to.push_back(
      {"write:lengths",
       SYS_write,
       {fds({"negative", "file_ro", "pipe", "pipe_w_now", "stream_now", "datagram", "event"}),
        {none(), kernel()},
        {number("8", 8), number("huge", kHuge), number("all", ~std::uint64_t{0})}}});
  add_positioned(to);
  add_copies(to);
}

}  // namespace flexsc::conformance
