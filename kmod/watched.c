// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that are watched in ways which do see calls that we execute, or
 * part of them. An administrator may want to refuse those too.
 *
 *   ptrace  A tracer that only attached, as a debugger does, sees workers as
 *           threads of the process and can stop them. It misses the entry and
 *           exit stops of their calls, for which it would have to ask; who has
 *           asked for them (strace) is refused anyway.
 *   audit   Records of system calls are made where a thread enters and leaves
 *           the kernel. A call in a worker or a flush leaves none, whatever the
 *           rules; records of other kinds (AVC, ANOM_*) are made as ever.
 */
#include <linux/jump_label.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/thread_info.h>

#include "flexsc.h"

static bool refuse_traced;
module_param(refuse_traced, bool, 0444);
MODULE_PARM_DESC(refuse_traced, "refuse processes with a ptrace tracer of any kind");
static bool refuse_audited;
module_param(refuse_audited, bool, 0444);
MODULE_PARM_DESC(refuse_audited, "refuse processes whose system calls are audited");

DEFINE_STATIC_KEY_FALSE(flexsc_refuse_watched);

/* A tracer or a rule that comes a moment later is found at the next look. */
bool flexsc_task_watched(struct task_struct *task)
{
	if (refuse_traced && READ_ONCE(task->ptrace))
		return true;
	return refuse_audited && READ_ONCE(task_thread_info(task)->syscall_work) &
					 SYSCALL_WORK_SYSCALL_AUDIT;
}

/* Before the device is there. */
void __init flexsc_watched_init(void)
{
	if (refuse_traced || refuse_audited)
		static_branch_enable(&flexsc_refuse_watched);
}
