// SPDX-License-Identifier: MIT
// Description: calls made by fibers give the results and errnos of direct calls; none is
// lost when the table is full; direct calls of plain threads are counted.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
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

/// What the rows work on. The file holds "0123456789"; nothing is ever in the pipe.
struct Objects {
  std::string file;
  std::string absent;
  int fd = -1;
  std::array<int, 2> empty{};
  int unconnected = -1;
  std::array<char, 64> buffer{};
  std::array<iovec, 2> iov{{{buffer.data(), 3}, {buffer.data() + 3, 4}}};
  struct stat status {};
  char* nowhere = nullptr;
};

std::vector<Row> transfers(Objects& at) {
  return {
      {"read", [&] { return flexsc::pread(at.fd, at.buffer.data(), 4, 3); },
       [&] { return ::pread(at.fd, at.buffer.data(), 4, 3); }},
      {"read at the end", [&] { return flexsc::pread(at.fd, at.buffer.data(), 4, 10); },
       [&] { return ::pread(at.fd, at.buffer.data(), 4, 10); }},
      {"read: EBADF", [&] { return flexsc::read(-1, at.buffer.data(), 4); },
       [&] { return ::read(-1, at.buffer.data(), 4); }},
      {"read: EFAULT", [&] { return flexsc::pread(at.fd, at.nowhere, 4, 0); },
       [&] { return ::pread(at.fd, at.nowhere, 4, 0); }},
      {"read: EAGAIN", [&] { return flexsc::read(at.empty[0], at.buffer.data(), 4); },
       [&] { return ::read(at.empty[0], at.buffer.data(), 4); }},
      {"read: EINVAL", [&] { return flexsc::pread(at.fd, at.buffer.data(), 4, -1); },
       [&] { return ::pread(at.fd, at.buffer.data(), 4, -1); }},
      {"readv",
       [&] { return flexsc::lseek(at.fd, 1, SEEK_SET) + flexsc::readv(at.fd, at.iov.data(), 2); },
       [&] { return ::lseek(at.fd, 1, SEEK_SET) + ::readv(at.fd, at.iov.data(), 2); }},
      {"write", [&] { return flexsc::pwrite(at.fd, "ab", 2, 4); },
       [&] { return ::pwrite(at.fd, "ab", 2, 4); }},
      {"write: EBADF", [&] { return flexsc::write(at.empty[0], "ab", 2); },
       [&] { return ::write(at.empty[0], "ab", 2); }},
      {"writev",
       [&] { return flexsc::lseek(at.fd, 0, SEEK_SET) + flexsc::writev(at.fd, at.iov.data(), 2); },
       [&] { return ::lseek(at.fd, 0, SEEK_SET) + ::writev(at.fd, at.iov.data(), 2); }},
      {"lseek", [&] { return flexsc::lseek(at.fd, -2, SEEK_END); },
       [&] { return ::lseek(at.fd, -2, SEEK_END); }},
      {"lseek: EINVAL", [&] { return flexsc::lseek(at.fd, -20, SEEK_SET); },
       [&] { return ::lseek(at.fd, -20, SEEK_SET); }},
      {"lseek: ESPIPE", [&] { return flexsc::lseek(at.empty[0], 0, SEEK_SET); },
       [&] { return ::lseek(at.empty[0], 0, SEEK_SET); }},
  };
}

std::vector<Row> names_and_files(Objects& at) {
  return {
      {"open: ENOENT", [&] { return flexsc::open(at.absent.c_str(), O_RDONLY); },
       [&] { return ::open(at.absent.c_str(), O_RDONLY); }},
      {"open: EEXIST", [&] { return flexsc::open(at.file.c_str(), O_CREAT | O_EXCL, 0600); },
       [&] { return ::open(at.file.c_str(), O_CREAT | O_EXCL, 0600); }},
      {"open: ENOTDIR", [&] { return flexsc::openat(at.fd, "x", O_RDONLY); },
       [&] { return ::openat(at.fd, "x", O_RDONLY); }},
      {"close: EBADF", [&] { return flexsc::close(-1); }, [&] { return ::close(-1); }},
      {"fstat", [&] { return flexsc::fstat(at.fd, &at.status) + at.status.st_size; },
       [&] { return ::fstat(at.fd, &at.status) + at.status.st_size; }},
      {"stat", [&] { return flexsc::stat(at.file.c_str(), &at.status) + at.status.st_size; },
       [&] { return ::stat(at.file.c_str(), &at.status) + at.status.st_size; }},
      {"stat: ENOENT", [&] { return flexsc::stat(at.absent.c_str(), &at.status); },
       [&] { return ::stat(at.absent.c_str(), &at.status); }},
      {"fstatat", [&] { return flexsc::fstatat(at.fd, "", &at.status, AT_EMPTY_PATH); },
       [&] { return ::fstatat(at.fd, "", &at.status, AT_EMPTY_PATH); }},
      {"fsync", [&] { return flexsc::fsync(at.fd); }, [&] { return ::fsync(at.fd); }},
      {"fdatasync: EINVAL", [&] { return flexsc::fdatasync(at.empty[0]); },
       [&] { return ::fdatasync(at.empty[0]); }},
      {"ftruncate", [&] { return flexsc::ftruncate(at.fd, 8); },
       [&] { return ::ftruncate(at.fd, 8); }},
      {"unlink: ENOENT", [&] { return flexsc::unlink(at.absent.c_str()); },
       [&] { return ::unlink(at.absent.c_str()); }},
      {"unlinkat: ENOENT", [&] { return flexsc::unlinkat(AT_FDCWD, at.absent.c_str(), 0); },
       [&] { return ::unlinkat(AT_FDCWD, at.absent.c_str(), 0); }},
  };
}

std::vector<Row> sockets_and_others(Objects& at) {
  return {
      {"socket: EAFNOSUPPORT", [&] { return flexsc::socket(12345, SOCK_STREAM, 0); },
       [&] { return ::socket(12345, SOCK_STREAM, 0); }},
      {"accept: EINVAL", [&] { return flexsc::accept(at.unconnected, nullptr, nullptr); },
       [&] { return ::accept(at.unconnected, nullptr, nullptr); }},
      {"recv: ENOTCONN", [&] { return flexsc::recv(at.unconnected, at.buffer.data(), 1, 0); },
       [&] { return ::recv(at.unconnected, at.buffer.data(), 1, 0); }},
      {"send: EPIPE", [&] { return flexsc::send(at.unconnected, "x", 1, MSG_NOSIGNAL); },
       [&] { return ::send(at.unconnected, "x", 1, MSG_NOSIGNAL); }},
      {"send: ENOTSOCK", [&] { return flexsc::send(at.fd, "x", 1, MSG_NOSIGNAL); },
       [&] { return ::send(at.fd, "x", 1, MSG_NOSIGNAL); }},
      {"shutdown: ENOTCONN", [&] { return flexsc::shutdown(at.unconnected, SHUT_RDWR); },
       [&] { return ::shutdown(at.unconnected, SHUT_RDWR); }},
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
}

// Every row is called in a fiber and directly, from the same state.
TEST_P(CallTest, AnswersAreThoseOfTheDirectCalls) {
  const Scratch scratch;
  Objects at;
  at.file = scratch.at("file");
  at.absent = scratch.at("absent");
  at.fd = ::open(at.file.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(at.fd, 0);
  ASSERT_EQ(::pwrite(at.fd, "0123456789", 10, 0), 10);
  ASSERT_EQ(::pipe2(at.empty.data(), O_NONBLOCK), 0);
  at.unconnected = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(at.unconnected, 0);
  std::vector<Row> rows;
  for (const auto& part : {transfers(at), names_and_files(at), sockets_and_others(at)}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }

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
  for (const int fd : {at.fd, at.empty[0], at.empty[1], at.unconnected}) ::close(fd);
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
  std::atomic<int> begun{0};
  int sum = 0;
  {
    Runtime runtime(small);
    std::vector<Fiber> fibers;
    for (int i = 0; i < kCalls; ++i) {
      fibers.push_back(runtime.spawn([&] {
        char byte = 0;
        ++begun;
        EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
        sum += byte;  // one carrier: not at the same time
      }));
    }
    while (begun < kCalls) std::this_thread::yield();  // so all but the last are in read()
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

// With others ready, so that the calls are not those of a fiber that is alone.
TEST(QuickCallTest, AreMadeAtOnceWhereThreadsShareTheCarriersCpus) {
  for (const Help help : {Help::always, Help::never}) {
    RuntimeOptions options = test::options_for(EngineKind::threads, 1);
    options.engine.help = help;
    Runtime runtime(options);
    const auto body = [] {
      for (int i = 0; i < 10; ++i) {
        (void)flexsc::lseek(STDIN_FILENO, 0, SEEK_CUR);
        this_fiber::yield();
      }
    };
    test::in_fiber(runtime, [&] {
      Fiber one = runtime.spawn(body);
      Fiber two = runtime.spawn(body);
      one.join();
      two.join();
    });
    const ChannelStats& calls = runtime.stats().channels;
    EXPECT_EQ(calls.reaped, calls.posted);
    if (help == Help::always) {
      EXPECT_EQ(calls.direct, 20U);
    } else {
      EXPECT_LT(calls.direct, 20U);
    }
  }
}

}  // namespace
}  // namespace flexsc
