// SPDX-License-Identifier: GPL-2.0-only
/*
 * The workers of a pool: which run, which are parked, which are made and which
 * leave.
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
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "flexsc.h"
#include "op.h"
#include "resolve.h"
#include "trace.h"

/* A worker that nobody needed for so long may leave. */
#define RETIRE_AFTER (5 * HZ)

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
	unsigned int i, page, nr_pages;

	lockdep_assert_held(&group->lock);
	/* See flexsc_pool_begin_locked(). */
	if (pool->index >= group->nr_pools)
		return false;
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		struct flexsc_client *client = group->clients[i];

		if (!client)
			continue;
		if (READ_ONCE(client->nr_ready[pool->index]))
			return true;
		nr_pages = flexsc_used_pages(client);
		for (page = 0; page < nr_pages; page++) {
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
bool flexsc_pool_kick_locked(struct flexsc_pool *pool)
{
	struct flexsc_worker *worker;

	lockdep_assert_held(&pool->group->lock);
	if (atomic_read(&pool->running) >= (int)READ_ONCE(pool->concurrency))
		return false;
	worker = list_first_entry_or_null(&pool->parked, struct flexsc_worker,
					  parked_node);
	if (!worker)
		return false;
	unpark(worker);
	wake_up_process(worker->task);
	return true;
}

bool flexsc_pool_kick(struct flexsc_pool *pool)
{
	unsigned long flags;
	bool woken;

	raw_spin_lock_irqsave(&pool->group->lock, flags);
	woken = flexsc_pool_kick_locked(pool);
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
 * A pool has come into being, with its first worker. That one looks for nothing
 * until its pool is counted here, as CANCEL and the end of the group, which go
 * over the pools, would miss what it does. So we look for it.
 */
void flexsc_pool_begin_locked(struct flexsc_pool *pool)
{
	struct flexsc_group *group = pool->group;

	lockdep_assert_held(&group->lock);
	/* The pool before its number; pairs with flexsc_group_pools(). */
	smp_store_release(&group->nr_pools, pool->index + 1);
	if (flexsc_group_stopped(group))
		flexsc_pool_stop_locked(pool);
	else if (pool_pending(pool))
		flexsc_pool_kick_locked(pool);
}

/*
 * Nobody needed this worker for long. It leaves if more are parked than may run
 * at a time, and one spare. Blocked ones do not count: they cannot take over. Nor
 * may it be the last one parked, as those that are being made may not come. It
 * counts as running until it has left, and then has another one look for what it
 * was not woken for (flexsc_worker_leave()).
 */
static bool retire(struct flexsc_worker *worker)
{
	struct flexsc_pool *pool = worker->pool;
	bool leave;

	raw_spin_lock_irq(&pool->group->lock);
	leave = worker->parked && !list_is_singular(&pool->parked) &&
		pool->nr_spare > READ_ONCE(pool->concurrency) + 1;
	if (leave)
		unpark(worker);
	raw_spin_unlock_irq(&pool->group->lock);
	return leave;
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
	flexsc_count(pool, parks);
	trace_flexsc_sleep(pool);
	list_add(&worker->parked_node, &pool->parked);
	if (!atomic_read(&pool->running) && !pool->asleep)
		set_need_doorbell(pool, 1);
	/*
	 * need_doorbell before submission words: full barrier, pairs with the
	 * poster's (see the top of this file).
	 */
	set_current_state(TASK_INTERRUPTIBLE);
	if (atomic_read(&pool->running) < (int)READ_ONCE(pool->concurrency) &&
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
			leave = retire(worker);
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
 * No worker of a stopped group will come again: nothing that waits for one may
 * stay.
 */
static void close_all_clients(struct flexsc_group *group)
{
	unsigned int i;

	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		struct flexsc_client *client;

		raw_spin_lock_irq(&group->lock);
		client = group->clients[i];
		if (client)
			refcount_inc(&client->ref);
		raw_spin_unlock_irq(&group->lock);
		if (!client)
			continue;
		flexsc_ops_close(client);
		flexsc_client_put(client);
	}
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
	bool last;

	flexsc_snapshot_drop(worker);
	/* SIGKILL goes to all threads: the process dies, or becomes another. */
	if (worker->dying)
		flexsc_group_stop(group, FLEXSC_STATE_CLOSED);
	raw_spin_lock_irq(&group->lock);
	if (worker->parked)
		unlist_parked(worker);
	else if (worker->started)
		atomic_dec(&pool->running);
	else
		pool->nr_spare--;
	list_del(&worker->node);
	pool->nr_workers--;
	last = !--group->nr_workers && flexsc_group_stopped(group);
	raw_spin_unlock_irq(&group->lock);

	if (last)
		close_all_clients(group);
	else
		flexsc_pool_kick(pool);
	flexsc_user_give_back(group->user, FLEXSC_USER_WORKERS, 1);
	flexsc_group_put(group);
	return code;
}

void flexsc_worker_free(struct flexsc_worker *worker)
{
	if (worker->config)
		flexsc_pool_config_put(worker->config);
	kfree(worker);
}

static int pin_release(struct inode *inode, struct file *file)
{
	flexsc_worker_free(file->private_data);
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
		flexsc_worker_free(worker);
		return err;
	}
	worker->pool = pool;
	INIT_LIST_HEAD(&worker->parked_node);
	flexsc_exec_init(&worker->exec, FLEXSC_BY_WORKER, pool);
	worker->exec.worker = worker;

	raw_spin_lock_irq(&group->lock);
	if (pool->nr_workers >= READ_ONCE(pool->max_workers) ||
	    flexsc_group_stopped(group)) {
		err = -EAGAIN;
	} else {
		pool->nr_workers++;
		pool->nr_spare++;
		group->nr_workers++;
	}
	raw_spin_unlock_irq(&group->lock);
	if (err)
		goto err_pin;
	refcount_inc(&group->ref);
	if (!flexsc_user_charge(group->user, FLEXSC_USER_WORKERS, 1)) {
		err = -EAGAIN;
		goto err_count;
	}

	task = static_call(fx_create_io_thread)(flexsc_worker_main, worker,
						NUMA_NO_NODE);
	if (IS_ERR(task)) {
		err = PTR_ERR(task);
		goto err_user;
	}
	worker->task = task;
	/*
	 * Named before it runs: whoever waits by these names for workers to be
	 * gone must not miss the one that has not begun. The lock is for /proc.
	 */
	task_lock(task);
	snprintf(task->comm, sizeof(task->comm), "flexsc-w/%u", pool->index);
	task_unlock(task);
	raw_spin_lock_irq(&group->lock);
	list_add(&worker->node, &pool->workers);
	raw_spin_unlock_irq(&group->lock);
	/* If the group has stopped by now, the worker sees it itself. */
	static_call(fx_wake_up_new_task)(task);
	return 0;

err_user:
	flexsc_user_give_back(group->user, FLEXSC_USER_WORKERS, 1);
err_count:
	raw_spin_lock_irq(&group->lock);
	pool->nr_workers--;
	pool->nr_spare--;
	group->nr_workers--;
	raw_spin_unlock_irq(&group->lock);
	flexsc_group_put(group);
err_pin:
	fput(worker->pin); /* frees worker */
	return err;
}
