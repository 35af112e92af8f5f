// SPDX-License-Identifier: MIT
/// @file
/// What a test of the module is made of: groups, clients and entries, straight against uapi.h.
/// Ioctls and commands return the value or -errno, so that a test can state the exact result;
/// whatever a test does not expect to fail throws Failure instead.
#pragma once

#include <fcntl.h>
#include <flexsc/uapi.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace flexsc_guest {

using namespace std::chrono_literals;

/// Something that had to work did not. GoogleTest reports it as the test's failure, a Child hands
/// it to its parent.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// How long anything that must happen may take. Emulated machines are slow, and more so with a
/// kernel that checks everything it does; nothing waits this long unless it is broken.
std::chrono::seconds long_time();
inline const std::chrono::seconds kLong = long_time();

/// Polls until condition() holds. False: it never did.
bool eventually(const std::function<bool()>& condition, std::chrono::seconds limit = kLong);

/// What get() says when that has become wanted, or after the limit. Workers count what they have
/// done when they are done with all of a claim: in the group, its pools and its clients one after
/// the other, and after the results are seen.
template <class Get, class Value>
auto settled(const Get& get, const Value& wanted) {
  eventually([&] { return get() == wanted; });
  return get();
}

[[noreturn]] void fail(const char* file, int line, const std::string& what);

template <class A, class B>
void require_eq(const char* file, int line, const char* text, const A& a, const B& b) {
  if (a == b) return;
  std::ostringstream out;
  out << text << ": " << a << " and " << b << ", errno " << errno;
  fail(file, line, out.str());
}

// For children and helpers, where GoogleTest's macros do not reach.
#define REQUIRE(condition)                                                          \
  do {                                                                              \
    if (!(condition)) ::flexsc_guest::fail(__FILE__, __LINE__, "not: " #condition); \
  } while (false)
#define REQUIRE_EQ(a, b) ::flexsc_guest::require_eq(__FILE__, __LINE__, #a " == " #b, (a), (b))

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }
  [[nodiscard]] int get() const { return fd_; }
  void reset();

 private:
  int fd_;
};

struct Pipe {
  Fd reader, writer;
};
Pipe make_pipe(int flags = 0);
/// The bytes that wait in a pipe or socket.
int readable(const Fd& fd);
void put(const Fd& fd, const std::string& bytes);
/// What waits in a pipe, taken out of it.
std::string drain(const Pipe& pipe);

/// An argument as the kernel takes it from a register: sign-extended.
template <class T>
__u64 arg(T value) {
  if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<std::uintptr_t>(value);
  } else {
    return static_cast<__u64>(static_cast<long long>(value));
  }
}

struct Call {
  __u32 nr;
  std::array<__u64, 6> args;
  __u16 flags = 0;
  __u16 from = 0;
  std::optional<__s64> deadline{};  ///< CLOCK_MONOTONIC in nanoseconds

  /// The same call with FLEXSC_ENTRY_* flags added.
  [[nodiscard]] Call with(int more) const;
  [[nodiscard]] Call until(__s64 when) const;
};

/// An argument that is the result of the entry at this position of the chain.
struct ResultOf {
  unsigned position;
};

template <class... A>
Call call(long nr, A... args) {
  static_assert(sizeof...(A) <= 6);
  Call made{static_cast<__u32>(nr), {}};
  [[maybe_unused]] unsigned at = 0;
  [[maybe_unused]] const auto add = [&](auto value) {
    if constexpr (std::is_same_v<decltype(value), ResultOf>) {
      made.from = static_cast<__u16>(made.from | 1U << at);
      made.args[at++] = value.position;
    } else {
      made.args[at++] = arg(value);
    }
  };
  (add(args), ...);
  return made;
}

/// For a sleep that is not to come to its end.
inline constexpr timespec kMinute{60, 0};

/// CLOCK_MONOTONIC that long from now.
__s64 from_now(std::chrono::nanoseconds delay);

/// Makes the call in the calling thread, without regard to its flags: a value or -errno.
long direct(const Call& call);
template <class... A>
long direct(long nr, A... args) {
  return direct(call(nr, args...));
}

/// ioctl with the value or -errno as the result.
long control(int fd, unsigned long command, const void* argument);
long control(int fd, unsigned long command, unsigned long argument = 0);

/// A command of a client descriptor: the value or -errno.
long command(int fd, unsigned op, __u64 argument);

/// Bit n of byte n / 8 is CPU n.
using CpuMask = std::vector<unsigned char>;

struct Scheduling {
  unsigned policy;
  int priority;
};

/// The settings that a POOL_UPDATE names.
struct PoolChange {
  std::optional<unsigned> concurrency{};
  std::optional<unsigned> standby_max{};
  std::optional<unsigned> spin_us{};
  std::optional<Scheduling> sched{};
  std::optional<CpuMask> cpus{};
};

/// What is not set is left to the module.
struct PoolOptions {
  std::optional<unsigned> concurrency = 1;
  std::optional<unsigned> standby_max{};
  std::optional<unsigned> spin_us = 100;
  std::optional<Scheduling> sched{};
  std::optional<CpuMask> cpus{};

  operator PoolChange() const { return {concurrency, standby_max, spin_us, sched, cpus}; }
};

/// Refers to the mask of settings.
flexsc_pool_params pool_params(const PoolChange& settings);

class Group {
 public:
  explicit Group(int open_flags = O_RDWR | O_CLOEXEC);
  explicit Group(Fd opened) : fd_(std::move(opened)) {}
  [[nodiscard]] int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }
  long create_pool(const PoolOptions& options = {}) const;
  [[nodiscard]] long update_pool(unsigned pool, const PoolChange& change) const;
  [[nodiscard]] flexsc_stats stats(__u32 scope = FLEXSC_STATS_GROUP, __u32 index = 0) const;
  /// Whether the workers come to have executed this many; they count after they complete.
  [[nodiscard]] bool has_executed(long calls) const;

 private:
  Fd fd_;
};

/// One mapped region. The queue of a call is 0 (the pool) unless it says flush.
class Client {
 public:
  explicit Client(const Group& group, unsigned pages = 1);
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;
  ~Client();

  [[nodiscard]] int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }
  void unmap();
  [[nodiscard]] unsigned pages() const { return pages_; }
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] void* base() const { return header_; }
  [[nodiscard]] flexsc_client_header& header() const { return *header_; }
  [[nodiscard]] flexsc_entry& entry(unsigned page, unsigned bit) const;
  [[nodiscard]] __u32 state() const;

  void fill(unsigned page, unsigned bit, const Call& call) const;
  /// A chain from bit on: all but the last get FLEXSC_ENTRY_LINK. Returns the bits of its entries.
  __u64 fill_chain(unsigned page, unsigned bit, std::span<const Call> calls) const;
  /// Sets the bits and does not ring.
  void set(unsigned page, __u64 bits, unsigned queue = 0) const;
  /// Sets the bits and rings if the module asks for it. Returns what the doorbell returned, or 0.
  long submit(unsigned page, __u64 bits, unsigned queue = 0) const;
  long post(unsigned page, unsigned bit, const Call& call, unsigned queue = 0) const;

  [[nodiscard]] __u64 submitted(unsigned page, unsigned queue = 0) const;
  [[nodiscard]] __u64 completed(unsigned page) const;
  [[nodiscard]] bool done(unsigned page, unsigned bit) const;
  /// All completion bits of the client.
  [[nodiscard]] unsigned completions() const;
  /// The result of a completed entry; the entry is free again.
  [[nodiscard]] long take(unsigned page, unsigned bit) const;
  /// Waits for the entry in the kernel, then takes it. The flags are WAIT's.
  [[nodiscard]] long await(unsigned page, unsigned bit, unsigned flags = 0) const;
  /// Posts into (0, 0) and awaits.
  [[nodiscard]] long run(const Call& call) const;
  template <class... A>
  [[nodiscard]] long run(long nr, A... args) const {
    return run(call(nr, args...));
  }
  /// Executes one call by flush, in (0, 0).
  [[nodiscard]] long run_flushed(const Call& call) const;

  /// A negative timeout is for ever; others are rounded up to microseconds.
  long wait(unsigned min, std::chrono::nanoseconds timeout, unsigned flags = 0) const;
  long flush() const { return command(fd(), FLEXSC_CMD_FLUSH, 0); }
  long doorbell(unsigned pool = 0) const { return command(fd(), FLEXSC_CMD_DOORBELL, pool); }
  long notify() const { return command(fd(), FLEXSC_CMD_NOTIFY, 0); }
  [[nodiscard]] long cancel(unsigned page, unsigned bit) const;
  [[nodiscard]] long cancel_fd(int of) const;

 private:
  Fd fd_;
  unsigned pages_;
  flexsc_client_header* header_ = nullptr;
};

inline constexpr unsigned kHelp = FLEXSC_WAIT_HELP;

/// Who executes what is posted: a worker, a thread that helps in WAIT, or one in FLUSH.
enum class By { kWorker, kHelp, kFlush };
std::string name_of(By by);

/// Posts the filled entries whose bits are in heads, has them executed by by, and waits until all
/// of them are complete; all also has the other entries of chains. With kHelp, a pool that is
/// asleep stays so unless the helper leaves something to it.
void execute(const Client& client, By by, unsigned page, __u64 heads, __u64 all);
/// The same with a chain from (page, bit) on: returns the results of its entries.
std::vector<long> run_chain(const Client& client, By by, std::span<const Call> calls,
                            unsigned page = 0, unsigned bit = 0);

/// A group with one pool and one client: what most tests want.
struct Rig {
  explicit Rig(const PoolOptions& options = {}, unsigned pages = 1);
  Group group;
  Client client;
};

}  // namespace flexsc_guest
