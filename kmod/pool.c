// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools: which workers run, which are parked, which are made and which leave.
 *
 * The number running (neither parked nor asleep inside a call) is held at
 * pool->concurrency from both sides: a worker that falls asleep in a call has
 * another one woken (blocked_work_fn), and one that wakes up to find too
 * many running parks after its call (worker.c).
 *
 * The sleeping handshake. While nobody runs, need_doorbell is set in every
 * client and the poster of a call rings. It is set here, under group->lock, by
 * the worker whose parking leaves nobody running, and cleared by whoever makes
 * the first worker run again:
 *
 *   worker                             poster (user space)
 *   need_doorbell = 1                  submission |= bit
 *   full barrier (set_current_state)   full barrier
 *   look at submission                 look at need_doorbell
 *   sleep if empty                     DOORBELL if set
 *
 * so one of the two sees the other. If the last running worker does not park
 * but sleeps in a call, and no other can be had, need_doorbell stays 0: that
 * worker, or the next one that parks, looks at the words again.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "flexsc.h"
#include "resolve.h"

/* A worker that nobody needed for so long leaves, but for one spare. */
#define RETIRE_AFTER (30 * HZ)

static void set_need_doorbell(struct flexsc_pool *pool, u32 value)
{
	struct flexsc_group *group = pool->group;
	unsigned int i;

	lockdep_assert_held(&group->lock);
	pool->asleep = value;
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (group->clients[i])
			WRITE_ONCE(group->clients[i]->header->need_doorbell[pool->index].value,
				   value);
	}
}

static bool pool_pending(struct flexsc_pool *pool)
{
	struct flexsc_group *group = pool->group;
	unsigned int i, page;

	lockdep_assert_held(&group->lock);
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		struct flexsc_client *client = group->clients[i];

		for (page = 0; client && page < client->nr_pages; page++) {
			if (READ_ONCE(client->header->submission[pool->index].page[page]))
				return true;
		}
	}
	return false;
}

/* Takes a worker off the parked list. */
static void unlist_parked(struct flexsc_worker *worker)
{
	lockdep_assert_held(&worker->pool->group->lock);
	list_del_init(&worker->parked_node);
	worker->pool->nr_spare--;
	WRITE_ONCE(worker->parked, false);
}

/* Makes a parked worker a running one, on its behalf. */
static void unpark(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;

	unlist_parked(worker);
	atomic_inc(&pool->running);
	if (pool->asleep)
		set_need_doorbell(pool, 0);
}

/*
 * Wakes one parked worker unless enough are running. From any context. Returns
 * whether it did.
 */
bool flexsc_pool_kick(struct flexsc_pool *pool)
{
	struct flexsc_worker *worker;
	unsigned long flags;
	bool woken = false;

	raw_spin_lock_irqsave(&pool->group->lock, flags);
	if (atomic_read(&pool->running) < (int)pool->concurrency) {
		worker = list_first_entry_or_null(&pool->parked,
						  struct flexsc_worker,
						  parked_node);
		if (worker) {
			unpark(worker);
			wake_up_process(worker->task);
			woken = true;
		}
	}
	raw_spin_unlock_irqrestore(&pool->group->lock, flags);
	return woken;
}

/* A worker came back from a sleep inside a call while all others are parked. */
void flexsc_pool_awake(struct flexsc_pool *pool)
{
	raw_spin_lock_irq(&pool->group->lock);
	if (pool->asleep)
		set_need_doorbell(pool, 0);
	raw_spin_unlock_irq(&pool->group->lock);
}

/*
 * The part of sched_out that needs locks: a worker fell asleep inside a call.
 * Another one goes on, and carriers get what it completed before.
 */
static void blocked_work_fn(struct irq_work *work)
{
	struct flexsc_worker *worker =
		container_of(work, struct flexsc_worker, blocked_work);
	struct flexsc_group *group = worker->pool->group;
	unsigned long flags;
	unsigned int i;

	flexsc_pool_kick(worker->pool);
	raw_spin_lock_irqsave(&group->lock, flags);
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (group->clients[i])
			flexsc_client_completed_locked(group->clients[i]);
	}
	raw_spin_unlock_irqrestore(&group->lock, flags);
}

/*
 * Interrupts every worker, also one that sleeps inside a call, without a signal
 * (which would kill the process). As io-wq does.
 */
void flexsc_pool_stop_locked(struct flexsc_pool *pool)
{
	struct flexsc_worker *worker;

	lockdep_assert_held(&pool->group->lock);
	/* A worker unlinks itself under the lock before it exits. */
	list_for_each_entry(worker, &pool->workers, node) {
		set_tsk_thread_flag(worker->task, TIF_NOTIFY_SIGNAL);
		wake_up_process(worker->task);
	}
}

/*
 * Sleeps until there is something to do for this worker. It holds no client
 * meanwhile. Returns true when it has to leave.
 */
bool flexsc_worker_park(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	struct flexsc_group *group = pool->group;
	long left = RETIRE_AFTER;
	bool leave = false;

	flexsc_snapshot_drop(worker);

	raw_spin_lock_irq(&group->lock);
	if (worker->started) {
		atomic_dec(&pool->running);
		pool->nr_spare++;
	}
	worker->started = true; /* a new one was counted by its creator */
	worker->parked = true;
	worker->stats.parks++;
	list_add(&worker->parked_node, &pool->parked);
	if (!atomic_read(&pool->running) && !pool->asleep)
		set_need_doorbell(pool, 1);
	/*
	 * need_doorbell before submission words: full barrier, pairs with the
	 * poster's (see the top of this file).
	 */
	set_current_state(TASK_INTERRUPTIBLE);
	if (atomic_read(&pool->running) < (int)pool->concurrency &&
	    pool_pending(pool))
		unpark(worker);
	raw_spin_unlock_irq(&group->lock);

	while (READ_ONCE(worker->parked) && !leave) {
		if (signal_pending(current) ||
		    flexsc_worker_must_leave(worker)) {
			__set_current_state(TASK_RUNNING);
			leave = flexsc_worker_resume(worker) ||
				flexsc_worker_must_leave(worker);
		} else if (!left) {
			__set_current_state(TASK_RUNNING);
			leave = READ_ONCE(pool->nr_workers) > pool->concurrency + 1;
			left = RETIRE_AFTER;
		} else {
			left = schedule_timeout(left);
		}
		/* Before parked is looked at; wake-ups come after it changed. */
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return leave || flexsc_worker_must_leave(worker);
}

/*
 * Last act of a worker but for its exit. Returns its exit code: the last thread
 * to go decides that of the process, which should be the code of the last user
 * thread. If that is the owner, we are here because it exits.
 */
long flexsc_worker_leave(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	struct flexsc_group *group = pool->group;
	long code = READ_ONCE(group->owner->exit_code);

	flexsc_snapshot_drop(worker);
	raw_spin_lock_irq(&group->lock);
	if (worker->parked)
		unlist_parked(worker);
	else if (worker->started)
		atomic_dec(&pool->running);
	else
		pool->nr_spare--;
	list_del(&worker->node);
	pool->nr_workers--;
	flexsc_stats_add(&group->gone, &worker->stats);
	raw_spin_unlock_irq(&group->lock);

	/* SIGKILL goes to all threads: the process dies, or becomes another. */
	if (worker->dying)
		flexsc_group_stop(group, FLEXSC_STATE_CLOSED);
	else
		flexsc_pool_kick(pool);
	irq_work_sync(&worker->blocked_work);
	flexsc_group_put(group);
	return code;
}

static int pin_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

/*
 * A worker's hold on this module. The last reference is dropped by task work
 * that runs inside do_exit(), after the worker's last instruction here; core
 * code then puts the module.
 */
static const struct file_operations pin_fops = {
	.owner = THIS_MODULE,
	.release = pin_release,
};

/*
 * Makes a worker of the current process, as a thread of it. It starts parked.
 * From the ioctl or from another worker of the pool.
 */
int flexsc_worker_create(struct flexsc_pool *pool)
{
	struct flexsc_group *group = pool->group;
	struct flexsc_worker *worker;
	struct task_struct *task;
	int err = 0;

	/* Older kernels do not refuse this in copy_process(). */
	if (current->flags & (PF_SIGNALED | PF_POSTCOREDUMP | PF_EXITING))
		return -EAGAIN;
	worker = kzalloc(sizeof(*worker), GFP_KERNEL_ACCOUNT);
	if (!worker)
		return -ENOMEM;
	worker->pin = anon_inode_getfile("[flexsc-worker]", &pin_fops, worker,
					 O_RDONLY);
	if (IS_ERR(worker->pin)) {
		err = PTR_ERR(worker->pin);
		kfree(worker);
		return err;
	}
	worker->pool = pool;
	INIT_LIST_HEAD(&worker->parked_node);
	init_irq_work(&worker->blocked_work, blocked_work_fn);

	raw_spin_lock_irq(&group->lock);
	if (pool->nr_workers >= pool->max_workers ||
	    flexsc_group_stopped(group)) {
		err = -EAGAIN;
	} else {
		pool->nr_workers++;
		pool->nr_spare++;
	}
	raw_spin_unlock_irq(&group->lock);
	if (err)
		goto err_pin;

	refcount_inc(&group->ref);
	task = static_call(fx_create_io_thread)(flexsc_worker_main, worker,
						NUMA_NO_NODE);
	if (IS_ERR(task)) {
		err = PTR_ERR(task);
		goto err_count;
	}
	worker->task = task;
	raw_spin_lock_irq(&group->lock);
	list_add(&worker->node, &pool->workers);
	raw_spin_unlock_irq(&group->lock);
	/* If the group has stopped by now, the worker sees it itself. */
	static_call(fx_wake_up_new_task)(task);
	return 0;

err_count:
	raw_spin_lock_irq(&group->lock);
	pool->nr_workers--;
	pool->nr_spare--;
	raw_spin_unlock_irq(&group->lock);
	flexsc_group_put(group);
err_pin:
	fput(worker->pin); /* frees worker */
	return err;
}

/* The CPUs a caller asked for, cut to those its cpuset allows. */
static int pool_cpus(struct flexsc_pool *pool,
		     const struct flexsc_pool_params *params)
{
	unsigned int bytes = min_t(unsigned int, params->cpumask_bytes,
				   cpumask_size());
	cpumask_var_t allowed;
	int err = 0;

	if (!alloc_cpumask_var(&allowed, GFP_KERNEL))
		return -ENOMEM;
	static_call(fx_cpuset_cpus_allowed)(current, allowed);
	if (bytes) {
		cpumask_clear(pool->cpus);
		if (copy_from_user(cpumask_bits(pool->cpus),
				   u64_to_user_ptr(params->cpumask), bytes))
			err = -EFAULT;
		cpumask_and(pool->cpus, pool->cpus, allowed);
	} else {
		cpumask_and(pool->cpus, current->cpus_ptr, allowed);
	}
	if (!err && !cpumask_intersects(pool->cpus, cpu_online_mask))
		err = -EINVAL;
	free_cpumask_var(allowed);
	return err;
}

void flexsc_pool_free(struct flexsc_pool *pool)
{
	free_cpumask_var(pool->cpus);
}

/* Under group->mutex. Returns the pool's number or -errno. */
int flexsc_pool_create(struct flexsc_group *group, void __user *arg)
{
	struct flexsc_pool *pool = &group->pools[group->nr_pools];
	struct flexsc_pool_params params;
	int err;

	err = flexsc_params_get(&params, sizeof(params), arg);
	if (err)
		return err;
	if (params.flags || params.spin_us > FLEXSC_MAX_SPIN_US ||
	    params.concurrency > FLEXSC_MAX_WORKERS / 2 ||
	    params.standby_max > FLEXSC_MAX_WORKERS / 2)
		return -EINVAL;
	/* Workers get the identity of the thread that makes them. */
	if (current != group->owner)
		return -EPERM;
	if (flexsc_group_identity(group) != FLEXSC_STATE_OPEN)
		return -ESHUTDOWN;
	if (group->nr_pools == ARRAY_SIZE(group->pools))
		return -ENOSPC;

	memset(pool, 0, sizeof(*pool));
	if (!zalloc_cpumask_var(&pool->cpus, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	err = pool_cpus(pool, &params);
	if (err)
		goto err_free;
	pool->group = group;
	pool->index = group->nr_pools;
	pool->concurrency = params.concurrency ?: cpumask_weight(pool->cpus);
	pool->max_workers = params.standby_max ?
				    pool->concurrency + params.standby_max :
				    FLEXSC_MAX_WORKERS;
	pool->spin_ns = params.spin_us * NSEC_PER_USEC;
	pool->asleep = true;
	atomic_set(&pool->running, 0);
	INIT_LIST_HEAD(&pool->workers);
	INIT_LIST_HEAD(&pool->parked);

	/* One is enough to begin: it sees to further ones when it is woken. */
	err = flexsc_worker_create(pool);
	if (err)
		goto err_free;
	raw_spin_lock_irq(&group->lock);
	/* The pool before its number; pairs with client_doorbell(). */
	smp_store_release(&group->nr_pools, group->nr_pools + 1);
	raw_spin_unlock_irq(&group->lock);
	return pool->index;

err_free:
	free_cpumask_var(pool->cpus);
	return err;
}
