// SPDX-License-Identifier: MIT
// The mapping is the user's to break: the kernel goes through its own.
#include <sys/mman.h>

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

TEST_F(Mapping, MovedAndMappedTwice) {
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
