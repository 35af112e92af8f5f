// SPDX-License-Identifier: MIT
// A call through a worker, and through flush, gives exactly the result of the direct call.
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include <climits>
#include <cstring>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

/// The parameter: through flush instead of a worker.
class Path : public GuestTest, public testing::WithParamInterface<bool> {
 protected:
  static long through(const Client& client, const Call& c) {
    return GetParam() ? client.run_flushed(c) : client.run(c);
  }
  template <class... A>
  static long through(const Client& client, long nr, A... args) {
    return through(client, call(nr, args...));
  }
};

INSTANTIATE_TEST_SUITE_P(Both, Path, testing::Bool(),
                         [](const auto& mode) { return mode.param ? "Flush" : "Worker"; });

TEST_P(Path, ValuesAndErrorsAreThoseOfTheDirectCall) {
  const Rig rig;
  const std::array<Call, 14> calls = {
      call(SYS_getpid),
      call(SYS_getppid),
      call(SYS_getuid),
      call(SYS_close, -1),
      call(SYS_close, INT_MAX),
      call(SYS_read, 987654, nullptr, 1),
      call(SYS_write, -1, "x", 1),
      call(SYS_openat, AT_FDCWD, "/no/such/file", O_RDONLY),
      call(SYS_openat, AT_FDCWD, nullptr, O_RDONLY),
      call(SYS_openat, AT_FDCWD, "/", O_RDWR),
      call(SYS_socket, 12345, SOCK_STREAM, 0),
      call(SYS_mmap, nullptr, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      call(SYS_kill, ::getpid(), 0),
      call(FLEXSC_NR_NOP, 1, 2, 3, 4, 5, 6),
  };
  for (const Call& c : calls) {
    EXPECT_EQ(through(rig.client, c), direct(c)) << "call number " << c.nr;
  }
}

TEST_P(Path, AFileFromOpenToClose) {
  const Rig rig;
  const std::string name = "/tmp/flexsc-path-" + std::to_string(::getpid());
  ::mkdir("/tmp", 01777);
  const long fd = through(rig.client, SYS_openat, AT_FDCWD, name.c_str(),
                          O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(through(rig.client, SYS_write, fd, "0123456789", 10), 10);
  EXPECT_EQ(through(rig.client, SYS_pwrite64, fd, "ab", 2, 4), 2);
  std::array<char, 16> got{};
  EXPECT_EQ(through(rig.client, SYS_pread64, fd, got.data(), got.size(), 2), 8);
  EXPECT_STREQ(got.data(), "23ab6789");
  struct stat ours {};
  struct stat theirs {};
  EXPECT_EQ(through(rig.client, SYS_fstat, fd, &ours), 0);
  EXPECT_EQ(::stat(name.c_str(), &theirs), 0);
  EXPECT_EQ(ours.st_ino, theirs.st_ino);
  EXPECT_EQ(ours.st_size, 10);
  std::array<char, 4> head{};
  std::array<char, 16> tail{};
  const std::array<iovec, 2> parts = {iovec{head.data(), head.size()},
                                      iovec{tail.data(), tail.size()}};
  EXPECT_EQ(through(rig.client, SYS_lseek, fd, 0, SEEK_SET), 0);
  EXPECT_EQ(through(rig.client, SYS_readv, fd, parts.data(), 2), 10);
  EXPECT_EQ(std::string(head.data(), 4) + tail.data(), "0123ab6789");
  EXPECT_EQ(through(rig.client, SYS_close, fd), 0);
  EXPECT_EQ(::fcntl(static_cast<int>(fd), F_GETFD), -1);
  EXPECT_EQ(through(rig.client, SYS_close, fd), -EBADF);
  EXPECT_EQ(through(rig.client, SYS_unlink, name.c_str()), 0);
  EXPECT_EQ(::access(name.c_str(), F_OK), -1);
}

// A result kept in 32 bits cuts pointers and offsets.
TEST_P(Path, ResultsHave64Bits) {
  const Rig rig;
  const long at = through(rig.client, SYS_mmap, nullptr, 8192, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_GT(at, long{UINT_MAX});
  auto* bytes = reinterpret_cast<char*>(at);
  std::memset(bytes, 7, 8192);
  EXPECT_EQ(through(rig.client, SYS_munmap, at, 8192), 0);
  unsigned char resident = 0;
  EXPECT_EQ(::mincore(bytes, 4096, &resident), -1);
  EXPECT_EQ(errno, ENOMEM);

  const Fd file(static_cast<int>(direct(SYS_memfd_create, "offsets", MFD_CLOEXEC)));
  constexpr long kFar = 0x123456789abcdefL;
  EXPECT_EQ(through(rig.client, SYS_lseek, file.get(), kFar, SEEK_SET), kFar);
  EXPECT_EQ(through(rig.client, SYS_lseek, file.get(), -1L, SEEK_CUR), kFar - 1);
  EXPECT_EQ(through(rig.client, SYS_lseek, file.get(), LONG_MIN, SEEK_CUR), -EINVAL);
}

TEST_P(Path, SixArgumentsArriveInOrder) {
  const Rig rig;
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "six", MFD_CLOEXEC)));
  ASSERT_EQ(::ftruncate(file.get(), 3 * 4096), 0);
  ASSERT_EQ(::pwrite(file.get(), "second", 6, 4096), 6);
  void* hint = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const long at = through(rig.client, SYS_mmap, hint, 4096, PROT_READ, MAP_SHARED | MAP_FIXED,
                          file.get(), 4096);
  ASSERT_EQ(reinterpret_cast<void*>(at), hint);
  EXPECT_STREQ(static_cast<char*>(hint), "second");
  ::munmap(hint, 4096);
}

TEST_P(Path, FilesAndDirectoryAreThoseOfTheProcess) {
  const Rig rig;
  const Pipe pipe = make_pipe();
  EXPECT_EQ(through(rig.client, SYS_write, pipe.writer.get(), "x", 1), 1);
  EXPECT_EQ(readable(pipe.reader), 1);
  // A descriptor made later, and the working directory as it is now.
  std::array<char, PATH_MAX> before{};
  std::array<char, PATH_MAX> seen{};
  ASSERT_NE(::getcwd(before.data(), before.size()), nullptr);
  ASSERT_EQ(::chdir("/proc"), 0);
  EXPECT_EQ(through(rig.client, SYS_getcwd, seen.data(), seen.size()), 6);
  EXPECT_STREQ(seen.data(), "/proc");
  ASSERT_EQ(::chdir(before.data()), 0);
}

TEST_P(Path, BadMemoryIsAFaultNotADeath) {
  const Rig rig;
  Pipe pipe = make_pipe();
  put(pipe.writer, "data");
  EXPECT_EQ(through(rig.client, SYS_read, pipe.reader.get(), 8, 4), -EFAULT);
  EXPECT_EQ(through(rig.client, SYS_read, pipe.reader.get(), __u64{1} << 63, 4), -EFAULT);
  EXPECT_EQ(through(rig.client, SYS_write, pipe.writer.get(), ~0UL - 100, 4), -EFAULT);
  EXPECT_EQ(through(rig.client, SYS_uname, nullptr), -EFAULT);
}

// SIGPIPE and SIGXFSZ belong to a thread; a worker has nobody to give them to and must not die.
TEST_P(Path, ErrorsThatComeWithASignal) {
  const Rig rig;
  Pipe pipe = make_pipe();
  pipe.reader.reset();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(through(rig.client, SYS_write, pipe.writer.get(), "x", 1), -EPIPE);
  }
  EXPECT_EQ(through(rig.client, SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.state(), __u32{FLEXSC_STATE_OPEN});
}

TEST_P(Path, WhatAnEntryMustNotSayIsInvalid) {
  const Rig rig;
  const auto result_with = [&](unsigned flags, unsigned from) {
    Call c = call(SYS_getppid);
    c.flags = static_cast<__u16>(flags);
    c.from = static_cast<__u16>(from);
    return GetParam() ? rig.client.run_flushed(c) : rig.client.run(c);
  };
  for (unsigned bit = 0; bit < 16; ++bit) {
    if ((FLEXSC_ENTRY_FLAGS >> bit & 1) == 0) {
      EXPECT_EQ(result_with(1U << bit, 0), -EINVAL) << bit;
    }
    // Alone it is the first of its chain: there is no earlier result.
    EXPECT_EQ(result_with(0, 1U << bit), -EINVAL) << bit;
  }
  // The others change nothing of a single call that succeeds.
  for (const unsigned flag : {FLEXSC_ENTRY_GO_ON, FLEXSC_ENTRY_END_ON_ZERO,
                              FLEXSC_ENTRY_END_ON_SHORT, FLEXSC_ENTRY_SUM}) {
    EXPECT_EQ(result_with(flag, 0), ::getppid()) << flag;
  }
  EXPECT_EQ(result_with(0, 0), ::getppid());
}

TEST_P(Path, IoctlsOfTheAllowedKindWork) {
  const Rig rig;
  const Pipe pipe = make_pipe();
  put(pipe.writer, "four");
  int bytes = 0;
  EXPECT_EQ(through(rig.client, SYS_ioctl, pipe.reader.get(), 0x541B, &bytes), 0);  // FIONREAD
  EXPECT_EQ(bytes, 4);
}

TEST_P(Path, FutexWakeReachesAWaitingThread) {
  const Rig rig;
  static std::atomic<int> word;
  word = 0;
  std::jthread waiter([] {
    while (word == 0) direct(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  });
  word = 1;
  // The thread may not sleep yet; then it sees the new value by itself.
  const long woken =
      through(rig.client, SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  EXPECT_TRUE(woken == 0 || woken == 1) << woken;
  waiter.join();
}

// Every place of every page: an index that is cut or a page that is forgotten shows here.
TEST_P(Path, EveryBitOfEveryPage) {
  const Rig rig({}, FLEXSC_MAX_PAGES);
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "all", MFD_CLOEXEC)));
  const unsigned queue = GetParam() ? FLEXSC_QUEUE_FLUSH : 0;
  constexpr unsigned kAll = FLEXSC_MAX_PAGES * FLEXSC_PAGE_ENTRIES;
  for (unsigned i = 0; i < kAll; ++i) {
    rig.client.fill(i / 64, i % 64, call(SYS_pwrite64, file.get(), "x", 1, i));
  }
  for (unsigned page = 0; page < FLEXSC_MAX_PAGES; ++page) {
    ASSERT_EQ(rig.client.submit(page, ~__u64{0}, queue), 0);
  }
  if (GetParam()) {
    ASSERT_EQ(rig.client.flush(), kAll);
  }
  ASSERT_EQ(rig.client.wait(kAll, kLong), kAll);
  for (unsigned i = 0; i < kAll; ++i) ASSERT_EQ(rig.client.take(i / 64, i % 64), 1) << i;
  struct stat stat {};
  ASSERT_EQ(::fstat(file.get(), &stat), 0);
  EXPECT_EQ(stat.st_size, kAll);
  const std::string wanted(kAll, 'x');
  std::string got(kAll, ' ');
  EXPECT_EQ(::pread(file.get(), got.data(), kAll, 0), kAll);
  EXPECT_EQ(got, wanted);
}

}  // namespace
}  // namespace flexsc_guest
