// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cancelling entries, wherever they are:
 *
 *   posted    the submission bit is taken back here
 *   claimed   whoever claimed it finds the request before it begins the call
 *   running   the worker is interrupted; it looks at worker->cancel
 *   an operation (op.h): it is ended there
 *
 * An entry moves along this list while we look, from claimed also back to
 * posted, so what is looked at, and how often, is in an order that leaves no
 * way past: see flexsc_client_cancel().
 *
 * Workers must not pay for this. They store what they are about to begin
 * (in_call), then load nr_cancels, without a barrier in between; we store
 * nr_cancels, make every CPU that runs this process pass a full barrier (as
 * membarrier(2) does), and then look at in_call. Either the worker sees the
 * request or we see the call.
 */
#include <linux/bitops.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>

#include "flexsc.h"
#include "op.h"

struct cancel_request {
	struct list_head node; /* group->cancels */
	struct flexsc_client *client;
	bool by_fd;
	int fd;
	unsigned int page;
	unsigned int bit;
	unsigned int found; /* under group->lock: executors count here too */
};

static bool is_on_fd(u32 nr, u64 arg0, int fd)
{
	return flexsc_call_traits(flexsc_calls, nr) & FLEXSC_CALL_FD && (int)arg0 == fd;
}

static bool request_names(const struct cancel_request *request,
			  unsigned int page, unsigned int bit, u32 nr, u64 arg0)
{
	if (request->by_fd)
		return is_on_fd(nr, arg0, request->fd);
	return page == request->page && bit == request->bit;
}

/*
 * An executor is about to begin an entry while requests are there. Returns true
 * if one names it: the entry is then cancelled.
 */
bool flexsc_cancel_matches(struct flexsc_exec *exec, unsigned int bit, u32 nr,
			   u64 arg0)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_group *group = client->group;
	struct cancel_request *request, *match = NULL;

	raw_spin_lock_irq(&group->lock);
	list_for_each_entry(request, &group->cancels, node) {
		if (request->client == client &&
		    request_names(request, exec->page, bit, nr, arg0)) {
			match = request;
			break;
		}
	}
	if (match) {
		/* Unless it was found running a moment ago. */
		if (!exec->worker || exec->worker->cancel !=
					     flexsc_call_id(exec->in_call, bit))
			match->found++;
		WRITE_ONCE(exec->in_op, true);
	}
	raw_spin_unlock_irq(&group->lock);
	return match;
}

/* Of what user space may change meanwhile: then it has named another entry. */
static bool entry_named(const struct cancel_request *request,
			unsigned int page, unsigned int bit)
{
	const struct flexsc_entry *entry = &request->client->pages[page][bit];

	return request_names(request, page, bit, READ_ONCE(entry->nr),
			     READ_ONCE(entry->args[0]));
}

/* Those of bits, entries of a page, that the request names. */
static u64 named_of(const struct cancel_request *request, unsigned int page,
		    u64 bits)
{
	u64 named = 0;

	if (!request->by_fd)
		return page == request->page ? bits & BIT_ULL(request->bit) : 0;
	for (; bits; bits &= bits - 1) {
		unsigned int bit = __ffs64(bits);

		if (entry_named(request, page, bit))
			named |= BIT_ULL(bit);
	}
	return named;
}

/* Completes an entry, and its chain, that was not begun and is the caller's. */
void flexsc_cancel_entry(struct flexsc_client *client, unsigned int page,
			 unsigned int bit)
{
	struct flexsc_entry *entry = &client->pages[page][bit];
	u64 done = 0;

	do {
		bool linked = READ_ONCE(entry->flags) & FLEXSC_ENTRY_LINK;

		WRITE_ONCE(entry->result, -ECANCELED);
		done |= BIT_ULL(bit);
		if (!linked)
			break;
		entry++;
	} while (++bit < FLEXSC_PAGE_ENTRIES);
	flexsc_complete(client, page, done);
	flexsc_client_completed(client);
}

static unsigned int cancel_posted(const struct cancel_request *request)
{
	struct flexsc_client *client = request->client;
	unsigned int nr_pages = flexsc_used_pages(client);
	unsigned int queue, page, found = 0;

	for (queue = 0; queue < FLEXSC_QUEUES; queue++) {
		u64 *words = client->header->submission[queue].page;

		for (page = 0; page < nr_pages; page++) {
			u64 bits = READ_ONCE(words[page]);

			if (likely(!bits))
				continue;
			bits = named_of(request, page, bits);
			/* Those that we take, nobody claims. */
			if (bits)
				bits &= atomic64_fetch_andnot(bits,
							      (atomic64_t *)&words[page]);
			for (; bits; bits &= bits - 1, found++) {
				flexsc_cancel_entry(client, page, __ffs64(bits));
				flexsc_count(client, cancelled);
			}
		}
	}
	return found;
}

/*
 * Whether an executor has claimed an entry that the request names and does not
 * run it now. What it has done already counts too: that is over in a moment. Its
 * in_call was read before; cancel is the call that it was told to end, or 0.
 */
static bool has_claimed(const struct cancel_request *request,
			const struct flexsc_exec *exec, u64 in_call, u64 cancel)
{
	struct flexsc_words *words = request->client->header->submission;
	u64 *claiming = READ_ONCE(exec->claiming);
	unsigned int page, bit;
	u64 claim;

	if (claiming >= (u64 *)words && claiming < (u64 *)(words + FLEXSC_QUEUES))
		return true;
	/*
	 * claiming before claim; pairs with the second smp_wmb() in
	 * flexsc_serve_claim().
	 */
	smp_rmb();
	claim = READ_ONCE(exec->claim);
	/* claim before what it is of; pairs with the first one there. */
	smp_rmb();
	page = READ_ONCE(exec->page);
	bit = READ_ONCE(exec->bit);
	if (READ_ONCE(exec->client) != request->client ||
	    page >= request->client->nr_pages)
		return false;
	/*
	 * Without in_call the entry at bit does not run: its call was
	 * interrupted and is going to be made again, see flexsc_exec_resume().
	 */
	if (bit < FLEXSC_PAGE_ENTRIES &&
	    (in_call || READ_ONCE(exec->in_op) ||
	     flexsc_call_id(READ_ONCE(exec->nr_claims), bit) == cancel))
		claim &= ~BIT_ULL(bit);
	return claim && named_of(request, page, claim);
}

/*
 * Whether an executor, whose in_call was read before and is not 0, runs a call
 * that is named. *id is that call's, if in_call still is the same.
 */
static bool runs(const struct cancel_request *request,
		 const struct flexsc_exec *exec, u64 in_call, u64 *id)
{
	unsigned int page = READ_ONCE(exec->page);
	unsigned int bit = READ_ONCE(exec->bit);

	*id = flexsc_call_id(in_call, bit);
	return READ_ONCE(exec->client) == request->client &&
	       !READ_ONCE(exec->in_op) && bit < FLEXSC_PAGE_ENTRIES &&
	       page < request->client->nr_pages &&
	       READ_ONCE(exec->claim) & BIT_ULL(bit) &&
	       entry_named(request, page, bit);
}

/*
 * Whether an executor has something that the request names, other than the call
 * that it was told to end already.
 */
static bool has_entry(const struct cancel_request *request,
		      const struct flexsc_exec *exec, u64 cancel)
{
	u64 id, in_call = READ_ONCE(exec->in_call);

	/*
	 * in_call, once, before what it stands for; pairs with the third
	 * smp_wmb() in flexsc_serve_claim(). If it changes meanwhile, the id is
	 * not that of any call: we look again.
	 */
	smp_rmb();
	return has_claimed(request, exec, in_call, cancel) ||
	       (in_call && runs(request, exec, in_call, &id) && id != cancel);
}

static unsigned int cancel_running(const struct cancel_request *request)
{
	struct flexsc_group *group = request->client->group;
	struct flexsc_worker *worker;
	unsigned int i, found = 0;
	u64 id, in_call;

	lockdep_assert_held(&group->lock);
	for (i = 0; i < group->nr_pools; i++) {
		list_for_each_entry(worker, &group->pools[i].workers, node) {
			in_call = READ_ONCE(worker->exec.in_call);
			/* in_call, what it stands for, and in_call again. */
			smp_rmb();
			if (!in_call ||
			    !runs(request, &worker->exec, in_call, &id) ||
			    worker->cancel == id)
				continue;
			/* See above. */
			smp_rmb();
			if (READ_ONCE(worker->exec.in_call) != in_call)
				continue;
			WRITE_ONCE(worker->cancel, id);
			set_tsk_thread_flag(worker->task, TIF_NOTIFY_SIGNAL);
			wake_up_process(worker->task);
			found++;
		}
	}
	return found;
}

/* Whether somebody has claimed an entry and not begun it. */
static bool is_claimed(const struct cancel_request *request)
{
	struct flexsc_client *client = request->client;
	struct flexsc_group *group = client->group;
	struct flexsc_worker *worker;
	struct flexsc_exec *helper;
	bool claimed = false;
	unsigned int i;

	raw_spin_lock_irq(&group->lock);
	for (i = 0; i < group->nr_pools && !claimed; i++) {
		list_for_each_entry(worker, &group->pools[i].workers, node) {
			/* Begun, but not asked yet whether a request names it. */
			claimed = has_entry(request, &worker->exec,
					    worker->cancel);
			if (claimed)
				break;
		}
	}
	/* A helper does not sleep in a call, but may put it back. */
	helper = smp_load_acquire(&client->helper);
	if (atomic_read(&client->quick_helpers))
		claimed = true;
	/* Of a chain, the entry that it has come to is not the one that is claimed. */
	if (!claimed && helper && request->by_fd) {
		/* Pairs with the release at the chain's end. */
		claimed = smp_load_acquire(&helper->in_chain);
	}
	if (!claimed && helper)
		claimed = has_entry(request, helper, 0);
	raw_spin_unlock_irq(&group->lock);
	return claimed;
}

/*
 * Under client->ops_lock. The owner goes on meanwhile: pos is always that of a
 * member, whose number is constant, and an argument that is a result is the one
 * before at worst.
 */
static bool op_named(const struct cancel_request *request,
		     const struct flexsc_op *op)
{
	const struct flexsc_op_call *member = &op->calls[READ_ONCE(op->pos)];

	return request_names(request, op->page, op->bit, member->call.nr,
			     READ_ONCE(member->call.regs.di));
}

static unsigned int cancel_ops(const struct cancel_request *request)
{
	struct flexsc_client *client = request->client;
	struct flexsc_group *group = client->group;
	unsigned int i, found = 0;
	struct flexsc_op *op;
	u32 ready = 0;

	raw_spin_lock_irq(&client->ops_lock);
	list_for_each_entry(op, &client->ops, node) {
		if (op->end || !op_named(request, op))
			continue;
		if (flexsc_op_end_locked(op, -ECANCELED))
			ready |= 1U << op->pool->index;
		found++;
	}
	raw_spin_unlock_irq(&client->ops_lock);
	for (i = 0; i < FLEXSC_MAX_POOLS; i++) {
		if (ready & (1U << i))
			flexsc_client_ready(client, &group->pools[i]);
	}
	return found;
}

static void full_barrier(void *unused)
{
	/* The interrupt is one; this says what it is for. */
	smp_mb();
}

static void barrier_everywhere(void)
{
	/* nr_cancels before in_call, on this CPU too. */
	smp_mb();
	preempt_disable();
	smp_call_function_many(mm_cpumask(current->mm), full_barrier, NULL, true);
	preempt_enable();
}

/*
 * FLEXSC_IOC_CANCEL. From barrier_everywhere() on, an entry that begins is
 * caught by flexsc_cancel_matches(), so only those matter that had begun and
 * those that never begin before the request goes. The former are found running
 * or as operations, looked at in the order in which they move. The latter are
 * posted, or claimed; as they can change between the two, there is an end only
 * when none was claimed both before and after we looked at the posted ones, and
 * nothing was put back meanwhile.
 * What is claimed is behind a call that runs, not sleeps: it takes no time. But a
 * call that was interrupted because its worker is stopped (by a debugger, say) is
 * found only when that goes on.
 */
int flexsc_client_cancel(struct flexsc_client *client, void __user *arg)
{
	struct flexsc_group *group = client->group;
	struct cancel_request request = { .client = client };
	struct flexsc_cancel params;
	bool claimed;
	int err;

	err = flexsc_params_get(&params, sizeof(params), arg);
	if (err)
		return err;
	if (params.flags & ~FLEXSC_CANCEL_FD || params.reserved)
		return -EINVAL;
	request.by_fd = params.flags & FLEXSC_CANCEL_FD;
	if (request.by_fd ? params.page || params.bit || params.fd < 0 :
			    params.page >= client->nr_pages ||
			    params.bit >= FLEXSC_PAGE_ENTRIES || params.fd)
		return -EINVAL;
	request.fd = params.fd;
	request.page = params.page;
	request.bit = params.bit;

	raw_spin_lock_irq(&group->lock);
	list_add(&request.node, &group->cancels);
	WRITE_ONCE(group->nr_cancels, group->nr_cancels + 1);
	raw_spin_unlock_irq(&group->lock);
	barrier_everywhere();

	for (;;) {
		int put_backs = atomic_read(&group->put_backs);
		unsigned int found;

		/* Before claims are looked at. */
		smp_rmb();
		claimed = is_claimed(&request);
		/*
		 * Claims before what is posted; pairs with flexsc_put_back(),
		 * after which an entry leaves its claim.
		 */
		smp_rmb();
		found = cancel_posted(&request);
		raw_spin_lock_irq(&group->lock);
		request.found += found + cancel_running(&request);
		raw_spin_unlock_irq(&group->lock);
		found = cancel_ops(&request);
		raw_spin_lock_irq(&group->lock);
		request.found += found;
		raw_spin_unlock_irq(&group->lock);
		/*
		 * What is posted before claims: by the locks in between. Pairs
		 * with the full barrier of taking from a word, before which
		 * claiming or quick_helpers is set.
		 */
		claimed |= is_claimed(&request);
		/* After it; see flexsc_put_back(). */
		smp_rmb();
		claimed |= atomic_read(&group->put_backs) != put_backs;
		if (!claimed || signal_pending(current))
			break;
		schedule_timeout_interruptible(1);
	}

	raw_spin_lock_irq(&group->lock);
	list_del(&request.node);
	WRITE_ONCE(group->nr_cancels, group->nr_cancels - 1);
	raw_spin_unlock_irq(&group->lock);
	/* An entry that became an operation meanwhile was found as both. */
	if (request.found)
		return request.by_fd ? request.found : 1;
	return claimed ? -EINTR : -ENOENT;
}
