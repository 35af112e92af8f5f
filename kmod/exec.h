/* SPDX-License-Identifier: GPL-2.0-only */
/* Those who execute: workers, and threads that make a command. */
#ifndef FLEXSC_EXEC_H
#define FLEXSC_EXEC_H

#include <linux/irq_work.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>

#include "flexsc.h"

/* Our own copy of a call: what is validated and executed. */
struct flexsc_call {
	u32 nr;
	struct pt_regs regs;
};

/*
 * What an earlier look, and the calls since, have left in the socket of a
 * descriptor, for further calls of the same chain.
 */
struct flexsc_seen {
	u64 fd;
	unsigned int to_receive; /* datagrams */
	size_t to_send;          /* bytes */
};

/* Who executes calls. */
enum flexsc_mode {
	FLEXSC_BY_WORKER,
	FLEXSC_BY_HELPER, /* a thread in WAIT with FLEXSC_WAIT_HELP */
	FLEXSC_BY_FLUSH,  /* a thread in FLUSH */
};

/*
 * An executor: a worker, or a thread that makes a command. All of it is private
 * to its thread, which includes the thread's sched_out and sched_in: there,
 * plain accesses with compiler barriers are enough. Where others read a field,
 * it says so. CANCEL reads without the thread's doing anything for it; the order
 * of what it reads is in flexsc_serve_claim() and has_entry(), and what it may
 * conclude from it at flexsc_client_cancel().
 */
struct flexsc_exec {
	enum flexsc_mode mode;
	struct flexsc_pool *pool;     /* not in a flush */
	struct flexsc_worker *worker; /* only of a worker */
	struct task_struct *task;
	bool stop;    /* has to return to user space before the next call */
	bool left;    /* helper: something is left to the workers */
	bool mixed;   /* helper: not all entries were plain calls */
	bool blocked; /* worker: asleep inside a call, as sched_out found */
	bool interrupt;   /* the call is to be interrupted if it sleeps */
	bool interrupted; /* ... and was; a hint to blocked_work_fn() */
	bool work_queued; /* blocked_work was used */
	bool not_made;    /* the entry got a result without its call */
	bool in_op;       /* the entry is not one to interrupt; read by CANCEL */
	bool in_chain;    /* helper: in flexsc_looked_chain(); read by CANCEL */

	/*
	 * Not 0 while it executes; then a number that no other claim or
	 * operation of this executor has. Read by CANCEL, as the rest of these,
	 * but for claim_word.
	 */
	u64 in_call;

	/*
	 * The claim: bits of one submission word. bit is the entry that runs;
	 * those of claim below it are done, and not shown yet; those above it
	 * have not begun.
	 */
	struct flexsc_client *client;
	u64 *claim_word; /* where claim came from and is handed back to */
	u64 *claiming; /* the word of which something is taken now */
	u64 claim;
	u16 page;
	u16 bit; /* FLEXSC_PAGE_ENTRIES: an operation runs */

	struct flexsc_seen seen;

	u64 nr_claims; /* the last in_call; read by CANCEL */
	struct preempt_notifier notifier;
	struct irq_work blocked_work; /* what sched_out may not do itself */
	struct flexsc_call call;
};

struct flexsc_worker {
	struct flexsc_exec exec;
	struct flexsc_pool *pool;
	struct task_struct *task;
	struct file *pin;
	struct list_head node;        /* pool->workers, under group->lock */
	struct list_head parked_node; /* pool->parked, under group->lock */
	/*
	 * Under group->lock; the worker looks at it without, after it has said
	 * that it sleeps, and is woken after it was changed (flexsc_worker_park()).
	 */
	bool parked;
	bool started;                 /* private: was parked once */
	bool dying;                   /* private: get_signal() said so */

	/*
	 * The call that is to be cancelled, see flexsc_call_id(); written by
	 * CANCEL, under group->lock, before the flag that interrupts the call.
	 * Read by the worker when a call was interrupted, after it has taken that
	 * flag away, and when its call becomes an operation (flexsc_op_listed()).
	 */
	u64 cancel;

	/* Private: the settings it runs with (a reference). */
	struct flexsc_pool_config *config;

	/* Private: clients being served; each holds a reference. */
	unsigned int generation;
	unsigned int nr_clients;
	unsigned int next_client; /* where the next pass begins */
	u16 next_page[FLEXSC_MAX_CLIENTS];
	struct flexsc_client *clients[FLEXSC_MAX_CLIENTS];
};

/* park.c */
bool flexsc_pool_kick(struct flexsc_pool *pool);
bool flexsc_pool_kick_locked(struct flexsc_pool *pool);
void flexsc_pool_awake(struct flexsc_pool *pool);
void flexsc_pool_begin_locked(struct flexsc_pool *pool);
void flexsc_pool_stop_locked(struct flexsc_pool *pool);
bool flexsc_worker_park(struct flexsc_worker *worker);
int flexsc_worker_create(struct flexsc_pool *pool);
long flexsc_worker_leave(struct flexsc_worker *worker);
void flexsc_worker_free(struct flexsc_worker *worker);

/* worker.c */
int flexsc_worker_main(void *arg);
void flexsc_snapshot_drop(struct flexsc_worker *worker);
bool flexsc_worker_resume(struct flexsc_worker *worker);
bool flexsc_worker_must_leave(struct flexsc_worker *worker);

/* exec.c */
void flexsc_exec_init(struct flexsc_exec *exec, enum flexsc_mode mode,
		      struct flexsc_pool *pool);
void flexsc_exec_begin(struct flexsc_exec *exec);
void flexsc_exec_end(struct flexsc_exec *exec);
void flexsc_exec_sync(struct flexsc_exec *exec);
bool flexsc_exec_was_cancelled(struct flexsc_exec *exec);

/* execute.c */
void flexsc_serve_claim(struct flexsc_exec *exec, struct flexsc_client *client,
			unsigned int page, u64 *word, u64 claim);

/* A call of an executor: no other one ever has this number. */
static inline u64 flexsc_call_id(u64 in_call, unsigned int bit)
{
	return in_call * (FLEXSC_PAGE_ENTRIES + 1) + bit;
}

/* What was seen of a socket may not be so any more. */
static inline void flexsc_forget(struct flexsc_exec *exec)
{
	exec->seen.to_receive = 0;
	exec->seen.to_send = 0;
}

/* policy.c */
int flexsc_policy_decide(const struct flexsc_call *call, u16 traits,
			 bool in_worker);
bool flexsc_policy_sleeps(const struct flexsc_call *call);

#endif /* FLEXSC_EXEC_H */
