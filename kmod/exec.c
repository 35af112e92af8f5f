// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executors: threads that make calls for clients. What the scheduler tells about
 * them when a call sleeps, and what becomes of a call that is interrupted.
 */
#include <linux/bitops.h>
#include <linux/sched/signal.h>
#include <asm/unistd.h>

#include "compat.h"
#include "exec.h"
#include "flexsc.h"
#include "look.h"
#include "op.h"
#include "resolve.h"
#include "trace.h"

/*
 * What sched_out may not do itself: wake. The executor is asleep inside a call
 * or was a moment ago.
 */
static void blocked_work_fn(struct irq_work *work)
{
	struct flexsc_exec *exec =
		container_of(work, struct flexsc_exec, blocked_work);
	struct flexsc_group *group = exec->pool->group;
	unsigned long flags;
	unsigned int i;

	if (exec->interrupted) {
		/* The call it sleeps in returns, see sched_out. */
		wake_up_process(exec->task);
		return;
	}
	raw_spin_lock_irqsave(&group->lock, flags);
	flexsc_pool_kick_locked(exec->pool);
	/* Carriers get what it completed before. */
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (group->clients[i])
			flexsc_client_completed_locked(group->clients[i]);
	}
	raw_spin_unlock_irqrestore(&group->lock, flags);
}

/*
 * The scheduler takes the executor off its CPU. Only when it sleeps inside a
 * call is there something to do: what it has claimed and not begun goes back,
 * what it has done is shown, and somebody else has to run. The run queue is
 * locked: nothing but stores, atomics and irq_work here.
 */
static void exec_sched_out(struct preempt_notifier *notifier,
			   struct task_struct *next)
{
	struct flexsc_exec *exec =
		container_of(notifier, struct flexsc_exec, notifier);

	if (!exec->in_call || !fx_current_sleeps())
		return;
	if (exec->interrupt) {
		/*
		 * Nobody sleeps for a file: what looked ready was taken by
		 * someone else. The call is interrupted, which leaves nothing
		 * done, and armed.
		 */
		exec->interrupt = false;
		exec->interrupted = true;
		exec->work_queued = true;
		set_tsk_thread_flag(current, TIF_NOTIFY_SIGNAL);
		irq_work_queue(&exec->blocked_work);
		return;
	}
	if (exec->claim) {
		u64 running = exec->bit < FLEXSC_PAGE_ENTRIES ? BIT_ULL(exec->bit) : 0;
		u64 done = exec->claim & (running - 1);
		u64 rest = exec->claim & ~done & ~running;

		if (done)
			flexsc_complete(exec->client, exec->page, done);
		if (rest) {
			flexsc_count_add(exec->pool, handed_back, hweight64(rest));
			/*
			 * Before running is lowered: who is woken for that
			 * looks at the words after. It is a full barrier.
			 */
			flexsc_put_back(exec->client->group, rest, exec->claim_word);
		}
		/* CANCEL finds them in one of the two places: after the above. */
		WRITE_ONCE(exec->claim, exec->claim & running);
	}
	flexsc_count(exec->pool, blocked);
	trace_flexsc_block(exec->pool);
	if (exec->worker) {
		exec->blocked = true;
		atomic_dec_return(&exec->pool->running);
	}
	exec->work_queued = true;
	irq_work_queue(&exec->blocked_work);
}

static void exec_sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct flexsc_exec *exec =
		container_of(notifier, struct flexsc_exec, notifier);

	if (exec->blocked) {
		exec->blocked = false;
		atomic_inc(&exec->pool->running);
	}
}

static struct preempt_ops exec_preempt_ops = {
	.sched_in = exec_sched_in,
	.sched_out = exec_sched_out,
};

/* Writes everything of an executor that is read before it is written. */
void flexsc_exec_init(struct flexsc_exec *exec, enum flexsc_mode mode,
		      struct flexsc_pool *pool)
{
	memset(exec, 0, offsetof(struct flexsc_exec, notifier));
	exec->mode = mode;
	exec->pool = pool;
	exec->task = current;
	preempt_notifier_init(&exec->notifier, &exec_preempt_ops);
	init_irq_work(&exec->blocked_work, blocked_work_fn);
	exec->call.regs.cs = __USER_CS;
	exec->call.regs.ss = __USER_DS;
}

/* From here to flexsc_exec_end() the scheduler tells when the caller sleeps. */
void flexsc_exec_begin(struct flexsc_exec *exec)
{
	exec->task = current; /* a worker is set up by its creator */
	preempt_disable();
	preempt_notifier_register(&exec->notifier);
	preempt_enable();
}

void flexsc_exec_end(struct flexsc_exec *exec)
{
	preempt_disable();
	preempt_notifier_unregister(&exec->notifier);
	preempt_enable();
	flexsc_exec_sync(exec);
}

/* Nothing of what sched_out has left to do goes on after this. */
void flexsc_exec_sync(struct flexsc_exec *exec)
{
	if (unlikely(exec->work_queued))
		irq_work_sync(&exec->blocked_work);
}

/*
 * A worker in the middle of something does what a return to user mode would
 * do. Stops and freezers are in here, so it is not inside a call meanwhile; to
 * CANCEL its entry is one that has not begun, see has_claimed().
 * Returns whether it has to leave.
 */
bool flexsc_exec_resume(struct flexsc_exec *exec)
{
	u64 id = exec->in_call;

	WRITE_ONCE(exec->in_call, 0);
	flexsc_worker_resume(exec->worker);
	WRITE_ONCE(exec->in_call, id);
	barrier();
	return flexsc_worker_must_leave(exec->worker);
}

/* Whether a CANCEL has found the plain call of a worker running. */
bool flexsc_exec_was_cancelled(struct flexsc_exec *exec)
{
	if (likely(READ_ONCE(exec->worker->cancel) !=
		   flexsc_call_id(exec->in_call, exec->bit)))
		return false;
	exec->not_made = true;
	flexsc_count(exec->client, cancelled);
	flexsc_count(exec->pool, cancelled);
	return true;
}

/*
 * A worker's call was interrupted. No signal handler can run there, so it is
 * always restarted, as the kernel would after a stop, unless it was cancelled
 * or the worker has to leave; then nothing of the call has happened. Returns 0
 * for a restart.
 */
static long worker_interrupted(struct flexsc_exec *exec, struct flexsc_op *op)
{
	if (flexsc_exec_resume(exec)) {
		if (!op) {
			exec->not_made = true;
			flexsc_count(exec->client, stopped);
			flexsc_count(exec->pool, stopped);
		}
		return -FLEXSC_E_STOPPED;
	}
	if (op)
		return READ_ONCE(op->end);
	return flexsc_exec_was_cancelled(exec) ? -ECANCELED : 0;
}

/*
 * After a restart code, or signal_pending(), in a flush: whether no signal but
 * task work (of io_uring, say) interrupts. It is done here, as a return to user
 * mode would do it, to make the call again afterwards. CANCEL sets an operation's
 * end and then the flag that is cleared here: look at the end after this.
 */
bool flexsc_only_task_work(void)
{
	if (task_sigpending(current))
		return false;
	clear_notify_signal();
	/* The flag before end, and before the work that raised it. */
	smp_mb__after_atomic();
	if (task_work_pending(current))
		static_call(fx_task_work_run)();
	return true;
}

/*
 * Goes on with a call that was made and returned ret, for op if it is one of an
 * operation: makes it again, or what is left of it, as long as that is a restart
 * code. Returns its result, or why there is none: -FLEXSC_WAITS or -FLEXSC_AGAIN
 * (helpers).
 */
long flexsc_exec_go_on(struct flexsc_exec *exec, struct flexsc_call *call,
		       struct flexsc_op *op, long ret)
{
	u32 nr = call->nr;
	bool restart;
	long why;

	while (flexsc_is_restart(ret)) {
		switch (exec->mode) {
		case FLEXSC_BY_WORKER:
			if (exec->interrupted)
				return -FLEXSC_WAITS;
			why = worker_interrupted(exec, op);
			if (why)
				return why;
			break;
		case FLEXSC_BY_HELPER:
			if (op && READ_ONCE(op->end))
				return op->end;
			if (exec->interrupted)
				return -FLEXSC_WAITS;
			exec->stop = true;
			return -FLEXSC_AGAIN;
		case FLEXSC_BY_FLUSH:
			restart = flexsc_only_task_work();
			if (op && READ_ONCE(op->end))
				return op->end;
			if (!restart)
				return -EINTR;
			break;
		}
		nr = ret == -ERESTART_RESTARTBLOCK ? __NR_restart_syscall :
						     call->nr;
		ret = flexsc_dispatch(call, nr);
	}
	return op ? flexsc_op_result(op, nr, ret) : ret;
}

/*
 * Looks, and makes the executor's call, which is none of an operation, if that
 * says so. Returns what either said, see flexsc_glance().
 */
long flexsc_exec_looked(struct flexsc_exec *exec, u16 traits,
			struct flexsc_need *need)
{
	long ret;

	do {
		ret = flexsc_glance(exec, &exec->call, traits, need);
		if (!ret)
			ret = flexsc_exec_call(exec, &exec->call, NULL);
		/* Interrupted by itself: it looks again, and waits. */
	} while (flexsc_exec_settle(exec, ret));
	return ret;
}

/*
 * A helper's call that opens something, for op if it is one of an operation.
 * -FLEXSC_LEAVE: it would have to wait, so a worker has to make it.
 */
long flexsc_exec_open(struct flexsc_exec *exec, struct flexsc_call *call,
		      struct flexsc_op *op)
{
	long ret;

	exec->interrupt = true;
	ret = flexsc_exec_call(exec, call, op);
	return flexsc_exec_settle(exec, ret) ? -FLEXSC_LEAVE : ret;
}

/*
 * The call that ended with ret was interrupted because it slept. Takes the flag
 * away that did it; see flexsc_exec_settle().
 */
bool flexsc_exec_interrupted(struct flexsc_exec *exec, long ret)
{
	exec->interrupted = false;
	/* What it counted on was not there. */
	flexsc_forget(exec);
	clear_notify_signal();
	/* It may have stood for task work too. */
	if (task_work_pending(current))
		static_call(fx_task_work_run)();
	/* Again, a socket with a time limit says EINTR. */
	return ret == -FLEXSC_WAITS || ret == -EINTR;
}
