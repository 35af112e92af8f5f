// SPDX-License-Identifier: MIT
// Description: calls made by fibers give the results and errnos of direct calls; none is
// lost when the table is full; direct calls of plain threads are counted.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "flexsc/posix.hpp"
#include "flexsc/uapi.h"
#include "support.hpp"

namespace flexsc {
namespace {

class CallTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(CallTest);

/// What a call answered and left in errno (0 beforehand).
struct Answer {
  long result = 0;
  int error = 0;
  bool operator==(const Answer&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << answer.result << " (" << strerror(answer.error) << ")";
}

Answer answer_of(const std::function<long()>& call) {
  errno = 0;
  const long result = call();
  return {result, errno};
}

/// A directory of its own for a test's files.
class Scratch {
 public:
  Scratch() {
    std::string name = ::testing::TempDir() + "flexsc-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    for (const char* name : {"file", "other", "moved"}) ::unlink((path_ + "/" + name).c_str());
    ::rmdir((path_ + "/dir").c_str());
    ::rmdir(path_.c_str());
  }
  [[nodiscard]] std::string at(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }

 private:
  std::string path_;
};

struct Row {
  const char* name;
  std::function<long()> ours;
  std::function<long()> direct;
};

// Every row is called in a fiber and directly, from the same state.
TEST_P(CallTest, AnswersAreThoseOfTheDirectCalls) {
  const Scratch scratch;
  const std::string file = scratch.at("file");
  const std::string absent = scratch.at("absent");
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::pwrite(fd, "0123456789", 10, 0), 10);
  std::array<int, 2> empty{};
  ASSERT_EQ(::pipe2(empty.data(), O_NONBLOCK), 0);
  const int unconnected = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(unconnected, 0);

  std::array<char, 64> buffer{};
  struct stat status {};
  char* const nowhere = nullptr;
  std::array<struct iovec, 2> iov{{{buffer.data(), 3}, {buffer.data() + 3, 4}}};
  const std::vector<Row> rows{
      {"read", [&] { return flexsc::pread(fd, buffer.data(), 4, 3); },
       [&] { return ::pread(fd, buffer.data(), 4, 3); }},
      {"read at the end", [&] { return flexsc::pread(fd, buffer.data(), 4, 10); },
       [&] { return ::pread(fd, buffer.data(), 4, 10); }},
      {"read: EBADF", [&] { return flexsc::read(-1, buffer.data(), 4); },
       [&] { return ::read(-1, buffer.data(), 4); }},
      {"read: EFAULT", [&] { return flexsc::pread(fd, nowhere, 4, 0); },
       [&] { return ::pread(fd, nowhere, 4, 0); }},
      {"read: EAGAIN", [&] { return flexsc::read(empty[0], buffer.data(), 4); },
       [&] { return ::read(empty[0], buffer.data(), 4); }},
      {"read: EINVAL", [&] { return flexsc::pread(fd, buffer.data(), 4, -1); },
       [&] { return ::pread(fd, buffer.data(), 4, -1); }},
      {"readv", [&] { return flexsc::lseek(fd, 1, SEEK_SET) + flexsc::readv(fd, iov.data(), 2); },
       [&] { return ::lseek(fd, 1, SEEK_SET) + ::readv(fd, iov.data(), 2); }},
      {"write", [&] { return flexsc::pwrite(fd, "ab", 2, 4); },
       [&] { return ::pwrite(fd, "ab", 2, 4); }},
      {"write: EBADF", [&] { return flexsc::write(empty[0], "ab", 2); },
       [&] { return ::write(empty[0], "ab", 2); }},
      {"writev", [&] { return flexsc::lseek(fd, 0, SEEK_SET) + flexsc::writev(fd, iov.data(), 2); },
       [&] { return ::lseek(fd, 0, SEEK_SET) + ::writev(fd, iov.data(), 2); }},
      {"lseek", [&] { return flexsc::lseek(fd, -2, SEEK_END); },
       [&] { return ::lseek(fd, -2, SEEK_END); }},
      {"lseek: EINVAL", [&] { return flexsc::lseek(fd, -20, SEEK_SET); },
       [&] { return ::lseek(fd, -20, SEEK_SET); }},
      {"lseek: ESPIPE", [&] { return flexsc::lseek(empty[0], 0, SEEK_SET); },
       [&] { return ::lseek(empty[0], 0, SEEK_SET); }},
      {"open: ENOENT", [&] { return flexsc::open(absent.c_str(), O_RDONLY); },
       [&] { return ::open(absent.c_str(), O_RDONLY); }},
      {"open: EEXIST", [&] { return flexsc::open(file.c_str(), O_CREAT | O_EXCL, 0600); },
       [&] { return ::open(file.c_str(), O_CREAT | O_EXCL, 0600); }},
      {"open: ENOTDIR", [&] { return flexsc::openat(fd, "x", O_RDONLY); },
       [&] { return ::openat(fd, "x", O_RDONLY); }},
      {"close: EBADF", [&] { return flexsc::close(-1); }, [&] { return ::close(-1); }},
      {"fstat", [&] { return flexsc::fstat(fd, &status) + status.st_size; },
       [&] { return ::fstat(fd, &status) + status.st_size; }},
      {"stat", [&] { return flexsc::stat(file.c_str(), &status) + status.st_size; },
       [&] { return ::stat(file.c_str(), &status) + status.st_size; }},
      {"stat: ENOENT", [&] { return flexsc::stat(absent.c_str(), &status); },
       [&] { return ::stat(absent.c_str(), &status); }},
      {"fstatat", [&] { return flexsc::fstatat(fd, "", &status, AT_EMPTY_PATH); },
       [&] { return ::fstatat(fd, "", &status, AT_EMPTY_PATH); }},
      {"fsync", [&] { return flexsc::fsync(fd); }, [&] { return ::fsync(fd); }},
      {"fdatasync: EINVAL", [&] { return flexsc::fdatasync(empty[0]); },
       [&] { return ::fdatasync(empty[0]); }},
      {"ftruncate", [&] { return flexsc::ftruncate(fd, 8); }, [&] { return ::ftruncate(fd, 8); }},
      {"unlink: ENOENT", [&] { return flexsc::unlink(absent.c_str()); },
       [&] { return ::unlink(absent.c_str()); }},
      {"unlinkat: ENOENT", [&] { return flexsc::unlinkat(AT_FDCWD, absent.c_str(), 0); },
       [&] { return ::unlinkat(AT_FDCWD, absent.c_str(), 0); }},
      {"socket: EAFNOSUPPORT", [&] { return flexsc::socket(12345, SOCK_STREAM, 0); },
       [&] { return ::socket(12345, SOCK_STREAM, 0); }},
      {"accept: EINVAL", [&] { return flexsc::accept(unconnected, nullptr, nullptr); },
       [&] { return ::accept(unconnected, nullptr, nullptr); }},
      {"recv: ENOTCONN", [&] { return flexsc::recv(unconnected, buffer.data(), 1, 0); },
       [&] { return ::recv(unconnected, buffer.data(), 1, 0); }},
      {"send: EPIPE", [&] { return flexsc::send(unconnected, "x", 1, MSG_NOSIGNAL); },
       [&] { return ::send(unconnected, "x", 1, MSG_NOSIGNAL); }},
      {"send: ENOTSOCK", [&] { return flexsc::send(fd, "x", 1, MSG_NOSIGNAL); },
       [&] { return ::send(fd, "x", 1, MSG_NOSIGNAL); }},
      {"shutdown: ENOTCONN", [&] { return flexsc::shutdown(unconnected, SHUT_RDWR); },
       [&] { return ::shutdown(unconnected, SHUT_RDWR); }},
      {"nanosleep: EINVAL",
       [&] {
         const struct timespec wrong { 0, 1'000'000'000 };
         return flexsc::nanosleep(&wrong, nullptr);
       },
       [&] {
         const struct timespec wrong { 0, 1'000'000'000 };
         return ::nanosleep(&wrong, nullptr);
       }},
      {"poll of nothing", [&] { return flexsc::poll(nullptr, 0, 1); },
       [&] { return ::poll(nullptr, 0, 1); }},
      {"syscall: ENOSYS", [&] { return flexsc::syscall(FLEXSC_NR_NOP); },
       [&] { return ::syscall(FLEXSC_NR_NOP); }},
      {"getpid", [&] { return flexsc::syscall(SYS_getpid); }, [&] { return ::getpid(); }},
      {"gettid is the caller's", [&] { return flexsc::syscall(SYS_gettid) - ::gettid(); },
       [&] { return 0; }},
  };

  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    for (const Row& row : rows) {
      const Answer expected = answer_of(row.direct);
      EXPECT_EQ(answer_of(row.ours), expected) << row.name;
    }
  });
  for (const Row& row : rows) {  // and in a plain thread
    const Answer expected = answer_of(row.direct);
    EXPECT_EQ(answer_of(row.ours), expected) << row.name << ", in a thread";
  }
  ::close(fd);
  ::close(empty[0]);
  ::close(empty[1]);
  ::close(unconnected);
}

TEST_P(CallTest, FilesAreMadeAndRemoved) {
  const Scratch scratch;
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    EXPECT_EQ(mkdirat(AT_FDCWD, scratch.at("dir").c_str(), 0700), 0);
    const int fd = flexsc::open(scratch.at("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    ASSERT_GE(fd, 0);
    struct stat status {};
    EXPECT_EQ(flexsc::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0640U & ~022U);
    EXPECT_EQ(flexsc::write(fd, "some bytes", 10), 10);
    const int copy = flexsc::openat(AT_FDCWD, scratch.at("other").c_str(), O_RDWR | O_CREAT, 0600);
    ASSERT_GE(copy, 0);
    off_t offset = 5;
    EXPECT_EQ(flexsc::sendfile(copy, fd, &offset, 100), 5);
    EXPECT_EQ(offset, 10);
    std::array<char, 16> buffer{};
    EXPECT_EQ(flexsc::pread(copy, buffer.data(), buffer.size(), 0), 5);
    EXPECT_STREQ(buffer.data(), "bytes");
    EXPECT_EQ(flexsc::close(copy), 0);
    EXPECT_EQ(flexsc::close(fd), 0);
    EXPECT_EQ(flexsc::close(fd), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(
        renameat(AT_FDCWD, scratch.at("other").c_str(), AT_FDCWD, scratch.at("moved").c_str()), 0);
    EXPECT_EQ(flexsc::unlink(scratch.at("moved").c_str()), 0);
    EXPECT_EQ(flexsc::unlinkat(AT_FDCWD, scratch.at("dir").c_str(), AT_REMOVEDIR), 0);
  });
}

TEST_P(CallTest, RunCallLeavesErrnoAlone) {
  Runtime runtime(options());
  const auto check = [] {
    errno = ENOTTY;
    EXPECT_EQ(run_call(make_call(SYS_close, -1)), -EBADF);
    EXPECT_EQ(errno, ENOTTY);
  };
  test::in_fiber(runtime, check);
  check();
}

TEST_P(CallTest, EveryCallIsPostedAndReapedOnce) {
  Runtime runtime(options());
  constexpr int kFibers = 20;
  constexpr int kCalls = 50;
  std::vector<Fiber> fibers;
  for (int i = 0; i < kFibers; ++i) {
    fibers.push_back(runtime.spawn([] {
      for (int j = 0; j < kCalls; ++j) {
        EXPECT_EQ(run_call(make_call(FLEXSC_NR_NOP)), -ENOSYS);
      }
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
  const RuntimeStats stats = runtime.stats();
  EXPECT_EQ(stats.channels.posted, static_cast<std::uint64_t>(kFibers * kCalls));
  EXPECT_EQ(stats.channels.reaped, static_cast<std::uint64_t>(kFibers * kCalls));
  EXPECT_EQ(stats.channels.full, 0U);
}

// More calls than entries, all of them blocked in a read until one more call is made from
// outside: those that found no entry wait and are made later.
TEST_P(CallTest, NoCallIsLostWhenTheTableIsFull) {
  if (!calls_overlap()) GTEST_SKIP() << "engine direct has no table";
  RuntimeOptions small = options();
  small.engine.pages_per_channel = 1;
  small.engine.standby_max = 0;
  constexpr int kCalls = 200;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  std::uint64_t full = 0;
  int sum = 0;
  {
    Runtime runtime(small);
    std::vector<Fiber> fibers;
    for (int i = 0; i < kCalls; ++i) {
      fibers.push_back(runtime.spawn([&] {
        char byte = 0;
        EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
        sum += byte;  // one carrier: not at the same time
      }));
    }
    const std::string bytes(kCalls, '\3');
    ASSERT_EQ(::write(pipe[1], bytes.data(), bytes.size()), kCalls);
    for (Fiber& fiber : fibers) fiber.join();
    full = runtime.stats().channels.full;
    EXPECT_EQ(runtime.stats().channels.posted, static_cast<std::uint64_t>(kCalls));
  }
  EXPECT_EQ(sum, 3 * kCalls);
  EXPECT_GT(full, 0U);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_P(CallTest, ManyFibersBlockInReadAtOnce) {
  if (!calls_overlap()) GTEST_SKIP() << "engine direct blocks the carrier";
  constexpr int kFibers = 40;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  Runtime runtime(options());
  int got = 0;
  test::in_fiber(runtime, [&] {
    std::vector<Fiber> readers;
    for (int i = 0; i < kFibers; ++i) {
      readers.push_back(runtime.spawn([&] {
        char byte = 0;
        EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
        ++got;
      }));
    }
    for (int i = 0; i < kFibers; ++i) {
      this_fiber::yield();
      EXPECT_EQ(flexsc::write(pipe[1], "x", 1), 1);
    }
    for (Fiber& reader : readers) reader.join();
  });
  EXPECT_EQ(got, kFibers);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(DirectCrossingsTest, CountsCallsOfPlainThreadsAlsoOfEndedOnes) {
  const std::uint64_t before = direct_crossings();
  for (int i = 0; i < 3; ++i) (void)run_call(make_call(FLEXSC_NR_NOP));
  EXPECT_EQ(direct_crossings() - before, 3U);
  for (int i = 0; i < 4; ++i) {
    std::thread([] { (void)flexsc::read(-1, nullptr, 0); }).join();
  }
  EXPECT_EQ(direct_crossings() - before, 7U);
  Runtime runtime(test::options_for(EngineKind::direct, 1));
  test::in_fiber(runtime, [] { (void)run_call(make_call(FLEXSC_NR_NOP)); });
  EXPECT_EQ(direct_crossings() - before, 7U);
}

}  // namespace
}  // namespace flexsc
