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
 *   3. full barrier, then read need_doorbell[queue]: if it is not zero, call
 *      FLEXSC_IOC_DOORBELL.
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
#define FLEXSC_ABI_VERSION 1

#define FLEXSC_ENTRY_BYTES 64
#define FLEXSC_PAGE_ENTRIES 64
#define FLEXSC_PAGE_BYTES 4096
#define FLEXSC_HEADER_BYTES 8192
#define FLEXSC_MAX_PAGES 64   /* per client */
#define FLEXSC_MAX_CLIENTS 64 /* per group */
#define FLEXSC_MAX_POOLS 8    /* per group; see flexsc_query.max_pools */
#define FLEXSC_MAX_SPIN_US 1000000

/*
 * Queues of a client: 0 to FLEXSC_MAX_POOLS - 1 are served by the pool of that
 * number; entries in FLEXSC_QUEUE_FLUSH wait for FLEXSC_IOC_FLUSH.
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

/* Policy class of a call number, see FLEXSC_IOC_POLICY. */
enum flexsc_call_class {
	FLEXSC_CLASS_REFUSED = 0, /* -FLEXSC_E_REFUSED */
	FLEXSC_CLASS_CALLER = 1,  /* flush only */
	FLEXSC_CLASS_WORKER = 2,  /* worker and flush */
	FLEXSC_CLASS_ARGS = 3,	  /* worker and flush, depending on arguments */
};

/* One system call. Written by user space, except result. */
struct flexsc_entry {
	__u32 nr;	/* x86-64 system call number */
	__u16 flags;	/* must be 0 in this version, else -EINVAL */
	__u16 reserved; /* must be 0, else -EINVAL */
	__u64 args[6];
	__s64 result; /* kernel: value or -errno; valid once the completion
		       * bit has been read as set (acquire)
		       */
};

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

	__u8 pad1[384];

	/*
	 * Written by the kernel: 1 while no worker of the pool looks at the
	 * submission words. User space owes a full barrier between setting a
	 * submission bit and reading this (it pairs with the barrier between
	 * the kernel's write of this word and its last look at the submission
	 * words).
	 */
	struct flexsc_line need_doorbell[FLEXSC_MAX_POOLS];

	/* Set by the kernel (release), cleared by user space. */
	struct flexsc_words completion;

	__u8 pad2[512];

	/* Set by user space (release), cleared by the kernel; user space may
	 * take back with an atomic AND or exchange what is still set.
	 */
	struct flexsc_words submission[FLEXSC_QUEUES];

	__u8 pad3[1536];
};

/*
 * ioctls. Every struct begins with its size in bytes as the caller knows it;
 * a smaller one gets defaults for what it lacks, a larger one is accepted if
 * what this version does not know is zero (else E2BIG). Unknown flags: EINVAL.
 * All calls fail with EPERM in a process other than the one that opened the
 * group, and with EACCES under seccomp or ptrace's system call stops.
 */
#define FLEXSC_IOC_MAGIC 0xF5

/* On /dev/flexsc. */
#define FLEXSC_IOC_QUERY _IO(FLEXSC_IOC_MAGIC, 0)	  /* flexsc_query */
#define FLEXSC_IOC_POLICY _IO(FLEXSC_IOC_MAGIC, 1)	  /* flexsc_policy */
#define FLEXSC_IOC_POOL_CREATE _IO(FLEXSC_IOC_MAGIC, 2)	  /* flexsc_pool_params */
#define FLEXSC_IOC_CLIENT_CREATE _IO(FLEXSC_IOC_MAGIC, 3) /* flexsc_client_params */
#define FLEXSC_IOC_STATS _IO(FLEXSC_IOC_MAGIC, 4)	  /* flexsc_stats */

/* On a client descriptor. */
#define FLEXSC_IOC_DOORBELL _IO(FLEXSC_IOC_MAGIC, 16) /* argument: the pool */
#define FLEXSC_IOC_WAIT _IO(FLEXSC_IOC_MAGIC, 17)     /* flexsc_wait */
#define FLEXSC_IOC_FLUSH _IO(FLEXSC_IOC_MAGIC, 18)    /* argument: 0 */
#define FLEXSC_IOC_NOTIFY _IO(FLEXSC_IOC_MAGIC, 19)   /* argument: 0 */

#define FLEXSC_FEATURE_FLUSH (1ULL << 0)
#define FLEXSC_FEATURE_WAIT_SOME (1ULL << 1) /* min_complete above 1 */

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
 * Copies the policy class (enum flexsc_call_class, one byte each) of the calls
 * first .. first + count - 1 to classes. Numbers beyond the table are refused.
 */
struct flexsc_policy {
	__u32 size;
	__u32 first;
	__u32 count; /* at most 1024 */
	__u32 reserved;
	__u64 classes; /* __u8 * */
};

/*
 * Makes a pool; returns its number. cpumask (pointer to cpumask_bytes bytes,
 * bit n of byte n / 8 is CPU n; 0 bytes: the CPUs of the caller) must contain
 * a CPU on which the caller may run, else EINVAL.
 */
struct flexsc_pool_params {
	__u32 size;
	__u32 flags; /* 0 */
	__u32 concurrency; /* workers running at a time; 0: one per CPU of the mask */
	__u32 standby_max; /* further workers for those that block; 0: the maximum */
	__u32 spin_us; /* idle polling before sleep, <= FLEXSC_MAX_SPIN_US */
	__u32 cpumask_bytes;
	__u64 cpumask;
};

/* Makes a client; returns its descriptor (close-on-exec). */
struct flexsc_client_params {
	__u32 size;
	__u32 flags;	/* 0 */
	__u32 nr_pages; /* 1 to FLEXSC_MAX_PAGES */
	__u32 reserved;
};

/*
 * Waits until at least min_complete completion bits of the client are set, or
 * FLEXSC_IOC_NOTIFY was called since the last WAIT returned for it, or the
 * timeout is over. Returns the number of bits set. EINTR: a signal came.
 * ESHUTDOWN: the group stopped (header.state says why) and no bit is set.
 */
struct flexsc_wait {
	__u32 size;
	__u32 flags;	    /* 0 */
	__u32 min_complete; /* 0: return at once; at most the client's entries */
	__u32 reserved;
	__s64 timeout_ns; /* relative; negative: for ever */
};

/*
 * FLEXSC_IOC_FLUSH executes everything posted in FLEXSC_QUEUE_FLUSH in the
 * calling thread, in ascending order of (page, bit), and returns how many
 * entries it completed. It stops early, leaving the rest posted, after a call
 * that a signal interrupted (its result is -EINTR).
 *
 * FLEXSC_IOC_DOORBELL wakes a worker of the pool if none is awake.
 *
 * FLEXSC_IOC_NOTIFY ends the client's current WAIT or, if there is none, the
 * next one. It is for other threads of the process.
 */

#define FLEXSC_BATCH_BUCKETS 8

/* Counters of the group since it was opened. */
struct flexsc_stats {
	__u32 size;
	__u32 workers;	      /* existing now */
	__u64 executed;	      /* by workers, including failed calls */
	__u64 refused;	      /* by policy or validation */
	__u64 cancelled;      /* claimed, not executed: the group stopped */
	__u64 blocked;	      /* times a worker slept inside a call */
	__u64 handed_back;    /* claims returned by a worker that blocked */
	__u64 batches;	      /* claims of one submission word */
	__u64 parks;	      /* times a worker went to sleep idle */
	__u64 doorbells;      /* DOORBELL calls */
	__u64 doorbell_wakes; /* ... that woke a worker */
	__u64 waits;	      /* WAIT calls */
	__u64 flushes;	      /* FLUSH calls */
	__u64 flushed;	      /* entries completed by FLUSH */
	/* Bucket n: batches of 2^n to 2^(n+1) - 1 entries; 6 is 64, 7 unused. */
	__u64 batch_size[FLEXSC_BATCH_BUCKETS];
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
FLEXSC_ASSERT_AT(flexsc_entry, reserved, 6);
FLEXSC_ASSERT_AT(flexsc_entry, args, 8);
FLEXSC_ASSERT_AT(flexsc_entry, result, 56);
FLEXSC_ASSERT(FLEXSC_PAGE_ENTRIES * FLEXSC_ENTRY_BYTES == FLEXSC_PAGE_BYTES);

FLEXSC_ASSERT(sizeof(struct flexsc_line) == 64);
FLEXSC_ASSERT(sizeof(struct flexsc_words) == 512);
FLEXSC_ASSERT(sizeof(struct flexsc_client_header) == FLEXSC_HEADER_BYTES);
FLEXSC_ASSERT_AT(flexsc_client_header, abi_version, 0);
FLEXSC_ASSERT_AT(flexsc_client_header, header_bytes, 4);
FLEXSC_ASSERT_AT(flexsc_client_header, nr_pages, 8);
FLEXSC_ASSERT_AT(flexsc_client_header, features, 16);
FLEXSC_ASSERT_AT(flexsc_client_header, state, 64);
FLEXSC_ASSERT_AT(flexsc_client_header, need_doorbell, 512);
FLEXSC_ASSERT_AT(flexsc_client_header, completion, 1024);
FLEXSC_ASSERT_AT(flexsc_client_header, submission, 2048);

FLEXSC_ASSERT(sizeof(struct flexsc_query) == 32);
FLEXSC_ASSERT_AT(flexsc_query, features, 8);
FLEXSC_ASSERT_AT(flexsc_query, max_workers, 28);
FLEXSC_ASSERT(sizeof(struct flexsc_policy) == 24);
FLEXSC_ASSERT_AT(flexsc_policy, classes, 16);
FLEXSC_ASSERT(sizeof(struct flexsc_pool_params) == 32);
FLEXSC_ASSERT_AT(flexsc_pool_params, spin_us, 16);
FLEXSC_ASSERT_AT(flexsc_pool_params, cpumask, 24);
FLEXSC_ASSERT(sizeof(struct flexsc_client_params) == 16);
FLEXSC_ASSERT_AT(flexsc_client_params, nr_pages, 8);
FLEXSC_ASSERT(sizeof(struct flexsc_wait) == 24);
FLEXSC_ASSERT_AT(flexsc_wait, timeout_ns, 16);
FLEXSC_ASSERT(sizeof(struct flexsc_stats) == 104 + 8 * FLEXSC_BATCH_BUCKETS);
FLEXSC_ASSERT_AT(flexsc_stats, executed, 8);
FLEXSC_ASSERT_AT(flexsc_stats, batch_size, 104);

#undef FLEXSC_ASSERT_AT
#undef FLEXSC_ASSERT

#endif /* FLEXSC_UAPI_H */
