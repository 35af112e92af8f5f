// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers: threads of the process that never see user mode. They look for
 * posted entries and operations that became ready, take their share, and have
 * it executed (execute.c).
 */
#include <linux/bitops.h>
#include <linux/file.h>
#include <linux/kcov.h>
#include <linux/memcontrol.h>
#include <linux/rcupdate.h>
#include <linux/sched/clock.h>
#include <linux/sched/rt.h>
#include <linux/sched/signal.h>
#include <linux/task_work.h>
#include <uapi/linux/sched/types.h>

#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "resolve.h"
#include "trace.h"

/* What a worker takes of one word while others are awake: no more than this. */
#define SHARED_CLAIM 8

/* Operations that a worker takes from one client in one pass. */
#define OPS_IN_A_PASS 8

/* Looks at the submission words between two looks at everything else. */
#define LOOKS 32

bool flexsc_worker_must_leave(struct flexsc_worker *worker)
{
	return worker->dying || flexsc_group_stopped(worker->pool->group);
}

/*
 * What a return to user mode would have done: task work, throttling of the
 * memory cgroup, stops, freezers, fatal signals. With no lock held. Returns
 * true when the worker has to exit.
 */
bool flexsc_worker_resume(struct flexsc_worker *worker)
{
	struct ksignal ksig;

	if (test_thread_flag(TIF_NOTIFY_RESUME)) {
		clear_thread_flag(TIF_NOTIFY_RESUME);
		/* The flag before the work, as resume_user_mode_work() does. */
		smp_mb__after_atomic();
	}
	if (task_work_pending(current))
		static_call(fx_task_work_run)();
#ifdef CONFIG_MEMCG
	if (unlikely(current->memcg_nr_pages_over_high))
		static_call(fx_mem_cgroup_handle_over_high)(GFP_KERNEL);
#endif
	if (signal_pending(current) && static_call(fx_get_signal)(&ksig))
		worker->dying = true;
	return worker->dying;
}

void flexsc_snapshot_drop(struct flexsc_worker *worker)
{
	while (worker->nr_clients)
		flexsc_client_put(worker->clients[--worker->nr_clients]);
}

/*
 * Takes references to the clients there are, so that serving them needs no
 * lock and no shared counter.
 */
static void snapshot_take(struct flexsc_worker *worker)
{
	struct flexsc_group *group = worker->pool->group;
	unsigned int i;

	flexsc_snapshot_drop(worker);
	raw_spin_lock_irq(&group->lock);
	worker->generation = group->generation;
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		struct flexsc_client *client = group->clients[i];

		if (!client)
			continue;
		refcount_inc(&client->ref);
		worker->clients[worker->nr_clients++] = client;
	}
	raw_spin_unlock_irq(&group->lock);
}

/*
 * Takes a share of a submission word: all of it for a worker that is alone,
 * else as much as leaves the same for the others. Full barrier: pairs with the
 * release of the poster (the entry is read after) and comes before the identity
 * check (credentials that were changed before the post are seen).
 */
static u64 claim(struct flexsc_pool *pool, u64 *word)
{
	int running = atomic_read(&pool->running);
	u64 old, take;

	if (running <= 1)
		return xchg(word, 0);
	old = READ_ONCE(*word);
	do {
		unsigned int n = clamp_t(unsigned int, hweight64(old) / running,
					 1, SHARED_CLAIM);
		u64 rest = old;

		if (!old)
			return 0;
		while (n-- && rest)
			rest &= rest - 1;
		take = old & ~rest;
	} while (!try_cmpxchg((unsigned long *)word, (unsigned long *)&old,
			      (unsigned long)(old & ~take)));
	return take;
}

/* Takes a share of one word. Returns whether there was something. */
static bool serve_word(struct flexsc_worker *worker,
		       struct flexsc_client *client, unsigned int page)
{
	struct flexsc_pool *pool = worker->pool;
	u64 *word = &client->header->submission[pool->index].page[page];
	u64 taken, posted = READ_ONCE(*word);

	/* Work for several: they come while this one is at it. */
	if (posted & (posted - 1) &&
	    atomic_read(&pool->running) < (int)READ_ONCE(pool->concurrency))
		flexsc_pool_kick(pool);
	trace_flexsc_post(client, pool->index, page, posted);
	/*
	 * Before bits are taken, which is a full barrier; they are in claim, or
	 * posted again, before it is NULL again. For CANCEL, see has_claimed().
	 */
	WRITE_ONCE(worker->exec.claiming, word);
	taken = claim(pool, word);
	/*
	 * What was posted after POOL_UPDATE returned runs as it says: the
	 * claim's barrier comes before this look at the configuration.
	 */
	if (taken && likely(READ_ONCE(pool->config) == worker->config &&
			    flexsc_identity_holds(pool->group))) {
		flexsc_serve_claim(&worker->exec, client, page, word, taken);
		return true;
	}
	if (taken)
		flexsc_put_back(pool->group, taken, word);
	WRITE_ONCE(worker->exec.claiming, NULL);
	return taken; /* look_around() comes before the next claim */
}

/* Goes on with operations of a client that became ready. */
static void serve_ready(struct flexsc_worker *worker,
			struct flexsc_client *client)
{
	struct flexsc_op *op;
	unsigned int n;

	for (n = 0; n < OPS_IN_A_PASS; n++) {
		if (!flexsc_identity_holds(worker->pool->group))
			return;
		op = flexsc_op_next(client, worker->pool, false);
		if (!op)
			return;
		flexsc_op_serve(&worker->exec, op);
		if (flexsc_worker_must_leave(worker))
			return;
	}
}

/*
 * One turn of a client: what became ready, and a share of one word, the next
 * after that of its last turn. So a client that posts a lot gets no more turns
 * than others. Returns whether there was something.
 */
static bool serve_client(struct flexsc_worker *worker, unsigned int i)
{
	struct flexsc_client *client = worker->clients[i];
	struct flexsc_pool *pool = worker->pool;
	u64 *words = client->header->submission[pool->index].page;
	unsigned int n, nr_pages = flexsc_used_pages(client);
	unsigned int page = worker->next_page[i];
	bool any = false;

	if (unlikely(READ_ONCE(client->nr_ready[pool->index]))) {
		serve_ready(worker, client);
		any = true;
	}
	for (n = 0; n < nr_pages; n++) {
		if (page >= nr_pages)
			page = 0;
		if (unlikely(READ_ONCE(words[page]))) {
			worker->next_page[i] = page + 1;
			return serve_word(worker, client, page) || any;
		}
		page++;
	}
	return any;
}

/* Whether this worker has to stop serving, for good or for others. */
static bool must_pause(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;

	return flexsc_worker_must_leave(worker) ||
	       atomic_read(&pool->running) > (int)READ_ONCE(pool->concurrency);
}

/* A turn for every client. Returns whether there was something. */
static bool serve_pass(struct flexsc_worker *worker)
{
	unsigned int n, i = worker->next_client;
	bool any = false;

	for (n = 0; n < worker->nr_clients; n++) {
		if (i >= worker->nr_clients)
			i = 0;
		if (serve_client(worker, i)) {
			any = true;
			if (must_pause(worker)) {
				/* Who goes on begins with the next one. */
				worker->next_client = i + 1;
				break;
			}
		}
		i++;
	}
	return any;
}

/*
 * Sees to it that somebody can go on should this worker fall asleep. No thread
 * is made while a signal is pending, a stop of the process for instance: that
 * comes first, and no call of this worker before the thread.
 */
static void ensure_spare(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	int err;

	if (likely(READ_ONCE(pool->nr_spare)) ||
	    READ_ONCE(pool->nr_workers) >= READ_ONCE(pool->max_workers) ||
	    time_before(jiffies, READ_ONCE(pool->create_after)))
		return;
	do {
		err = flexsc_worker_create(pool);
	} while (err == -ERESTARTNOINTR && !flexsc_worker_resume(worker));
	if (err)
		WRITE_ONCE(pool->create_after, jiffies + HZ / 10);
}

/* Runs where and as the pool says now. Only the worker itself does this. */
static void take_config(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	struct flexsc_pool_config *config, *old = worker->config;
	struct sched_attr attr = {};

	if (likely(READ_ONCE(pool->config) == old))
		return;
	raw_spin_lock_irq(&pool->group->lock);
	config = pool->config;
	refcount_inc(&config->ref);
	raw_spin_unlock_irq(&pool->group->lock);
	worker->config = config;
	if (old)
		flexsc_pool_config_put(old);

	/* Fails only if all its CPUs went away; then any will do. */
	set_cpus_allowed_ptr(current, to_cpumask(config->cpus));
	if (!config->sched_set)
		return;
	attr.sched_policy = config->policy;
	if (config->policy == SCHED_FIFO || config->policy == SCHED_RR)
		attr.sched_priority = config->priority;
	else
		attr.sched_nice = config->priority;
	/* The rights to it were checked when it was set. */
	sched_setattr_nocheck(current, &attr);
}

/* What else has to be seen to, now and then. */
static void look_around(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;

	if (unlikely(READ_ONCE(pool->asleep)))
		flexsc_pool_awake(pool);
	if (unlikely(!worker->nr_clients ||
		     READ_ONCE(pool->group->generation) != worker->generation))
		snapshot_take(worker);
	take_config(worker);
	ensure_spare(worker);
	if (signal_pending(current) || task_work_pending(current) ||
	    test_thread_flag(TIF_NOTIFY_RESUME))
		flexsc_worker_resume(worker);
	cond_resched_tasks_rcu_qs();
}

/* Something that look_around() sees to, or others on this CPU, wait. */
static bool is_wanted_elsewhere(void)
{
	return READ_ONCE(current_thread_info()->flags) &
	       (_TIF_NEED_RESCHED | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL |
		_TIF_NOTIFY_RESUME | _TIF_PATCH_PENDING);
}

/* Looks for work, and for nothing else, a number of times. */
static bool poll_for_work(struct flexsc_worker *worker, bool spin)
{
	unsigned int looks = spin ? LOOKS : 1;

	do {
		if (serve_pass(worker))
			return true;
		if (is_wanted_elsewhere())
			return false;
		cpu_relax();
	} while (--looks);
	return false;
}

/* Serves until there is nothing to do, or others do it. */
static void serve(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	u64 spin_until = 0;

	while (!must_pause(worker)) {
		/* A real-time spinner would starve what else its CPU has to do. */
		u64 spin_ns = rt_task(current) ? 0 : READ_ONCE(pool->spin_ns);

		look_around(worker);
		if (poll_for_work(worker, spin_ns)) {
			spin_until = 0;
			/* More than one worker's work: let another help. */
			if (atomic_read(&pool->running) <
			    (int)READ_ONCE(pool->concurrency))
				flexsc_pool_kick(pool);
			continue;
		}
		if (!spin_ns || test_thread_flag(TIF_PATCH_PENDING))
			return;
		if (!spin_until)
			spin_until = local_clock() + spin_ns;
		else if (local_clock() >= spin_until)
			return;
	}
}

static void worker_begin(struct flexsc_worker *worker)
{
	take_config(worker);
	flexsc_exec_begin(&worker->exec);
}

int flexsc_worker_main(void *arg)
{
	struct flexsc_worker *worker = arg;
	struct file *pin = worker->pin;
	long code;

	worker_begin(worker);
	while (!flexsc_worker_park(worker)) {
		/* For a fuzzer; without CONFIG_KCOV there is nothing of it. */
		kcov_remote_start_common(worker->pool->group->kcov_handle);
		serve(worker);
		kcov_remote_stop();
	}

	flexsc_exec_end(&worker->exec);
	code = flexsc_worker_leave(worker);
	/* See pin_fops: worker and the module may be gone inside do_exit(). */
	fput(pin);
	static_call(fx_do_exit)(code);
	return 0;
}
