// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of operations: how they begin, become ready, end, and are ended when
 * their client goes. Who owns one when is in op.h.
 */
#include <linux/bitops.h>
#include <linux/file.h>
#include <linux/sched/signal.h>

#include "chain.h"
#include "flexsc.h"
#include "op.h"
#include "trace.h"

/* The entries of an operation, as bits of its page. */
static u64 op_bits(const struct flexsc_op *op)
{
	return GENMASK_ULL(op->bit + op->before + op->nr_calls - 1, op->bit);
}

/* From here on CANCEL finds it. It holds the client. */
static void op_list(struct flexsc_op *op)
{
	struct flexsc_client *client = op->client;

	refcount_inc(&client->ref);
	raw_spin_lock_irq(&client->ops_lock);
	list_add_tail(&op->node, &client->ops);
	raw_spin_unlock_irq(&client->ops_lock);
}

/* Its owner finds out that it has to end; CANCEL may have been first. */
static void end_now(struct flexsc_op *op, int why)
{
	raw_spin_lock_irq(&op->client->ops_lock);
	if (!op->end)
		WRITE_ONCE(op->end, why);
	raw_spin_unlock_irq(&op->client->ops_lock);
}

/*
 * The entry that a worker or a helper runs is an operation from now on, where
 * CANCEL finds it. One that found it running a moment ago has marked the worker.
 */
void flexsc_op_listed(struct flexsc_exec *exec, struct flexsc_op *op)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_group *group = client->group;

	/*
	 * in_op before nr_cancels; CANCEL has the other order and makes this CPU
	 * pass a full barrier in between. It marks under the lock: if it has not
	 * when we have been there, it sees in_op, and then looks at the list.
	 */
	WRITE_ONCE(exec->in_op, true);
	barrier();
	if (unlikely(READ_ONCE(group->nr_cancels))) {
		raw_spin_lock_irq(&group->lock);
		raw_spin_unlock_irq(&group->lock);
	}
	/* One that has returned marked before it lowered nr_cancels. */
	smp_rmb();
	if (likely(!exec->worker ||
		   READ_ONCE(exec->worker->cancel) !=
			   flexsc_call_id(exec->in_call, exec->bit)))
		return;
	end_now(op, -ECANCELED);
}

static void count_made(const struct flexsc_op *op, enum flexsc_mode mode,
		       unsigned int made)
{
	switch (mode) {
	case FLEXSC_BY_WORKER:
		flexsc_count_add(op->client, executed, made);
		flexsc_count_add(op->pool, executed, made);
		break;
	case FLEXSC_BY_HELPER:
		flexsc_count_add(op->client, helped, made);
		flexsc_count_add(op->pool, helped, made);
		break;
	case FLEXSC_BY_FLUSH:
		flexsc_count_add(op->client, flushed, made);
		break;
	}
}

/*
 * Completes all entries of an operation that the caller, an executor of this
 * kind, owns, and frees it. So many calls were made.
 */
void flexsc_op_publish(struct flexsc_op *op, enum flexsc_mode mode,
		       unsigned int made)
{
	struct flexsc_client *client = op->client;
	struct flexsc_entry *entries = &client->pages[op->page][op->bit + op->before];
	struct file *file = op->need.file;
	bool kept;
	unsigned int i;
	int end;

	/* It ends before it could look again at what it waited for. */
	if (unlikely(file))
		flexsc_op_pass_on(op);
	if (op->timed)
		hrtimer_cancel(&op->timer);
	for (i = 0; i < op->nr_calls; i++) {
		const struct flexsc_op_call *member = &op->calls[i];
		long result = member->flags & FLEXSC_ENTRY_SUM ? member->sum :
								 member->result;

		trace_flexsc_complete(client, op->page, op->bit + i,
				      member->call.nr, result);
		WRITE_ONCE(entries[i].result, result);
	}
	flexsc_complete(client, op->page, op_bits(op));
	count_made(op, mode, made);

	/* CANCEL finds it here until it is complete. */
	raw_spin_lock_irq(&client->ops_lock);
	list_del(&op->node);
	end = op->end;
	kept = flexsc_op_keep(op);
	raw_spin_unlock_irq(&client->ops_lock);
	if (!kept)
		flexsc_op_free(op);
	if (unlikely(end)) {
		/*
		 * Who set it may have interrupted us after the last call: that
		 * is over. Task work, which uses the same flag, is done.
		 */
		clear_notify_signal();
		if (task_work_pending(current))
			static_call(fx_task_work_run)();
	}
	if (file)
		fput(file);
	/* A flush does this once for all. */
	if (mode != FLEXSC_BY_FLUSH)
		flexsc_client_completed(client);
	flexsc_client_put(client);
}

/* There is no memory for an operation: completes its entries without one. */
static void refuse(struct flexsc_exec *exec, unsigned int page,
		   unsigned int bit, unsigned int n)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_entry *entries = &client->pages[page][bit];
	unsigned int i;

	flexsc_count(client, refused);
	if (exec->pool)
		flexsc_count(exec->pool, refused);
	for (i = 0; i < n; i++)
		WRITE_ONCE(entries[i].result, i ? -ECANCELED : -ENOMEM);
	flexsc_complete(client, page, GENMASK_ULL(bit + n - 1, bit));
	flexsc_client_completed(client);
}

static enum hrtimer_restart op_timeout(struct hrtimer *timer)
{
	struct flexsc_op *op = container_of(timer, struct flexsc_op, timer);
	struct flexsc_client *client = op->client;
	unsigned long flags;
	bool ready;

	raw_spin_lock_irqsave(&client->ops_lock, flags);
	ready = flexsc_op_end_locked(op, -ETIME);
	raw_spin_unlock_irqrestore(&client->ops_lock, flags);
	/* The owner waits for this function before it frees op and client. */
	if (ready)
		flexsc_client_ready(client, op->pool);
	return HRTIMER_NORESTART;
}

/*
 * How many entries the chain at this place has. One that would go on beyond its
 * page ends with it; flexsc_chain_read() sees that the last one is linked.
 */
static unsigned int chain_length(struct flexsc_client *client,
				 unsigned int page, unsigned int bit)
{
	struct flexsc_entry *entry = &client->pages[page][bit];
	unsigned int n = 1;

	while (READ_ONCE(entry->flags) & FLEXSC_ENTRY_LINK &&
	       bit + n < FLEXSC_PAGE_ENTRIES) {
		entry++;
		n++;
	}
	return n;
}

/*
 * Begins with an entry that is more than a plain call, and with its chain.
 */
void flexsc_op_begin(struct flexsc_exec *exec, unsigned int page,
		     unsigned int bit)
{
	struct flexsc_client *client = exec->client;
	unsigned int n = chain_length(client, page, bit);
	struct flexsc_op *op;
	s64 deadline = 0;
	int err;

	op = flexsc_op_alloc(client, exec->pool, page, bit, n, GFP_KERNEL_ACCOUNT);
	if (!op) {
		refuse(exec, page, bit, n);
		return;
	}
	err = flexsc_chain_read(op, exec->mode != FLEXSC_BY_FLUSH, &deadline);
	op_list(op);
	if (exec->mode != FLEXSC_BY_FLUSH)
		flexsc_op_listed(exec, op);
	if (err) {
		flexsc_op_count(op, refused);
		flexsc_op_publish(op, exec->mode, 0);
		return;
	}
	if (op->calls[0].flags & FLEXSC_ENTRY_DEADLINE) {
		hrtimer_init(&op->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
		op->timer.function = op_timeout;
		op->timed = true;
		if (deadline <= ktime_get())
			end_now(op, -ETIME);
		else
			hrtimer_start(&op->timer, deadline, HRTIMER_MODE_ABS_HARD);
	}
	flexsc_op_run(exec, op);
}

/*
 * Makes an operation of the plain call that the executor has read, to wait for
 * need, whose reference to a file it takes over.
 */
struct flexsc_op *flexsc_op_single(struct flexsc_exec *exec,
				   const struct flexsc_need *need)
{
	struct flexsc_op_call *member;
	struct flexsc_op *op;

	op = flexsc_op_alloc(exec->client, exec->pool, exec->page, exec->bit, 1,
			     GFP_KERNEL_ACCOUNT);
	if (!op)
		return NULL;
	member = &op->calls[0];
	member->call.nr = exec->call.nr;
	flexsc_args_copy(&member->call.regs, &exec->call.regs);
	member->flags = 0;
	member->traits = flexsc_call_traits(exec->client->calls, exec->call.nr);
	member->from = 0;
	member->plain = false;
	member->looked_at = member->traits & (FLEXSC_CALL_IN | FLEXSC_CALL_OUT);
	member->simple = false;
	member->result = -ECANCELED;
	op->need = *need;
	op_list(op);
	return op;
}

/* Puts the results of members that are over into the place of arguments. */
static void bind_made(struct flexsc_op_call *member,
		      const struct flexsc_quick_call *read,
		      const struct flexsc_quick_chain *chain, unsigned int made)
{
	unsigned int i;

	for (i = 0; read->from >> i; i++) {
		unsigned int position = read->position[i];

		if (!(read->from & (1 << i)))
			continue;
		if (position < made) {
			*flexsc_argument(&member->call.regs, i) =
				chain->calls[position].last;
		} else {
			member->position[i] = position - made;
			member->from |= 1 << i;
		}
	}
}

/*
 * The rest of the chain, from pos on, is an operation, which the caller owns; the
 * registers of its first call are loaded. The results of the others are in their
 * entries. What came before has happened, so this cannot fail.
 */
struct flexsc_op *flexsc_op_take_over(struct flexsc_exec *exec, unsigned int page,
				      const struct flexsc_quick_chain *chain,
				      unsigned int pos)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_entry *entries = &client->pages[page][chain->bit];
	struct flexsc_op *op;
	unsigned int i;

	op = flexsc_op_alloc(client, exec->pool, page, chain->bit, chain->n - pos,
			     GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	op->before = pos;
	for (i = pos; i < chain->n; i++) {
		const struct flexsc_quick_call *from = &chain->calls[i];
		struct flexsc_op_call *member = &op->calls[i - pos];

		member->call.nr = from->nr;
		member->flags = from->flags;
		member->traits = flexsc_call_traits(client->calls, from->nr);
		member->from = 0;
		member->result = -ECANCELED;
		if (i == pos) {
			flexsc_args_copy(&member->call.regs, &exec->call.regs);
		} else {
			flexsc_args_read(&member->call.regs, &entries[i]);
			bind_made(member, from, chain, pos);
		}
		flexsc_op_call_judge(member, i + 1 == chain->n, true);
	}
	op_list(op);
	return op;
}

static void push_locked(struct flexsc_op *op)
{
	struct flexsc_client *client = op->client;

	lockdep_assert_held(&client->ops_lock);
	if (op->state == FLEXSC_OP_ARMED)
		client->nr_waiting_at[op->pool->index]--;
	op->state = FLEXSC_OP_READY;
	op->task = NULL;
	list_add_tail(&op->ready_node, &client->ready[op->pool->index]);
	WRITE_ONCE(client->nr_ready[op->pool->index],
		   client->nr_ready[op->pool->index] + 1);
	if (!op->for_worker)
		WRITE_ONCE(client->nr_helpable, client->nr_helpable + 1);
}

/* The file of a waiting operation is ready. Whether it has to be run now. */
bool flexsc_op_fire_locked(struct flexsc_op *op)
{
	lockdep_assert_held(&op->client->ops_lock);
	switch (op->state) {
	case FLEXSC_OP_ARMED:
		push_locked(op);
		return true;
	case FLEXSC_OP_ARMING:
		op->state = FLEXSC_OP_FIRED;
		return false;
	default:
		return false;
	}
}

/*
 * Ends an operation with an error, unless it ends by itself first. Returns true
 * if it was waiting: somebody has to be told that it is ready.
 */
bool flexsc_op_end_locked(struct flexsc_op *op, int error)
{
	lockdep_assert_held(&op->client->ops_lock);
	if (!op->end)
		WRITE_ONCE(op->end, error);
	if (op->state == FLEXSC_OP_RUNNING && op->task) {
		/* end before the flag: pairs with flexsc_only_task_work(). */
		smp_mb__before_atomic();
		/* Out of the call it sleeps in, as io-wq does it. */
		set_tsk_thread_flag(op->task, TIF_NOTIFY_SIGNAL);
		wake_up_process(op->task);
	}
	return flexsc_op_fire_locked(op);
}

/* Gives an operation that the caller owns to whoever serves the pool. */
void flexsc_op_push(struct flexsc_op *op, bool for_worker)
{
	struct flexsc_client *client = op->client;

	raw_spin_lock_irq(&client->ops_lock);
	op->for_worker = for_worker;
	push_locked(op);
	raw_spin_unlock_irq(&client->ops_lock);
}

/* Takes an operation that is ready; the caller owns it then. */
struct flexsc_op *flexsc_op_next(struct flexsc_client *client,
				 struct flexsc_pool *pool, bool helper)
{
	struct flexsc_op *op, *found = NULL;

	raw_spin_lock_irq(&client->ops_lock);
	list_for_each_entry(op, &client->ready[pool->index], ready_node) {
		if (helper && op->for_worker)
			continue;
		found = op;
		list_del(&op->ready_node);
		WRITE_ONCE(client->nr_ready[pool->index],
			   client->nr_ready[pool->index] - 1);
		if (!op->for_worker)
			WRITE_ONCE(client->nr_helpable, client->nr_helpable - 1);
		op->for_worker = false;
		op->state = FLEXSC_OP_RUNNING;
		op->task = current;
		break;
	}
	raw_spin_unlock_irq(&client->ops_lock);
	return found;
}

/* Goes on with an operation that flexsc_op_next() gave. */
void flexsc_op_serve(struct flexsc_exec *exec, struct flexsc_op *op)
{
	WRITE_ONCE(exec->client, op->client);
	WRITE_ONCE(exec->bit, FLEXSC_PAGE_ENTRIES);
	/* As in flexsc_serve_claim(). */
	smp_wmb();
	WRITE_ONCE(exec->in_call, ++exec->nr_claims);
	barrier();
	if (op->need.file)
		flexsc_op_unarm(op);
	flexsc_op_run(exec, op);
	barrier();
	WRITE_ONCE(exec->in_call, 0);
}

/*
 * The client is closed, or no worker will ever come again: nothing begins to
 * wait any more, and what waits ends, as not begun. In process context.
 */
void flexsc_ops_close(struct flexsc_client *client)
{
	struct flexsc_group *group = client->group;
	struct flexsc_op *op;
	unsigned int i;

	raw_spin_lock_irq(&client->ops_lock);
	client->closed = true;
	list_for_each_entry(op, &client->ops, node)
		flexsc_op_end_locked(op, -FLEXSC_E_STOPPED);
	raw_spin_unlock_irq(&client->ops_lock);

	/* Those that somebody runs are ended by that one. */
	for (i = 0; i < group->nr_pools; i++) {
		while ((op = flexsc_op_next(client, &group->pools[i], false))) {
			if (op->need.file)
				flexsc_op_unarm(op);
			flexsc_op_call_ends(&op->calls[op->pos], -FLEXSC_E_STOPPED);
			flexsc_op_count(op, stopped);
			flexsc_op_publish(op, FLEXSC_BY_WORKER,
					  flexsc_op_made(op));
		}
	}
}
