// SPDX-License-Identifier: MIT
// Calls that wait, and what a process is told of itself and of time.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

#include "cases.hpp"

namespace flexsc::conformance {

namespace {

Value polled(const char* kind, short events) {
  return pointer(std::string(kind) + '_' + std::to_string(events),
                 [kind, events](World& world) -> const void* {
                   const int fd = world.descriptor(kind);
                   const pollfd* const first = world.place(pollfd{fd, events, 0x55});
                   world.place(pollfd{-1, POLLIN, 0x55});
                   return first;
                 });
}

Mask changing(const char* reason, bool result, std::size_t bytes) {
  return {reason, result, [bytes](std::uint8_t* out) { std::memset(out, 0, bytes); }};
}

void add_polls(std::vector<Table>& to) {
  Values ready;
  for (const char* kind : {"negative", "large", "closed", "file", "dir", "pipe", "pipe_end",
                           "pipe_w", "pipe_w_broken", "stream", "stream_end", "tcp", "event"}) {
    for (const auto events : {short{POLLIN}, short{POLLOUT}}) ready.push_back(polled(kind, events));
  }
  Values idle = {polled("pipe_now", POLLIN),
                 polled("stream_now", POLLIN),
                 polled("epoll", POLLIN),
                 polled("stream_full", POLLOUT),
                 polled("listener", POLLIN),
                 none(),
                 nowhere()};
  Values both = ready;
  both.insert(both.end(), idle.begin(), idle.end());
  to.push_back({"poll", SYS_poll, {both, numbers({1, 2}), numbers({0, 1})}});
  to.push_back(
      {"poll:counts",
       SYS_poll,
       {{polled("pipe", POLLIN), none(), nowhere()}, numbers({0, 1 << 30}), numbers({0, 1})}});
  to.push_back(
      {"poll:ready",
       SYS_poll,
       {{polled("file", POLLIN), polled("pipe", POLLIN), polled("pipe_end", POLLIN),
         polled("pipe_w", POLLOUT), polled("stream_end", POLLIN), polled("closed", POLLIN)},
        numbers({1, 2}),
        numbers({-1, -2, 60000})}});
  to.push_back({"poll:later",
                SYS_poll,
                {{polled("pipe_later", POLLIN), polled("stream_later", POLLIN),
                  polled("stream_end_later", POLLIN), polled("tcp_later", POLLIN),
                  polled("listener_later", POLLIN), polled("epoll_later", POLLIN)},
                 numbers({1, 2}),
                 numbers({-1, 60000})}});
  const Values events = numbers({1, 4, 0, -1, 1 << 30});
  to.push_back({"epoll_wait",
                SYS_epoll_wait,
                {fds({"negative", "file", "pipe", "epoll", "epoll_ready"}),
                 {out(), nowhere()},
                 events,
                 numbers({0, 1})}});
  to.push_back({"epoll_wait:later",
                SYS_epoll_wait,
                {fds({"epoll_ready", "epoll_later"}),
                 {out(), nowhere()},
                 numbers({1, 0}),
                 numbers({-1, 60000})}});
  to.push_back({"epoll_pwait",
                SYS_epoll_pwait,
                {fds({"negative", "epoll", "epoll_ready"}),
                 {out()},
                 numbers({1, 0}),
                 numbers({0, 1}),
                 {none(), nowhere()},
                 numbers({8, 5})}});
}

void add_times(std::vector<Table>& to) {
  const Value brief = structure("brief", timespec{.tv_sec = 0, .tv_nsec = 1000});
  const Value before = structure("minus", timespec{.tv_sec = -1, .tv_nsec = 0});
  const Value odd = structure("odd", timespec{.tv_sec = 0, .tv_nsec = 2000000000});
  to.push_back(
      {"nanosleep", SYS_nanosleep, {{brief, before, odd, none(), nowhere()}, {none(), out()}}});
  to.push_back({"clock_nanosleep",
                SYS_clock_nanosleep,
                {numbers({CLOCK_MONOTONIC, CLOCK_REALTIME, 99}),
                 numbers({0, TIMER_ABSTIME}),
                 {brief, before, odd, nowhere()},
                 {none()}}});
  to.push_back({"clock_gettime",
                SYS_clock_gettime,
                {numbers({CLOCK_MONOTONIC, CLOCK_REALTIME, 99}), {out(), nowhere()}},
                changing("Time passes.", false, sizeof(timespec))});
  to.push_back({"getrandom",
                SYS_getrandom,
                {{out(), nowhere()}, numbers({0, 8}), numbers({0, 1, 99})},
                changing("It is random.", false, 8)});
}

void add_identities(std::vector<Table>& to) {
  for (const auto& [name, nr] : {std::pair("getpid", SYS_getpid), std::pair("getppid", SYS_getppid),
                                 std::pair("gettid", SYS_gettid), std::pair("getuid", SYS_getuid),
                                 std::pair("getegid", SYS_getegid)}) {
    to.push_back({name, nr, {}});
  }
  to.push_back({"getsid", SYS_getsid, {numbers({0, -1})}});
  to.push_back({"getpgid", SYS_getpgid, {numbers({0, -1})}});
  to.push_back({"uname", SYS_uname, {{out(), nowhere(), kernel()}}});
}

}  // namespace

void add_waits(std::vector<Table>& to) {
  add_polls(to);
  add_times(to);
  add_identities(to);
}

}  // namespace flexsc::conformance
