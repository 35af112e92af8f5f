// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flush: execute what was posted, now, in order, in the caller's context (the
 * batching segment of ESCA; Cheng et al., PDP 2022). What it costs beside the
 * calls is what it is for, so its loop is its own and short.
 */
#include <linux/bitops.h>
#include <linux/sched/signal.h>

#include "chain.h"
#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "run.h"
#include "trace.h"

/* The call in exec did not simply end: what the entry gets. */
static long flush_interrupted(struct flexsc_exec *exec, long result)
{
	result = flexsc_exec_go_on(exec, &exec->call, NULL, result);
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
		if (!flexsc_plain_chain(exec, page, entry))
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

/* What became of an entry that was not plain. */
#define FLUSH_LATER 1 /* it has completed its entries, or will */
#define FLUSH_UNCOUNTED 2 /* its call was not made, or is counted elsewhere */
#define FLUSH_STOP 4 /* the caller has to return to user space first */

/* An entry that is not plain, or whose plain call ended with odd. */
static noinline unsigned int flush_odd(struct flexsc_exec *exec,
				       struct flexsc_client *client,
				       unsigned int page, unsigned int bit,
				       long odd)
{
	struct flexsc_entry *entry = &client->pages[page][bit];
	unsigned int end = 0;
	long result;

	exec->mode = FLEXSC_BY_FLUSH;
	exec->pool = NULL;
	exec->worker = NULL;
	exec->client = client;
	exec->stop = false;
	exec->interrupt = false;
	exec->interrupted = false;
	exec->not_made = false;

	if (odd) {
		exec->call.nr = exec->call.regs.orig_ax;
		result = flush_interrupted(exec, odd);
	} else {
		result = flush_entry(exec, entry, page, bit);
	}
	if (result == -FLEXSC_LATER) {
		end = FLUSH_LATER | FLUSH_UNCOUNTED;
	} else {
		trace_flexsc_complete(client, page, bit,
				      READ_ONCE(entry->nr), result);
		WRITE_ONCE(entry->result, result);
		if (exec->not_made)
			end = FLUSH_UNCOUNTED;
	}
	return exec->stop ? end | FLUSH_STOP : end;
}

/*
 * Makes the plain calls of one word. Returns the bits that are left when it
 * comes to something else; *odd as flexsc_run() says.
 */
static __always_inline u64 flush_plain(struct flexsc_exec *exec,
				       struct flexsc_client *client,
				       unsigned int page, u64 bits, long *odd)
{
	struct flexsc_entry *entries = client->pages[page];

	do {
		struct flexsc_entry *entry, *last;
		unsigned int first, end;
		u64 others = flexsc_lowest_run(bits, &first, &end);

		last = entries + end;
		entry = flexsc_run(exec, client, page, entries + first, last,
				   FLEXSC_CALL_FLUSHED, false, odd);
		if (unlikely(entry != last))
			return bits & (~0ULL << flexsc_bit_of(entry));
		bits = others;
	} while (bits);
	return 0;
}

/*
 * Goes on with what flush_plain() has left of a word, and shows all of it.
 * Returns what still is left because the caller has to return to user space
 * first, and adds those whose calls were not made, or are counted elsewhere, to
 * *uncounted.
 */
static noinline u64 flush_rest(struct flexsc_exec *exec,
			       struct flexsc_client *client, unsigned int page,
			       const u64 claimed, u64 bits, long odd,
			       unsigned int *uncounted)
{
	u64 later = 0;

	do {
		unsigned int bit = __ffs64(bits);
		unsigned int what = flush_odd(exec, client, page, bit, odd);

		if (what & FLUSH_LATER)
			later |= BIT_ULL(bit);
		if (what & FLUSH_UNCOUNTED)
			++*uncounted;
		bits &= bits - 1;
		if (what & FLUSH_STOP)
			break;
		odd = 0;
		if (bits)
			bits = flush_plain(exec, client, page, bits, &odd);
	} while (bits);

	flexsc_complete(client, page, claimed & ~bits & ~later);
	return bits;
}

long flexsc_client_flush(struct flexsc_client *client)
{
	u64 *words = client->header->submission[FLEXSC_QUEUE_FLUSH].page;
	/* What is read of it is written first. */
	struct flexsc_exec exec fx_uninitialized;
	unsigned int nr_pages = flexsc_used_pages(client);
	unsigned int page, uncounted = 0;
	long n = 0, odd = 0;

	for (page = 0; page < nr_pages; page++) {
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
		left = flush_plain(&exec, client, page, bits, &odd);
		if (likely(!left)) {
			flexsc_complete(client, page, bits);
		} else {
			left = flush_rest(&exec, client, page, bits, left, odd,
					  &uncounted);
			odd = 0;
		}
		size = hweight64(bits ^ left);
		flexsc_count(client, batch_size[ilog2(size)]);
		n += size;
		if (unlikely(left)) {
			/* The poster's release is still in the word for who claims. */
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
