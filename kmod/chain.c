// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains: system calls that are made one after the other without a crossing in
 * between (multi-calls; Rajagopalan, Debray, Hiltunen, Schlichting: System Call
 * Clustering, 2003). The contract is in flexsc/uapi.h at struct flexsc_entry.
 */
#include <linux/sched/signal.h>

#include "chain.h"
#include "flexsc.h"
#include "look.h"
#include "op.h"

/* A worker goes on to other entries after so many rounds of one chain. */
#define ROUNDS_AT_A_TIME 64

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
	op->need.limited = false;
	member->result = result;
	if (likely(!(member->flags & FLEXSC_ENTRY_SUM)))
		return;
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
static noinline long make_waiting(struct flexsc_exec *exec, struct flexsc_op *op,
				  struct flexsc_op_call *member)
{
	long ret;

	for (;;) {
		ret = flexsc_glance_anew(exec, &member->call, member->traits, &op->need);
		if (!ret) {
			ret = flexsc_exec_call(exec, &member->call, op);
			/* Interrupted by itself: look again, and wait. */
			if (flexsc_exec_settle(exec, ret))
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

/* The same; an earlier look may have been enough. */
static __always_inline long make_looked_at(struct flexsc_exec *exec,
					   struct flexsc_op *op,
					   struct flexsc_op_call *member)
{
	long ret;

	if (flexsc_was_seen(exec, &member->call)) {
		ret = flexsc_exec_call(exec, &member->call, op);
		if (!flexsc_exec_settle(exec, ret))
			return ret;
	}
	return make_waiting(exec, op, member);
}

/* A call that is not plain, and not one to be looked at for its file. */
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
	if (member->traits & FLEXSC_CALL_SLEEPS)
		return make_waiting(exec, op, member);
	flexsc_forget(exec); /* as below */
	if (!exec->worker && member->traits & FLEXSC_CALL_WORKED)
		return flexsc_exec_open(exec, &member->call, op);
	return flexsc_exec_call(exec, &member->call, op);
}

/* A call that is not simple, or made by a worker. */
static __always_inline long make_call(struct flexsc_exec *exec,
				      struct flexsc_op *op,
				      struct flexsc_op_call *member)
{
	if (unlikely(READ_ONCE(op->end)))
		return op->end;
	if (exec->worker && unlikely(signal_pending(current)) &&
	    flexsc_exec_resume(exec))
		return -FLEXSC_E_STOPPED;
	/* The call before may have slept for long since the claim was judged. */
	if (exec->worker && flexsc_op_made(op) &&
	    !flexsc_identity_holds(op->client->group))
		return -FLEXSC_E_STOPPED;
	if (member->from)
		bind_results(op, member);
	if (likely(member->looked_at))
		return make_looked_at(exec, op, member);
	if (!member->plain)
		return make_other(exec, op, member);
	/* It may make a descriptor another file's. */
	flexsc_forget(exec);
	return flexsc_exec_call(exec, &member->call, op);
}

/*
 * Makes calls as long as they are simple and go as usual: most of what FlexSC
 * costs a chain that repeats is in here. Returns whether the call that it has
 * come to was made too; what that returned has to be looked at then.
 */
static __always_inline bool make_simple(struct flexsc_op *op,
					struct flexsc_op_call **at)
{
	struct task_struct *self = current;
	struct flexsc_op_call *member = *at;
	unsigned int pos = op->pos;
	bool made = false;

	/* Never the last one: CANCEL reads pos, so it is always a member's. */
	while (member->simple && likely(!READ_ONCE(op->end))) {
		member->result = static_call(fx_x64_sys_call)(&member->call.regs,
							      member->call.nr);
		if (unlikely(task_work_pending(self)) ||
		    unlikely(member->result - member->least > member->span)) {
			made = true;
			break;
		}
		member++;
		WRITE_ONCE(op->pos, ++pos);
	}
	*at = member;
	return made;
}

/* What the call that make_simple() has made comes to. */
static noinline long go_on_simple(struct flexsc_exec *exec, struct flexsc_op *op,
				  struct flexsc_op_call *member)
{
	/* See flexsc_dispatch(). */
	if (task_work_pending(current))
		static_call(fx_task_work_run)();
	return flexsc_exec_made(exec, &member->call, op, member->result);
}

/*
 * Goes on with an operation that the executor owns. Afterwards it has ended,
 * waits, or was given to others.
 */
void flexsc_op_run(struct flexsc_exec *exec, struct flexsc_op *op)
{
	struct flexsc_op_call *member = &op->calls[op->pos];
	bool last = false;

	flexsc_forget(exec);
	for (;;) {
		long result;
		bool made;
		int why;

		/* Workers have more to look at before a call. */
		made = member->simple && !exec->worker &&
		       make_simple(op, &member);
		result = unlikely(made) ? go_on_simple(exec, op, member) :
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
		last = flexsc_ends_chain(member->flags, result, &member->call,
					 member->size_at);
		if (last)
			break;
		/* CANCEL reads pos: it is always a member's. */
		if (member->flags & FLEXSC_ENTRY_LINK) {
			WRITE_ONCE(op->pos, op->pos + 1);
			member++;
			continue;
		}
		last = !(member->flags & FLEXSC_ENTRY_REPEAT);
		if (last)
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
		member = op->calls;
	}
	flexsc_op_publish(op, exec->mode, flexsc_op_made(op) + last);
}
