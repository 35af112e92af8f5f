// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains: system calls that are made one after the other without a crossing in
 * between (multi-calls; Rajagopalan, Debray, Hiltunen, Schlichting: System Call
 * Clustering, 2003). The contract is in flexsc/uapi.h at struct flexsc_entry.
 */
#include <linux/sched/signal.h>

#include "flexsc.h"
#include "op.h"

/* A worker goes on to other entries after so many rounds of one chain. */
#define ROUNDS_AT_A_TIME 64

#define NR_ARGS 6

/* The call may make a descriptor that was open another file's. */
static bool replaces_file(u32 nr)
{
	return nr == __NR_close || nr == __NR_dup2 || nr == __NR_dup3;
}

/*
 * What follows from the rest of a member, whose arguments are loaded. It is plain
 * if the table says so (FLEXSC_CALL_*), and never simple if it is the last one.
 */
void flexsc_op_call_judge(struct flexsc_op_call *member, bool last, u16 plain)
{
	long size;

	member->size_at = flexsc_size_at(member->call.nr);
	member->plain = member->traits & plain;
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
	flexsc_op_call_judge(member, last,
			     in_worker ? FLEXSC_CALL_HELPED : FLEXSC_CALL_FLUSHED);

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

/* Puts results into the place of arguments. */
static void bind_results(struct flexsc_op *op, struct flexsc_op_call *member)
{
	unsigned int from = member->from;

	do {
		unsigned int i = __ffs(from);

		from &= from - 1;
		/*
		 * Checked when it was read, below the member's own position.
		 * CANCEL reads the first one.
		 */
		WRITE_ONCE(*flexsc_argument(&member->call.regs, i),
			   op->calls[member->position[i]].result);
	} while (from);
}

static void record(struct flexsc_op *op, struct flexsc_op_call *member,
		   long result)
{
	op->made++;
	op->limit.set = false;
	member->result = result;
	/* An error replaces the sum, and is no part of the next one. */
	member->sum = result < 0 || member->sum < 0 ? result :
						      member->sum + result;
}

/*
 * The member that would be next is not made, for this reason. What it was in
 * earlier rounds stays, if the contract says so.
 */
static void cut_off(struct flexsc_op *op, struct flexsc_op_call *member,
		    long why)
{
	flexsc_op_call_ends(member, why);
	switch (why) {
	case -FLEXSC_E_STOPPED:
		flexsc_op_count(op, stopped);
		break;
	case -ECANCELED:
		flexsc_op_count(op, cancelled);
		break;
	case -ETIME:
		flexsc_op_count(op, timed_out);
		break;
	}
}

/* Before a round but the first. 0, or why the chain ends. */
static int next_round(struct flexsc_exec *exec, struct flexsc_op *op)
{
	if (++op->rounds >= FLEXSC_MAX_ROUNDS)
		return -ELOOP;
	/* A CANCEL or a deadline looks like task work; make_call() sees to it. */
	if (exec->mode == FLEXSC_BY_FLUSH && signal_pending(current) &&
	    !flexsc_only_task_work() && !READ_ONCE(op->end)) {
		exec->stop = true;
		return -EINTR;
	}
	return 0;
}

/* Whether the chain lets others go first now. */
static bool gives_way(struct flexsc_exec *exec, struct flexsc_op *op)
{
	if (likely(op->rounds % ROUNDS_AT_A_TIME))
		return false;
	if (exec->mode == FLEXSC_BY_FLUSH) {
		cond_resched();
		return false;
	}
	if (exec->mode == FLEXSC_BY_HELPER && signal_pending(current))
		exec->stop = true;
	return true;
}

/*
 * One call of an operation in a worker or a helper, which look before they
 * make one that could wait. Also returns -FLEXSC_LATER, after which the
 * operation is not ours any more.
 */
static long make_waiting(struct flexsc_exec *exec, struct flexsc_op *op,
			 struct flexsc_op_call *member)
{
	long ret;

	for (;;) {
		ret = flexsc_look(exec, &member->call, member->traits,
				  &op->file, &op->events, &op->limit);
		if (!ret) {
			ret = flexsc_exec_call(exec, &member->call, op);
			/* Interrupted by itself: look again, and wait. */
			if (flexsc_exec_settle(exec, &ret))
				continue;
			return ret;
		}
		if (ret != -FLEXSC_WAITS)
			return ret;
		switch (flexsc_op_arm(op)) {
		case FLEXSC_ARMED:
			return -FLEXSC_LATER;
		case FLEXSC_READY:
			if (READ_ONCE(op->end))
				return op->end;
			continue;
		case FLEXSC_CANNOT:
			if (READ_ONCE(op->end))
				return op->end;
			if (exec->mode == FLEXSC_BY_HELPER)
				return -FLEXSC_LEAVE;
			return flexsc_exec_call(exec, &member->call, op);
		}
	}
}

/* A call that is not plain. */
static long make_other(struct flexsc_exec *exec, struct flexsc_op *op,
		       struct flexsc_op_call *member)
{
	int ret;

	if (member->from &&
	    (member->traits & FLEXSC_CLASS_MASK) == FLEXSC_CLASS_ARGS) {
		ret = flexsc_policy_decide(&member->call, member->traits,
					   exec->mode != FLEXSC_BY_FLUSH);
		if (ret)
			return ret;
	}
	if (exec->mode == FLEXSC_BY_FLUSH)
		return flexsc_exec_call(exec, &member->call, op);
	if (member->traits & (FLEXSC_CALL_IN | FLEXSC_CALL_OUT | FLEXSC_CALL_SLEEPS))
		return make_waiting(exec, op, member);
	if (!exec->worker && member->traits & FLEXSC_CALL_WORKED)
		return flexsc_exec_open(exec, &member->call, op);
	return flexsc_exec_call(exec, &member->call, op);
}

/* What a plain call, which returned so, has come to. */
static __always_inline long made_plain(struct flexsc_exec *exec,
				       struct flexsc_op *op,
				       struct flexsc_op_call *member, long result)
{
	/* See flexsc_dispatch(). */
	if (unlikely(task_work_pending(current)))
		static_call(fx_task_work_run)();
	if (unlikely(flexsc_is_restart(result)))
		return flexsc_exec_go_on(exec, &member->call, op, result);
	return flexsc_op_result(op, member->call.nr, result);
}

/* A call that is not simple, or made by a worker. */
static long make_call(struct flexsc_exec *exec, struct flexsc_op *op,
		      struct flexsc_op_call *member)
{
	if (unlikely(READ_ONCE(op->end)))
		return op->end;
	if (exec->worker && unlikely(signal_pending(current)) &&
	    flexsc_exec_resume(exec))
		return -FLEXSC_E_STOPPED;
	/* The call before may have slept for long since the claim was judged. */
	if (exec->worker && op->made &&
	    !flexsc_identity_holds(op->client->group))
		return -FLEXSC_E_STOPPED;
	if (member->from)
		bind_results(op, member);
	if (unlikely(!member->plain))
		return make_other(exec, op, member);
	return made_plain(exec, op, member,
			  static_call(fx_x64_sys_call)(&member->call.regs,
						       member->call.nr));
}

/*
 * Makes calls as long as they are simple and go as usual: most of what FlexSC
 * costs a chain that repeats is in here. Returns whether the call that it has
 * come to was made too; then *result has to be looked at.
 */
static __always_inline bool make_simple(struct flexsc_op *op, long *result)
{
	struct task_struct *self = current;
	unsigned int pos = op->pos;
	struct flexsc_op_call *member = &op->calls[pos];
	bool made = false;

	/* The last one is not simple. */
	while (member->simple && likely(!READ_ONCE(op->end))) {
		*result = static_call(fx_x64_sys_call)(&member->call.regs,
						       member->call.nr);
		made = unlikely(task_work_pending(self)) ||
		       unlikely(*result - member->least > member->span);
		if (made)
			break;
		member->result = *result;
		member++;
		/* CANCEL reads pos: it is always a member's. */
		WRITE_ONCE(op->pos, ++pos);
	}
	return made;
}

/*
 * Goes on with an operation that the executor owns. Afterwards it has ended,
 * waits, or was given to others.
 */
void flexsc_op_run(struct flexsc_exec *exec, struct flexsc_op *op)
{
	for (;;) {
		unsigned int first = op->pos;
		struct flexsc_op_call *member;
		bool made;
		long result;
		int why;

		/* Workers have more to look at before a call. */
		made = !exec->worker && make_simple(op, &result);
		op->made += op->pos - first;
		member = &op->calls[op->pos];
		/* Computed once: the compiler would do it again at each use. */
		OPTIMIZER_HIDE_VAR(member);
		result = made ? made_plain(exec, op, member, result) :
				make_call(exec, op, member);
		if (unlikely(result < 0)) {
			if (result == -FLEXSC_LATER)
				return;
			if (result == -FLEXSC_LEAVE || result == -FLEXSC_AGAIN) {
				/* Others go on, from this call. */
				exec->left |= result == -FLEXSC_LEAVE;
				flexsc_op_push(op, result == -FLEXSC_LEAVE);
				return;
			}
			if (result == -FLEXSC_E_STOPPED ||
			    result == READ_ONCE(op->end)) {
				cut_off(op, member, result);
				break;
			}
			/* A flush: the signal's handler runs before the rest. */
			if (result == -EINTR && signal_pending(current))
				exec->stop = true;
		}
		record(op, member, result);
		if (flexsc_ends_chain(member->flags, result, &member->call,
				      member->size_at))
			break;
		/* CANCEL reads pos: it is always a member's. */
		if (op->pos + 1 < op->nr_calls) {
			WRITE_ONCE(op->pos, op->pos + 1);
			continue;
		}
		if (!(member->flags & FLEXSC_ENTRY_REPEAT))
			break;
		WRITE_ONCE(op->pos, 0);
		why = next_round(exec, op);
		if (unlikely(why)) {
			cut_off(op, member, why);
			break;
		}
		if (unlikely(gives_way(exec, op))) {
			flexsc_op_push(op, false);
			return;
		}
	}
	flexsc_op_publish(op, exec->mode);
}
