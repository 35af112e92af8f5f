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
 *           references), by the snapshot of every worker that may be serving
 *           it, and by its operations.
 *           Whoever reads the file in debugfs holds a group, and a client of
 *           it, for as long as it writes about them.
 *   pool    part of its group.
 *   worker  a thread of the process. Its memory and the module's text stay
 *           until its pin file is released, which happens in core code after
 *           the thread's last instruction in this module.
 *   operation (op.h)  a chain, or a call that waits for a file. Belongs to its
 *           client, which ends what is left of them when it is closed or when
 *           the last worker of a stopped group leaves.
 *
 * Locks: groups_lock (main.c) is taken before group->lock. group->lock is raw
 * and irq-safe, because irq_work and wake-ups of files take it, and protects
 * the lists and counters that say so below. client->ops_lock is the same for
 * the operations of a client; of the two, neither is taken inside the other.
 * group->mutex serialises set-up ioctls and is taken before all of them.
 * Nothing is locked between the claim and the completion of a plain entry.
 *
 * Order: the module is for x86-64. So taking a lock is a full barrier, as is
 * every other locked instruction, and stores keep their order, as loads do. The
 * barriers are written all the same; most of them are for the compiler and for
 * whoever reads. The protocols without a lock, and the models of them (in
 * tests/models):
 *
 *   a worker and who posts         park.c                 doorbell.pml
 *   a waiter and who completes     wait.c                 wait.pml
 *   claims, results, hand-back     execute.c, run.h       claim.pml
 *   CANCEL and who executes        cancel.c               cancel.pml
 *   an operation and its file      op.h, arm.c            arming.pml
 */
#ifndef FLEXSC_H
#define FLEXSC_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/thread_info.h>
#include <linux/spinlock.h>

#include <flexsc/uapi.h>

struct flexsc_exec; /* exec.h */

#define FLEXSC_FEATURES                                                      \
	(FLEXSC_FEATURE_FLUSH | FLEXSC_FEATURE_WAIT_SOME |                   \
	 FLEXSC_FEATURE_WAIT_ADAPTIVE | FLEXSC_FEATURE_WAIT_HELP |           \
	 FLEXSC_FEATURE_CHAINS | FLEXSC_FEATURE_DEADLINES |                  \
	 FLEXSC_FEATURE_CANCEL | FLEXSC_FEATURE_ARMING |                     \
	 FLEXSC_FEATURE_POOL_UPDATE | FLEXSC_FEATURE_NARROW)

/* Workers per pool, running, parked and blocked together. */
#define FLEXSC_MAX_WORKERS 4096

/* Of so many sizes operations are kept, op_memory.c; the number says of none. */
#define FLEXSC_SPARES 2

/*
 * What is counted, by CPU, so that no two cores write the same line: in the
 * order of struct flexsc_stats from executed on. Written by this_cpu operations
 * and read by whoever adds up: numbers, which order nothing.
 */
struct flexsc_tally {
	u64 executed;
	u64 helped;
	u64 flushed;
	u64 refused;
	u64 stopped;
	u64 cancelled;
	u64 timed_out;
	u64 batches; /* added up when it is asked for */
	u64 armed;
	u64 blocked;
	u64 handed_back;
	u64 parks;
	u64 doorbells;
	u64 wakes;
	u64 waits;
	u64 flushes;
	u64 batch_size[FLEXSC_BATCH_BUCKETS];
	u64 latency[FLEXSC_LATENCY_BUCKETS];
};

static_assert(sizeof(struct flexsc_tally) ==
	      sizeof(struct flexsc_stats) - offsetof(struct flexsc_stats, executed));

/* Of a pool or a client. */
#define flexsc_count(of, counter) this_cpu_inc((of)->tally->counter)
#define flexsc_count_add(of, counter, n) this_cpu_add((of)->tally->counter, n)

/* Where and how the workers of a pool run. Constant; replaced as a whole. */
struct flexsc_pool_config {
	refcount_t ref;
	bool sched_set;
	u32 policy;
	s32 priority;
	unsigned long cpus[]; /* a struct cpumask */
};

struct flexsc_pool {
	struct flexsc_group *group;
	unsigned int index;
	struct flexsc_tally __percpu *tally;

	/*
	 * Written by POOL_UPDATE at any time; read without a lock, by themselves:
	 * who has read an old one acts as a moment ago. POOL_UPDATE kicks the
	 * pool under group->lock after it, so no worker stays parked for it.
	 */
	unsigned int concurrency;
	unsigned int max_workers;
	u64 spin_ns;
	/*
	 * Replaced under group->lock, and followed under it. Workers compare the
	 * pointer without: after a claim, which is a full barrier, that finds one
	 * that was set before the post, see serve_word().
	 */
	struct flexsc_pool_config *config;

	/*
	 * Workers that are neither parked nor asleep inside a call. Changed by
	 * the workers themselves in sched_out and sched_in (no lock possible
	 * there) and, on behalf of a parked worker, by whoever wakes it (under
	 * group->lock). sched_out hands back first, and has the pool kicked
	 * after it, under the lock. Without the lock it is a hint: too many that
	 * go on park later, and who parks looks again under the lock.
	 */
	atomic_t running;

	/*
	 * Under group->lock. Workers read the last three as hints without it:
	 * they look again in their next turn, and under the lock before they act.
	 */
	struct list_head workers;
	struct list_head parked; /* last in, first out: caches stay warm */
	unsigned int nr_workers; /* including those being created */
	unsigned int nr_spare;   /* parked, or being created */
	bool asleep;             /* need_doorbell is set in every client */

	/* jiffies; after a failure to make one. By any worker, without a lock. */
	unsigned long create_after;
};

struct flexsc_group {
	refcount_t ref;
	struct task_struct *owner; /* the thread that opened us */
	struct mm_struct *mm;      /* identity only (mm_count) */
	const struct cred *cred;   /* the owner's when it opened us */
	struct flexsc_user *user;  /* what counts for its limits; a reference */
	struct list_head node;     /* in the list of groups, groups_lock */
	u64 id;                    /* from 1, in the order of opening */
	u64 kcov_handle; /* who wants to know what workers reach, see kcov.h */

	struct mutex mutex; /* serialises the ioctls that make things */

	/*
	 * The calls it may make; own_calls, once NARROW was given, by a release:
	 * POLICY reads it with an acquire, clients are made under the same mutex.
	 */
	const u16 *calls;
	u16 *own_calls;  /* under mutex */
	bool had_client; /* under mutex */

	/*
	 * enum flexsc_state. Written once, by flexsc_group_stop(), under lock;
	 * read everywhere without it: nobody relies on seeing it at once, and
	 * who sleeps is woken after it was written.
	 */
	u32 state;

	/*
	 * CANCELs under way. Changed under lock; executors read it without,
	 * before each entry and after what they say of themselves. That needs no
	 * barrier there, as CANCEL makes their CPUs pass one: see cancel.c.
	 */
	unsigned int nr_cancels;
	/* Raised before entries are posted again, see flexsc_put_back(). */
	atomic_t put_backs;

	raw_spinlock_t lock;
	/*
	 * Under lock. Workers read generation as a hint without it: one that
	 * misses a new client finds its entries when it parks. nr_pools is
	 * written by a release, and read by flexsc_group_pools() without it.
	 */
	struct flexsc_client *clients[FLEXSC_MAX_CLIENTS];
	unsigned int generation;
	unsigned int nr_workers;  /* of all pools, including those being created */
	struct list_head cancels;
	struct flexsc_tally gone; /* counters of clients that left */
	unsigned int nr_pools;
	struct flexsc_pool pools[FLEXSC_MAX_POOLS];
};

struct flexsc_client {
	refcount_t ref;
	struct flexsc_group *group;
	unsigned int slot; /* in group->clients */
	unsigned int nr_pages;
	struct flexsc_client_header *header;
	const u16 *calls; /* the group's, final when there is a client */
	struct flexsc_tally __percpu *tally;

	/*
	 * The thread that sleeps in WAIT. Written, and followed, under
	 * group->lock; who completes something looks without whether there is
	 * one (see flexsc_client_completed()).
	 */
	struct task_struct *waiter ____cacheline_aligned_in_smp;
	unsigned int wait_min; /* under group->lock */
	/*
	 * Written under group->lock. WAIT reads it without: it sticks, and who
	 * sets it wakes the waiter after it.
	 */
	bool notified;
	ktime_t woken_at; /* when the waiter was; under group->lock */
	/*
	 * A thread is in WAIT: it owns what follows, but where it says otherwise.
	 * Taken by a cmpxchg (acquire), given back by a release.
	 */
	u32 in_wait;
	/*
	 * The last WAIT had FLEXSC_WAIT_HELP: operations that become ready wait
	 * for the next one, as posted entries do. Read under group->lock by who
	 * made one ready before, see set_helps().
	 */
	bool helps;
	u64 nr_helped; /* claims by helpers */
	/*
	 * Threads in flexsc_help_plain(), which raise it before they take
	 * anything, and lower it when that is complete or put back, with full
	 * barriers in between. Read by CANCEL, which waits for 0.
	 */
	atomic_t quick_helpers;
	/*
	 * A hint, written by every WAIT: what was posted last had more in it
	 * than plain calls.
	 */
	bool mixed;
	/*
	 * That thread as an executor. Read by CANCEL, under group->lock, with an
	 * acquire that pairs with the release in helper_begin(); helper_end()
	 * waits until no CANCEL looks at it.
	 */
	struct flexsc_exec *helper;
	/* For FLEXSC_WAIT_ADAPTIVE, both 0 before the first measurement. */
	u64 pace_ns; /* per completion */
	u64 wake_ns; /* from a wake-up to when the waiter runs */

	/*
	 * Operations (op.c). Under ops_lock; the numbers are hints without. Who
	 * makes one ready and does not go on with it takes group->lock after
	 * that, to wake somebody: so who parks, or says under that lock that it
	 * waits, sees nr_ready and nr_helpable.
	 */
	raw_spinlock_t ops_lock ____cacheline_aligned_in_smp;
	bool closed; /* no operation may begin to wait any more */
	unsigned int nr_waiting_at[FLEXSC_MAX_POOLS]; /* armed */
	unsigned int nr_ready[FLEXSC_MAX_POOLS];
	unsigned int nr_helpable; /* ready, and not left to the workers */
	struct list_head ready[FLEXSC_MAX_POOLS];
	struct list_head ops;
	/* Memory of ended ones, of those sizes that are kept. */
	struct flexsc_op *spare[FLEXSC_SPARES];
	unsigned int nr_spare[FLEXSC_SPARES];

	struct flexsc_entry *pages[];
};

/*
 * In how many pages something may be posted or complete, as user space says: it
 * writes that before the submission bit, so who sees it late might as well have
 * looked a little earlier, and the barriers of who parks are between need_doorbell
 * and both. No more than there are, whatever it says.
 */
static inline unsigned int flexsc_used_pages(const struct flexsc_client *client)
{
	u32 used = READ_ONCE(client->header->used_pages.value);

	/* 0, which says nothing, becomes the largest. */
	return min(used - 1, client->nr_pages - 1) + 1;
}

/* main.c */
void flexsc_groups_add(struct flexsc_group *group);
void flexsc_groups_remove(struct flexsc_group *group);
u64 flexsc_groups_newest(void);
struct flexsc_group *flexsc_groups_from(u64 id);

/* group.c */
extern const struct file_operations flexsc_group_fops;
int flexsc_params_get(void *params, size_t ksize, void __user *arg);
int flexsc_params_put(void __user *arg, void *params, size_t ksize, u32 size);
void flexsc_group_put(struct flexsc_group *group);
void flexsc_group_stop(struct flexsc_group *group, enum flexsc_state why);
enum flexsc_state flexsc_group_identity(struct flexsc_group *group);
bool flexsc_identity_holds(struct flexsc_group *group);

/* Pools come into being before nr_pools counts them, and stay. */
static inline unsigned int flexsc_group_pools(const struct flexsc_group *group)
{
	/* Pairs with the release in flexsc_pool_begin_locked(). */
	return smp_load_acquire(&group->nr_pools);
}

static inline bool flexsc_group_stopped(struct flexsc_group *group)
{
	return READ_ONCE(group->state) != FLEXSC_STATE_OPEN;
}

/* watched.c: what else the administrator refuses; off unless asked for. */
DECLARE_STATIC_KEY_FALSE(flexsc_refuse_watched);
bool flexsc_task_watched(struct task_struct *task);
void flexsc_watched_init(void);

/*
 * System calls of this task are filtered, traced, emulated or dispatched to a
 * handler. Calls that we execute are not seen by any of these, so such a task
 * gets nothing from us.
 */
static inline bool flexsc_task_restricted(struct task_struct *task)
{
	if (unlikely(READ_ONCE(task_thread_info(task)->syscall_work) &
		     (SYSCALL_WORK_SECCOMP | SYSCALL_WORK_SYSCALL_TRACE |
		      SYSCALL_WORK_SYSCALL_EMU |
		      SYSCALL_WORK_SYSCALL_USER_DISPATCH)))
		return true;
	return static_branch_unlikely(&flexsc_refuse_watched) &&
	       flexsc_task_watched(task);
}

/*
 * The descriptors of a group work in the process that opened it only: after
 * fork a child could otherwise have calls executed with its parent's identity.
 * exec changes the memory and not the process, vfork the process and not the
 * memory.
 */
static inline int flexsc_caller_check(struct flexsc_group *group)
{
	if (unlikely(current->mm != group->mm ||
		     !same_thread_group(current, group->owner)))
		return -EPERM;
	if (unlikely(flexsc_task_restricted(current)))
		return -EACCES;
	return 0;
}

/* user.c */
enum flexsc_user_thing {
	FLEXSC_USER_GROUPS,
	FLEXSC_USER_CLIENTS,
	FLEXSC_USER_PAGES,
	FLEXSC_USER_WORKERS,
	FLEXSC_USER_THINGS
};

struct flexsc_user *flexsc_user_get(kuid_t uid);
void flexsc_user_put(struct flexsc_user *user);
bool flexsc_user_charge(struct flexsc_user *user, enum flexsc_user_thing thing,
			long n);
void flexsc_user_give_back(struct flexsc_user *user,
			   enum flexsc_user_thing thing, long n);

/* stats.c */
int flexsc_stats_get(struct flexsc_group *group, void __user *arg);
void flexsc_stats_group(struct flexsc_stats *stats, struct flexsc_group *group);
void flexsc_stats_pool(struct flexsc_stats *stats, struct flexsc_pool *pool);
void flexsc_stats_client(struct flexsc_stats *stats,
			 struct flexsc_client *client);
void flexsc_tally_add(struct flexsc_tally *to,
		      const struct flexsc_tally __percpu *from);

/* debugfs.c */
void flexsc_debugfs_init(void);
void flexsc_debugfs_exit(void);

/* client.c */
struct flexsc_client *flexsc_client_of(struct file *file);
int flexsc_client_create(struct flexsc_group *group, void __user *arg);
void flexsc_client_free(struct flexsc_client *client);
void flexsc_client_ready(struct flexsc_client *client, struct flexsc_pool *pool);

static inline void flexsc_client_put(struct flexsc_client *client)
{
	if (unlikely(refcount_dec_and_test(&client->ref)))
		flexsc_client_free(client);
}

/* wait.c */
long flexsc_client_wait(struct flexsc_client *client, u64 arg);
void flexsc_client_notify(struct flexsc_client *client);
void flexsc_client_wake(struct flexsc_client *client);
void flexsc_client_completed_locked(struct flexsc_client *client);
void flexsc_client_wake_locked(struct flexsc_client *client);

/*
 * Called after completion bits were set, by the atomic that set them: wakes the
 * thread in WAIT if that has what it waits for.
 */
static inline void flexsc_client_completed(struct flexsc_client *client)
{
	/*
	 * Completion bits before waiter. Pairs with set_current_state() in
	 * wait.c: either we see the waiter or it sees the bits.
	 */
	smp_mb__after_atomic();
	if (unlikely(READ_ONCE(client->waiter)))
		flexsc_client_wake(client);
}

/* help.c */
bool flexsc_help_plain(struct flexsc_client *client);
void flexsc_help(struct flexsc_exec *exec, struct flexsc_client *client);
bool flexsc_help_wanted(struct flexsc_client *client);

/* flush.c */
long flexsc_client_flush(struct flexsc_client *client);

/* cancel.c */
int flexsc_client_cancel(struct flexsc_client *client, void __user *arg);
void flexsc_cancel_entry(struct flexsc_client *client, unsigned int page,
			 unsigned int bit);
bool flexsc_cancel_matches(struct flexsc_exec *exec, unsigned int bit, u32 nr,
			   u64 arg0);

/* pool.c */
int flexsc_pool_create(struct flexsc_group *group, void __user *arg);
int flexsc_pool_update(struct flexsc_group *group, void __user *arg);
void flexsc_pool_free(struct flexsc_pool *pool);
void flexsc_pool_config_put(struct flexsc_pool_config *config);

/* calls.c */
#define FLEXSC_NR_CALLS 512
extern u16 flexsc_calls[FLEXSC_NR_CALLS];
/* Calls that POLICY and NARROW are about at a time. */
#define FLEXSC_POLICY_COUNT 1024

int flexsc_calls_init(void);
int flexsc_calls_narrow(struct flexsc_group *group, void __user *arg);
enum flexsc_call_class flexsc_calls_class(const struct flexsc_group *group,
					  u32 nr);

/* What a table holds of a call beside its enum flexsc_call_class. */
#define FLEXSC_CLASS_MASK 3
#define FLEXSC_CALL_IN (1 << 2)  /* may wait until args[0] is readable */
#define FLEXSC_CALL_OUT (1 << 3) /* may wait until args[0] is writable */
#define FLEXSC_CALL_SLEEPS (1 << 4) /* may wait for something else */
#define FLEXSC_CALL_FD (1 << 5)  /* args[0] is a descriptor */
#define FLEXSC_CALL_ARGS (1 << 6)  /* it has arguments */
#define FLEXSC_CALL_ARGS4 (1 << 7) /* more than three of them */
/* May be made without a further look: by a flush, a worker, a helper. */
#define FLEXSC_CALL_FLUSHED (1 << 8)
#define FLEXSC_CALL_WORKED (1 << 9)
#define FLEXSC_CALL_HELPED (1 << 10)
#define FLEXSC_CALL_LISTED (1 << 11) /* it has a row in calls.h */
#define FLEXSC_CALL_NO_WORKER (1 << 12) /* whatever its arguments say */

/* What a table (of FLEXSC_NR_CALLS) says of a call number. */
static inline u16 flexsc_call_traits(const u16 *calls, u32 nr)
{
	if (unlikely(nr >= FLEXSC_NR_CALLS))
		return FLEXSC_CLASS_REFUSED;
	return READ_ONCE(calls[array_index_nospec(nr, FLEXSC_NR_CALLS)]);
}

#endif /* FLEXSC_H */
