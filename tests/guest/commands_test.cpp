// SPDX-License-Identifier: MIT
// Commands of a client descriptor, and everything else that lseek can be asked for there.
#include <climits>
#include <thread>

#include "modes.hpp"

namespace flexsc_guest {
namespace {

class Commands : public GuestTest {};

TEST_F(Commands, UnknownOnes) {
  const Rig rig;
  for (unsigned op = 0; op < 128; ++op) {
    if (op >= FLEXSC_CMD_DOORBELL && op <= FLEXSC_CMD_WAIT) continue;
    for (const __u64 argument : {__u64{0}, __u64{1}, (__u64{1} << 56) - 1}) {
      EXPECT_EQ(command(rig.client.fd(), op, argument), -EINVAL) << op << ", " << argument;
    }
  }
}

TEST_F(Commands, WrongArguments) {
  const Rig rig;
  const int fd = rig.client.fd();
  for (const __u64 pool : {__u64{1}, __u64{8}, __u64{1} << 32, (__u64{1} << 56) - 1}) {
    EXPECT_EQ(command(fd, FLEXSC_CMD_DOORBELL, pool), -EINVAL) << pool;
    EXPECT_EQ(command(fd, FLEXSC_CMD_FLUSH, pool), -EINVAL) << pool;
    EXPECT_EQ(command(fd, FLEXSC_CMD_NOTIFY, pool), -EINVAL) << pool;
  }
  for (unsigned bit = 2; bit < 8; ++bit) {
    EXPECT_EQ(command(fd, FLEXSC_CMD_WAIT, FLEXSC_WAIT(1U << bit, 0, 0)), -EINVAL) << bit;
  }
  EXPECT_EQ(rig.client.wait(65, 0ns), -EINVAL);
  EXPECT_EQ(rig.client.wait(0xffff, 0ns), -EINVAL);
  // None of them did anything: no NOTIFY is kept, nothing was flushed or counted.
  rig.client.fill(0, 0, call(SYS_getppid));
  rig.client.set(0, 1, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(command(fd, FLEXSC_CMD_FLUSH, 1), -EINVAL);
  EXPECT_EQ(rig.client.completions(), 0U);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(rig.client.wait(1, 20ms), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - before, 20ms);
  const flexsc_stats stats = rig.group.stats();
  EXPECT_EQ(stats.flushes, 0U);
  EXPECT_EQ(stats.doorbells, 0U);
}

// It has no position.
TEST_F(Commands, OtherOffsetsAndWhences) {
  const Rig rig;
  const int fd = rig.client.fd();
  for (const long offset : {0L, 1L, 4096L, LONG_MAX}) {
    for (const int whence : {SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE}) {
      EXPECT_EQ(direct(SYS_lseek, fd, offset, whence), -ESPIPE) << offset << ", " << whence;
    }
  }
  for (const int whence : {SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE}) {
    EXPECT_EQ(direct(SYS_lseek, fd, FLEXSC_CMD(FLEXSC_CMD_NOTIFY, 0), whence), -ESPIPE) << whence;
  }
  for (const int whence : {-1, 5, 1 << 30}) {
    EXPECT_EQ(direct(SYS_lseek, fd, FLEXSC_CMD(FLEXSC_CMD_NOTIFY, 0), whence), -EINVAL) << whence;
  }
  EXPECT_EQ(rig.client.wait(1, 1ms), 0) << "it was not notified";
  // The group's descriptor knows none of them.
  for (unsigned op = 0; op < 8; ++op) EXPECT_LT(command(rig.group.fd(), op, 0), 0) << op;
  // Nor can a client be read or written.
  char byte = 0;
  EXPECT_LT(direct(SYS_read, fd, &byte, 1), 0);
  EXPECT_LT(direct(SYS_write, fd, &byte, 1), 0);
  EXPECT_LT(direct(SYS_pread64, fd, &byte, 1, 0), 0);
}

TEST_F(Commands, ThroughACopyOfTheDescriptor) {
  Rig rig;
  const Fd copy(::dup(rig.client.fd()));
  rig.client.close();
  rig.client.fill(0, 0, call(SYS_getppid));
  rig.client.set(0, 1, FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(command(copy.get(), FLEXSC_CMD_FLUSH, 0), 1);
  EXPECT_EQ(rig.client.take(0, 0), ::getppid());
}

TEST_F(Commands, DoorbellIsCounted) {
  const Rig rig({.concurrency = 1, .spin_us = 0});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rig.client.doorbell(), 0);
  const flexsc_stats stats =
      rig.group.stats(FLEXSC_STATS_CLIENT, static_cast<__u32>(rig.client.fd()));
  EXPECT_EQ(stats.doorbells, 5U);
  EXPECT_LE(rig.group.stats().wakes, 5U);
}

/// No entry may give a command, whoever executes it.
class CommandsInside : public ModesTest {};
FLEXSC_IN_ALL_MODES(CommandsInside);

TEST_P(CommandsInside, AreRefused) {
  const Rig rig = make_rig();
  const int fd = rig.client.fd();
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "seek", MFD_CLOEXEC)));
  for (unsigned op = FLEXSC_CMD_DOORBELL; op <= FLEXSC_CMD_WAIT; ++op) {
    const __s64 offset = FLEXSC_CMD(op, 0);
    EXPECT_EQ(run_one(rig, call(SYS_lseek, fd, offset, SEEK_SET)), -FLEXSC_E_REFUSED) << op;
    // Whatever the descriptor is now: it can be replaced before the call.
    EXPECT_EQ(run_one(rig, call(SYS_lseek, file.get(), offset, SEEK_SET)), -FLEXSC_E_REFUSED);
    EXPECT_EQ(run_one(rig, call(SYS_lseek, -1, offset, SEEK_SET)), -FLEXSC_E_REFUSED);
    // The kernel takes descriptor and whence from 32 bits.
    EXPECT_EQ(run_one(rig, call(SYS_lseek, fd, offset, 0xabcdef0000000000UL)), -FLEXSC_E_REFUSED);
    EXPECT_EQ(
        run_one(rig, call(SYS_lseek, static_cast<__u64>(fd) | 0xabcd00000000UL, offset, SEEK_SET)),
        -FLEXSC_E_REFUSED);
  }
  // The waits of other clients are not ended, and nothing was flushed.
  EXPECT_EQ(rig.client.wait(1, 1ms), 0);
}

TEST_P(CommandsInside, OtherSeeksAreNot) {
  const Rig rig = make_rig();
  const Fd file(static_cast<int>(direct(SYS_memfd_create, "seek", MFD_CLOEXEC)));
  put(file, "0123456789");
  EXPECT_EQ(run_one(rig, call(SYS_lseek, file.get(), -3, SEEK_CUR)), 7);
  EXPECT_EQ(run_one(rig, call(SYS_lseek, file.get(), -1, SEEK_END)), 9);
  EXPECT_EQ(run_one(rig, call(SYS_lseek, file.get(), 4, SEEK_SET)), 4);
  EXPECT_EQ(run_one(rig, call(SYS_lseek, file.get(), -1000, SEEK_CUR)), -EINVAL);
  EXPECT_EQ(run_one(rig, call(SYS_lseek, rig.client.fd(), 0, SEEK_SET)), -ESPIPE);
  EXPECT_EQ(
      run_one(rig, call(SYS_lseek, rig.client.fd(), FLEXSC_CMD(FLEXSC_CMD_NOTIFY, 0), SEEK_CUR)),
      -ESPIPE);
}

}  // namespace
}  // namespace flexsc_guest
