// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a call may be made, where calls.h leaves that to its arguments. Those
 * that decide are those of our own copy of the entry. What a pointer points to
 * can change at any time and decides nothing.
 */
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <uapi/linux/futex.h>
#include <linux/ipc.h>
#include <linux/sockios.h>
#include <linux/time.h>
#include <uapi/linux/wait.h>
#include <asm/ioctls.h>
#include <asm/unistd.h>

#include "exec.h"
#include "flexsc.h"

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
int flexsc_policy_decide(const struct flexsc_call *call, u16 traits,
			 bool in_worker)
{
	enum flexsc_call_class class = traits & FLEXSC_CLASS_MASK;

	if (class == FLEXSC_CLASS_ARGS)
		class = check_args(call);
	if (class == FLEXSC_CLASS_WORKER && traits & FLEXSC_CALL_NO_WORKER)
		class = FLEXSC_CLASS_CALLER;
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
