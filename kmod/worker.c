// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers: threads of the process that never see user mode. They claim posted
 * entries, execute them and complete them.
 *
 * A claim is the set of bits that an exchange took from a submission word.
 * Each bit of it is either executed by the worker that claimed it, or, when
 * that worker falls asleep inside a call, handed back to the word it came from
 * (sched_out), where the worker that goes on finds it. What is executed is
 * completed, once, before the worker looks at anything else.
 */
#include <linux/bitops.h>
#include <linux/file.h>
#include <linux/memcontrol.h>
#include <linux/rcupdate.h>
#include <linux/sched/clock.h>
#include <linux/sched/rt.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/task_work.h>

#include "compat.h"
#include "flexsc.h"
#include "resolve.h"

/* With several workers awake, one claim leaves something for the others. */
#define SHARED_CLAIM 8

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

/*
 * The scheduler takes the worker off its CPU. Only when it sleeps inside a call
 * is there something to do: what it has claimed and not begun goes back, and
 * somebody else has to run. The run queue is locked: nothing but stores,
 * atomics and irq_work here.
 */
static void worker_sched_out(struct preempt_notifier *notifier,
			     struct task_struct *next)
{
	struct flexsc_worker *worker =
		container_of(notifier, struct flexsc_worker, notifier);

	if (!READ_ONCE(worker->in_call) || !fx_current_sleeps())
		return;
	worker->blocked = true;
	worker->stats.blocked++;
	if (worker->claim) {
		worker->stats.handed_back += hweight64(worker->claim);
		/*
		 * Before running is lowered: who is woken for that looks at
		 * the words after. Value-returning atomics are full barriers.
		 */
		atomic64_fetch_or(worker->claim, (atomic64_t *)worker->claim_word);
		worker->claim = 0;
	}
	atomic_dec_return(&worker->pool->running);
	irq_work_queue(&worker->blocked_work);
}

static void worker_sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct flexsc_worker *worker =
		container_of(notifier, struct flexsc_worker, notifier);

	if (worker->blocked) {
		worker->blocked = false;
		atomic_inc(&worker->pool->running);
	}
}

static struct preempt_ops worker_preempt_ops = {
	.sched_in = worker_sched_in,
	.sched_out = worker_sched_out,
};

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
 * Takes bits from a submission word. Full barrier: pairs with the release of
 * the poster (the entry is read after) and comes before the identity check
 * (credentials that were changed before the post are seen).
 */
static u64 claim(const struct flexsc_pool *pool, u64 *word)
{
	u64 old, take;

	if (pool->concurrency == 1)
		return xchg(word, 0);
	old = READ_ONCE(*word);
	do {
		u64 rest = old;
		unsigned int n;

		if (!old)
			return 0;
		for (n = 0; n < SHARED_CLAIM && rest; n++)
			rest &= rest - 1;
		take = old & ~rest;
	} while (!try_cmpxchg((unsigned long *)word, (unsigned long *)&old,
			      (unsigned long)(old & ~take)));
	return take;
}

/* Returns the result of the entry. */
static long serve_entry(struct flexsc_worker *worker,
			const struct flexsc_entry *entry)
{
	struct flexsc_stats *stats = &worker->stats;
	long result = -FLEXSC_E_STOPPED;

	if (likely(!flexsc_worker_must_leave(worker))) {
		result = flexsc_call_read(&worker->call, entry);
		if (!result)
			result = flexsc_policy_check(&worker->call, true);
		if (unlikely(result)) {
			stats->refused++;
			return result;
		}
		result = flexsc_execute_worker(worker);
	}
	if (unlikely(result == -FLEXSC_E_STOPPED))
		stats->cancelled++;
	else
		stats->executed++;
	return result;
}

/* Executes and completes one claim. */
static void serve_claim(struct flexsc_worker *worker,
			struct flexsc_client *client, unsigned int page)
{
	struct flexsc_entry *entries = client->pages[page];
	struct flexsc_stats *stats = &worker->stats;

	stats->batches++;
	stats->batch_size[ilog2(hweight64(worker->claim))]++;
	do {
		unsigned int bit = __ffs64(worker->claim);
		long result;

		worker->claim &= worker->claim - 1;
		/* The claim is what sched_out sees from here on. */
		barrier();
		result = serve_entry(worker, &entries[bit]);
		flexsc_complete(client, page, bit, result);
		if (unlikely(signal_pending(current)))
			flexsc_worker_resume(worker);
		barrier();
	} while (worker->claim);
	flexsc_client_completed(client);
}

/*
 * Looks at every submission word once. Returns whether anything was claimed.
 */
static bool serve_pass(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	struct flexsc_group *group = pool->group;
	enum flexsc_state identity;
	unsigned int i, page;
	bool any = false;

	for (i = 0; i < worker->nr_clients; i++) {
		struct flexsc_client *client = worker->clients[i];
		u64 *words = client->header->submission[pool->index].page;

		for (page = 0; page < client->nr_pages; page++) {
			if (!READ_ONCE(words[page]))
				continue;
			worker->claim_word = &words[page];
			worker->claim = claim(pool, &words[page]);
			if (!worker->claim)
				continue;
			identity = flexsc_group_identity(group);
			if (unlikely(identity != FLEXSC_STATE_OPEN)) {
				atomic64_or(worker->claim, (atomic64_t *)&words[page]);
				worker->claim = 0;
				flexsc_group_stop(group, identity);
				return true;
			}
			serve_claim(worker, client, page);
			any = true;
			if (flexsc_worker_must_leave(worker) ||
			    atomic_read(&pool->running) > (int)pool->concurrency)
				return true;
		}
	}
	return any;
}

/* Sees to it that somebody can go on should this worker fall asleep. */
static void ensure_spare(struct flexsc_pool *pool)
{
	if (likely(READ_ONCE(pool->nr_spare)) ||
	    READ_ONCE(pool->nr_workers) >= pool->max_workers ||
	    time_before(jiffies, READ_ONCE(pool->create_after)))
		return;
	if (flexsc_worker_create(pool))
		WRITE_ONCE(pool->create_after, jiffies + HZ / 10);
}

/* Serves until there is nothing to do, or others do it. */
static void serve(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	struct flexsc_group *group = pool->group;
	/* A real-time spinner would starve whatever else the CPU has to do. */
	u64 spin_ns = rt_task(current) ? 0 : pool->spin_ns;
	u64 spin_until = 0;

	while (!flexsc_worker_must_leave(worker) &&
	       atomic_read(&pool->running) <= (int)pool->concurrency) {
		if (unlikely(READ_ONCE(pool->asleep)))
			flexsc_pool_awake(pool);
		if (unlikely(!worker->nr_clients ||
			     READ_ONCE(group->generation) != worker->generation))
			snapshot_take(worker);
		ensure_spare(pool);
		if (serve_pass(worker)) {
			spin_until = 0;
			/* More than one worker's work: let another help. */
			if (pool->concurrency > 1)
				flexsc_pool_kick(pool);
		} else {
			u64 now = local_clock();

			if (!spin_until)
				spin_until = now + spin_ns;
			if (now >= spin_until ||
			    test_thread_flag(TIF_PATCH_PENDING))
				return;
			cpu_relax();
		}
		if (signal_pending(current) || task_work_pending(current) ||
		    test_thread_flag(TIF_NOTIFY_RESUME))
			flexsc_worker_resume(worker);
		cond_resched_tasks_rcu_qs();
	}
}

static void worker_begin(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;

	task_lock(current);
	snprintf(current->comm, sizeof(current->comm), "flexsc-w/%u", pool->index);
	task_unlock(current);
	/* Fails only if all its CPUs went away; then any will do. */
	set_cpus_allowed_ptr(current, pool->cpus);
	flexsc_call_init(&worker->call);
	preempt_disable();
	preempt_notifier_init(&worker->notifier, &worker_preempt_ops);
	preempt_notifier_register(&worker->notifier);
	preempt_enable();
}

int flexsc_worker_main(void *arg)
{
	struct flexsc_worker *worker = arg;
	struct file *pin = worker->pin;
	long code;

	worker_begin(worker);
	while (!flexsc_worker_park(worker))
		serve(worker);

	preempt_disable();
	preempt_notifier_unregister(&worker->notifier);
	preempt_enable();
	code = flexsc_worker_leave(worker);
	/* See pin_fops: worker and the module may be gone inside do_exit(). */
	fput(pin);
	static_call(fx_do_exit)(code);
	return 0;
}
