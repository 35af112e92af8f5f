// SPDX-License-Identifier: MIT
/// @file
/// An HTTP client that sends when requests are due and not when the server is ready for them.
///
/// Why not one of Debian's: wrk, ab, hey and siege send the next request when the last one is
/// answered. h2load (nghttp2-client 1.52) has an arrival rate, `--h1 --rps`, but times a request
/// from when it is sent: of a server that slept for 2 s in a run of 500 requests at 100 per second
/// it reports one request of 2 s and 499 below 4 ms, where 200 were due during the sleep. httperf
/// has no percentiles. wrk2, which does it right, is not packaged, and neither is a C library of
/// HDR histograms: all latencies of a run are kept and sorted, which is exact.
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ledger.hpp"

namespace flexsc::bench {

/// What the client needs of the world besides epoll. Tests give it one with a clock of their own.
class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;

  [[nodiscard]] virtual Time now() = 0;
  /// A non-blocking stream socket to the server, which may still be connecting; the caller closes
  /// it. -1 and errno if there is none.
  [[nodiscard]] virtual int connect() = 0;
  /// Waits until `epoll` has events or the clock says `until`. How many there are; 0: none.
  /// @throws std::system_error
  [[nodiscard]] virtual std::size_t wait(int epoll, std::span<epoll_event> events, Time until) = 0;
};

/// CLOCK_MONOTONIC, and TCP to a port of 127.0.0.1.
class Loopback : public World {
 public:
  explicit Loopback(std::uint16_t port) noexcept : port_(port) {}
  [[nodiscard]] Time now() override;
  [[nodiscard]] int connect() override;
  [[nodiscard]] std::size_t wait(int epoll, std::span<epoll_event> events, Time until) override;

 private:
  std::uint16_t port_;
};

/// What to send, and what comes back if it is right.
struct OpenLoad {
  std::string request;       ///< all bytes of one
  std::size_t body = 0;      ///< bytes of the body of each answer, whose status is 200
  unsigned connections = 1;  ///< kept alive; each has one request under way at a time
  std::vector<Time> due;     ///< after the start, ascending
  /// How long after the last one was due to wait for answers.
  Time patience = 5 * kSecond;
};

/// Sends one request over each connection, which must be answered and is not counted; then what is
/// due. A request that is due while no connection is free waits for one, and its latency runs. One
/// whose connection ends has failed and is not sent again; the next one opens a new connection.
/// Blocks for the whole run.
/// @throws std::runtime_error if the server does not answer before the run, or sends what nobody
/// asked for
[[nodiscard]] LoadReport run_open_loop(World& world, const OpenLoad& load);

/// The same against a server of this machine, in a thread on the given CPUs (empty: all).
[[nodiscard]] LoadReport run_open_loop(std::uint16_t port, const OpenLoad& load,
                                       const std::vector<int>& cpus);

}  // namespace flexsc::bench
