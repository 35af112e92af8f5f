/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loop that makes plain calls, one after the other: what FlexSC costs
 * beside the calls themselves is mostly in here, so it does for an entry what
 * its call needs and nothing else. Whatever is not plain stops it and is served
 * by slower code.
 */
#ifndef FLEXSC_RUN_H
#define FLEXSC_RUN_H

#include <linux/sched.h>

#include "flexsc.h"
#include "op.h"
#include "trace.h"

/* A result that asks for more than being stored: restart codes, and EINTR. */
static inline bool flexsc_is_odd(long result)
{
	return flexsc_is_restart(result) || unlikely(result == -EINTR);
}

/*
 * What a return to user mode would look at. Task work is announced by these
 * flags. A call returns a restart code only while a signal is pending, and that
 * flag stays until this thread itself handles signals, which it does not while
 * it makes calls.
 */
static __always_inline bool flexsc_work_is_due(struct task_struct *self)
{
	return unlikely(READ_ONCE(task_thread_info(self)->flags) &
			(_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL |
			 _TIF_NOTIFY_RESUME));
}

/*
 * Makes the calls of the entries bit to end - 1 of a page, as long as they are
 * plain in the sense of plain (FLEXSC_CALL_*). Returns where it stopped; *odd
 * is then that entry's result, if it has one that is not stored yet. Watched
 * executors (workers, helpers) can be cancelled, interrupted and found asleep;
 * others cannot, and nothing of exec but the registers is used.
 */
static __always_inline unsigned int
flexsc_run(struct flexsc_exec *exec, struct flexsc_client *client,
	   unsigned int page, unsigned int bit, unsigned int end,
	   const u16 plain, const bool watched, long *odd)
{
	struct flexsc_entry *entry = &client->pages[page][bit];
	struct pt_regs *regs = &exec->call.regs;
	struct task_struct *self = current;
	const u16 *calls = client->calls;
	u64 claim = watched ? exec->claim : 0;

	if (watched && unlikely(signal_pending(self)))
		return bit;
	for (; bit < end; bit++, entry++) {
		/* Plain entries have neither flags nor from: a small number. */
		u64 head = flexsc_head_read(entry);
		unsigned long nr = head & (FLEXSC_NR_CALLS - 1);
		long result;
		u16 traits;

		if (unlikely(head >= FLEXSC_NR_CALLS))
			break;
		/* In bounds by the mask, under speculation too. */
		traits = calls[nr];
		if (unlikely(!(traits & plain)))
			break;
		if (watched) {
			/*
			 * bit before nr_cancels; CANCEL has the other order and
			 * makes this CPU pass a full barrier in between, see
			 * cancel.c.
			 */
			WRITE_ONCE(exec->bit, bit);
			barrier();
			if (unlikely(READ_ONCE(client->group->nr_cancels)))
				break;
		}
		if (traits & FLEXSC_CALL_ARGS) {
			regs->di = READ_ONCE(entry->args[0]);
			regs->si = READ_ONCE(entry->args[1]);
			regs->dx = READ_ONCE(entry->args[2]);
			if (traits & FLEXSC_CALL_ARGS4) {
				regs->r10 = READ_ONCE(entry->args[3]);
				regs->r8 = READ_ONCE(entry->args[4]);
				regs->r9 = READ_ONCE(entry->args[5]);
			}
		}
		result = static_call(fx_x64_sys_call)(regs, nr);
		if (flexsc_work_is_due(self)) {
			/* See flexsc_dispatch(). */
			if (task_work_pending(self))
				static_call(fx_task_work_run)();
			if (flexsc_is_odd(result)) {
				*odd = result;
				break;
			}
		}
		trace_flexsc_complete(client, page, bit, nr, result);
		WRITE_ONCE(entry->result, result);
		/* sched_out handed the rest back, or a signal came. */
		if (watched && unlikely(READ_ONCE(exec->claim) != claim ||
					signal_pending(self)))
			return bit + 1;
	}
	return bit;
}

#endif /* FLEXSC_RUN_H */
