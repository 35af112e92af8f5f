// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains that are made at once by the thread that posted them, in a helping WAIT
 * or a flush. As long as nothing stops them there is nothing to keep of them but
 * where they are. So such a chain, or what is left of it, becomes an operation
 * (op.h), which costs more than several calls, only when it has to wait for a
 * file, to leave a call to a worker, or to let the thread see to a signal.
 */
#include <linux/bitops.h>
#include <linux/sched/signal.h>
#include <asm/unistd.h>

#include "chain.h"
#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "run.h"

/* What a chain may say that is made like this. */
#define QUICK_FLAGS                                              \
	(FLEXSC_ENTRY_LINK | FLEXSC_ENTRY_GO_ON | FLEXSC_ENTRY_END_ON_ZERO | \
	 FLEXSC_ENTRY_END_ON_SHORT)

#define NR_ARGS 6

/* Whose results the arguments of an entry are. False: that breaks a rule. */
static noinline bool read_from(const struct flexsc_entry *entry, u8 from,
			       unsigned int pos, u8 *position)
{
	unsigned int i;

	for (i = 0; from >> i; i++) {
		u64 arg;

		if (!(from & (1 << i)))
			continue;
		arg = READ_ONCE(entry->args[i]);
		if (arg >= pos)
			return false;
		position[i] = array_index_nospec(arg, pos);
	}
	return true;
}

/*
 * Reads the chain at a place, each field once. False: it is not one of calls of
 * this kind, or breaks a rule, which others report.
 */
static __always_inline bool read_chain(const u16 *calls, u16 kind, u16 is,
				       const struct flexsc_entry *entry,
				       struct flexsc_quick_chain *chain)
{
	unsigned int room = FLEXSC_PAGE_ENTRIES - flexsc_bit_of(entry), n = 0;
	u64 head;

	do {
		struct flexsc_quick_call *member = &chain->calls[n];
		u16 flags;
		u32 nr;

		head = flexsc_head_read(entry);
		flags = head >> 32;
		nr = (u32)head;
		if (unlikely(flags & ~QUICK_FLAGS || nr >= FLEXSC_NR_CALLS ||
			     head >> (48 + NR_ARGS)))
			return false;
		/* Under speculation too; the compiler must not know better. */
		OPTIMIZER_HIDE_VAR(nr);
		nr &= FLEXSC_NR_CALLS - 1;
		if ((calls[nr] & kind) != is)
			return false;
		member->nr = nr;
		member->flags = flags;
		member->from = head >> 48;
		if (unlikely(member->from) &&
		    !read_from(entry, member->from, n, member->position))
			return false;
		chain->n = ++n;
		entry++;
		if (!(flags & FLEXSC_ENTRY_LINK))
			return true;
	} while (n < room);
	return false;
}

/* Puts results into the place of arguments. */
static noinline void bind_results(struct pt_regs *regs,
				  const struct flexsc_quick_chain *chain,
				  const struct flexsc_quick_call *member)
{
	unsigned int from = member->from;

	do {
		unsigned int i = __ffs(from);

		from &= from - 1;
		*flexsc_argument(regs, i) = chain->calls[member->position[i]].last;
	} while (from);
}

/*
 * A plain call ended with *result, which does not stay as it is. Whether it has
 * one now; without one it has not happened yet, and the thread has to see to a
 * signal first.
 */
static noinline bool settle_plain(struct flexsc_exec *exec, long *result)
{
	u32 nr = exec->call.nr;

	/* Both leave off like this; only a flush can say so to its caller. */
	if (exec->mode == FLEXSC_BY_FLUSH) {
		*result = flexsc_exec_go_on(exec, &exec->call, NULL, *result);
		exec->stop |= *result == -EINTR && signal_pending(current);
		return true;
	}
	while (flexsc_is_restart(*result)) {
		if (!flexsc_only_task_work())
			return false;
		if (*result == -ERESTART_RESTARTBLOCK)
			nr = __NR_restart_syscall;
		*result = flexsc_dispatch(&exec->call, nr);
	}
	exec->stop |= *result == -EINTR;
	return true;
}

static __always_inline long make_plain(struct flexsc_exec *exec)
{
	struct task_struct *self = current;
	long result;

	result = static_call(fx_x64_sys_call)(&exec->call.regs, exec->call.nr);
	if (flexsc_work_is_due(self)) {
		/* See flexsc_dispatch(). */
		if (task_work_pending(self))
			static_call(fx_task_work_run)();
		if (flexsc_is_odd(result) && !settle_plain(exec, &result))
			return -FLEXSC_AGAIN;
	}
	return result;
}

/* A helper's call that is not plain: it may wait for its file, open one, or neither. */
static noinline long make_looked(struct flexsc_exec *exec, u16 traits,
				 struct flexsc_need *need)
{
	need->limited = false;
	if (unlikely(!(traits & (FLEXSC_CALL_IN | FLEXSC_CALL_OUT |
				 FLEXSC_CALL_SLEEPS | FLEXSC_CALL_WORKED))))
		return flexsc_exec_call(exec, &exec->call, NULL);
	if (likely(!(traits & FLEXSC_CALL_WORKED)))
		return flexsc_exec_looked(exec, traits, need);
	flexsc_forget(exec);
	return flexsc_exec_open(exec, &exec->call, NULL);
}

/* Whether the chain ends with this result of the executor's call. */
static __always_inline bool ends_here(const struct flexsc_exec *exec,
				      const struct flexsc_quick_call *member,
				      long result)
{
	/* Which argument is a size is looked up for those alone that need it. */
	if (likely(result >= 0 &&
		   !(member->flags & (FLEXSC_ENTRY_END_ON_ZERO |
				      FLEXSC_ENTRY_END_ON_SHORT))))
		return false;
	return flexsc_ends_chain(member->flags, result, &exec->call,
				 flexsc_size_at(member->nr));
}

/*
 * The call at pos was not made, for this reason: from there on the chain is an
 * operation.
 */
static noinline void give_up(struct flexsc_exec *exec, unsigned int page,
			     const struct flexsc_quick_chain *chain,
			     unsigned int pos, long why,
			     const struct flexsc_need *need)
{
	struct flexsc_op *op = flexsc_op_take_over(exec, page, chain, pos);

	if (why != -FLEXSC_WAITS) {
		exec->left |= why == -FLEXSC_LEAVE;
		exec->stop |= why == -FLEXSC_AGAIN;
		flexsc_op_push(op, why == -FLEXSC_LEAVE);
		return;
	}
	op->need = *need;
	flexsc_op_listed(exec, op);
	if (flexsc_op_arm(op) != FLEXSC_ARMED)
		flexsc_op_run(exec, op);
}

/*
 * Makes the chain that was read. Returns how many calls were made, or 0 if an
 * operation has it now.
 */
static __always_inline unsigned int
run_chain(struct flexsc_exec *exec, unsigned int page, struct flexsc_entry *entry,
	  struct flexsc_quick_chain *chain, const bool looks)
{
	const u16 *calls = exec->client->calls;
	struct flexsc_need need = {};
	unsigned int pos = 0;

	for (;;) {
		struct flexsc_quick_call *member = &chain->calls[pos];
		u16 traits = calls[member->nr];
		long result;

		exec->call.nr = member->nr;
		exec->call.regs.orig_ax = member->nr;
		flexsc_args_read(&exec->call.regs, entry);
		if (member->from)
			bind_results(&exec->call.regs, chain, member);
		if (!looks || likely(traits & FLEXSC_CALL_HELPED)) {
			/* It may be one that changes descriptors. */
			if (looks)
				flexsc_forget(exec);
			result = make_plain(exec);
		} else {
			result = make_looked(exec, traits, &need);
		}
		if (unlikely(result <= -FLEXSC_WAITS && result >= -FLEXSC_AGAIN)) {
			give_up(exec, page, chain, pos, result, &need);
			return 0;
		}
		/* Means nothing before the entry is complete. */
		WRITE_ONCE(entry->result, result);
		member->last = result;
		trace_flexsc_complete(exec->client, page, chain->bit + pos,
				      member->nr, result);
		entry++;
		if (++pos == chain->n || ends_here(exec, member, result))
			break;
	}
	return pos;
}

/* All calls of the chain that ever will have been made: so many. */
static void complete_chain(struct flexsc_client *client, struct flexsc_pool *pool,
			   unsigned int page, struct flexsc_entry *entry,
			   const struct flexsc_quick_chain *chain, unsigned int made)
{
	unsigned int pos;

	for (pos = made; pos != chain->n; pos++)
		WRITE_ONCE(entry[pos].result, -ECANCELED);
	flexsc_complete(client, page,
			GENMASK_ULL(chain->bit + chain->n - 1, chain->bit));
	if (pool) {
		flexsc_count_add(client, helped, made);
		flexsc_count_add(pool, helped, made);
	} else {
		flexsc_count_add(client, flushed, made);
	}
}

/*
 * Makes the chain at an entry, if it is one of plain calls: its entries are then
 * complete, or an operation has them. Sets exec->stop if the caller has to
 * return to user space before the next call. For who is no executor that CANCEL
 * finds.
 */
bool flexsc_plain_chain(struct flexsc_exec *exec, unsigned int page,
			struct flexsc_entry *entry)
{
	struct flexsc_client *client = exec->client;
	/* What is read of it is written first. */
	struct flexsc_quick_chain chain fx_uninitialized;
	unsigned int made;

	chain.bit = flexsc_bit_of(entry);
	if (!read_chain(client->calls, FLEXSC_CALL_HELPED, FLEXSC_CALL_HELPED,
			entry, &chain))
		return false;
	made = run_chain(exec, page, entry, &chain, false);
	if (made)
		complete_chain(client, exec->pool, page, entry, &chain, made);
	return true;
}

/*
 * The same for a helper, which looks before a call that could wait, and of all
 * calls that workers may make whatever their arguments are.
 */
bool flexsc_looked_chain(struct flexsc_exec *exec, unsigned int page,
			 struct flexsc_entry *entry)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_quick_chain chain fx_uninitialized;
	unsigned int made;

	chain.bit = flexsc_bit_of(entry);
	if (!read_chain(client->calls, FLEXSC_CLASS_MASK | FLEXSC_CALL_NO_WORKER,
			FLEXSC_CLASS_WORKER, entry, &chain))
		return false;
	/*
	 * in_chain before nr_cancels; CANCEL has the other order and makes this
	 * CPU pass a full barrier in between. So either we see the request, or
	 * it waits until the chain is over or an operation, which it finds.
	 */
	WRITE_ONCE(exec->in_chain, true);
	barrier();
	if (unlikely(READ_ONCE(client->group->nr_cancels))) {
		WRITE_ONCE(exec->in_chain, false);
		return false;
	}
	flexsc_forget(exec);
	made = run_chain(exec, page, entry, &chain, true);
	if (made) {
		complete_chain(client, exec->pool, page, entry, &chain, made);
		flexsc_client_completed(client);
	}
	/* After the operation is listed, or the entries are complete. */
	smp_store_release(&exec->in_chain, false);
	return true;
}
