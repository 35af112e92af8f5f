// SPDX-License-Identifier: MIT
// Transfers of several pieces.
#include <sys/syscall.h>
#include <sys/uio.h>

#include "cases.hpp"

namespace flexsc::conformance {

namespace {

/// Pieces of these lengths, one behind the other.
Value pieces(std::string name, bool to_read, const std::vector<std::size_t>& lengths) {
  return pointer(std::move(name), [to_read, lengths](World& world) -> const void* {
    std::uint8_t* at = to_read ? world.memory().out() : world.memory().data();
    const iovec* first = nullptr;
    for (const std::size_t length : lengths) {
      const iovec* const one = world.place(iovec{at, length});
      if (first == nullptr) first = one;
      at += std::min<std::size_t>(length, 64) + 3;
    }
    return first;
  });
}

/// The second one is not there.
Value half(bool to_read) {
  return pointer("half", [to_read](World& world) -> const void* {
    const Memory& memory = world.memory();
    const iovec* const first = world.place(iovec{to_read ? memory.out() : memory.data(), 5});
    world.place(iovec{memory.nowhere(), 7});
    return first;
  });
}

Values vectors(bool to_read) {
  return {pieces("two", to_read, {5, 7}),
          pieces("nothing", to_read, {0, 0}),
          pieces("endless", to_read, {5, ~std::size_t{0}}),
          half(to_read),
          none(),
          nowhere()};
}

/// How many there are is said apart.
Values counts() {
  return named({{"0", 0}, {"1", 1}, {"2", 2}, {"1025", 1025}, {"minus", -1}});
}

Values sources() {
  return fds({"negative", "file", "file_wo", "dir", "pipe", "pipe_now", "pipe_end", "pipe_w",
              "stream", "stream_now", "stream_end", "datagram", "packet", "tcp", "event",
              "listener"});
}

Values sinks() {
  return fds({"negative", "file", "file_ro", "file_append", "pipe_w", "pipe_w_full",
              "pipe_w_broken", "stream", "stream_end", "stream_full", "datagram", "packet", "tcp",
              "event", "alone"});
}

}  // namespace

void add_vectors(std::vector<Table>& to) {
  to.push_back({"readv", SYS_readv, {sources(), vectors(true), numbers({1, 2})}});
  to.push_back(
      {"readv:counts",
       SYS_readv,
       {fds({"file", "pipe", "stream"}), {pieces("two", true, {5, 7}), none()}, counts()}});
  to.push_back({"readv:later",
                SYS_readv,
                {fds({"pipe_later", "stream_later", "stream_end_later", "tcp_later"}),
                 {pieces("two", true, {5, 7}), half(true)},
                 just(2)}});
  to.push_back({"writev", SYS_writev, {sinks(), vectors(false), numbers({1, 2})}});
  to.push_back({"writev:counts",
                SYS_writev,
                {fds({"file", "pipe_w", "stream", "datagram"}),
                 {pieces("two", false, {5, 7}), none()},
                 counts()}});
  const Values offsets = named({{"0", 0}, {"4", 4}, {"minus", -1}});
  to.push_back({"preadv",
                SYS_preadv,
                {fds({"negative", "file", "file_now", "file_wo", "dir", "pipe", "stream"}),
                 vectors(true), numbers({0, 2, 1025}), offsets}});
  to.push_back(
      {"pwritev",
       SYS_pwritev,
       {fds({"negative", "file", "file_now", "file_ro", "file_append", "pipe_w", "stream"}),
        vectors(false), numbers({0, 2}), offsets}});
  to.push_back({"preadv2",
                SYS_preadv2,
                {fds({"negative", "file", "pipe", "stream"}),
                 {pieces("two", true, {5, 7}), nowhere()},
                 just(2),
                 offsets,
                 just(0),
                 named({{"usual", 0}, {"now", RWF_NOWAIT}, {"unknown", 1 << 20}})}});
  to.push_back({"pwritev2",
                SYS_pwritev2,
                {fds({"negative", "file", "pipe_w", "stream"}),
                 {pieces("two", false, {5, 7}), nowhere()},
                 just(2),
                 offsets,
                 just(0),
                 named({{"usual", 0}, {"append", RWF_APPEND}, {"unknown", 1 << 20}})}});
}

}  // namespace flexsc::conformance
