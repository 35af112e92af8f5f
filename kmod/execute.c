// SPDX-License-Identifier: GPL-2.0-only
/* Executes one call through the kernel's own dispatch. */
#include <linux/errno.h>
#include <linux/task_work.h>
#include <asm/segment.h>
#include <asm/unistd.h>

#include "flexsc.h"
#include "resolve.h"

void flexsc_call_init(struct flexsc_call *call)
{
	memset(&call->regs, 0, sizeof(call->regs));
	call->regs.cs = __USER_CS;
	call->regs.ss = __USER_DS;
}

static long dispatch(struct flexsc_call *call, u32 nr)
{
	long ret = static_call(fx_x64_sys_call)(&call->regs, nr);

	/*
	 * A return to user mode would do this before the caller sees the
	 * result: above all the last fput() of a closed file.
	 */
	if (unlikely(task_work_pending(current)))
		static_call(fx_task_work_run)();
	return ret;
}

/* Codes that mean "interrupted" and never leave the kernel. */
static bool is_restart(long ret)
{
	switch (ret) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		return true;
	default:
		return false;
	}
}

/* In the context of a thread that asked for it. */
long flexsc_execute_caller(struct flexsc_call *call)
{
	long ret = dispatch(call, call->nr);

	if (unlikely(is_restart(ret)))
		return -EINTR;
	return ret;
}

/*
 * In a worker. No signal handler can run there, so an interrupted call is
 * always restarted, as the kernel would after a stop, unless the worker has to
 * leave; then nothing of the call has happened and it is reported as not begun.
 */
long flexsc_execute_worker(struct flexsc_worker *worker)
{
	struct flexsc_call *call = &worker->call;
	u32 nr = call->nr;
	long ret;

	/* See sched_out in worker.c. */
	WRITE_ONCE(worker->in_call, true);
	barrier();
	while (is_restart(ret = dispatch(call, nr))) {
		WRITE_ONCE(worker->in_call, false);
		if (flexsc_worker_resume(worker) ||
		    flexsc_worker_must_leave(worker))
			return -FLEXSC_E_STOPPED;
		nr = ret == -ERESTART_RESTARTBLOCK ? __NR_restart_syscall :
						     call->nr;
		WRITE_ONCE(worker->in_call, true);
		barrier();
	}
	barrier();
	WRITE_ONCE(worker->in_call, false);
	return ret;
}
