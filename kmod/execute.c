// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executing what was claimed: by a worker, or by a thread that helps while it
 * waits. (A flush has a loop of its own, flush.c.)
 *
 * A claim is the set of bits that an executor took from a submission word. Each
 * bit of it is either executed by who claimed it, or, when that one falls
 * asleep inside a call, handed back to the word it came from (sched_out), where
 * whoever goes on finds it.
 */
#include <linux/bitops.h>
#include <linux/file.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <asm/unistd.h>

#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "run.h"
#include "trace.h"

/* Results of a worker that are shown together, while no call sleeps. */
#define SHOWN_TOGETHER 8

/* Of so many claims the latency of one is measured. */
#define LATENCY_EVERY 32

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
		exec->claim &= running;
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
 * do. Stops and freezers are in here, so it is not inside a call meanwhile.
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
static bool was_cancelled(struct flexsc_exec *exec)
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
	return was_cancelled(exec) ? -ECANCELED : 0;
}

/*
 * Makes a call, for op if it is one of an operation. Returns its result, or why
 * there is none: -FLEXSC_WAITS or -FLEXSC_AGAIN (helpers).
 */
long flexsc_exec_call(struct flexsc_exec *exec, struct flexsc_call *call,
		      struct flexsc_op *op)
{
	u32 nr = call->nr;
	long ret, why;

	while (flexsc_is_restart(ret = flexsc_dispatch(call, nr))) {
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
			if (op && READ_ONCE(op->end))
				return op->end;
			return -EINTR;
		}
		nr = ret == -ERESTART_RESTARTBLOCK ? __NR_restart_syscall :
						     call->nr;
	}
	return ret;
}

/*
 * After a call that was to be interrupted if it sleeps. Returns whether it was;
 * the flag that did it is taken away again.
 */
bool flexsc_exec_settle(struct flexsc_exec *exec)
{
	exec->interrupt = false;
	if (likely(!exec->interrupted))
		return false;
	exec->interrupted = false;
	clear_notify_signal();
	/* It may have stood for task work too. */
	if (task_work_pending(current))
		static_call(fx_task_work_run)();
	return true;
}

/* Puts the entry that runs back where it was posted. */
static long give_back(struct flexsc_exec *exec)
{
	flexsc_put_back(exec->client->group, BIT_ULL(exec->bit), exec->claim_word);
	return -FLEXSC_LATER;
}

/* A plain call that may wait for its file, or sleep. */
static long serve_waiting(struct flexsc_exec *exec, u16 traits)
{
	struct flexsc_call *call = &exec->call;
	struct file *file = NULL;
	struct flexsc_op *op;
	__poll_t events;
	long ret;

	do {
		ret = flexsc_look(exec, call, traits, &file, &events);
		if (!ret)
			ret = flexsc_exec_call(exec, call, NULL);
		/* Interrupted by itself: it looks again, and waits. */
	} while (flexsc_exec_settle(exec) && ret == -FLEXSC_WAITS);

	if (ret == -FLEXSC_WAITS) {
		op = flexsc_op_single(exec, file, events);
		if (op) {
			flexsc_op_listed(exec, op);
			if (flexsc_op_arm(op) != FLEXSC_ARMED)
				flexsc_op_run(exec, op);
			return -FLEXSC_LATER;
		}
		/* No memory to wait: the call itself does. */
		fput(file);
		if (exec->worker)
			return flexsc_exec_call(exec, call, NULL);
		ret = -FLEXSC_LEAVE;
	}
	if (ret == -FLEXSC_LEAVE)
		exec->left = true;
	if (ret == -FLEXSC_LEAVE || ret == -FLEXSC_AGAIN)
		return give_back(exec);
	return ret;
}

/* A helper opens something. If it has to wait, a worker does it instead. */
static long serve_open(struct flexsc_exec *exec)
{
	long ret;

	exec->interrupt = true;
	ret = flexsc_exec_call(exec, &exec->call, NULL);
	if (flexsc_exec_settle(exec) &&
	    (ret == -FLEXSC_WAITS || ret == -EINTR)) {
		exec->left = true;
		return give_back(exec);
	}
	return ret == -FLEXSC_AGAIN ? give_back(exec) : ret;
}

/* An entry of any kind. Returns its result, or -FLEXSC_LATER. */
static long serve_entry(struct flexsc_exec *exec,
			const struct flexsc_entry *entry, unsigned int bit)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_call *call = &exec->call;
	u64 head = flexsc_head_read(entry);
	long result;
	u16 traits;

	/* As in flexsc_run(). */
	WRITE_ONCE(exec->bit, bit);
	barrier();
	/* It may have run already, and been interrupted for that. */
	if (exec->worker && was_cancelled(exec))
		return -ECANCELED;
	if (unlikely(READ_ONCE(client->group->nr_cancels)) &&
	    flexsc_cancel_matches(exec, bit, (u32)head,
				  READ_ONCE(entry->args[0]))) {
		exec->not_made = true;
		flexsc_count(client, cancelled);
		flexsc_count(exec->pool, cancelled);
		return -ECANCELED;
	}
	if (unlikely(head >> 32)) {
		flexsc_op_begin(exec, exec->page, bit);
		return -FLEXSC_LATER;
	}

	call->nr = (u32)head;
	flexsc_args_read(&call->regs, entry);
	traits = flexsc_call_traits(client->calls, call->nr);
	result = flexsc_policy_check(call, traits, true);
	if (unlikely(result)) {
		exec->not_made = true;
		flexsc_count(client, refused);
		flexsc_count(exec->pool, refused);
		return result;
	}
	if (traits & (FLEXSC_CALL_IN | FLEXSC_CALL_OUT | FLEXSC_CALL_SLEEPS))
		return serve_waiting(exec, traits);
	if (!exec->worker && !(traits & FLEXSC_CALL_HELPED))
		return serve_open(exec);
	result = flexsc_exec_call(exec, call, NULL);
	if (unlikely(result == -FLEXSC_AGAIN))
		return give_back(exec);
	return result;
}

static void count_latency(struct flexsc_exec *exec, u64 begun)
{
	unsigned int bucket = ilog2((local_clock() - begun) | 1);

	bucket = min_t(unsigned int, bucket, FLEXSC_LATENCY_BUCKETS - 1);
	flexsc_count(exec->client, latency[bucket]);
	flexsc_count(exec->pool, latency[bucket]);
}

/* Shows the entries of the claim below bit. Returns how many. */
static unsigned int show_done(struct flexsc_exec *exec, unsigned int bit)
{
	u64 below = bit < FLEXSC_PAGE_ENTRIES ? BIT_ULL(bit) - 1 : ~0ULL;
	u64 done = exec->claim & below;

	if (!done)
		return 0;
	flexsc_complete(exec->client, exec->page, done);
	/* CANCEL finds them here until they are complete. */
	WRITE_ONCE(exec->claim, exec->claim & ~done);
	flexsc_client_completed(exec->client);
	return hweight64(done);
}

/* Sees to signals. Returns whether the rest of the claim is for others. */
static bool must_stop(struct flexsc_exec *exec)
{
	if (unlikely(signal_pending(current))) {
		if (exec->worker)
			return flexsc_exec_resume(exec);
		exec->stop = true;
	}
	if (exec->worker)
		return flexsc_worker_must_leave(exec->worker);
	return exec->stop || flexsc_group_stopped(exec->pool->group);
}

static void count_claim(struct flexsc_exec *exec, unsigned int size,
			unsigned int executed)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_pool *pool = exec->pool;
	unsigned int bucket = ilog2(size);

	flexsc_count(client, batch_size[bucket]);
	flexsc_count(pool, batch_size[bucket]);
	if (exec->worker) {
		flexsc_count_add(client, executed, executed);
		flexsc_count_add(pool, executed, executed);
	} else {
		flexsc_count_add(client, helped, executed);
		flexsc_count_add(pool, helped, executed);
	}
}

/* Executes and completes a claim, which is not empty. */
void flexsc_serve_claim(struct flexsc_exec *exec, struct flexsc_client *client,
			unsigned int page, u64 *word, u64 claim)
{
	struct flexsc_entry *entries = client->pages[page];
	const unsigned int together = exec->worker ? SHOWN_TOGETHER :
						     FLEXSC_PAGE_ENTRIES;
	const u16 plain = exec->worker ? FLEXSC_CALL_WORKED : FLEXSC_CALL_HELPED;
	unsigned int size = hweight64(claim), executed = 0;
	bool timed = !(exec->nr_claims % LATENCY_EVERY);
	u64 begun = timed ? local_clock() : 0;

	trace_flexsc_claim(client, exec->pool->index, page, claim);
	WRITE_ONCE(exec->client, client);
	WRITE_ONCE(exec->page, page);
	exec->claim_word = word;
	WRITE_ONCE(exec->bit, FLEXSC_PAGE_ENTRIES); /* none runs yet */
	/* What the claim is before it is there; CANCEL reads it first. */
	smp_wmb();
	WRITE_ONCE(exec->claim, claim);
	/* It is in claim before it is no longer claiming. */
	smp_wmb();
	WRITE_ONCE(exec->claiming, NULL);
	/* The claim before in_call; CANCEL reads them the other way round. */
	smp_wmb();
	WRITE_ONCE(exec->in_call, ++exec->nr_claims);
	barrier();
	while (exec->claim) {
		struct flexsc_entry *entry;
		unsigned int bit, end;
		long odd = 0, result;

		flexsc_lowest_run(exec->claim, &bit, &end);
		end = min(end, bit + together);
		entry = flexsc_run(exec, client, page, entries + bit,
				   entries + end, plain, true, &odd);
		bit = entry - entries;
		executed += show_done(exec, bit);
		if (bit == end || !(exec->claim & BIT_ULL(bit)))
			continue;
		/* It is this entry's turn, and it is not that simple. */
		if (unlikely(must_stop(exec))) {
			flexsc_put_back(client->group, exec->claim, word);
			WRITE_ONCE(exec->claim, 0);
			break;
		}
		exec->not_made = false;
		/* A restart code, if odd is one, means that nothing was done. */
		result = odd == -EINTR ? odd : serve_entry(exec, &entries[bit], bit);
		barrier();
		if (result == -FLEXSC_LATER) {
			WRITE_ONCE(exec->claim, exec->claim & ~BIT_ULL(bit));
		} else {
			trace_flexsc_complete(client, page, bit, exec->call.nr,
					      result);
			WRITE_ONCE(entries[bit].result, result);
			executed += show_done(exec, bit + 1) - exec->not_made;
		}
		/* After the entry has left the claim. */
		WRITE_ONCE(exec->in_op, false);
	}
	WRITE_ONCE(exec->in_call, 0);
	count_claim(exec, size, executed);
	if (unlikely(timed))
		count_latency(exec, begun);
}
