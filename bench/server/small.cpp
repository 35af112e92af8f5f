// SPDX-License-Identifier: MIT
// Requests per second of fibers on engine `kernel` against one thread that makes its calls
// directly: for one UDP socket nothing that calls directly is cheaper. The client sends its
// datagrams in one call while nobody else runs, and takes the answers in one when the server has
// nothing to do any more. So it costs little, and neither side a change of threads for each
// datagram.
#include "small.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "cache-model/marks.hpp"
#include "flexsc/chain.hpp"
#include "flexsc/fiber.hpp"
#include "flexsc/posix.hpp"
#include "pairs.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr std::size_t kMessage = 64;
constexpr std::size_t kBurst = 50;  ///< datagrams on their way
/// One takes what comes while it can. With more of them each waits in the kernel for its own, which
/// costs more.
constexpr std::size_t kFibers = 2;
constexpr unsigned kFileCalls = 20;
constexpr std::size_t kFileBytes = 4096;
constexpr unsigned kPatience = 1000;  ///< looks for answers between two for the server
constexpr double kWarm = 0.05e9;      ///< nanoseconds
constexpr double kTime = 0.5e9;

using Message = std::array<char, kMessage>;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// A descriptor that ends with the object.
class Descriptor {
 public:
  Descriptor(int fd, const char* what) : fd_(fd) {
    if (fd_ < 0) fail(what);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

int udp_socket() {
  return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

off_t offset(unsigned i) {
  return static_cast<off_t>(i * kMessage);
}

/// What the kernel copies to and from lies on lines of its own on both sides: where it does not, a
/// copy has some ten instructions more, which is for the compiler to say.
constexpr std::size_t kLine = 64;

/// A datagram and who it is from.
struct alignas(kLine) Request {
  Message message;
  sockaddr_in client{};
  socklen_t length = sizeof client;
  [[nodiscard]] sockaddr* address() { return reinterpret_cast<sockaddr*>(&client); }
};

/// What a request asks of `file`: by turns its status, and a piece of it.
struct alignas(kLine) FileWork {
  struct stat status {};
  Message piece{};
};

/// Serves until a call fails; it is killed before.
void serve_by_thread(int socket, int file, unsigned calls) {
  Request request;
  FileWork work;
  for (;;) {
    const ssize_t got =
        ::recvfrom(socket, request.message.data(), kMessage, 0, request.address(), &request.length);
    if (got < 0) return;
    for (unsigned i = 0; i < calls; ++i) {
      const bool made = i % 2 == 0 ? execute(make_call(SYS_fstat, file, &work.status)) == 0
                                   : ::pread(file, work.piece.data(), kMessage, offset(i)) ==
                                         static_cast<ssize_t>(kMessage);
      if (!made) return;
    }
    if (::sendto(socket, request.message.data(), static_cast<std::size_t>(got), 0,
                 request.address(), request.length) != got) {
      return;
    }
  }
}

/// The same in a fiber, where the calls of a request are a chain that repeats itself.
void serve_by_fiber(int socket, int file, unsigned calls) {
  Request request;
  FileWork work;
  Chain chain;
  const ResultOf got = chain
                           .add(SYS_recvfrom, socket, request.message.data(), kMessage, 0,
                                request.address(), &request.length)
                           .result();
  for (unsigned i = 0; i < calls; ++i) {
    if (i % 2 == 0) {
      chain.add(SYS_fstat, file, &work.status);
    } else {
      chain.add(SYS_pread64, file, work.piece.data(), kMessage, offset(i)).end_on_short();
    }
  }
  chain.add(SYS_sendto, socket, request.message.data(), got, 0, request.address(), request.length);
  chain.repeat();
  std::array<long, kFileCalls + 2> results{};
  // Now and then it comes back to show that it goes on.
  while (run_chain(chain, std::span(results).first(chain.size())) == -ELOOP) {
  }
}

void serve_by_fibers(int socket, int file, unsigned calls) {
  RuntimeOptions options;
  options.engine.kind = EngineKind::kernel;
  options.engine.pages_per_channel = 8;  // an entry for each call of a request
  options.carrier_cpus = {cpu(0)};
  options.spin = std::chrono::microseconds(0);
  Runtime runtime(options);
  std::vector<Fiber> fibers;
  for (std::size_t i = 0; i < kFibers; ++i) {
    fibers.push_back(runtime.spawn([=] { serve_by_fiber(socket, file, calls); }));
  }
  for (Fiber& fiber : fibers) fiber.join();
}

using Serve = void (*)(int socket, int file, unsigned calls);

/// A server in a process of its own.
class Server {
 public:
  Server(Serve serve, unsigned calls)
      : socket_(udp_socket(), "socket"),
        file_(::memfd_create("small", MFD_CLOEXEC), "memfd_create") {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) fail("bind");
    if (::ftruncate(file_.get(), kFileBytes) != 0) fail("ftruncate");
    pid_ = ::fork();
    if (pid_ < 0) fail("fork");
    if (pid_ == 0) run(serve, calls);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  /// @throws std::runtime_error if it has ended.
  void check() const {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) throw std::runtime_error("the server ended");
  }
  [[nodiscard]] sockaddr_in address() const {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    if (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      fail("getsockname");
    }
    return address;
  }

 private:
  [[noreturn]] void run(Serve serve, unsigned calls) const {
    try {
      serve(socket_.get(), file_.get(), calls);
      std::perror("a server of small requests");
    } catch (const std::exception& error) {
      std::fprintf(stderr, "a server of small requests: %s\n", error.what());
    }
    _exit(1);
  }

  Descriptor socket_;
  Descriptor file_;
  pid_t pid_ = -1;
};

/// The other end of many requests at a time.
class Client {
 public:
  explicit Client(const sockaddr_in& server) : socket_(udp_socket(), "socket") {
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) {
      fail("connect");
    }
    for (std::size_t i = 0; i < kBurst; ++i) {
      parts_[i] = {messages_[i].data(), kMessage};
      headers_[i].msg_hdr.msg_iov = &parts_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  /// What the thread was before.
  static void be_usual() { be(SCHED_OTHER, 0); }

  /// Sends a burst and takes all answers.
  void burst(const Server& server) {
    be(SCHED_FIFO, 1);
    for (unsigned sent = 0; sent < kBurst;) {
      const int now = ::sendmmsg(socket_.get(), &headers_[sent], kBurst - sent, 0);
      if (now < 0) fail("sendmmsg");
      sent += static_cast<unsigned>(now);
    }
    be(SCHED_IDLE, 0);
    unsigned vain = 0;
    for (std::size_t got = 0; got < kBurst;) {
      const int now = ::recvmmsg(socket_.get(), headers_.data(), kBurst, MSG_DONTWAIT, nullptr);
      if (now > 0) {
        got += static_cast<std::size_t>(now);
      } else if (errno == EAGAIN) {
        if (++vain % kPatience == 0) server.check();
      } else {
        fail("recvmmsg");
      }
    }
  }

 private:
  /// With the policy that comes before all others, or after them.
  static void be(int policy, int priority) {
    const sched_param parameter{priority};
    if (::sched_setscheduler(0, policy, &parameter) != 0) fail("sched_setscheduler");
  }

  Descriptor socket_;
  std::array<Message, kBurst> messages_{};
  std::array<iovec, kBurst> parts_{};
  std::array<mmsghdr, kBurst> headers_{};
};

/// A load of some time on a server.
struct Load {
  std::uint64_t requests = 0;
  double nanoseconds = 0;
};
/// After a short one; between the marks of the cache model, which mean nothing without it.
Load load_with_bursts(Serve serve, unsigned calls) {
  const Server server(serve, calls);  // before the client has a policy, which it would inherit
  Client client(server.address());
  for (const double until = now() + kWarm; now() < until;) client.burst(server);
  Load result;
  cache_model::start_counting();
  const double begun = now();
  while (now() < begun + kTime) {
    client.burst(server);
    result.requests += kBurst;
  }
  result.nanoseconds = now() - begun;
  cache_model::stop_counting();
  Client::be_usual();
  return result;
}

/// Requests per second.
double datagram_rate(Serve serve, unsigned calls) {
  const Load found = load_with_bursts(serve, calls);
  return static_cast<double>(found.requests) / found.nanoseconds * 1e9;
}

json compare_with_thread(Context& context, unsigned calls) {
  const unsigned pairs = context.samples(kPairs, 1);
  json result;
  for (unsigned i = 0; i < pairs; ++i) {
    const double ours = datagram_rate(serve_by_fibers, calls);
    result["pairs"].push_back({ours, datagram_rate(serve_by_thread, calls)});
    context.progress((i + 1.0) / pairs);
  }
  return result;
}

}  // namespace

json small_udp(Context& context) {
  return compare_with_thread(context, 0);
}

json small_files(Context& context) {
  return compare_with_thread(context, kFileCalls);
}

std::uint64_t requests_counted(Small small, bool by_fibers) {
  return load_with_bursts(by_fibers ? serve_by_fibers : serve_by_thread,
                          small == Small::udp ? 0 : kFileCalls)
      .requests;
}

}  // namespace flexsc::bench
