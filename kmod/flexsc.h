/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the module share.
 *
 * Objects and who keeps them alive:
 *
 *   group   one open of /dev/flexsc. Referenced by its file, its clients and
 *           its workers. Never holds mm_users, only mm_count: the pages of the
 *           process must be able to go while we exist.
 *   client  a mapped region. Referenced by its file (which the mapping
 *           references) and by the snapshot of every worker that may be
 *           serving it.
 *   pool    part of its group.
 *   worker  a thread of the process. Its memory and the module's text stay
 *           until its pin file is released, which happens in core code after
 *           the thread's last instruction in this module.
 *
 * Locks: groups_lock (main.c) is taken before group->lock. group->lock is raw
 * and irq-safe, because irq_work takes it, and protects the lists and counters
 * that say so below. group->mutex serialises set-up ioctls and is taken before
 * both. Nothing is locked between the claim and the completion of an entry.
 */
#ifndef FLEXSC_H
#define FLEXSC_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include <flexsc/uapi.h>

/* Workers per pool, running, parked and blocked together. */
#define FLEXSC_MAX_WORKERS 4096

struct flexsc_pool {
	struct flexsc_group *group;
	unsigned int index;
	unsigned int concurrency;
	unsigned int max_workers;
	u64 spin_ns;
	cpumask_var_t cpus;

	/*
	 * Workers that are neither parked nor asleep inside a call. Changed by
	 * the workers themselves in sched_out and sched_in (no lock possible
	 * there) and, on behalf of a parked worker, by whoever wakes it (under
	 * group->lock).
	 */
	atomic_t running;

	/* Under group->lock. */
	struct list_head workers;
	struct list_head parked; /* last in, first out: caches stay warm */
	unsigned int nr_workers; /* including those being created */
	unsigned int nr_spare;   /* parked, or being created */
	bool asleep;             /* need_doorbell is set in every client */

	unsigned long create_after; /* jiffies; after a failure to make one */
};

struct flexsc_group {
	refcount_t ref;
	struct task_struct *owner; /* the thread that opened us */
	struct mm_struct *mm;      /* identity only (mm_count) */
	const struct cred *cred;   /* the owner's when it opened us */
	struct list_head node;     /* in the list of groups, groups_lock */

	struct mutex mutex; /* serialises the ioctls that make things */

	/*
	 * enum flexsc_state. Written once, by flexsc_group_stop(); read
	 * everywhere without a lock: nobody relies on seeing it at once.
	 */
	u32 state;

	raw_spinlock_t lock;
	/* Under lock; generation is also read without it, as a hint. */
	struct flexsc_client *clients[FLEXSC_MAX_CLIENTS];
	unsigned int generation;
	struct flexsc_stats gone; /* counters of workers and clients that left */
	unsigned int nr_pools;
	struct flexsc_pool pools[1];
};

struct flexsc_client {
	refcount_t ref;
	struct flexsc_group *group;
	unsigned int nr_pages;
	struct flexsc_client_header *header;

	/* Written by the threads that make ioctls on this client. */
	atomic64_t doorbells;
	atomic64_t doorbell_wakes;
	atomic64_t waits;
	atomic64_t flushes;
	atomic64_t flushed;

	/*
	 * The thread in WAIT. Written under group->lock; workers look at it
	 * without (see flexsc_client_completed()).
	 */
	struct task_struct *waiter ____cacheline_aligned_in_smp;
	unsigned int wait_min;
	bool notified; /* under group->lock */

	struct flexsc_entry *pages[];
};

/* Our own copy of an entry: what is validated and executed. */
struct flexsc_call {
	u32 nr;
	struct pt_regs regs;
};

struct flexsc_worker {
	struct flexsc_pool *pool;
	struct task_struct *task;
	struct file *pin;
	struct list_head node;        /* pool->workers, under group->lock */
	struct list_head parked_node; /* pool->parked, under group->lock */
	bool parked;                  /* under group->lock */
	bool started;                 /* private: was parked once */
	bool dying;                   /* private: get_signal() said so */
	struct irq_work blocked_work; /* what sched_out may not do itself */
	struct preempt_notifier notifier;

	/*
	 * Private to the worker's own context, which includes its sched_out
	 * and sched_in: plain accesses with compiler barriers are enough.
	 */
	bool in_call;
	bool blocked;
	u64 claim; /* claimed, not begun */
	u64 *claim_word; /* where claim came from and is handed back to */
	struct flexsc_call call;
	struct flexsc_stats stats; /* read by others, without a promise */

	/* Private: clients being served; each holds a reference. */
	unsigned int generation;
	unsigned int nr_clients;
	struct flexsc_client *clients[FLEXSC_MAX_CLIENTS];
};

/* main.c */
void flexsc_groups_add(struct flexsc_group *group);
void flexsc_groups_remove(struct flexsc_group *group);

/* group.c */
extern const struct file_operations flexsc_group_fops;
int flexsc_params_get(void *params, size_t ksize, void __user *arg);
void flexsc_stats_add(struct flexsc_stats *to, const struct flexsc_stats *from);
int flexsc_caller_check(struct flexsc_group *group);
void flexsc_group_put(struct flexsc_group *group);
void flexsc_group_stop(struct flexsc_group *group, enum flexsc_state why);
enum flexsc_state flexsc_group_identity(struct flexsc_group *group);
bool flexsc_task_restricted(struct task_struct *task);

static inline bool flexsc_group_stopped(struct flexsc_group *group)
{
	return READ_ONCE(group->state) != FLEXSC_STATE_OPEN;
}

/* client.c */
int flexsc_client_create(struct flexsc_group *group, void __user *arg);
void flexsc_client_stats(const struct flexsc_client *client,
			 struct flexsc_stats *stats);
void flexsc_client_put(struct flexsc_client *client);
void flexsc_client_completed(struct flexsc_client *client);
void flexsc_client_completed_locked(struct flexsc_client *client);
void flexsc_client_wake_locked(struct flexsc_client *client);
void flexsc_complete(struct flexsc_client *client, unsigned int page,
		     unsigned int bit, long result);

/* flush.c */
long flexsc_client_flush(struct flexsc_client *client);

/* pool.c */
int flexsc_pool_create(struct flexsc_group *group, void __user *arg);
void flexsc_pool_free(struct flexsc_pool *pool);
bool flexsc_pool_kick(struct flexsc_pool *pool);
void flexsc_pool_awake(struct flexsc_pool *pool);
void flexsc_pool_stop_locked(struct flexsc_pool *pool);
bool flexsc_worker_park(struct flexsc_worker *worker);
int flexsc_worker_create(struct flexsc_pool *pool);
long flexsc_worker_leave(struct flexsc_worker *worker);

/* worker.c */
int flexsc_worker_main(void *arg);
void flexsc_snapshot_drop(struct flexsc_worker *worker);
bool flexsc_worker_resume(struct flexsc_worker *worker);
bool flexsc_worker_must_leave(struct flexsc_worker *worker);

/* execute.c */
void flexsc_call_init(struct flexsc_call *call);
long flexsc_execute_worker(struct flexsc_worker *worker);
long flexsc_execute_caller(struct flexsc_call *call);

/*
 * Copies an entry. Each field is read once; from here on only the copy counts,
 * whatever user space does to the page.
 */
static inline int flexsc_call_read(struct flexsc_call *call,
				   const struct flexsc_entry *entry)
{
	struct pt_regs *regs = &call->regs;

	call->nr = READ_ONCE(entry->nr);
	if (unlikely(READ_ONCE(entry->flags) | READ_ONCE(entry->reserved)))
		return -EINVAL;
	regs->ax = -ENOSYS;
	regs->orig_ax = call->nr;
	regs->di = READ_ONCE(entry->args[0]);
	regs->si = READ_ONCE(entry->args[1]);
	regs->dx = READ_ONCE(entry->args[2]);
	regs->r10 = READ_ONCE(entry->args[3]);
	regs->r8 = READ_ONCE(entry->args[4]);
	regs->r9 = READ_ONCE(entry->args[5]);
	return 0;
}

/* policy.c */
#define FLEXSC_NR_CLASSES 512
extern const u8 flexsc_classes[FLEXSC_NR_CLASSES];
int flexsc_policy_decide(const struct flexsc_call *call, bool in_worker);

static inline enum flexsc_call_class flexsc_policy_class(u32 nr)
{
	if (unlikely(nr >= FLEXSC_NR_CLASSES))
		return FLEXSC_CLASS_REFUSED;
	return flexsc_classes[array_index_nospec(nr, FLEXSC_NR_CLASSES)];
}

/* 0: go ahead, else the result of the entry. */
static inline int flexsc_policy_check(const struct flexsc_call *call,
				      bool in_worker)
{
	if (likely(flexsc_policy_class(call->nr) == FLEXSC_CLASS_WORKER))
		return 0;
	return flexsc_policy_decide(call, in_worker);
}

#endif /* FLEXSC_H */
