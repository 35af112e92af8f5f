// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flush: execute what was posted, now, in order, in the caller's context (the
 * batching segment of ESCA; Cheng et al., PDP 2022). What it costs beside the
 * calls is what it is for, so its loop is its own and short.
 */
#include <linux/bitops.h>
#include <linux/sched/signal.h>

#include "flexsc.h"
#include "op.h"
#include "trace.h"

/* A call that did not simply succeed: what the entry gets. */
static long flush_failed(struct flexsc_exec *exec, long result)
{
	if (flexsc_is_restart(result))
		result = -EINTR;
	/* A signal cut the call off: its handler runs before the rest. */
	if (signal_pending(current) &&
	    (result == -EINTR || fatal_signal_pending(current)))
		exec->stop = true;
	return result;
}

static long flush_refused(struct flexsc_exec *exec, long result)
{
	flexsc_count(exec->client, refused);
	return result;
}

/* Executes the entries of one word, which has some. Returns how many. */
static unsigned int flush_word(struct flexsc_exec *exec, unsigned int page,
			       u64 bits)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_entry *entries = client->pages[page];
	struct flexsc_call *call = &exec->call;
	u64 claimed = bits, done = 0;

	do {
		unsigned int bit = __ffs64(bits);
		struct flexsc_entry *entry = &entries[bit];
		u64 head = flexsc_head_read(entry);
		long result;
		u8 traits;

		bits &= bits - 1;
		if (unlikely(head >> 32)) {
			result = flexsc_op_begin(exec, page, bit);
			if (result == -FLEXSC_LATER) /* it completed them */
				continue;
		} else {
			call->nr = (u32)head;
			flexsc_args_read(&call->regs, entry);
			traits = flexsc_call_traits(call->nr);
			result = flexsc_policy_check(call, traits, false);
			if (likely(!result)) {
				result = flexsc_dispatch(call, call->nr);
				if (unlikely(result < 0))
					result = flush_failed(exec, result);
			} else {
				flush_refused(exec, result);
			}
		}
		trace_flexsc_complete(client, page, bit, (u32)head, result);
		WRITE_ONCE(entry->result, result);
		done |= BIT_ULL(bit);
	} while (bits && likely(!exec->stop));

	flexsc_complete(client, page, done);
	if (unlikely(bits))
		atomic64_or(bits, (atomic64_t *)&client->header->submission
					  [FLEXSC_QUEUE_FLUSH].page[page]);
	return hweight64(claimed ^ bits);
}

long flexsc_client_flush(struct flexsc_client *client)
{
	u64 *words = client->header->submission[FLEXSC_QUEUE_FLUSH].page;
	struct flexsc_exec exec;
	unsigned int page;
	long n = 0;

	exec.mode = FLEXSC_BY_FLUSH;
	exec.pool = NULL;
	exec.worker = NULL;
	exec.client = client;
	exec.stop = false;
	exec.interrupt = false;
	exec.interrupted = false;
	flexsc_call_init(&exec.call);

	for (page = 0; page < client->nr_pages && !exec.stop; page++) {
		unsigned int size;
		u64 bits;

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
		size = flush_word(&exec, page, bits);
		flexsc_count(client, batches);
		flexsc_count(client, batch_size[ilog2(size)]);
		n += size;
		cond_resched();
	}
	flexsc_count(client, flushes);
	flexsc_count_add(client, flushed, n);
	flexsc_client_completed(client);
	return n;
}
