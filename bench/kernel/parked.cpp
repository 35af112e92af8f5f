// SPDX-License-Identifier: MIT
// How many idle connections wait in read() while a pool of four has at most two workers more than
// that: connections are added until one is not parked, or a further worker appears. Then a byte is
// sent on each of them, and each read has to return it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <vector>

#include "device.hpp"
#include "measurements.hpp"
#include "patience.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr unsigned kConnections = 50'000;
constexpr unsigned kFewConnections = 600;
constexpr unsigned kChunk = 1024;  // connections that are added, and later woken, at a time
constexpr unsigned kClientPages = FLEXSC_MAX_PAGES;
constexpr unsigned kChunksPerClient = kClientPages * FLEXSC_PAGE_ENTRIES / kChunk;
constexpr unsigned kConcurrency = 4;
constexpr unsigned kStandby = 2;
constexpr __u32 kLookEvery = 100'000;  // us

void allow_files(rlim_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = count;
  limit.rlim_max = std::max(limit.rlim_max, count);
  if (::setrlimit(RLIMIT_NOFILE, &limit) < 0) fail("RLIMIT_NOFILE", errno);
}

void nap() {
  const timespec time{0, 1'000'000};
  ::nanosleep(&time, nullptr);
}

/// TCP connections within the machine, both ends in this process.
class Connections {
 public:
  Connections() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = any();
    socklen_t size = sizeof address;
    if (::bind(listener_.get(), generic(address), size) < 0 ||
        ::listen(listener_.get(), kChunk) < 0 ||
        ::getsockname(listener_.get(), generic(address), &size) < 0) {
      fail("listening", errno);
    }
    port_ = address.sin_port;
  }

  void add() {
    sockaddr_in address = any();
    address.sin_port = port_;
    // Another address for each 16384, so that ports do not run out.
    address.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(near_.size() >> 14));
    Fd far(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(far.get(), generic(address), sizeof address) < 0) fail("connect", errno);
    Fd near(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (near.get() < 0) fail("accept", errno);
    far_.push_back(std::move(far));
    near_.push_back(std::move(near));
  }

  [[nodiscard]] int near(unsigned number) const { return near_[number].get(); }
  void send(unsigned number, char byte) const {
    if (::write(far_[number].get(), &byte, 1) != 1) fail("sending", errno);
  }

 private:
  static sockaddr_in any() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    return address;
  }
  static sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

  Fd listener_;
  in_port_t port_ = 0;
  std::vector<Fd> near_;
  std::vector<Fd> far_;
};

class Parking {
 public:
  explicit Parking(unsigned connections)
      : bytes_(connections), group_(FLEXSC_FEATURE_ARMING), connections_(connections) {
    allow_files(2 * connections + 1000);
    pool_ = group_.create_pool({.concurrency = kConcurrency, .standby_max = kStandby});
  }

  /// Fills the lot. Returns how many connections are parked.
  unsigned park(Context& context) {
    unsigned parked = 0;
    while (parked < connections_) {
      const unsigned count = std::min(kChunk, connections_ - parked);
      post(parked, count);
      if (!settled(parked + count)) break;
      parked += count;
      context.progress(0.5 * parked / connections_);
    }
    return parked;
  }

  /// Sends a byte on each of the first `parked` connections. Returns how many reads returned it.
  unsigned wake(Context& context, unsigned parked) {
    unsigned right = 0;
    for (unsigned first = 0; first < parked; first += kChunk) {
      const unsigned count = std::min(kChunk, parked - first);
      for (unsigned i = first; i < first + count; ++i) sockets_.send(i, byte_of(i));
      right += arrived(first, count);
      context.progress(0.5 + 0.5 * first / parked);
    }
    return right;
  }

  /// Whether the pool, with all it holds, still executes what needs no waiting.
  bool serves() {
    const Client client(group_, 1);
    fill<FLEXSC_NR_NOP>(client.entry(0), FLEXSC_PAGE_ENTRIES);
    client.submit(pool_, 0, FLEXSC_PAGE_ENTRIES);
    return completed(client, 0, FLEXSC_PAGE_ENTRIES) && client.take(0, FLEXSC_PAGE_ENTRIES) &&
           sum_results(client.entry(0), FLEXSC_PAGE_ENTRIES) == -ENOSYS * long{FLEXSC_PAGE_ENTRIES};
  }

  [[nodiscard]] unsigned most_workers() const { return most_workers_; }
  [[nodiscard]] const std::string& ended() const { return ended_; }

 private:
  static char byte_of(unsigned number) { return static_cast<char>(number * 31 + 7); }
  static unsigned entry_of(unsigned number) { return number % (kChunksPerClient * kChunk); }
  Client& client_of(unsigned number) { return clients_[number / (kChunksPerClient * kChunk)]; }

  void post(unsigned first, unsigned count) {
    if (entry_of(first) == 0) clients_.emplace_back(group_, kClientPages);
    Client& client = client_of(first);
    for (unsigned i = first; i < first + count; ++i) {
      sockets_.add();
      fill<SYS_read>(client.entry(entry_of(i)), 1, static_cast<__u64>(sockets_.near(i)),
                     reinterpret_cast<std::uintptr_t>(&bytes_[i]), __u64{1});
    }
    client.submit(pool_, entry_of(first), count);
  }

  /// Whether so many calls come to wait with no worker too many.
  bool settled(unsigned count) {
    const double begun = now();
    for (;;) {
      const flexsc_stats stats = group_.stats();
      most_workers_ = std::max(most_workers_, stats.workers);
      if (stats.workers > kConcurrency + kStandby) {
        ended_ = std::to_string(stats.workers) + " workers";
        return false;
      }
      if (stats.waiting >= count) return true;
      if (now() - begun > kPatience) {
        ended_ = std::to_string(stats.waiting) + " of " + std::to_string(count) + " wait";
        return false;
      }
      nap();
    }
  }

  static bool completed(const Client& client, unsigned first, unsigned count) {
    const double begun = now();
    while (client.completed(first, count) < count) {
      if (now() - begun > kPatience) return false;
      checked(command(client.fd(), FLEXSC_CMD_WAIT, FLEXSC_WAIT(0, count, kLookEvery)),
              "FLEXSC_CMD_WAIT");
    }
    return true;
  }

  unsigned arrived(unsigned first, unsigned count) {
    const Client& client = client_of(first);
    if (!completed(client, entry_of(first), count)) {
      ended_ = "not all connections that got a byte completed";
      return client.completed(entry_of(first), count);
    }
    if (!client.take(entry_of(first), count)) throw std::runtime_error("bits are missing");
    unsigned right = 0;
    for (unsigned i = first; i < first + count; ++i) {
      right += client.entry(entry_of(i))->result == 1 && bytes_[i] == byte_of(i) ? 1 : 0;
    }
    return right;
  }

  // What calls in flight use goes after the clients that hold them.
  std::vector<char> bytes_;
  Connections sockets_;
  Group group_;
  std::vector<Client> clients_;
  unsigned connections_;
  unsigned pool_ = 0;
  unsigned most_workers_ = 0;
  std::string ended_;
};

}  // namespace

json parked(Context& context) {
  Parking parking(context.quick() ? kFewConnections : kConnections);
  const unsigned parked = parking.park(context);
  if (!parking.serves()) throw std::runtime_error("the pool no longer serves other calls");
  const unsigned right = parking.wake(context, parked);
  if (right != parked) {
    throw std::runtime_error(std::to_string(parked) + " parked, of which " +
                             std::to_string(parked - right) + " did not return their byte");
  }
  return {{"values", {parked}},
          {"about", {{"most_workers", parking.most_workers()}, {"ended", parking.ended()}}}};
}

}  // namespace flexsc::bench
