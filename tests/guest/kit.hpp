// SPDX-License-Identifier: MIT
/// @file
/// What a test of the module is made of: groups, clients and entries, straight against uapi.h.
/// Ioctls return the value or -errno, so that a test can state the exact result; whatever a test
/// does not expect to fail throws Failure instead.
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

/// How long anything that must happen may take. Emulated machines are slow; nothing waits this
/// long unless it is broken.
inline constexpr auto kLong = 60s;

/// Polls until condition() holds. False: it never did.
bool eventually(const std::function<bool()>& condition, std::chrono::seconds limit = kLong);

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
};

template <class... A>
Call call(long nr, A... args) {
  static_assert(sizeof...(A) <= 6);
  return Call{static_cast<__u32>(nr), {arg(args)...}};
}

/// Makes the call in the calling thread: a value or -errno.
long direct(const Call& call);
template <class... A>
long direct(long nr, A... args) {
  return direct(call(nr, args...));
}

/// ioctl with the value or -errno as the result.
long control(int fd, unsigned long command, const void* argument);
long control(int fd, unsigned long command, unsigned long argument = 0);

struct PoolOptions {
  unsigned concurrency = 1;
  unsigned standby_max = 0;  ///< 0: as many as the module allows
  unsigned spin_us = 100;
  std::vector<unsigned char> cpus{};  ///< empty: those of the caller
};

class Group {
 public:
  explicit Group(int open_flags = O_RDWR | O_CLOEXEC);
  explicit Group(Fd opened) : fd_(std::move(opened)) {}
  [[nodiscard]] int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }
  long create_pool(const PoolOptions& options = {}) const;
  [[nodiscard]] flexsc_stats stats() const;
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
  /// Waits for the entry in the kernel, then takes it.
  [[nodiscard]] long await(unsigned page, unsigned bit) const;
  /// Posts into (0, 0) and awaits.
  [[nodiscard]] long run(const Call& call) const;
  template <class... A>
  [[nodiscard]] long run(long nr, A... args) const {
    return run(call(nr, args...));
  }
  /// Executes one call by flush, in (0, 0).
  [[nodiscard]] long run_flushed(const Call& call) const;

  long wait(unsigned min_complete, std::chrono::nanoseconds timeout) const;
  long flush() const { return control(fd(), FLEXSC_IOC_FLUSH); }
  long doorbell(unsigned pool = 0) const { return control(fd(), FLEXSC_IOC_DOORBELL, pool); }
  long notify() const { return control(fd(), FLEXSC_IOC_NOTIFY); }

 private:
  Fd fd_;
  unsigned pages_;
  flexsc_client_header* header_ = nullptr;
};

/// A group with one pool and one client: what most tests want.
struct Rig {
  explicit Rig(const PoolOptions& options = {}, unsigned pages = 1);
  Group group;
  Client client;
};

}  // namespace flexsc_guest
