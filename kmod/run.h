/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loop that makes plain calls, one after the other: what FlexSC costs
 * beside the calls themselves is mostly in here, so it does for an entry what
 * its call needs and nothing else. Whatever is not plain stops it and is served
 * by slower code.
 */
#ifndef FLEXSC_RUN_H
#define FLEXSC_RUN_H

#include <linux/mm.h>
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
 * it makes calls. To be looked at after a call, which is a compiler barrier.
 */
static __always_inline bool flexsc_work_is_due(struct task_struct *self)
{
	/* data_race(): others set flags; one that is missed here is seen next. */
	return unlikely(data_race(task_thread_info(self)->flags) &
			(_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL |
			 _TIF_NOTIFY_RESUME));
}

/* The place of an entry in its page. */
static __always_inline unsigned int
flexsc_bit_of(const struct flexsc_entry *entry)
{
	return offset_in_page(entry) / sizeof(*entry);
}

/*
 * The lowest run of ones in bits, which has some: *first to *end - 1. Returns
 * the others.
 */
static __always_inline u64 flexsc_lowest_run(u64 bits, unsigned int *first,
					     unsigned int *end)
{
	/* Adding the lowest one carries through its run. */
	u64 others = bits & (bits + (bits & -bits));

	*first = __ffs64(bits);
	*end = fls64(bits ^ others);
	return others;
}

/*
 * Makes the calls of the entries entry to last - 1 of a page, as long as they
 * are plain in the sense of plain (FLEXSC_CALL_*). Returns where it stopped;
 * *odd is then that entry's result, if it has one that does not stay. Watched
 * executors (workers) can be cancelled, interrupted and found asleep; others
 * cannot, and nothing of exec but the registers is used.
 */
static __always_inline struct flexsc_entry *
flexsc_run(struct flexsc_exec *exec, struct flexsc_client *client,
	   unsigned int page, struct flexsc_entry *entry,
	   struct flexsc_entry *const last, const u16 plain, const bool watched,
	   long *odd)
{
	struct pt_regs *regs = &exec->call.regs;
	struct task_struct *self = current;
	const u16 *calls = client->calls;
	u64 claim = watched ? exec->claim : 0;

	if (watched && unlikely(signal_pending(self)))
		return entry;
	for (; entry != last; entry++) {
		/* Plain entries have neither flags nor from: a small number. */
		u64 nr = flexsc_head_read(entry);
		long result;
		u16 traits;

		if (unlikely(nr >= FLEXSC_NR_CALLS))
			break;
		/* Under speculation too; the compiler must not know better. */
		OPTIMIZER_HIDE_VAR(nr);
		nr &= FLEXSC_NR_CALLS - 1;
		traits = calls[nr];
		if (unlikely(!(traits & plain)))
			break;
		if (watched) {
			/*
			 * bit before nr_cancels; CANCEL has the other order and
			 * makes this CPU pass a full barrier in between, see
			 * cancel.c.
			 */
			WRITE_ONCE(exec->bit, flexsc_bit_of(entry));
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
		regs->orig_ax = nr;
		result = static_call(fx_x64_sys_call)(regs, nr);
		/* Means nothing before the entry is complete. */
		WRITE_ONCE(entry->result, result);
		if (flexsc_work_is_due(self)) {
			/* See flexsc_dispatch(). */
			if (task_work_pending(self))
				static_call(fx_task_work_run)();
			if (flexsc_is_odd(result)) {
				*odd = result;
				break;
			}
		}
		trace_flexsc_complete(client, page, flexsc_bit_of(entry),
				      READ_ONCE(regs->orig_ax), result);
		/* sched_out handed the rest back, or a signal came. */
		if (watched && unlikely(READ_ONCE(exec->claim) != claim ||
					signal_pending(self)))
			return entry + 1;
	}
	return entry;
}

#endif /* FLEXSC_RUN_H */
