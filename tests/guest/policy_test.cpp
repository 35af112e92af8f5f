// SPDX-License-Identifier: MIT
// The table of what runs where. A call that means something else in a worker thread and is let
// through is a silent bug in every program, so the classes are stated here a second time.
#include <array>
#include <vector>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Policy : public GuestTest {
 protected:
  static long read_policy(const Group& group, __u32 first, __u32 count, unsigned char* to) {
    flexsc_policy policy{};
    policy.size = sizeof policy;
    policy.first = first;
    policy.count = count;
    policy.classes = arg(to);
    return control(group.fd(), FLEXSC_IOC_POLICY, &policy);
  }
};

using Numbers = std::vector<long>;

const Numbers kWorker = {
    SYS_read,        SYS_write,      SYS_readv,     SYS_writev,   SYS_pread64,      SYS_pwrite64,
    SYS_preadv2,     SYS_pwritev2,   SYS_open,      SYS_openat,   SYS_openat2,      SYS_close,
    SYS_dup,         SYS_dup2,       SYS_dup3,      SYS_fsync,    SYS_fdatasync,    SYS_fallocate,
    SYS_ftruncate,   SYS_sendfile,   SYS_splice,    SYS_stat,     SYS_fstat,        SYS_lstat,
    SYS_newfstatat,  SYS_statx,      SYS_access,    SYS_readlink, SYS_getdents64,   SYS_getcwd,
    SYS_rename,      SYS_link,       SYS_unlink,    SYS_symlink,  SYS_mkdir,        SYS_rmdir,
    SYS_chmod,       SYS_socket,     SYS_bind,      SYS_listen,   SYS_connect,      SYS_accept,
    SYS_accept4,     SYS_recvfrom,   SYS_sendto,    SYS_recvmsg,  SYS_sendmsg,      SYS_shutdown,
    SYS_getsockname, SYS_setsockopt, SYS_epoll_ctl, SYS_eventfd2, SYS_pipe2,        SYS_mmap,
    SYS_munmap,      SYS_mprotect,   SYS_madvise,   SYS_getpid,   SYS_getppid,      SYS_getuid,
    SYS_poll,        SYS_nanosleep,  SYS_getrandom, SYS_uname,    SYS_memfd_create, FLEXSC_NR_NOP};

// They work on the calling thread, or wait for something that only another entry may bring.
const Numbers kCaller = {SYS_gettid, SYS_getcpu,    SYS_chdir,     SYS_fchdir,    SYS_umask,
                         SYS_alarm,  SYS_setitimer, SYS_getrusage, SYS_signalfd4, SYS_rt_sigaction};

const Numbers kArguments = {SYS_ioctl,    SYS_futex,       SYS_ppoll,       SYS_fcntl,
                            SYS_pselect6, SYS_epoll_wait,  SYS_epoll_pwait, SYS_flock,
                            SYS_wait4,    SYS_close_range, SYS_lseek};

const Numbers kRefused = {SYS_exit,
                          SYS_exit_group,
                          SYS_fork,
                          SYS_vfork,
                          SYS_clone,
                          SYS_clone3,
                          SYS_execve,
                          SYS_execveat,
                          SYS_rt_sigprocmask,
                          SYS_rt_sigsuspend,
                          SYS_rt_sigtimedwait,
                          SYS_rt_sigreturn,
                          SYS_sigaltstack,
                          SYS_pause,
                          SYS_restart_syscall,
                          SYS_setuid,
                          SYS_setresuid,
                          SYS_setfsuid,
                          SYS_setgroups,
                          SYS_capset,
                          SYS_seccomp,
                          SYS_keyctl,
                          SYS_ptrace,
                          SYS_perf_event_open,
                          SYS_bpf,
                          SYS_unshare,
                          SYS_setns,
                          SYS_chroot,
                          SYS_pivot_root,
                          SYS_mount,
                          SYS_umount2,
                          SYS_init_module,
                          SYS_finit_module,
                          SYS_delete_module,
                          SYS_reboot,
                          SYS_arch_prctl,
                          SYS_personality,
                          SYS_modify_ldt,
                          SYS_set_robust_list,
                          SYS_set_tid_address,
                          SYS_rseq,
                          SYS_io_uring_setup,
                          SYS_io_uring_enter,
                          SYS_io_uring_register,
                          SYS_sched_yield,
                          SYS_pkey_alloc,
                          SYS_userfaultfd};

TEST_F(Policy, ClassesOfTheCallsThatMatter) {
  const Group group;
  std::array<unsigned char, 1024> classes{};
  classes.fill(0xff);
  ASSERT_EQ(read_policy(group, 0, 1024, classes.data()), 0);
  const auto expect = [&](const Numbers& numbers, flexsc_call_class wanted) {
    for (const long nr : numbers) {
      EXPECT_EQ(+classes[static_cast<std::size_t>(nr)], +wanted) << "call number " << nr;
    }
  };
  expect(kWorker, FLEXSC_CLASS_WORKER);
  expect(kCaller, FLEXSC_CLASS_CALLER);
  expect(kArguments, FLEXSC_CLASS_ARGS);
  expect(kRefused, FLEXSC_CLASS_REFUSED);
  for (std::size_t nr = 512; nr < classes.size(); ++nr) {
    ASSERT_EQ(+classes[nr], +FLEXSC_CLASS_REFUSED) << nr;  // x32 and beyond the table
  }
}

TEST_F(Policy, RangeIsRespected) {
  const Group group;
  std::array<unsigned char, 8> classes{};
  classes.fill(0xff);
  ASSERT_EQ(read_policy(group, SYS_getpid, 1, classes.data() + 2), 0);
  EXPECT_EQ(classes[1], 0xff);
  EXPECT_EQ(+classes[2], +FLEXSC_CLASS_WORKER);
  EXPECT_EQ(classes[3], 0xff);
  EXPECT_EQ(read_policy(group, 0, 0, classes.data()), 0);
  EXPECT_EQ(classes[0], 0xff);
}

TEST_F(Policy, NumbersBeyondTheTableAreRefused) {
  const Group group;
  std::vector<unsigned char> classes(1024, 0xff);
  const std::vector<unsigned char> refused(1024, FLEXSC_CLASS_REFUSED);
  // first + count wraps around: it must not come out as the start of the table.
  for (const __u32 first : {600U, 0x80000000U, 0xffffffffU, 0xfffffc00U}) {
    classes.assign(1024, 0xff);
    ASSERT_EQ(read_policy(group, first, 1024, classes.data()), 0) << first;
    EXPECT_EQ(classes, refused) << first;
  }
}

TEST_F(Policy, BadRequestsAreRefused) {
  const Group group;
  std::vector<unsigned char> classes(2048);
  EXPECT_EQ(read_policy(group, 0, 1025, classes.data()), -EINVAL);
  EXPECT_EQ(read_policy(group, 0, 0xffffffff, classes.data()), -EINVAL);
  EXPECT_EQ(read_policy(group, 0, 16, nullptr), -EFAULT);
  flexsc_policy policy{};
  policy.size = sizeof policy;
  policy.count = 1;
  policy.reserved = 1;
  policy.classes = arg(classes.data());
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_POLICY, &policy), -EINVAL);
}

// What the table says is what happens.
TEST_F(Policy, ExecutionFollowsTheTable) {
  const Rig rig;
  for (const long nr : kRefused) {
    EXPECT_EQ(rig.client.run(nr, 0), -FLEXSC_E_REFUSED) << "worker, call number " << nr;
    EXPECT_EQ(rig.client.run_flushed(call(nr, 0)), -FLEXSC_E_REFUSED) << "flush, " << nr;
  }
  for (const long nr : kCaller) {
    EXPECT_EQ(rig.client.run(nr, 0), -FLEXSC_E_CALLER_ONLY) << "call number " << nr;
  }
  EXPECT_EQ(rig.client.run(FLEXSC_NR_NOP), -ENOSYS);
  EXPECT_EQ(rig.client.run_flushed(call(FLEXSC_NR_NOP)), -ENOSYS);
  for (const __u32 nr : {512U, 547U, 1024U, 0x40000000U, 0x40000001U, 0x80000000U, 0xffffffffU}) {
    EXPECT_EQ(rig.client.run(nr), -FLEXSC_E_REFUSED) << nr;
    EXPECT_EQ(rig.client.run_flushed(call(nr)), -FLEXSC_E_REFUSED) << nr;
  }
}

}  // namespace
}  // namespace flexsc_guest
