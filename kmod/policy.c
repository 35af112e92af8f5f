// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which call may run where. An allow list: a number that is not in the table
 * is refused.
 *
 *   W  in a worker, and by flush: it means the same in any thread of the
 *      process.
 *   A  the same, depending on its arguments, see check_args().
 *   C  by flush only: it depends on the calling thread, or would hold a worker
 *      for something that only another entry can bring about.
 *   -  (refused) it would change, end or expose the worker instead of the
 *      caller, or has no use that is worth the surface.
 *
 * The arguments that decide are those of our own copy of the entry. What a
 * pointer points to can change at any time and decides nothing.
 */
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/mutex.h>
#include <uapi/linux/futex.h>
#include <linux/ipc.h>
#include <linux/sockios.h>
#include <linux/time.h>
#include <uapi/linux/wait.h>
#include <asm/ioctls.h>
#include <asm/unistd.h>

#include "flexsc.h"

#define W(name) [__NR_##name] = FLEXSC_CLASS_WORKER
#define A(name) [__NR_##name] = FLEXSC_CLASS_ARGS
#define C(name) [__NR_##name] = FLEXSC_CLASS_CALLER

/* The same, and what is known of the call. */
#define W_FD(name) [__NR_##name] = FLEXSC_CLASS_WORKER | FLEXSC_CALL_FD
#define A_FD(name) [__NR_##name] = FLEXSC_CLASS_ARGS | FLEXSC_CALL_FD
#define W_IN(name) \
	[__NR_##name] = FLEXSC_CLASS_WORKER | FLEXSC_CALL_FD | FLEXSC_CALL_IN
#define W_OUT(name) \
	[__NR_##name] = FLEXSC_CLASS_WORKER | FLEXSC_CALL_FD | FLEXSC_CALL_OUT
#define W_SLEEPS(name) [__NR_##name] = FLEXSC_CLASS_WORKER | FLEXSC_CALL_SLEEPS
#define A_SLEEPS(name) [__NR_##name] = FLEXSC_CLASS_ARGS | FLEXSC_CALL_SLEEPS
#define W_FD_SLEEPS(name) \
	[__NR_##name] = FLEXSC_CLASS_WORKER | FLEXSC_CALL_FD | FLEXSC_CALL_SLEEPS

/* Newer than the oldest kernel we build for. */
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_futex_wake
#define __NR_futex_wake 454
#define __NR_futex_wait 455
#define __NR_futex_requeue 456
#endif

const u8 flexsc_classes[FLEXSC_NR_CLASSES] = {
	[FLEXSC_NR_NOP] = FLEXSC_CLASS_WORKER,

	/* Reading and writing. */
	W_IN(read), W_OUT(write), W_IN(readv), W_OUT(writev), W_FD(pread64), W_FD(pwrite64),
	W_FD(preadv), W_FD(pwritev), W_FD_SLEEPS(preadv2), W_FD_SLEEPS(pwritev2), A_FD(lseek), W_OUT(sendfile),
	W_FD_SLEEPS(splice), W_FD_SLEEPS(tee), W_FD_SLEEPS(vmsplice), W_FD_SLEEPS(copy_file_range), W_FD(readahead),
	W_FD(fadvise64), W_FD_SLEEPS(fsync), W_FD_SLEEPS(fdatasync), W_FD_SLEEPS(sync_file_range), W_SLEEPS(sync),
	W_FD_SLEEPS(syncfs), W_FD(fallocate), W_FD(ftruncate), W(truncate), W_FD(cachestat),

	/* Descriptors: the table is shared. */
	W(open), W(openat), W(openat2), W(creat), W_FD(close), A(close_range),
	W_FD(dup), W_FD(dup2), W_FD(dup3), W(pipe), W(pipe2), A_FD(fcntl), A_FD(flock),
	A_FD(ioctl), W(memfd_create), W(eventfd), W(eventfd2), W(timerfd_create),
	W_FD(timerfd_settime), W_FD(timerfd_gettime), W(inotify_init),
	W(inotify_init1), W_FD(inotify_add_watch), W_FD(inotify_rm_watch),
	W(epoll_create), W(epoll_create1), W_FD(epoll_ctl), A_FD(epoll_wait),
	A_FD(epoll_pwait), A(epoll_pwait2), W_SLEEPS(poll), A_SLEEPS(ppoll), W_SLEEPS(select),
	A_SLEEPS(pselect6),
	/* What a signalfd reads depends on the thread that made or reads it. */
	C(signalfd), C(signalfd4),

	/* Names: working directory, root and umask are shared. */
	W(stat), W_FD(fstat), W(lstat), W(newfstatat), W(statx), W(statfs),
	W_FD(fstatfs), W(access), W(faccessat), W(faccessat2), W(readlink),
	W(readlinkat), W_FD(getdents), W_FD(getdents64), W(getcwd), W(rename),
	W(renameat), W(renameat2), W(link), W(linkat), W(unlink), W(unlinkat),
	W(symlink), W(symlinkat), W(mkdir), W(mkdirat), W(rmdir), W(mknod),
	W(mknodat), W(chmod), W_FD(fchmod), W(fchmodat), W(fchmodat2), W(chown),
	W_FD(fchown), W(lchown), W(fchownat), W(utime), W(utimes), W(futimesat),
	W(utimensat), W(setxattr), W(lsetxattr), W_FD(fsetxattr), W(getxattr),
	W(lgetxattr), W_FD(fgetxattr), W(listxattr), W(llistxattr), W_FD(flistxattr),
	W(removexattr), W(lremovexattr), W_FD(fremovexattr), W(name_to_handle_at),
	/* They race with queued calls that use names. */
	C(chdir), C(fchdir), C(umask),

	/* Sockets. */
	W(socket), W(socketpair), W_FD(bind), W_FD(listen), W_IN(accept), W_IN(accept4),
	W_FD_SLEEPS(connect), W_FD(shutdown), W_FD(getsockname), W_FD(getpeername), W_FD(setsockopt),
	W_FD(getsockopt), W_IN(recvfrom), W_OUT(sendto), W_IN(recvmsg), W_OUT(sendmsg),
	W_FD_SLEEPS(recvmmsg), W_FD_SLEEPS(sendmmsg),

	/* Memory: shared. */
	W(mmap), W(munmap), W(mprotect), W(madvise), W(mremap), W_SLEEPS(msync),
	W(mincore), W(mlock), W(mlock2), W(munlock), W(mlockall),
	W(munlockall), W(brk), W(mbind), W(membarrier), W(pkey_mprotect),
	W(pkey_free),

	/* Asking. */
	W(getpid), W(getppid), W(getuid), W(geteuid), W(getgid), W(getegid),
	W(getgroups), W(getresuid), W(getresgid), W(getpgid), W(getpgrp),
	W(getsid), W(capget), W(uname), W(sysinfo), W(times), W(getrandom),
	W(time), W(gettimeofday), A(clock_gettime), W(clock_getres),
	/* ... with answers that depend on the thread. */
	C(gettid), C(getrusage), C(getrlimit), C(prlimit64), C(setrlimit),
	C(getitimer), C(getpriority), C(getcpu),

	/* Time. An interrupted sleep is restarted with what is left of it. */
	W_SLEEPS(nanosleep), W_SLEEPS(clock_nanosleep),
	C(alarm), C(setitimer), C(timer_create), C(timer_settime),
	C(timer_gettime), C(timer_getoverrun), C(timer_delete),

	/* Processes and signals. */
	W(kill), W(tgkill), W(tkill), W(pidfd_open), W(pidfd_send_signal),
	W(pidfd_getfd), W(process_vm_readv), W(process_vm_writev), W(kcmp),
	A(wait4), A(waitid),
	C(rt_sigqueueinfo), C(rt_tgsigqueueinfo), C(rt_sigaction), C(setpgid),
	C(setsid),

	/* Waiting for each other. */
	A(futex), W(futex_wake), W(futex_requeue), C(futex_wait),
	C(futex_waitv),
	W(semget), W(semctl), C(semop), C(semtimedop), W(msgget), W(msgctl),
	A(msgsnd), A(msgrcv), C(shmget), C(shmat), C(shmctl), C(shmdt),
	W(mq_open), W(mq_unlink), W(mq_getsetattr), C(mq_timedsend),
	C(mq_timedreceive), C(mq_notify),
	W(io_setup), C(io_destroy), C(io_submit), C(io_cancel), C(io_getevents),
};

static enum flexsc_call_class fcntl_class(u32 cmd)
{
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
	case F_GETFD:
	case F_SETFD:
	case F_GETFL:
	case F_SETFL:
	case F_GETLK:
	case F_SETLK: /* the owner is the descriptor table */
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_GETPIPE_SZ:
	case F_SETPIPE_SZ:
	case F_ADD_SEALS:
	case F_GET_SEALS:
		return FLEXSC_CLASS_WORKER;
	default:
		/* Waiting for a lock that another entry would release. */
		return FLEXSC_CLASS_CALLER;
	}
}

/*
 * Only these: others may act on the calling thread, and our own would nest a
 * flush in a flush until the stack is full. By command and not by file, since
 * a descriptor can be replaced between the check and the call.
 */
static enum flexsc_call_class ioctl_class(u32 cmd)
{
	switch (cmd) {
	case FIONREAD:
	case FIONBIO:
	case FIOCLEX:
	case FIONCLEX:
	case TIOCOUTQ:
	case TIOCGWINSZ:
	case TCGETS:
		return FLEXSC_CLASS_WORKER;
	default:
		return FLEXSC_CLASS_REFUSED;
	}
}

static enum flexsc_call_class futex_class(u32 op)
{
	switch (op & FUTEX_CMD_MASK) {
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
	case FUTEX_WAKE_OP:
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		return FLEXSC_CLASS_WORKER;
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		return FLEXSC_CLASS_CALLER;
	default: /* priority inheritance: the owner would be the worker */
		return FLEXSC_CLASS_REFUSED;
	}
}

static enum flexsc_call_class worker_if(bool condition)
{
	return condition ? FLEXSC_CLASS_WORKER : FLEXSC_CLASS_CALLER;
}

static enum flexsc_call_class check_args(const struct flexsc_call *call)
{
	const struct pt_regs *regs = &call->regs;

	switch (call->nr) {
	case __NR_lseek:
		/* With a client, these would be commands: FLEXSC_CMD(). */
		return (s64)regs->si < 0 && (u32)regs->dx == SEEK_SET ?
			       FLEXSC_CLASS_REFUSED : FLEXSC_CLASS_WORKER;
	case __NR_close_range:
		/* Would give the worker a descriptor table of its own. */
		return regs->dx & CLOSE_RANGE_UNSHARE ? FLEXSC_CLASS_REFUSED :
							FLEXSC_CLASS_WORKER;
	case __NR_fcntl:
		return fcntl_class(regs->si);
	case __NR_flock:
		return worker_if(regs->si & (LOCK_NB | LOCK_UN));
	case __NR_ioctl:
		return ioctl_class(regs->si);
	/* They return EINTR instead of being restarted. */
	case __NR_epoll_wait:
		return worker_if((int)regs->r10 == 0);
	case __NR_epoll_pwait:
		return worker_if((int)regs->r10 == 0 && !regs->r8);
	/* A signal mask would be the worker's. */
	case __NR_epoll_pwait2:
		return FLEXSC_CLASS_CALLER;
	case __NR_ppoll:
		return worker_if(!regs->r10);
	case __NR_pselect6:
		return worker_if(!regs->r9);
	/* Clocks of threads have this number, or a negative one. */
	case __NR_clock_gettime:
		return worker_if((int)regs->di >= 0 &&
				 (int)regs->di != CLOCK_THREAD_CPUTIME_ID);
	case __NR_wait4:
		return worker_if((regs->dx & WNOHANG) && !(regs->dx & __WNOTHREAD));
	case __NR_waitid:
		return worker_if((regs->r10 & WNOHANG) && !(regs->r10 & __WNOTHREAD));
	case __NR_futex:
		return futex_class(regs->si);
	case __NR_msgsnd:
		return worker_if(regs->r10 & IPC_NOWAIT);
	case __NR_msgrcv:
		return worker_if(regs->r8 & IPC_NOWAIT);
	default:
		return FLEXSC_CLASS_REFUSED;
	}
}

/* The calls that do not simply run. 0: go ahead. */
int flexsc_policy_decide(const struct flexsc_call *call, bool in_worker)
{
	enum flexsc_call_class class = flexsc_policy_class(call->nr);

	if (class == FLEXSC_CLASS_ARGS)
		class = check_args(call);
	switch (class) {
	case FLEXSC_CLASS_WORKER:
		return 0;
	case FLEXSC_CLASS_CALLER:
		return in_worker ? -FLEXSC_E_CALLER_ONLY : 0;
	default:
		return -FLEXSC_E_REFUSED;
	}
}

/*
 * Whether a call with FLEXSC_CALL_SLEEPS may do so with these arguments. A
 * helper that is wrong about one sleeps in it, as a direct call would.
 */
bool flexsc_policy_sleeps(const struct flexsc_call *call)
{
	return call->nr != __NR_poll || (int)call->regs.dx;
}
