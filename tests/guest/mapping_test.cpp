// SPDX-License-Identifier: MIT
// The mapping is the user's to break: the kernel goes through its own.
#include <sys/mman.h>

#include <csignal>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Mapping : public GuestTest {};

TEST_F(Mapping, UnmappedUnderTheWorkers) {
  const Rig rig({.spin_us = 500});
  for (int i = 0; i < 50; ++i) {
    Client other(rig.group, 2);
    const Pipe pipe = make_pipe();
    for (unsigned bit = 0; bit < 64; ++bit) {
      other.fill(0, bit, call(SYS_write, pipe.writer.get(), "u", 1));
    }
    other.submit(0, ~__u64{0});
    other.unmap();
    other.doorbell();
    ASSERT_TRUE(eventually([&] { return readable(pipe.reader) == 64; }));
    EXPECT_EQ(other.wait(64, kLong), 64) << "the descriptor works without a mapping";
  }
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

TEST_F(Mapping, ProtectedAndBack) {
  const Rig rig;
  void* base = rig.client.base();
  const std::size_t bytes = rig.client.bytes();
  for (const int prot : {PROT_NONE, PROT_READ}) {
    for (unsigned bit = 0; bit < 64; ++bit) rig.client.fill(0, bit, call(SYS_getppid));
    rig.client.submit(0, ~__u64{0});
    ASSERT_EQ(::mprotect(base, bytes, prot), 0);
    ASSERT_EQ(rig.client.wait(64, kLong), 64);
    ASSERT_EQ(::mprotect(base, bytes, PROT_READ | PROT_WRITE), 0);
    for (unsigned bit = 0; bit < 64; ++bit) EXPECT_EQ(rig.client.take(0, bit), ::getppid());
  }
}

TEST_F(Mapping, MappedTwice) {
  const Rig rig;
  void* again =
      ::mmap(nullptr, rig.client.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, rig.client.fd(), 0);
  ASSERT_NE(again, MAP_FAILED);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  const auto* header = static_cast<flexsc_client_header*>(again);
  const auto* entry =
      reinterpret_cast<flexsc_entry*>(static_cast<char*>(again) + FLEXSC_HEADER_BYTES);
  EXPECT_EQ(header->nr_pages, 1U);
  EXPECT_EQ(entry->result, ::getppid()) << "both show the same memory";
  ::munmap(again, rig.client.bytes());
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// The kernel moves a mapping; the addresses that the process knew are gone, the pages are not.
TEST_F(Mapping, MovedUnderTheWorkers) {
  const Rig rig({.spin_us = 500});
  Client moved(rig.group);
  const Pipe pipe = make_pipe();
  for (unsigned bit = 0; bit < 64; ++bit) {
    moved.fill(0, bit, call(SYS_write, pipe.writer.get(), "m", 1));
  }
  void* room = ::mmap(nullptr, moved.bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(room, MAP_FAILED);
  void* before = moved.base();
  moved.submit(0, ~__u64{0});
  ASSERT_EQ(::mremap(before, moved.bytes(), moved.bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, room),
            room);
  moved.unmap();  // where nothing is any more, while that is so
  EXPECT_EQ(moved.wait(64, kLong), 64);
  EXPECT_EQ(readable(pipe.reader), 64);
  const auto* header = static_cast<const flexsc_client_header*>(room);
  EXPECT_EQ(header->completion.page[0], ~__u64{0}) << "it shows the same pages";
  // With a size of 0 a second view would be made, and with DONTUNMAP an empty one be left.
  EXPECT_EQ(::mremap(room, 0, moved.bytes(), MREMAP_MAYMOVE), MAP_FAILED);
  EXPECT_EQ(::mremap(room, moved.bytes(), moved.bytes(), MREMAP_MAYMOVE | MREMAP_DONTUNMAP),
            MAP_FAILED);
  EXPECT_EQ(::munmap(room, moved.bytes()), 0);
}

TEST_F(Mapping, PartlyUnmapped) {
  const Rig rig({.spin_us = 500}, 4);
  Client other(rig.group, 4);
  const Pipe pipe = make_pipe();
  for (unsigned page = 0; page < 4; ++page) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      other.fill(page, bit, call(SYS_write, pipe.writer.get(), "p", 1));
    }
  }
  auto* bytes = static_cast<char*>(other.base());
  for (unsigned page = 0; page < 4; ++page) other.submit(page, ~__u64{0});
  // Entries, and completion words; what is left of the header still works.
  ASSERT_EQ(::munmap(bytes + FLEXSC_HEADER_BYTES + FLEXSC_PAGE_BYTES, 2 * FLEXSC_PAGE_BYTES), 0);
  EXPECT_EQ(other.wait(256, kLong), 256);
  EXPECT_EQ(readable(pipe.reader), 256);
  for (unsigned page = 0; page < 4; ++page) EXPECT_EQ(other.completed(page), ~__u64{0});
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// What madvise() can do to memory: some of it is refused, the rest is the process's own loss.
TEST_F(Mapping, Advice) {
  const Rig rig({.spin_us = 500});
  const auto advise = [&](int advice) {
    return ::madvise(rig.client.base(), rig.client.bytes(), advice) == 0 ? 0 : -errno;
  };
  // A child is to have no pages with which it could have calls made by its parent.
  EXPECT_EQ(advise(MADV_DOFORK), -EINVAL);
  EXPECT_EQ(advise(MADV_DONTFORK), 0);
  // Nor are they part of a dump.
  EXPECT_EQ(advise(MADV_DODUMP), -EINVAL);
  EXPECT_EQ(advise(MADV_DONTDUMP), 0);
  EXPECT_EQ(advise(MADV_WIPEONFORK), -EINVAL);
  EXPECT_EQ(advise(MADV_FREE), -EINVAL);
  EXPECT_LT(advise(MADV_REMOVE), 0);
  constexpr int kCold = 20;      // MADV_COLD
  constexpr int kPageout = 21;   // MADV_PAGEOUT
  constexpr int kPopulate = 23;  // MADV_POPULATE_WRITE
  for (const int advice : {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_MERGEABLE,
                           MADV_HUGEPAGE, MADV_NOHUGEPAGE, kCold, kPageout, kPopulate}) {
    (void)advise(advice);
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid()) << advice;
  }
  EXPECT_EQ(::mlock(rig.client.base(), rig.client.bytes()), 0);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(::munlock(rig.client.base(), rig.client.bytes()), 0);
  EXPECT_EQ(direct(SYS_remap_file_pages, rig.client.base(), 4096, 0, 1, 0), -EINVAL);
}

// It takes the pages out of the mapping; the process that touches it has a fault, the workers not.
TEST_F(Mapping, ThrownAway) {
  EXPECT_EQ(in_child([] {
              const Rig rig({.spin_us = 500});
              const Pipe pipe = make_pipe();
              for (unsigned bit = 0; bit < 64; ++bit) {
                rig.client.fill(0, bit, call(SYS_write, pipe.writer.get(), "d", 1));
              }
              rig.client.submit(0, ~__u64{0});
              REQUIRE_EQ(::madvise(rig.client.base(), rig.client.bytes(), MADV_DONTNEED), 0);
              REQUIRE_EQ(rig.client.wait(64, kLong), 64);
              REQUIRE_EQ(readable(pipe.reader), 64);
              ::signal(SIGBUS, SIG_DFL);
              (void)rig.client.completed(0);
            }),
            "signal 7");
}

// The memory of a call in flight goes away: a fault in the kernel, an error in the result.
TEST_F(Mapping, BufferUnmappedDuringTheCall) {
  const Rig rig;
  const Pipe pipe = make_pipe();
  void* buffer = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(buffer, MAP_FAILED);
  wait_in_read(rig.client, 0, 0, pipe, static_cast<char*>(buffer));
  ASSERT_EQ(::munmap(buffer, 4096), 0);
  put(pipe.writer, "x");
  EXPECT_EQ(rig.client.await(0, 0), -EFAULT);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

// An entry may describe memory inside the pages themselves.
TEST_F(Mapping, ResultsIntoThePages) {
  const Rig rig({}, 2);
  const Pipe pipe = make_pipe();
  flexsc_entry& target = rig.client.entry(1, 7);
  put(pipe.writer, std::string(64, 'E'));
  EXPECT_EQ(rig.client.run(SYS_read, pipe.reader.get(), &target, 64), 64);
  EXPECT_EQ(target.nr, 0x45454545U);
  EXPECT_EQ(rig.client.run(SYS_write, pipe.writer.get(), rig.client.base(), 4096), 4096);
  EXPECT_EQ(rig.client.run(SYS_getcwd, &rig.client.entry(0, 0), 64),
            direct(SYS_getcwd, &rig.client.entry(1, 0), 64));
}

}  // namespace
}  // namespace flexsc_guest
