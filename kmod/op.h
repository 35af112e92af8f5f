/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations: what lives longer than its claim. A chain (multi-call), an entry
 * with a deadline, or a call that waits until its file is ready.
 *
 * An operation has one owner at a time, by its state:
 *
 *   RUNNING   the executor that runs it (task)
 *   ARMING    the same; the file may already report that it is ready
 *   FIRED     the same; the file has reported it
 *   ARMED     nobody: it waits. The first of a wake-up of the file, its
 *             deadline, a CANCEL and the end of the client makes it READY
 *   READY     the list client->ready; who takes it from there makes it RUNNING
 *
 * All changes of state are made under client->ops_lock. The owner ends the
 * operation: that completes its entries, once. Deadlines and CANCELs only ever
 * set end, the first of them wins, and the owner looks at it.
 */
#ifndef FLEXSC_OP_H
#define FLEXSC_OP_H

#include <linux/hrtimer.h>
#include <linux/poll.h>
#include <linux/task_work.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <asm/segment.h>
#include <asm/unistd.h>

#include "exec.h"
#include "flexsc.h"
#include "resolve.h"

/*
 * Results that never reach an entry: what becomes of a call that did not come
 * to its end here.
 */
#define FLEXSC_LATER 5000 /* it lives on; somebody completes it */
#define FLEXSC_WAITS 5001 /* its file is not ready */
#define FLEXSC_LEAVE 5002 /* it may sleep: not by a helper */
#define FLEXSC_AGAIN 5003 /* a signal came first; nothing of it has happened */

enum flexsc_op_state {
	FLEXSC_OP_RUNNING,
	FLEXSC_OP_ARMING,
	FLEXSC_OP_FIRED,
	FLEXSC_OP_ARMED,
	FLEXSC_OP_READY,
};

/* What a call waits for, and until when: a socket may have a time limit. */
struct flexsc_need {
	struct file *file; /* a reference, while it waits */
	__poll_t events;
	bool limited;        /* by SO_RCVTIMEO, SO_SNDTIMEO, for one call */
	unsigned long until; /* jiffies */
};

/* A place in the wait queue of a file. */
struct flexsc_op_wait {
	struct wait_queue_entry entry;
	struct wait_queue_head *head; /* NULL: not queued any more */
	struct flexsc_op *op;
};

/* A call of an operation. Of the registers, only those of arguments are set. */
struct flexsc_op_call {
	struct flexsc_call call;
	u16 flags;
	u16 traits;     /* flexsc_call_traits() */
	u8 from;        /* arguments that are results */
	u8 position[6]; /* whose results */
	u8 size_at;     /* the register that says how much it is asked for */
	bool plain;     /* may be made without a further look */
	bool looked_at; /* may not, because it could wait for its file */
	/*
	 * Plain, and all that there is to do with a result from least to
	 * least + span is to keep it and to go on with the next member.
	 */
	bool simple;
	u64 least;
	u64 span;
	long result; /* the last one */
	long sum;    /* with FLEXSC_ENTRY_SUM: what the entry will get instead */
};

struct flexsc_op {
	struct flexsc_client *client; /* a reference */
	struct flexsc_pool *pool;     /* NULL in a flush */
	enum flexsc_op_state state;
	bool for_worker;              /* helpers leave it alone */
	int end;                      /* 0, or the error that ends it */
	struct task_struct *task;     /* who runs it */
	u16 page;
	u16 bit; /* of the head */
	u16 before; /* members before those of calls: they are over */

	/* The owner's. */
	struct flexsc_need need;
	unsigned int nr_waits;
	bool unarmable;
	bool exclusive; /* of those that wait for the file so, one is woken */
	bool woken;     /* ... and it was this one, since it was armed */
	bool timed;
	unsigned int nr_calls;
	unsigned int pos;
	unsigned int rounds;

	/* From here on nothing has a value before its use; op_memory.c. */
	u8 kind; /* FLEXSC_SPARES, or with which others it is kept when it ends */
	struct flexsc_op *next_spare;
	struct list_head node;         /* client->ops */
	struct list_head ready_node;   /* client->ready */
	struct timer_list limit_timer; /* runs while it waits, if need is limited */
	struct hrtimer timer;
	poll_table table;
	struct flexsc_op_wait waits[2]; /* a pipe opened O_RDWR has two queues */
	struct flexsc_op_call calls[];
};

/* How many calls were made before the one that it has come to. */
static inline unsigned int flexsc_op_made(const struct flexsc_op *op)
{
	return op->before + op->rounds * op->nr_calls + op->pos;
}

/* What the entry gets, unless the call is made again. */
static inline void flexsc_op_call_ends(struct flexsc_op_call *member, long result)
{
	member->result = result;
	member->sum = result;
}

/* Of an operation: of its client and its pool. */
#define flexsc_op_count(op, counter)                                    \
	do {                                                            \
		const struct flexsc_op *counted_op = (op);              \
									\
		flexsc_count(counted_op->client, counter);              \
		if (counted_op->pool)                                   \
			flexsc_count(counted_op->pool, counter);        \
	} while (0)

/* op.c */
void flexsc_op_begin(struct flexsc_exec *exec, unsigned int page,
		     unsigned int bit);
struct flexsc_op *flexsc_op_single(struct flexsc_exec *exec,
				   const struct flexsc_need *need);
struct flexsc_quick_chain;
struct flexsc_op *flexsc_op_take_over(struct flexsc_exec *exec, unsigned int page,
				      const struct flexsc_quick_chain *chain,
				      unsigned int pos);
void flexsc_op_publish(struct flexsc_op *op, enum flexsc_mode mode,
		       unsigned int made);
void flexsc_op_listed(struct flexsc_exec *exec, struct flexsc_op *op);
struct flexsc_op *flexsc_op_next(struct flexsc_client *client,
				 struct flexsc_pool *pool, bool helper);
bool flexsc_op_fire_locked(struct flexsc_op *op);
bool flexsc_op_end_locked(struct flexsc_op *op, int error);
void flexsc_op_push(struct flexsc_op *op, bool for_worker);
void flexsc_ops_close(struct flexsc_client *client);

/* op_memory.c */
struct flexsc_op *flexsc_op_alloc(struct flexsc_client *client,
				  struct flexsc_pool *pool, unsigned int page,
				  unsigned int bit, unsigned int nr_calls,
				  gfp_t gfp);
bool flexsc_op_keep(struct flexsc_op *op);
void flexsc_op_free(struct flexsc_op *op);
void flexsc_ops_free(struct flexsc_client *client);

/* chain_read.c */
int flexsc_chain_read(struct flexsc_op *op, bool in_worker, s64 *deadline);
void flexsc_op_call_judge(struct flexsc_op_call *member, bool last, bool in_worker);

/* chain.c */
void flexsc_op_run(struct flexsc_exec *exec, struct flexsc_op *op);
void flexsc_op_serve(struct flexsc_exec *exec, struct flexsc_op *op);

/* Reported whether they were asked for or not. */
#define FLEXSC_EVENTS_ALWAYS (EPOLLERR | EPOLLHUP | EPOLLNVAL)

/* arm.c */
enum flexsc_armed {
	FLEXSC_ARMED,  /* it waits, and is not ours any more */
	FLEXSC_READY,  /* look again */
	FLEXSC_CANNOT, /* the file offers no queue, or nobody would come */
};

enum flexsc_armed flexsc_op_arm(struct flexsc_op *op);
void flexsc_op_unarm(struct flexsc_op *op);
void flexsc_op_pass_on(const struct flexsc_op *op);

/* compare.c */
long flexsc_compare(const struct flexsc_call *call);

/* exec.c */
bool flexsc_only_task_work(void);
long flexsc_exec_go_on(struct flexsc_exec *exec, struct flexsc_call *call,
		       struct flexsc_op *op, long ret);
long flexsc_exec_looked(struct flexsc_exec *exec, u16 traits,
			struct flexsc_need *need);
long flexsc_exec_open(struct flexsc_exec *exec, struct flexsc_call *call,
		      struct flexsc_op *op);
bool flexsc_exec_interrupted(struct flexsc_exec *exec, long ret);
bool flexsc_exec_resume(struct flexsc_exec *exec);

static inline void flexsc_call_init(struct flexsc_call *call)
{
	memset(&call->regs, 0, sizeof(call->regs));
	call->regs.cs = __USER_CS;
	call->regs.ss = __USER_DS;
}

/* Codes that mean "interrupted" and never leave the kernel. */
static inline bool flexsc_is_restart(long ret)
{
	/* ERESTARTSYS 512, NOINTR 513, NOHAND 514, RESTARTBLOCK 516. */
	return unlikely((unsigned long)(ret + ERESTART_RESTARTBLOCK) <=
				ERESTART_RESTARTBLOCK - ERESTARTSYS &&
			ret != -ENOIOCTLCMD);
}

static inline long flexsc_dispatch(const struct flexsc_call *call, u32 nr)
{
	long ret;

	if (unlikely(nr == FLEXSC_NR_COMPARE))
		return flexsc_compare(call);
	ret = static_call(fx_x64_sys_call)(&call->regs, nr);
	/*
	 * A return to user mode would do this before the caller sees the
	 * result: above all the last fput() of a closed file.
	 */
	if (unlikely(task_work_pending(current)))
		static_call(fx_task_work_run)();
	return ret;
}

/*
 * What a call of an operation returned. A socket with a time limit says EINTR
 * whatever interrupted it, also the end of the operation. (So may close(), but
 * that has closed.)
 */
static inline long flexsc_op_result(const struct flexsc_op *op, u32 nr, long ret)
{
	if (unlikely(ret == -EINTR) && READ_ONCE(op->end) && nr != __NR_close)
		return op->end;
	return ret;
}

/*
 * A call that was made and returned ret, for op if it is one of an operation. Its
 * result, or why there is none: see flexsc_exec_go_on().
 */
static __always_inline long flexsc_exec_made(struct flexsc_exec *exec,
					     struct flexsc_call *call,
					     struct flexsc_op *op, long ret)
{
	if (likely(ret >= 0))
		return ret;
	if (unlikely(flexsc_is_restart(ret)))
		return flexsc_exec_go_on(exec, call, op, ret);
	return op ? flexsc_op_result(op, call->nr, ret) : ret;
}

/* Makes a call; as above. */
static __always_inline long flexsc_exec_call(struct flexsc_exec *exec,
					     struct flexsc_call *call,
					     struct flexsc_op *op)
{
	return flexsc_exec_made(exec, call, op, flexsc_dispatch(call, call->nr));
}

/*
 * After a call that was to be interrupted if it sleeps, and ended with ret.
 * Returns whether it was, before it had any effect.
 */
static __always_inline bool flexsc_exec_settle(struct flexsc_exec *exec, long ret)
{
	exec->interrupt = false;
	return unlikely(exec->interrupted) && flexsc_exec_interrupted(exec, ret);
}

static inline unsigned long *flexsc_argument(struct pt_regs *regs, unsigned int i)
{
	static const u8 place[] = {
		offsetof(struct pt_regs, di),  offsetof(struct pt_regs, si),
		offsetof(struct pt_regs, dx),  offsetof(struct pt_regs, r10),
		offsetof(struct pt_regs, r8),  offsetof(struct pt_regs, r9),
	};

	return (void *)regs + place[i];
}

static inline void flexsc_args_copy(struct pt_regs *to, const struct pt_regs *from)
{
	to->di = from->di;
	to->si = from->si;
	to->dx = from->dx;
	to->r10 = from->r10;
	to->r8 = from->r8;
	to->r9 = from->r9;
}

/* The six arguments of an entry; each is read once. */
static inline void flexsc_args_read(struct pt_regs *regs,
				    const struct flexsc_entry *entry)
{
	regs->di = READ_ONCE(entry->args[0]);
	regs->si = READ_ONCE(entry->args[1]);
	regs->dx = READ_ONCE(entry->args[2]);
	regs->r10 = READ_ONCE(entry->args[3]);
	regs->r8 = READ_ONCE(entry->args[4]);
	regs->r9 = READ_ONCE(entry->args[5]);
}

/* nr, flags and from of an entry in one read; nr is the low half. */
static inline u64 flexsc_head_read(const struct flexsc_entry *entry)
{
	BUILD_BUG_ON(offsetof(struct flexsc_entry, flags) != 4 ||
		     offsetof(struct flexsc_entry, from) != 6);
	return READ_ONCE(*(const u64 *)entry);
}

/* 0: go ahead, else the result of the entry. */
static inline int flexsc_policy_check(const struct flexsc_call *call, u16 traits,
				      bool in_worker)
{
	if (likely((traits & FLEXSC_CLASS_MASK) == FLEXSC_CLASS_WORKER))
		return 0;
	return flexsc_policy_decide(call, traits, in_worker);
}

/*
 * Marks entries as done, whose results are written. After this they belong to
 * user space again and are not touched.
 */
static inline void flexsc_complete(struct flexsc_client *client,
				   unsigned int page, u64 done)
{
	/*
	 * Results before bits. Pairs with the acquire with which user space,
	 * perhaps another thread, takes completion bits.
	 */
	smp_mb__before_atomic();
	atomic64_or(done, (atomic64_t *)&client->header->completion.page[page]);
}

/*
 * Posts claimed entries again, before they leave the claim. CANCEL would miss
 * one that is posted when it looks at claims and claimed when it looks at what
 * is posted; so it looks again if this was called meanwhile.
 */
static inline void flexsc_put_back(struct flexsc_group *group, u64 bits,
				   u64 *word)
{
	/*
	 * The count before the bits, and those before whatever the caller does:
	 * value-returning atomics are full barriers.
	 */
	atomic_inc_return(&group->put_backs);
	atomic64_fetch_or(bits, (atomic64_t *)word);
}

#endif /* FLEXSC_OP_H */
