// SPDX-License-Identifier: MIT
// Description: plain libc calls inside fibers are posted, outside they are untouched. This
// program is linked with libflexsc-intercept before libc; intercept_program.cpp is the
// same thing preloaded.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <string>

#include "choice.hpp"
#include "sanitizer.hpp"
#include "support.hpp"

// What programs built with _FORTIFY_SOURCE call.
extern "C" {
ssize_t __read_chk(int fd, void* buffer, size_t count, size_t size);
ssize_t __pread_chk(int fd, void* buffer, size_t count, off_t offset, size_t size);
ssize_t __recv_chk(int fd, void* buffer, size_t count, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void* buffer, size_t count, size_t size, int flags,
                       struct sockaddr* address, socklen_t* length);
int __poll_chk(struct pollfd* fds, nfds_t count, int timeout, size_t size);
int __open_2(const char* path, int flags);
int __openat_2(int dir, const char* path, int flags);
}

namespace flexsc {
namespace {

using intercept::Choice;
using intercept::kEverything;
using intercept::Name;
using intercept::parse_choice;

constexpr Choice only(Name name) {
  return Choice{1} << static_cast<unsigned>(name);
}

TEST(ChoiceTest, ReadsTheVariable) {
  std::string unknown;
  EXPECT_EQ(parse_choice("", unknown), kEverything);
  EXPECT_EQ(parse_choice("none", unknown), 0U);
  EXPECT_EQ(parse_choice("read", unknown), only(Name::read));
  EXPECT_EQ(parse_choice(" read , write,", unknown), only(Name::read) | only(Name::write));
  EXPECT_EQ(parse_choice("-close", unknown), kEverything & ~only(Name::close));
  EXPECT_EQ(parse_choice("-close,-sleep", unknown),
            kEverything & ~only(Name::close) & ~only(Name::sleep));
  EXPECT_EQ(parse_choice("read,write,-read", unknown), only(Name::write));
  EXPECT_EQ(unknown, "");
  EXPECT_EQ(parse_choice("raed,write,-wriet", unknown), only(Name::write));
  EXPECT_EQ(unknown, "raed,-wriet");
  unknown.clear();
  EXPECT_EQ(parse_choice("raed", unknown), 0U);  // not everything: a name was meant
  EXPECT_EQ(unknown, "raed");
}

class InterceptTest : public test::OnEngine {
 protected:
  void SetUp() override {
    OnEngine::SetUp();
    ASSERT_EQ(::pipe2(pipe_.data(), O_CLOEXEC | O_NONBLOCK), 0);
    file_ = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(file_, 0);
  }
  void TearDown() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
    ::close(file_);
  }
  std::array<int, 2> pipe_{-1, -1};
  int file_ = -1;
};
FLEXSC_ON_EVERY_ENGINE(InterceptTest);

struct Row {
  const char* name;
  std::function<long()> call;
};

std::vector<Row> posted_calls(int file, std::array<int, 2> pipe, std::array<char, 64>& buffer) {
  static struct stat status;
  static struct iovec part;
  part = {buffer.data(), 8};
  return {
      {"read", [=, &buffer] { return ::read(file, buffer.data(), 8); }},
      {"readv", [=] { return ::readv(file, &part, 1); }},
      {"pread", [=, &buffer] { return ::pread(file, buffer.data(), 8, 1); }},
      {"pread64", [=, &buffer] { return ::pread64(file, buffer.data(), 8, 1); }},
      {"write", [=] { return ::write(pipe[1], "12345678", 8); }},
      {"writev", [=] { return ::writev(pipe[1], &part, 1); }},
      {"pwrite", [=] { return ::pwrite(pipe[1], "1", 1, 0); }},
      {"lseek", [=] { return ::lseek(file, 0, SEEK_CUR); }},
      {"lseek64", [=] { return ::lseek64(file, 0, SEEK_CUR); }},
      {"open", [] { return ::open("/nowhere", O_RDONLY); }},
      {"open64", [] { return ::open64("/nowhere", O_RDONLY); }},
      {"openat", [] { return ::openat(AT_FDCWD, "/nowhere/at/all", O_CREAT | O_WRONLY, 0600); }},
      {"creat", [] { return ::creat("/nowhere/at/all", 0600); }},
      {"close", [] { return ::close(-1); }},
      {"fsync", [=] { return ::fsync(pipe[0]); }},
      {"fdatasync", [=] { return ::fdatasync(pipe[0]); }},
      {"ftruncate", [=] { return ::ftruncate(pipe[0], 0); }},
#ifndef FLEXSC_TSAN  // its own fstat() calls another symbol
      {"fstat", [=] { return ::fstat(file, &status); }},
#endif
      {"stat", [] { return ::stat("/", &status); }},
      {"lstat", [] { return ::lstat("/proc/self", &status) + !S_ISLNK(status.st_mode); }},
      {"fstatat", [] { return ::fstatat(AT_FDCWD, "/nowhere", &status, 0); }},
      {"unlink", [] { return ::unlink("/nowhere/at/all"); }},
      {"unlinkat", [] { return ::unlinkat(AT_FDCWD, "/nowhere/at/all", 0); }},
      {"mkdir", [] { return ::mkdir("/nowhere/at/all", 0700); }},
      {"rename", [] { return ::rename("/nowhere/at/all", "/nowhere/else"); }},
      {"sendfile", [=] { return ::sendfile(pipe[0], file, nullptr, 8); }},
      {"socket", [] { return ::socket(12345, SOCK_STREAM, 0); }},
      {"bind", [=] { return ::bind(file, nullptr, 0); }},
      {"listen", [=] { return ::listen(file, 1); }},
      {"accept", [=] { return ::accept(file, nullptr, nullptr); }},
      {"accept4", [=] { return ::accept4(file, nullptr, nullptr, 0); }},
      {"connect", [=] { return ::connect(file, nullptr, 0); }},
      {"shutdown", [=] { return ::shutdown(file, SHUT_RD); }},
      {"recv", [=, &buffer] { return ::recv(file, buffer.data(), 1, 0); }},
      {"send", [=] { return ::send(file, "x", 1, 0); }},
      {"recvfrom",
       [=, &buffer] { return ::recvfrom(file, buffer.data(), 1, 0, nullptr, nullptr); }},
      {"sendto", [=] { return ::sendto(file, "x", 1, 0, nullptr, 0); }},
      {"setsockopt", [=] { return ::setsockopt(file, SOL_SOCKET, SO_REUSEADDR, nullptr, 0); }},
#ifndef FLEXSC_TSAN  // its own poll() is blind to locks and switches until ours returns
      {"poll",
       [=] {
         struct pollfd one {
           file, POLLIN, 0
         };
         return ::poll(&one, 1, 0);
       }},
#endif
      {"__read_chk", [=, &buffer] { return __read_chk(file, buffer.data(), 8, 64); }},
      {"__pread_chk", [=, &buffer] { return __pread_chk(file, buffer.data(), 8, 0, 64); }},
      {"__recv_chk", [=, &buffer] { return __recv_chk(file, buffer.data(), 8, 64, 0); }},
      {"__recvfrom_chk",
       [=, &buffer] { return __recvfrom_chk(file, buffer.data(), 8, 64, 0, nullptr, nullptr); }},
      {"__poll_chk",
       [=] {
         struct pollfd one {
           file, POLLIN, 0
         };
         return __poll_chk(&one, 1, 0, sizeof(one));
       }},
      {"__open_2", [] { return __open_2("/nowhere", O_RDONLY); }},
      {"__openat_2", [] { return __openat_2(AT_FDCWD, "/nowhere", O_RDONLY); }},
  };
}

// Each posts exactly one call in a fiber, none outside, and answers the same.
TEST_P(InterceptTest, EveryCallIsPostedInAFiberAndNowhereElse) {
  std::array<char, 64> buffer{};
  std::vector<long> results;
  std::vector<int> errors;
  const std::vector<Row> rows = posted_calls(file_, pipe_, buffer);
  const std::uint64_t before = direct_crossings();
  for (const Row& row : rows) {
    errno = 0;
    results.push_back(row.call());
    errors.push_back(errno);
  }
  EXPECT_EQ(direct_crossings(), before) << "a plain thread's calls are libc's";

  ASSERT_EQ(::lseek(file_, 0, SEEK_SET), 0);
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint64_t posted = runtime.stats().channels.posted;
      errno = 0;
      const long result = rows[i].call();
      EXPECT_EQ(errno, errors[i]) << rows[i].name;
      EXPECT_EQ(result, results[i]) << rows[i].name;
      EXPECT_EQ(runtime.stats().channels.posted, posted + 1) << rows[i].name;
    }
  });
}

TEST_P(InterceptTest, PlainReadsAndWritesOfOneCarrierOverlap) {
  if (!calls_overlap()) GTEST_SKIP() << "engine direct blocks the carrier";
  std::array<int, 2> there{};
  std::array<int, 2> back{};
  ASSERT_EQ(::pipe(there.data()), 0);
  ASSERT_EQ(::pipe(back.data()), 0);
  Runtime runtime(options());
  int rounds = 0;
  test::in_fiber(runtime, [&] {
    Fiber echo = runtime.spawn([&] {
      char byte = 0;
      while (::read(there[0], &byte, 1) == 1) EXPECT_EQ(::write(back[1], &byte, 1), 1);
    });
    for (; rounds < 20; ++rounds) {
      const char sent = static_cast<char>('a' + rounds);
      char received = 0;
      EXPECT_EQ(::write(there[1], &sent, 1), 1);
      EXPECT_EQ(::read(back[0], &received, 1), 1);
      EXPECT_EQ(received, sent);
    }
    EXPECT_EQ(::close(there[1]), 0);
    echo.join();
  });
  EXPECT_EQ(rounds, 20);
  for (const int fd : {there[0], back[0], back[1]}) ::close(fd);
}

struct timespec from_now(clockid_t clock, long milliseconds) {
  struct timespec time {};
  ::clock_gettime(clock, &time);
  time.tv_nsec += milliseconds * 1'000'000;
  time.tv_sec += time.tv_nsec / 1'000'000'000;
  time.tv_nsec %= 1'000'000'000;
  return time;
}

// All are asleep at once only if none holds the carrier while it sleeps.
TEST_P(InterceptTest, PlainSleepsOfOneCarrierOverlap) {
  Runtime runtime(options());
  const std::vector<std::function<long()>> sleeps{
      [] {
        const struct timespec when = from_now(CLOCK_MONOTONIC, 5);
        return ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr);
      },
      [] {
        const struct timespec when = from_now(CLOCK_REALTIME, 5);
        return ::clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, nullptr);
      },
      [] {
        const struct timespec span { 0, 5'000'000 };
        return ::clock_nanosleep(CLOCK_MONOTONIC, 0, &span, nullptr);
      },
      [] {
        const struct timespec span { 0, 5'000'000 };
        return ::nanosleep(&span, nullptr);
      },
      [] { return ::usleep(5000); },
      [] { return ::poll(nullptr, 0, 5); },
      [] {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return 0;
      },
      [] { return ::sleep(0); },
  };
  std::size_t asleep = 0;
  std::size_t most = 0;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> fibers;
    for (const auto& sleep : sleeps) {
      fibers.push_back(runtime.spawn([&] {
        most = std::max(most, ++asleep);
        EXPECT_EQ(sleep(), 0);
        --asleep;
      }));
    }
    for (Fiber& fiber : fibers) fiber.join();
  });
  EXPECT_EQ(most, sleeps.size());
  EXPECT_EQ(runtime.stats().channels.posted, 0U);
}

TEST_P(InterceptTest, SleepErrorsAreThoseOfPosix) {
  Runtime runtime(options());
  const auto check = [] {
    const struct timespec wrong { 0, -1 };
    errno = 0;
    EXPECT_EQ(::clock_nanosleep(CLOCK_MONOTONIC, 0, &wrong, nullptr), EINVAL);
    EXPECT_EQ(errno, 0);
    EXPECT_EQ(::nanosleep(&wrong, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    const struct timespec past { 1, 0 };
    EXPECT_EQ(::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, nullptr), 0);
    EXPECT_EQ(::clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, nullptr), 0);
    EXPECT_EQ(::clock_nanosleep(12345, 0, &past, nullptr), EINVAL);
  };
  check();
  test::in_fiber(runtime, check);
}

// stdio calls the kernel inside libc, where no symbol is looked up: it works as ever, and
// holds the carrier.
TEST_P(InterceptTest, StdioIsNotTaken) {
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    std::FILE* file = std::fopen("/proc/self/exe", "re");
    ASSERT_NE(file, nullptr);
    std::array<char, 4> magic{};
    EXPECT_EQ(std::fread(magic.data(), 1, magic.size(), file), magic.size());
    EXPECT_EQ(magic[1], 'E');
    EXPECT_EQ(std::fclose(file), 0);
  });
  EXPECT_EQ(runtime.stats().channels.posted, 0U);
}

}  // namespace
}  // namespace flexsc
