// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flush: execute what was posted, now, in order, in the caller's context (the
 * batching segment of ESCA; Cheng et al., PDP 2022).
 */
#include <linux/bitops.h>
#include <linux/sched/signal.h>

#include "flexsc.h"

/*
 * Executes the entries of one word. Returns how many; *stop is set when the
 * caller has to return to user space first.
 */
static unsigned int flush_word(struct flexsc_client *client, unsigned int page,
			       struct flexsc_call *call, u64 bits, bool *stop)
{
	struct flexsc_entry *entries = client->pages[page];
	unsigned int n = 0;
	u64 *word = &client->header->submission[FLEXSC_QUEUE_FLUSH].page[page];
	u64 done = 0;

	while (bits && !*stop) {
		unsigned int bit = __ffs64(bits);
		struct flexsc_entry *entry = &entries[bit];
		long result;

		bits &= bits - 1;
		result = flexsc_call_read(call, entry);
		if (!result)
			result = flexsc_policy_check(call, false);
		if (!result)
			result = flexsc_execute_caller(call);
		/* A signal cut the call off: its handler runs before the rest. */
		if (unlikely(signal_pending(current)) &&
		    (result == -EINTR || fatal_signal_pending(current)))
			*stop = true;
		WRITE_ONCE(entry->result, result);
		done |= 1ULL << bit;
		n++;
	}
	/*
	 * Results before bits, both times. Pairs with the acquire with which
	 * user space, perhaps another thread, takes completion bits.
	 */
	smp_mb__before_atomic();
	atomic64_or(done, (atomic64_t *)&client->header->completion.page[page]);
	if (unlikely(bits))
		atomic64_or(bits, (atomic64_t *)word);
	return n;
}

long flexsc_client_flush(struct flexsc_client *client)
{
	u64 *words = client->header->submission[FLEXSC_QUEUE_FLUSH].page;
	struct flexsc_call call;
	bool stop = false;
	unsigned int page;
	long n = 0;

	flexsc_call_init(&call);
	for (page = 0; page < client->nr_pages && !stop; page++) {
		if (!READ_ONCE(words[page]))
			continue;
		/*
		 * Claims them: whoever else flushes gets none of these. Full
		 * barrier, pairs with the release of the poster.
		 */
		n += flush_word(client, page, &call, xchg(&words[page], 0), &stop);
		cond_resched();
	}
	atomic64_inc(&client->flushes);
	atomic64_add(n, &client->flushed);
	flexsc_client_completed(client);
	return n;
}
