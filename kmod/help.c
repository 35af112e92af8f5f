// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helping: a carrier that has nothing to do but wait, and shares its CPU with
 * the workers, executes what it has posted itself, in the crossing that it
 * makes anyway. It never sleeps for one of the calls: it looks first, arms what
 * would wait for a file, and leaves to the workers what may sleep otherwise.
 */
#include <linux/bitops.h>
#include <linux/sched/signal.h>

#include "chain.h"
#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "run.h"
#include "trace.h"

/* Whether an operation became ready that a helper can go on with. */
bool flexsc_help_wanted(struct flexsc_client *client)
{
	return READ_ONCE(client->nr_helpable);
}

/*
 * Goes on where a run of plain calls stopped, at the lowest of bits: the entry
 * is not plain, or its call ended with odd. Adds what stays posted to *left,
 * and what completes otherwise to *others. Returns what there is to go on with.
 */
static noinline u64 help_odd(struct flexsc_exec *exec,
			     struct flexsc_client *client,
			     struct flexsc_pool *pool, unsigned int page,
			     u64 bits, long odd, u64 *left, u64 *others)
{
	struct flexsc_entry *entry = &client->pages[page][__ffs64(bits)];
	u64 one = bits & -bits;
	bool stop = odd;

	bits ^= one;
	exec->mode = FLEXSC_BY_HELPER;
	exec->client = client;
	exec->pool = pool;
	exec->stop = false;
	exec->left = false;
	if (!odd && flexsc_head_read(entry) >> 32 &&
	    flexsc_plain_chain(exec, page, entry)) {
		*others |= one;
		stop = exec->stop;
	} else if (odd != -EINTR) {
		/* After a restart code, nothing was done. */
		*left |= one;
	}
	if (!stop)
		return bits;
	/* A signal: its handler runs before the rest. */
	*left |= bits;
	return 0;
}

/*
 * The plain calls among what is posted in a word, made as by a flush. Returns
 * whether that was all of it.
 */
static __always_inline bool help_word(struct flexsc_client *client,
				      struct flexsc_pool *pool,
				      unsigned int page, u64 *word,
				      struct flexsc_exec *exec)
{
	struct flexsc_entry *entries = client->pages[page];
	/* Full barrier, pairs with the release of the poster. */
	u64 bits = xchg(word, 0), claimed = bits, left = 0, others = 0;
	unsigned int size;

	if (unlikely(!bits))
		return true;
	trace_flexsc_post(client, pool->index, page, bits);
	trace_flexsc_claim(client, pool->index, page, bits);
	do {
		struct flexsc_entry *entry, *last;
		unsigned int first, end;
		u64 rest = flexsc_lowest_run(bits, &first, &end);
		long odd = 0;

		last = entries + end;
		entry = flexsc_run(exec, client, page, entries + first, last,
				   FLEXSC_CALL_HELPED, false, &odd);
		if (likely(entry == last))
			bits = rest;
		else
			bits = help_odd(exec, client, pool, page,
					bits & (~0ULL << flexsc_bit_of(entry)),
					odd, &left, &others);
	} while (bits);

	claimed ^= left;
	if (likely(claimed)) {
		size = hweight64(claimed);
		flexsc_count(client, batch_size[ilog2(size)]);
		flexsc_count(pool, batch_size[ilog2(size)]);
		claimed ^= others;
		flexsc_complete(client, page, claimed);
		size = hweight64(claimed);
		flexsc_count_add(client, helped, size);
		flexsc_count_add(pool, helped, size);
	}
	if (likely(!left))
		return true;
	flexsc_put_back(client->group, left, word);
	return false;
}

/*
 * Makes the plain calls that the client has posted, which is most of what there
 * is, the shortest way. CANCEL waits until that is over. Returns whether nothing
 * is left to do for a helper.
 */
bool flexsc_help_plain(struct flexsc_client *client)
{
	struct flexsc_group *group = client->group;
	struct flexsc_pool *pool = group->pools;
	struct flexsc_pool *end = pool + flexsc_group_pools(group);
	u64 *words = client->header->submission[0].page;
	struct flexsc_exec exec fx_uninitialized;
	bool all = true;

	if (unlikely(flexsc_group_stopped(group)))
		return !READ_ONCE(client->nr_helpable);
	atomic_inc(&client->quick_helpers);
	/*
	 * Before anything is taken, and until it is done or back; pairs with the
	 * order in which CANCEL looks at this and at what is posted.
	 */
	smp_mb__after_atomic();
	for (; pool != end; pool++, words += FLEXSC_MAX_PAGES) {
		u64 *word = words, *last = words + flexsc_used_pages(client);

		for (; word != last; word++) {
			if (READ_ONCE(*word))
				all &= help_word(client, pool, word - words,
						 word, &exec);
		}
	}
	/* See above. */
	smp_mb__before_atomic();
	atomic_dec(&client->quick_helpers);
	return all && !READ_ONCE(client->nr_helpable);
}

static void help_pool(struct flexsc_exec *exec, struct flexsc_client *client)
{
	struct flexsc_pool *pool = exec->pool;
	u64 *words = client->header->submission[pool->index].page;
	u64 *word = words, *last = words + flexsc_used_pages(client);
	struct flexsc_op *op;

	for (; word != last; word++) {
		unsigned int page = word - words;
		u64 claim;

		if (!READ_ONCE(*word))
			continue;
		if (exec->stop)
			break;
		/* As a worker does it, serve_word(). */
		WRITE_ONCE(exec->claiming, word);
		claim = xchg(word, 0);
		if (!claim) {
			WRITE_ONCE(exec->claiming, NULL);
			continue;
		}
		trace_flexsc_post(client, pool->index, page, claim);
		flexsc_serve_claim(exec, client, page, word, claim);
	}
	while (!exec->stop && READ_ONCE(client->nr_helpable)) {
		op = flexsc_op_next(client, pool, true);
		if (!op)
			break;
		flexsc_op_serve(exec, op);
	}
}

/* Executes what the client has posted and what became ready. */
void flexsc_help(struct flexsc_exec *exec, struct flexsc_client *client)
{
	struct flexsc_group *group = client->group;
	unsigned int i, nr_pools = flexsc_group_pools(group);

	exec->stop = flexsc_group_stopped(group);
	for (i = 0; i < nr_pools && !exec->stop; i++) {
		if (unlikely(exec->pool != &group->pools[i])) {
			/* It reads pool. */
			flexsc_exec_sync(exec);
			exec->pool = &group->pools[i];
		}
		exec->left = false;
		help_pool(exec, client);
		if (unlikely(exec->left))
			flexsc_pool_kick(exec->pool);
	}
}
