// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading chains that become operations: each field once, and what follows from
 * it for all rounds.
 */
#include <linux/nospec.h>
#include <asm/unistd.h>

#include "chain.h"
#include "flexsc.h"
#include "op.h"

#define NR_ARGS 6

/* The call may make a descriptor that was open another file's. */
static bool replaces_file(u32 nr)
{
	return nr == __NR_close || nr == __NR_dup2 || nr == __NR_dup3;
}

/*
 * What follows from the rest of a member, whose arguments are loaded: for workers
 * and helpers, or for a flush. The last one is never simple.
 */
void flexsc_op_call_judge(struct flexsc_op_call *member, bool last, bool in_worker)
{
	long size;

	member->size_at = flexsc_size_at(member->call.nr);
	member->plain = member->traits & (in_worker ? FLEXSC_CALL_HELPED :
						      FLEXSC_CALL_FLUSHED);
	member->looked_at = in_worker &&
			    member->traits & (FLEXSC_CALL_IN | FLEXSC_CALL_OUT);
	member->simple = member->plain && !last && !member->from &&
			 !(member->flags & FLEXSC_ENTRY_SUM) &&
			 !replaces_file(member->call.nr);
	member->least = member->flags & FLEXSC_ENTRY_END_ON_ZERO ? 1 : 0;
	member->span = LONG_MAX - member->least;
	if (member->flags & FLEXSC_ENTRY_END_ON_SHORT) {
		size = flexsc_size_asked(&member->call, member->size_at);
		member->simple &= size > 0;
		member->least = size;
		member->span = 0;
	}
}

/* Reads each field of an entry once, and checks them. */
static int read_call(struct flexsc_op *op, unsigned int pos, bool in_worker,
		     s64 *deadline)
{
	const struct flexsc_entry *entry =
		&op->client->pages[op->page][op->bit + pos];
	struct flexsc_op_call *member = &op->calls[pos];
	bool last = pos + 1 == op->nr_calls;
	u64 head = flexsc_head_read(entry);
	unsigned int i;

	member->call.nr = (u32)head;
	flexsc_args_read(&member->call.regs, entry);
	member->flags = head >> 32;
	member->from = head >> 48;
	flexsc_op_call_ends(member, -ECANCELED);
	member->traits = flexsc_call_traits(op->client->calls, member->call.nr);
	flexsc_op_call_judge(member, last, in_worker);

	if (member->flags & ~FLEXSC_ENTRY_FLAGS || head >> (48 + NR_ARGS))
		return -EINVAL;
	/* What the length was taken from may have changed since. */
	if (last == !!(member->flags & FLEXSC_ENTRY_LINK))
		return -EINVAL;
	if (unlikely(member->flags & FLEXSC_ENTRY_REPEAT) && !last)
		return -EINVAL;
	if (unlikely(member->flags & FLEXSC_ENTRY_DEADLINE)) {
		if (pos)
			return -EINVAL;
		*deadline = READ_ONCE(entry->result);
	}
	for (i = 0; member->from >> i; i++) {
		unsigned long from = *flexsc_argument(&member->call.regs, i);

		if (!(member->from & (1 << i)))
			continue;
		if (from >= pos)
			return -EINVAL;
		member->position[i] = array_index_nospec(from, pos);
	}
	if (likely((member->traits & FLEXSC_CLASS_MASK) == FLEXSC_CLASS_WORKER))
		return 0;
	/* Arguments that are results are judged when they are there. */
	if ((member->traits & FLEXSC_CLASS_MASK) == FLEXSC_CLASS_ARGS &&
	    member->from)
		return 0;
	return flexsc_policy_check(&member->call, member->traits, in_worker);
}

/*
 * Copies the entries of op, which knows its place and how many there are. The
 * one that is at fault gets the error as its result.
 */
int flexsc_chain_read(struct flexsc_op *op, bool in_worker, s64 *deadline)
{
	unsigned int pos, bad = 0;
	int err = 0;

	for (pos = 0; pos < op->nr_calls; pos++) {
		int ret = read_call(op, pos, in_worker, deadline);

		if (ret && !err) {
			err = ret;
			bad = pos;
		}
	}
	if (err)
		flexsc_op_call_ends(&op->calls[bad], err);
	return err;
}
