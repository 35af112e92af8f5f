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

#define ARGS0 0
#define ARGS3 FLEXSC_CALL_ARGS
#define ARGS6 (FLEXSC_CALL_ARGS | FLEXSC_CALL_ARGS4)
#define PLAIN                                                           \
	(FLEXSC_CLASS_WORKER | FLEXSC_CALL_FLUSHED | FLEXSC_CALL_WORKED | \
	 FLEXSC_CALL_HELPED)
#define LOOKED_AT (FLEXSC_CLASS_WORKER | FLEXSC_CALL_FLUSHED)

/*
 * A class, what is known of the call, and how many arguments it takes: none, at
 * most 3, at most 6.
 */
#define W0(name) [__NR_##name] = PLAIN | ARGS0
#define W3(name) [__NR_##name] = PLAIN | ARGS3
#define W6(name) [__NR_##name] = PLAIN | ARGS6
#define W3_FD(name) [__NR_##name] = PLAIN | FLEXSC_CALL_FD | ARGS3
#define W6_FD(name) [__NR_##name] = PLAIN | FLEXSC_CALL_FD | ARGS6
#define W3_IN(name) \
	[__NR_##name] = LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_IN | ARGS3
#define W6_IN(name) \
	[__NR_##name] = LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_IN | ARGS6
#define W3_OUT(name) \
	[__NR_##name] = LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_OUT | ARGS3
#define W6_OUT(name) \
	[__NR_##name] = LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_OUT | ARGS6
/* They wait if what they open is a FIFO. */
#define W_OPENS(name) \
	[__NR_##name] = LOOKED_AT | FLEXSC_CALL_WORKED | ARGS6
#define W_SLEEPS(name) [__NR_##name] = LOOKED_AT | FLEXSC_CALL_SLEEPS | ARGS6
#define W_FD_SLEEPS(name) \
	[__NR_##name] = LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_SLEEPS | ARGS6
#define A(name) [__NR_##name] = FLEXSC_CLASS_ARGS
#define A_FD(name) [__NR_##name] = FLEXSC_CLASS_ARGS | FLEXSC_CALL_FD
#define A_SLEEPS(name) [__NR_##name] = FLEXSC_CLASS_ARGS | FLEXSC_CALL_SLEEPS
#define C(name) \
	[__NR_##name] = FLEXSC_CLASS_CALLER | FLEXSC_CALL_FLUSHED | ARGS6

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

const u16 flexsc_calls[FLEXSC_NR_CALLS] = {
	[FLEXSC_NR_NOP] = PLAIN | ARGS0,

	/* Reading and writing. */
	W3_IN(read), W3_OUT(write), W3_IN(readv), W3_OUT(writev),
	W6_FD(pread64), W6_FD(pwrite64), W6_FD(preadv), W6_FD(pwritev),
	W_FD_SLEEPS(preadv2), W_FD_SLEEPS(pwritev2), A_FD(lseek),
	W6_OUT(sendfile), W_FD_SLEEPS(splice), W_FD_SLEEPS(tee),
	W_FD_SLEEPS(vmsplice), W_FD_SLEEPS(copy_file_range), W3_FD(readahead),
	W6_FD(fadvise64), W_FD_SLEEPS(fsync), W_FD_SLEEPS(fdatasync),
	W_FD_SLEEPS(sync_file_range), W_SLEEPS(sync), W_FD_SLEEPS(syncfs),
	W6_FD(fallocate), W3_FD(ftruncate), W3(truncate), W6_FD(cachestat),

	/* Descriptors: the table is shared. */
	W_OPENS(open), W_OPENS(openat), W_OPENS(openat2), W_OPENS(creat),
	W3_FD(close), A(close_range), W3_FD(dup), W3_FD(dup2), W3_FD(dup3),
	W3(pipe), W3(pipe2), A_FD(fcntl), A_FD(flock), A_FD(ioctl),
	W3(memfd_create), W3(eventfd), W3(eventfd2), W3(timerfd_create),
	W6_FD(timerfd_settime), W3_FD(timerfd_gettime), W0(inotify_init),
	W3(inotify_init1), W3_FD(inotify_add_watch), W3_FD(inotify_rm_watch),
	W3(epoll_create), W3(epoll_create1), W6_FD(epoll_ctl),
	A_FD(epoll_wait), A_FD(epoll_pwait), A(epoll_pwait2), W_SLEEPS(poll),
	A_SLEEPS(ppoll), W_SLEEPS(select), A_SLEEPS(pselect6),
	/* What a signalfd reads depends on the thread that made or reads it. */
	C(signalfd), C(signalfd4),

	/* Names: working directory, root and umask are shared. */
	W3(stat), W3_FD(fstat), W3(lstat), W6(newfstatat), W6(statx),
	W3(statfs), W3_FD(fstatfs), W3(access), W3(faccessat), W6(faccessat2),
	W3(readlink), W6(readlinkat), W3_FD(getdents), W3_FD(getdents64),
	W3(getcwd), W3(rename), W6(renameat), W6(renameat2), W3(link),
	W6(linkat), W3(unlink), W3(unlinkat), W3(symlink), W3(symlinkat),
	W3(mkdir), W3(mkdirat), W3(rmdir), W3(mknod), W6(mknodat), W3(chmod),
	W3_FD(fchmod), W3(fchmodat), W6(fchmodat2), W3(chown), W3_FD(fchown),
	W3(lchown), W6(fchownat), W3(utime), W3(utimes), W3(futimesat),
	W6(utimensat), W6(setxattr), W6(lsetxattr), W6_FD(fsetxattr),
	W6(getxattr), W6(lgetxattr), W6_FD(fgetxattr), W3(listxattr),
	W3(llistxattr), W3_FD(flistxattr), W3(removexattr), W3(lremovexattr),
	W3_FD(fremovexattr), W6(name_to_handle_at),
	/* They race with queued calls that use names. */
	C(chdir), C(fchdir), C(umask),

	/* Sockets. */
	W3(socket), W6(socketpair), W3_FD(bind), W3_FD(listen), W3_IN(accept),
	W6_IN(accept4), W_FD_SLEEPS(connect), W3_FD(shutdown),
	W3_FD(getsockname), W3_FD(getpeername), W6_FD(setsockopt),
	W6_FD(getsockopt), W6_IN(recvfrom), W6_OUT(sendto), W3_IN(recvmsg),
	W3_OUT(sendmsg), W_FD_SLEEPS(recvmmsg), W_FD_SLEEPS(sendmmsg),

	/* Memory: shared. */
	W6(mmap), W3(munmap), W3(mprotect), W3(madvise), W6(mremap),
	W_SLEEPS(msync), W3(mincore), W3(mlock), W3(mlock2), W3(munlock),
	W3(mlockall), W0(munlockall), W3(brk), W6(mbind), W3(membarrier),
	W6(pkey_mprotect), W3(pkey_free),

	/* Asking. */
	W0(getpid), W0(getppid), W0(getuid), W0(geteuid), W0(getgid),
	W0(getegid), W3(getgroups), W3(getresuid), W3(getresgid), W3(getpgid),
	W0(getpgrp), W3(getsid), W3(capget), W3(uname), W3(sysinfo),
	W3(times), W3(getrandom), W3(time), W3(gettimeofday),
	A(clock_gettime), W3(clock_getres),
	/* ... with answers that depend on the thread. */
	C(gettid), C(getrusage), C(getrlimit), C(prlimit64), C(setrlimit),
	C(getitimer), C(getpriority), C(getcpu),

	/* Time. An interrupted sleep is restarted with what is left of it. */
	W_SLEEPS(nanosleep), W_SLEEPS(clock_nanosleep), C(alarm),
	C(setitimer), C(timer_create), C(timer_settime), C(timer_gettime),
	C(timer_getoverrun), C(timer_delete),

	/* Processes and signals. */
	W3(kill), W3(tgkill), W3(tkill), W3(pidfd_open),
	W6(pidfd_send_signal), W3(pidfd_getfd), W6(process_vm_readv),
	W6(process_vm_writev), W6(kcmp), A(wait4), A(waitid),
	C(rt_sigqueueinfo), C(rt_tgsigqueueinfo), C(rt_sigaction), C(setpgid),
	C(setsid),

	/* Waiting for each other. */
	A(futex), W6(futex_wake), W6(futex_requeue), C(futex_wait),
	C(futex_waitv), W3(semget), W6(semctl), C(semop), C(semtimedop),
	W3(msgget), W3(msgctl), A(msgsnd), A(msgrcv), C(shmget), C(shmat),
	C(shmctl), C(shmdt), W6(mq_open), W3(mq_unlink), W3(mq_getsetattr),
	C(mq_timedsend), C(mq_timedreceive), C(mq_notify), W3(io_setup),
	C(io_destroy), C(io_submit), C(io_cancel), C(io_getevents),
};

/* The highest byte of the offset that makes an lseek() a command. */
#define FIRST_COMMAND ((u64)FLEXSC_CMD(FLEXSC_CMD_DOORBELL, 0) >> 56)
#define LAST_COMMAND ((u64)FLEXSC_CMD(FLEXSC_CMD_WAIT, 0) >> 56)

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
		/* With a client, it would be a command. */
		return regs->si >> 56 >= FIRST_COMMAND &&
				       regs->si >> 56 <= LAST_COMMAND &&
				       (u32)regs->dx == SEEK_SET ?
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
