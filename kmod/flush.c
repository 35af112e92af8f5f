// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flush: execute what was posted, now, in order, in the caller's context (the
 * batching segment of ESCA; Cheng et al., PDP 2022). What it costs beside the
 * calls is what it is for, so its loop is its own and short.
 */
#include <linux/bitops.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "run.h"
#include "trace.h"

/* A call that did not simply end: what the entry gets. */
static long flush_interrupted(struct flexsc_exec *exec, long result)
{
	if (flexsc_is_restart(result))
		result = -EINTR;
	/* A signal cut the call off: its handler runs before the rest. */
	if (signal_pending(current) &&
	    (result == -EINTR || fatal_signal_pending(current)))
		exec->stop = true;
	return result;
}

/* An entry of any kind. Returns its result, or -FLEXSC_LATER. */
static long flush_entry(struct flexsc_exec *exec, struct flexsc_entry *entry,
			unsigned int page, unsigned int bit)
{
	struct flexsc_call *call = &exec->call;
	u64 head = flexsc_head_read(entry);
	long result;

	if (head >> 32) {
		flexsc_op_begin(exec, page, bit);
		return -FLEXSC_LATER;
	}
	flexsc_call_init(call);
	call->nr = (u32)head;
	flexsc_args_read(&call->regs, entry);
	result = flexsc_policy_check(call,
				     flexsc_call_traits(exec->client->calls, call->nr),
				     false);
	if (result) {
		exec->not_made = true;
		flexsc_count(exec->client, refused);
		return result;
	}
	result = flexsc_dispatch(call, call->nr);
	return flexsc_is_odd(result) ? flush_interrupted(exec, result) : result;
}

/* Makes exec one that the slower code can use. */
static void flush_exec_init(struct flexsc_exec *exec,
			    struct flexsc_client *client)
{
	exec->mode = FLEXSC_BY_FLUSH;
	exec->pool = NULL;
	exec->worker = NULL;
	exec->client = client;
	exec->stop = false;
	exec->interrupt = false;
	exec->interrupted = false;
	exec->not_made = false;
}

/*
 * Executes the entries of one word, which has some. Returns those that are left
 * because the caller has to return to user space first, and adds those whose
 * calls were not made, or are counted elsewhere, to *uncounted.
 */
static u64 flush_word(struct flexsc_exec *exec, struct flexsc_client *client,
		      unsigned int page, const u64 claimed, unsigned int *uncounted)
{
	struct flexsc_entry *entries = client->pages[page];
	u64 bits = claimed, later = 0;
	bool stop = false;

	do {
		unsigned int bit = __ffs64(bits);
		u64 others = ~(bits >> bit);
		unsigned int end = bit + (others ? __ffs64(others) :
						   FLEXSC_PAGE_ENTRIES);
		long odd = 0, result;

		bit = flexsc_run(exec, client, page, bit, end,
				 FLEXSC_CALL_FLUSHED, false, &odd);
		if (unlikely(bit < end)) {
			flush_exec_init(exec, client);
			result = odd ? flush_interrupted(exec, odd) :
				       flush_entry(exec, &entries[bit], page, bit);
			if (result == -FLEXSC_LATER) {
				/* It has completed its entries. */
				later |= BIT_ULL(bit);
				++*uncounted;
			} else {
				*uncounted += exec->not_made;
				trace_flexsc_complete(client, page, bit,
						      READ_ONCE(entries[bit].nr),
						      result);
				WRITE_ONCE(entries[bit].result, result);
			}
			stop = exec->stop;
			bit++;
		}
		bits = bit < FLEXSC_PAGE_ENTRIES ? bits & (~0ULL << bit) : 0;
	} while (bits && !stop);

	flexsc_complete(client, page, claimed & ~bits & ~later);
	return bits;
}

long flexsc_client_flush(struct flexsc_client *client)
{
	u64 *words = client->header->submission[FLEXSC_QUEUE_FLUSH].page;
	/* What is read of it is written first. */
	struct flexsc_exec exec fx_uninitialized;
	unsigned int page, uncounted = 0;
	long n = 0;

	for (page = 0; page < client->nr_pages; page++) {
		unsigned int size;
		u64 bits, left;

		if (!READ_ONCE(words[page]))
			continue;
		/*
		 * Claims them: whoever else flushes gets none of these. Full
		 * barrier, pairs with the release of the poster.
		 */
		bits = xchg(&words[page], 0);
		if (unlikely(!bits))
			continue;
		trace_flexsc_claim(client, FLEXSC_QUEUE_FLUSH, page, bits);
		left = flush_word(&exec, client, page, bits, &uncounted);
		size = hweight64(bits ^ left);
		flexsc_count(client, batch_size[ilog2(size)]);
		n += size;
		if (unlikely(left)) {
			atomic64_or(left, (atomic64_t *)&words[page]);
			break;
		}
		if (unlikely(need_resched()))
			cond_resched();
	}
	flexsc_count(client, flushes);
	flexsc_count_add(client, flushed, n - uncounted);
	flexsc_client_completed(client);
	return n;
}
