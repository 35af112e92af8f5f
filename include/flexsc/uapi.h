/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The contract between the FlexSC kernel module and user space: the layout of
 * the shared pages and the ioctls. It is the only file that both sides share.
 *
 * A *group* is what one open of /dev/flexsc makes; its *pools* are kernel
 * worker threads inside the calling process. A *client* is one mapped region:
 * a header followed by system-call pages of 64 entries. An entry is named by
 * (client, page, bit) and by nothing else.
 *
 * Posting a call:
 *   1. choose an entry that is not in flight and fill nr, flags and args;
 *   2. set its bit in submission[queue][page] of the header with an atomic OR
 *      (release). The kernel takes the bit away when it claims the entry;
 *   3. full barrier, then read need_doorbell[queue]: if it is not zero, give
 *      FLEXSC_CMD_DOORBELL.
 * Taking a result:
 *   1. read completion[page] (acquire) and clear the bits that are taken with
 *      an atomic exchange or AND;
 *   2. read the entry's result. The entry is then free again.
 *
 * An entry belongs to the kernel from step 2 of posting until its completion
 * bit is set. Writing to it in between cannot harm the kernel (it reads each
 * field once and trusts nothing), but the result of that call is undefined.
 *
 * Memory order: the bit words carry the order and nothing else does. The
 * entry's fields are plain memory on both sides.
 */
#ifndef FLEXSC_UAPI_H
#define FLEXSC_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#else
#include <stddef.h>
#endif

#define FLEXSC_DEVICE "/dev/flexsc"

/* Another number means another layout: neither side talks to the other. */
#define FLEXSC_ABI_VERSION 2

#define FLEXSC_ENTRY_BYTES 64
#define FLEXSC_PAGE_ENTRIES 64
#define FLEXSC_PAGE_BYTES 4096
#define FLEXSC_HEADER_BYTES 24576
#define FLEXSC_MAX_PAGES 256  /* per client */
#define FLEXSC_MAX_CLIENTS 64 /* per group */
#define FLEXSC_MAX_POOLS 8    /* per group; see flexsc_query.max_pools */
#define FLEXSC_MAX_SPIN_US 1000000
#define FLEXSC_MAX_ROUNDS (1 << 20) /* of a chain that repeats */

/*
 * Queues of a client: 0 to FLEXSC_MAX_POOLS - 1 are served by the pool of that
 * number; entries in FLEXSC_QUEUE_FLUSH wait for FLEXSC_CMD_FLUSH.
 */
#define FLEXSC_QUEUE_FLUSH FLEXSC_MAX_POOLS
#define FLEXSC_QUEUES (FLEXSC_MAX_POOLS + 1)

/*
 * Results that no system call returns. The call was not made; the caller
 * should make it directly. (Errors of calls themselves are -1 to -4095 as the
 * kernel returns them; Linux uses only the lowest few hundred.)
 */
#define FLEXSC_E_CALLER_ONLY 4000 /* not in a worker; by flush or directly */
#define FLEXSC_E_REFUSED 4001	  /* never through FlexSC */
#define FLEXSC_E_STOPPED 4002	  /* claimed, not begun: the group stopped */

/*
 * A number that no system call has or will have (Linux keeps 387 to 423 empty
 * on x86-64). Executing it goes through all of the dispatch and returns
 * -ENOSYS: the cheapest call there is, to measure and to probe with.
 */
#define FLEXSC_NR_NOP 400

/*
 * Not a system call of Linux, and in a chain the condition under which it goes
 * on: compares two pieces of memory, args[0] and args[1], by words of 8 bytes.
 * Bit i of args[2]: word i counts. 0: all that count are the same. -ESTALE: not.
 * -EFAULT: not all of the memory up to the last word that counts can be read.
 */
#define FLEXSC_NR_COMPARE 401

/* Policy class of a call number, see FLEXSC_IOC_POLICY. */
enum flexsc_call_class {
	FLEXSC_CLASS_REFUSED = 0, /* -FLEXSC_E_REFUSED */
	FLEXSC_CLASS_CALLER = 1,  /* flush only */
	FLEXSC_CLASS_WORKER = 2,  /* worker and flush */
	FLEXSC_CLASS_ARGS = 3,	  /* worker and flush, depending on arguments */
};

/*
 * One system call. Written by user space; result is overwritten by the kernel.
 *
 * Chains (the multi-calls of Rajagopalan et al., 2003): an entry with
 * FLEXSC_ENTRY_LINK and the entry of the next higher number in its page belong
 * to one chain. Only the first one, the head, is posted: its submission bit
 * stands for all. The calls are made one after the other; when the chain ends,
 * every one of its entries is completed, in one step.
 *
 *   - A result below 0 ends the chain, unless its entry says _GO_ON. So does a
 *     result of 0 where the entry says _END_ON_ZERO, and one that differs from
 *     the size that was asked for where it says _END_ON_SHORT: args[2], of
 *     sendfile args[3], of splice and copy_file_range args[4].
 *   - An entry that was never executed completes with -ECANCELED.
 *   - from, bit i: args[i] is not a value but the position in the chain (0 is
 *     the head) of an earlier entry, whose result is passed. A position that is
 *     not earlier: -EINVAL.
 *   - _REPEAT, on the last entry only: when it has been executed and does not
 *     end the chain, the chain begins again at its head. Entries keep the
 *     result of the last round in which they ran, or with _SUM the sum of all
 *     their results that are not negative. (An error replaces the sum, which
 *     begins anew after it.) After FLEXSC_MAX_ROUNDS rounds the chain ends and
 *     its last entry's result is -ELOOP. A signal for the caller of a flush
 *     ends it between two rounds: the last entry's result is then -EINTR.
 *   - An entry that breaks a rule ends the chain with -EINVAL before any of its
 *     calls is made; the others complete with -ECANCELED. A chain cannot reach
 *     beyond its page.
 *
 * _DEADLINE, on a single entry or a head: result holds, when the entry is
 * posted, a time of CLOCK_MONOTONIC in nanoseconds. When it has passed, the
 * call that would begin, waits or sleeps completes with -ETIME (as does its
 * chain: the rest with -ECANCELED). A call that has an effect by then, or that
 * cannot be interrupted, completes with its own result.
 */
struct flexsc_entry {
	__u32 nr;    /* x86-64 system call number, or FLEXSC_NR_* */
	__u16 flags; /* FLEXSC_ENTRY_*; others: -EINVAL */
	__u16 from;  /* arguments that are results, see above */
	__u64 args[6];
	__s64 result; /* value or -errno; valid once the completion bit has
		       * been read as set (acquire)
		       */
};

#define FLEXSC_ENTRY_LINK (1 << 0)
#define FLEXSC_ENTRY_REPEAT (1 << 1)
#define FLEXSC_ENTRY_GO_ON (1 << 2)
#define FLEXSC_ENTRY_END_ON_ZERO (1 << 3)
#define FLEXSC_ENTRY_END_ON_SHORT (1 << 4)
#define FLEXSC_ENTRY_SUM (1 << 5)
#define FLEXSC_ENTRY_DEADLINE (1 << 6)
#define FLEXSC_ENTRY_FLAGS ((1 << 7) - 1)

/* flexsc_client_header.state: why the group no longer executes anything. */
enum flexsc_state {
	FLEXSC_STATE_OPEN = 0,
	FLEXSC_STATE_CLOSED = 1,      /* group descriptor closed, or owner left */
	FLEXSC_STATE_CREDENTIALS = 2, /* owner changed its credentials */
	FLEXSC_STATE_NAMESPACE = 3,   /* ... namespaces, files, cwd sharing */
	FLEXSC_STATE_SECCOMP = 4,     /* ... got a filter or is traced */
};

/* A word on a cache line of its own. */
struct flexsc_line {
	__u32 value;
	__u8 pad[60];
};

struct flexsc_words {
	__u64 page[FLEXSC_MAX_PAGES];
};

/*
 * Start of a client's region. Bit n of a word stands for entry n of that
 * page. Words of different queues, and submission and completion words, never
 * share a cache line.
 */
struct flexsc_client_header {
	/* Written once by the kernel, before the region can be mapped. */
	__u32 abi_version;
	__u32 header_bytes;
	__u32 nr_pages;
	__u32 reserved0;
	__u64 features;
	__u8 pad0[40];

	/*
	 * enum flexsc_state. Written by the kernel, once, when the group stops
	 * executing. Entries that were claimed still complete; those whose
	 * submission bit is still set never will: take the bit away and make
	 * the call directly.
	 */
	struct flexsc_line state;

	/*
	 * Written by user space: it posts in the first so many pages only; 0 says
	 * nothing. To post in a later one, raise it before the submission bit is
	 * set. So pages that are not needed yet cost nobody a look.
	 */
	struct flexsc_line used_pages;

	__u8 pad1[320];

	/*
	 * Written by the kernel: 1 while no worker of the pool looks at the
	 * submission words. User space owes a full barrier between setting a
	 * submission bit and reading this (it pairs with the barrier between
	 * the kernel's write of this word and its last look at the submission
	 * words).
	 */
	struct flexsc_line need_doorbell[FLEXSC_MAX_POOLS];

	__u8 pad2[1024];

	/* Set by the kernel (release), cleared by user space. */
	struct flexsc_words completion;

	/* Set by user space (release), cleared by the kernel; user space may
	 * take back with an atomic AND or exchange what is still set.
	 */
	struct flexsc_words submission[FLEXSC_QUEUES];

	__u8 pad3[2048];
};

/*
 * Commands on a client descriptor: lseek(client, FLEXSC_CMD(...), SEEK_SET).
 * They are lseek and not ioctl because that is the shortest way through the
 * kernel that carries an argument. A command is a negative offset, which means
 * nothing to other files, and no entry may give one: an entry that makes lseek
 * with a command as offset and SEEK_SET is refused (FLEXSC_E_REFUSED), whatever
 * its descriptor. Other offsets and whences: ESPIPE.
 *
 * FLEXSC_CMD_DOORBELL, argument: the pool. Wakes a worker of the pool if fewer
 *   run than may. Returns 0. EINVAL: no such pool.
 *
 * FLEXSC_CMD_FLUSH, argument: 0. Executes everything posted in
 *   FLEXSC_QUEUE_FLUSH in the calling thread, in ascending order of (page,
 *   bit), and returns how many entries were posted of those it completed (a
 *   chain counts once). It stops early, leaving the rest posted, after a call
 *   that a signal interrupted (its result is -EINTR).
 *
 * FLEXSC_CMD_NOTIFY, argument: 0. Ends the client's current WAIT or, if there
 *   is none, the next one. It is for other threads of the process. Returns 0.
 *
 * FLEXSC_CMD_WAIT, argument: FLEXSC_WAIT(flags, min, timeout). Waits until at
 *   least min completion bits of the client are set, NOTIFY was called since
 *   the last WAIT returned for it, or the timeout is over. Returns the number
 *   of bits set. So: min 0 is no waiting, 1 any, n some, the number in flight
 *   all. EINTR: a signal came and no bit is set.
 *   EBUSY: another thread waits. EINVAL: min is above the client's entries.
 *   ESHUTDOWN: the group stopped (header.state says why) and no bit is set.
 *
 *   FLEXSC_WAIT_ADAPTIVE: min is the most to wait for, normally the number in
 *   flight. WAIT returns when at least one bit is set and waiting for another
 *   one is not worth it, judged by the rate of completions seen in this and
 *   earlier waits.
 *   FLEXSC_WAIT_HELP: the calling thread executes the client's posted entries
 *   itself, as far as they do not sleep: one that would wait for a descriptor
 *   is armed, one that sleeps otherwise is left to the workers. For carriers
 *   that share their CPU with the workers.
 */
#define FLEXSC_CMD(op, arg) \
	((__s64)((1ULL << 63) | ((__u64)(op) << 56) | (__u64)(arg)))
#define FLEXSC_CMD_DOORBELL 1
#define FLEXSC_CMD_FLUSH 2
#define FLEXSC_CMD_NOTIFY 3
#define FLEXSC_CMD_WAIT 4

/* min: 0 to 65535; timeout: microseconds, or FLEXSC_WAIT_FOREVER. */
#define FLEXSC_WAIT(flags, min, timeout_us) \
	(((__u64)(flags) << 48) | ((__u64)(min) << 32) | (__u64)(timeout_us))
#define FLEXSC_WAIT_HELP (1 << 0)
#define FLEXSC_WAIT_ADAPTIVE (1 << 1)
#define FLEXSC_WAIT_FOREVER 0xffffffffULL

/*
 * ioctls. Every struct begins with its size in bytes as the caller knows it;
 * a smaller one gets defaults for what it lacks, a larger one is accepted if
 * what this version does not know is zero (else E2BIG). Unknown flags: EINVAL.
 * All calls, and all commands, fail with EPERM in a process other than the one
 * that opened the group, and with EACCES under seccomp or ptrace's system call
 * stops (and where the administrator refuses them, in processes that are traced
 * at all, or audited). What a user may have of groups, clients and pages, over
 * all processes, is limited: EUSERS; the same of workers: EAGAIN.
 */
#define FLEXSC_IOC_MAGIC 0xF5

/* On /dev/flexsc. */
#define FLEXSC_IOC_QUERY _IO(FLEXSC_IOC_MAGIC, 0)	  /* flexsc_query */
#define FLEXSC_IOC_POLICY _IO(FLEXSC_IOC_MAGIC, 1)	  /* flexsc_policy */
#define FLEXSC_IOC_POOL_CREATE _IO(FLEXSC_IOC_MAGIC, 2)	  /* flexsc_pool_params */
#define FLEXSC_IOC_CLIENT_CREATE _IO(FLEXSC_IOC_MAGIC, 3) /* flexsc_client_params */
#define FLEXSC_IOC_STATS _IO(FLEXSC_IOC_MAGIC, 4)	  /* flexsc_stats */
#define FLEXSC_IOC_POOL_UPDATE _IO(FLEXSC_IOC_MAGIC, 5)	  /* flexsc_pool_params */
#define FLEXSC_IOC_NARROW _IO(FLEXSC_IOC_MAGIC, 6)	  /* flexsc_policy */

/* On a client descriptor. */
#define FLEXSC_IOC_CANCEL _IO(FLEXSC_IOC_MAGIC, 16) /* flexsc_cancel */

#define FLEXSC_FEATURE_FLUSH (1ULL << 0)
#define FLEXSC_FEATURE_WAIT_SOME (1ULL << 1) /* min above 1 */
#define FLEXSC_FEATURE_WAIT_ADAPTIVE (1ULL << 2)
#define FLEXSC_FEATURE_WAIT_HELP (1ULL << 3)
#define FLEXSC_FEATURE_CHAINS (1ULL << 4)
#define FLEXSC_FEATURE_DEADLINES (1ULL << 5)
#define FLEXSC_FEATURE_CANCEL (1ULL << 6)
#define FLEXSC_FEATURE_ARMING (1ULL << 7) /* waiting for files holds no worker */
#define FLEXSC_FEATURE_POOL_UPDATE (1ULL << 8)
#define FLEXSC_FEATURE_NARROW (1ULL << 9)

/* What this module is and can do. Works for anyone who can open the device. */
struct flexsc_query {
	__u32 size;
	__u32 abi_version;
	__u64 features;
	__u32 max_pages;
	__u32 max_clients;
	__u32 max_pools;
	__u32 max_workers; /* per pool */
};

/*
 * POLICY copies the policy class (enum flexsc_call_class, one byte each) of the
 * calls first .. first + count - 1 to classes. Numbers beyond the table are
 * refused.
 *
 * NARROW reads them: from now on, and for good, none of these calls gets more
 * from the group than the class given for it. FLEXSC_CLASS_REFUSED: it is never
 * made. _CALLER: by flush at most. _WORKER and _ARGS: no change. EBUSY: the
 * group has, or had, a client. EINVAL: no such class, and nothing was changed.
 */
struct flexsc_policy {
	__u32 size;
	__u32 first;
	__u32 count; /* at most 1024 */
	__u32 reserved;
	__u64 classes; /* __u8 * */
};

/*
 * POOL_CREATE makes a pool and returns its number; only the thread that opened
 * the group can. set says which fields count (FLEXSC_POOL_*), the others get
 * their defaults. POOL_UPDATE changes the named fields of pool, while it runs;
 * workers take over the new settings before their next call. It returns 0.
 *
 * EINVAL: a value out of range, an unknown bit of set, a mask without a CPU on
 * which the caller may run; with POOL_UPDATE no such pool or an empty set.
 * EPERM: a priority beyond what the caller may give itself (RLIMIT_NICE,
 * RLIMIT_RTPRIO, CAP_SYS_NICE). ENOSPC: no further pool. EAGAIN: no further
 * thread (RLIMIT_NPROC, pids cgroup, the user's limit).
 */
struct flexsc_pool_params {
	__u32 size;
	__u32 set;	     /* FLEXSC_POOL_* */
	__u32 pool;	     /* POOL_UPDATE only, else 0 */
	__u32 concurrency;   /* workers running at a time; default: one per CPU
			      * of the mask
			      */
	__u32 standby_max;   /* further workers for calls that block; default: the
			      * maximum
			      */
	__u32 spin_us;	     /* idle polling before sleep, <= FLEXSC_MAX_SPIN_US;
			      * default: 0
			      */
	__u32 policy;	     /* SCHED_OTHER, _BATCH, _IDLE, _FIFO or _RR; default:
			      * the caller's
			      */
	__s32 priority;	     /* nice value, or real-time priority with SCHED_FIFO
			      * and _RR; counts only with policy
			      */
	__u64 cpumask;	     /* pointer; bit n of byte n / 8 is CPU n; default: the
			      * caller's CPUs
			      */
	__u32 cpumask_bytes;
	__u32 reserved;	     /* 0 */
};

#define FLEXSC_POOL_CONCURRENCY (1 << 0)
#define FLEXSC_POOL_STANDBY_MAX (1 << 1)
#define FLEXSC_POOL_SPIN (1 << 2)
#define FLEXSC_POOL_SCHED (1 << 3) /* policy and priority */
#define FLEXSC_POOL_CPUMASK (1 << 4)
#define FLEXSC_POOL_FIELDS ((1 << 5) - 1)

/* Makes a client; returns its descriptor (close-on-exec). EUSERS: see above. */
struct flexsc_client_params {
	__u32 size;
	__u32 flags;	/* 0 */
	__u32 nr_pages; /* 1 to FLEXSC_MAX_PAGES */
	__u32 reserved;
};

/*
 * Cancels an entry (named by its place; of a chain, by its head) or, with
 * FLEXSC_CANCEL_FD, all entries whose call works on the descriptor fd: posted,
 * claimed, waiting or running ones. Each of them completes exactly once, with
 * its own result if that came first or if the call cannot be interrupted, else
 * with -ECANCELED. Returns how many were found. ENOENT: none (not posted, or
 * completed; or claimed by a FLUSH under way, of which only chains and entries
 * with a deadline are found). EINVAL: page or bit out of range. Until it has returned, an entry
 * that it names must not be posted again.
 */
struct flexsc_cancel {
	__u32 size;
	__u32 flags; /* FLEXSC_CANCEL_FD */
	__u32 page;
	__u32 bit;
	__s32 fd;
	__u32 reserved; /* 0 */
};

#define FLEXSC_CANCEL_FD (1 << 0)

#define FLEXSC_BATCH_BUCKETS 8
#define FLEXSC_LATENCY_BUCKETS 32

/* What flexsc_stats are about. */
enum flexsc_stats_scope {
	FLEXSC_STATS_GROUP = 0,	 /* all of it */
	FLEXSC_STATS_POOL = 1,	 /* one pool, index is its number */
	FLEXSC_STATS_CLIENT = 2, /* one client, index is its descriptor */
};

/* Counters since the group, pool or client was made. EINVAL: no such one. */
struct flexsc_stats {
	__u32 size;
	__u32 scope;	   /* in: enum flexsc_stats_scope */
	__u32 index;	   /* in */
	__u32 workers;	   /* existing now; not of a client, as the next two */
	__u32 running;	   /* neither parked nor blocked */
	__u32 waiting;	   /* calls armed now */
	__u64 executed;	   /* calls by workers, including failed ones */
	__u64 helped;	   /* calls by WAIT with FLEXSC_WAIT_HELP */
	__u64 flushed;	   /* calls by FLUSH */
	__u64 refused;	   /* entries refused by policy or validation */
	__u64 stopped;	   /* completed with -FLEXSC_E_STOPPED */
	__u64 cancelled;   /* completed with -ECANCELED by a CANCEL */
	__u64 timed_out;   /* completed with -ETIME by a deadline */
	__u64 batches;	   /* claims of one submission word */
	__u64 armed;	   /* times a call was armed on a file */
	__u64 blocked;	   /* times a worker slept inside a call */
	__u64 handed_back; /* claims returned by a worker that blocked */
	__u64 parks;	   /* times a worker went to sleep idle */
	__u64 doorbells;   /* DOORBELL commands */
	__u64 wakes;	   /* ... that woke a worker */
	__u64 waits;	   /* WAIT commands */
	__u64 flushes;	   /* FLUSH commands */
	/* Bucket n: claims of 2^n to 2^(n+1) - 1 entries; 6 is 64, 7 unused. */
	__u64 batch_size[FLEXSC_BATCH_BUCKETS];
	/*
	 * Time from a claim to its last completion, sampled: bucket n is 2^n to
	 * 2^(n+1) - 1 nanoseconds.
	 */
	__u64 latency[FLEXSC_LATENCY_BUCKETS];
};

/* Both sides compile these. */
#if defined(__cplusplus)
#define FLEXSC_ASSERT(cond) static_assert(cond, #cond)
#else
#define FLEXSC_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define FLEXSC_ASSERT_AT(type, field, at) \
	FLEXSC_ASSERT(offsetof(struct type, field) == (at))

FLEXSC_ASSERT(sizeof(struct flexsc_entry) == FLEXSC_ENTRY_BYTES);
FLEXSC_ASSERT_AT(flexsc_entry, nr, 0);
FLEXSC_ASSERT_AT(flexsc_entry, flags, 4);
FLEXSC_ASSERT_AT(flexsc_entry, from, 6);
FLEXSC_ASSERT_AT(flexsc_entry, args, 8);
FLEXSC_ASSERT_AT(flexsc_entry, result, 56);
FLEXSC_ASSERT(FLEXSC_PAGE_ENTRIES * FLEXSC_ENTRY_BYTES == FLEXSC_PAGE_BYTES);

FLEXSC_ASSERT(sizeof(struct flexsc_line) == 64);
FLEXSC_ASSERT(sizeof(struct flexsc_words) == 2048);
FLEXSC_ASSERT(sizeof(struct flexsc_client_header) == FLEXSC_HEADER_BYTES);
FLEXSC_ASSERT_AT(flexsc_client_header, abi_version, 0);
FLEXSC_ASSERT_AT(flexsc_client_header, header_bytes, 4);
FLEXSC_ASSERT_AT(flexsc_client_header, nr_pages, 8);
FLEXSC_ASSERT_AT(flexsc_client_header, features, 16);
FLEXSC_ASSERT_AT(flexsc_client_header, state, 64);
FLEXSC_ASSERT_AT(flexsc_client_header, need_doorbell, 512);
FLEXSC_ASSERT_AT(flexsc_client_header, completion, 2048);
FLEXSC_ASSERT_AT(flexsc_client_header, submission, 4096);

FLEXSC_ASSERT(sizeof(struct flexsc_query) == 32);
FLEXSC_ASSERT_AT(flexsc_query, features, 8);
FLEXSC_ASSERT_AT(flexsc_query, max_workers, 28);
FLEXSC_ASSERT(sizeof(struct flexsc_policy) == 24);
FLEXSC_ASSERT_AT(flexsc_policy, classes, 16);
FLEXSC_ASSERT(sizeof(struct flexsc_pool_params) == 48);
FLEXSC_ASSERT_AT(flexsc_pool_params, spin_us, 20);
FLEXSC_ASSERT_AT(flexsc_pool_params, cpumask, 32);
FLEXSC_ASSERT(sizeof(struct flexsc_client_params) == 16);
FLEXSC_ASSERT_AT(flexsc_client_params, nr_pages, 8);
FLEXSC_ASSERT(sizeof(struct flexsc_cancel) == 24);
FLEXSC_ASSERT_AT(flexsc_cancel, fd, 16);
FLEXSC_ASSERT_AT(flexsc_stats, executed, 24);
FLEXSC_ASSERT_AT(flexsc_stats, batch_size, 152);
FLEXSC_ASSERT(sizeof(struct flexsc_stats) ==
	      152 + 8 * (FLEXSC_BATCH_BUCKETS + FLEXSC_LATENCY_BUCKETS));

#undef FLEXSC_ASSERT_AT
#undef FLEXSC_ASSERT

#endif /* FLEXSC_UAPI_H */
