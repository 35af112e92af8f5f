// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executing what was claimed: by a worker, or by a thread that helps while it
 * waits. (A flush has a loop of its own, flush.c.)
 *
 * A claim is the set of bits that an executor took from a submission word. Each
 * bit of it is either executed by who claimed it, or, when that one falls
 * asleep inside a call, handed back to the word it came from (exec.c), where
 * whoever goes on finds it.
 */
#include <linux/bitops.h>
#include <linux/file.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>

#include "chain.h"
#include "exec.h"
#include "flexsc.h"
#include "op.h"
#include "run.h"
#include "trace.h"

/* Results of a worker that are shown together, while no call sleeps. */
#define SHOWN_TOGETHER 8

/* Of so many claims the latency of one is measured. */
#define LATENCY_EVERY 32

/* Puts the entry that runs back where it was posted. */
static long give_back(struct flexsc_exec *exec)
{
	flexsc_put_back(exec->client->group, BIT_ULL(exec->bit), exec->claim_word);
	return -FLEXSC_LATER;
}

/* A plain call that may wait for its file, or sleep. */
static long serve_waiting(struct flexsc_exec *exec, u16 traits)
{
	struct flexsc_need need = {};
	struct flexsc_op *op;
	long ret;

	flexsc_forget(exec);
	ret = flexsc_exec_looked(exec, traits, &need);
	if (ret == -FLEXSC_WAITS) {
		op = flexsc_op_single(exec, &need);
		if (op) {
			flexsc_op_listed(exec, op);
			if (flexsc_op_arm(op) != FLEXSC_ARMED)
				flexsc_op_run(exec, op);
			return -FLEXSC_LATER;
		}
		/* No memory to wait: the call itself does. */
		fput(need.file);
		if (exec->worker)
			return flexsc_exec_call(exec, &exec->call, NULL);
		ret = -FLEXSC_LEAVE;
	}
	if (ret == -FLEXSC_LEAVE)
		exec->left = true;
	if (ret == -FLEXSC_LEAVE || ret == -FLEXSC_AGAIN)
		return give_back(exec);
	return ret;
}

/* A helper opens something. If it has to wait, a worker does it instead. */
static long serve_open(struct flexsc_exec *exec)
{
	long ret = flexsc_exec_open(exec, &exec->call, NULL);

	if (ret == -FLEXSC_LEAVE)
		exec->left = true;
	return ret == -FLEXSC_LEAVE || ret == -FLEXSC_AGAIN ? give_back(exec) : ret;
}

/* An entry of any kind. Returns its result, or -FLEXSC_LATER. */
static long serve_entry(struct flexsc_exec *exec,
			const struct flexsc_entry *entry, unsigned int bit)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_call *call = &exec->call;
	u64 head = flexsc_head_read(entry);
	long result;
	u16 traits;

	exec->mixed = true;
	/* As in flexsc_run(). */
	WRITE_ONCE(exec->bit, bit);
	barrier();
	/* It may have run already, and been interrupted for that. */
	if (exec->worker && flexsc_exec_was_cancelled(exec)) {
		/* The head of a chain has not. */
		if (likely(!(head >> 32)))
			return -ECANCELED;
		flexsc_cancel_entry(client, exec->page, bit);
		return -FLEXSC_LATER;
	}
	if (unlikely(READ_ONCE(client->group->nr_cancels)) &&
	    flexsc_cancel_matches(exec, bit, (u32)head,
				  READ_ONCE(entry->args[0]))) {
		flexsc_count(client, cancelled);
		flexsc_count(exec->pool, cancelled);
		flexsc_cancel_entry(client, exec->page, bit);
		return -FLEXSC_LATER;
	}
	if (unlikely(head >> 32)) {
		if (exec->worker ||
		    !flexsc_looked_chain(exec, exec->page,
					 &client->pages[exec->page][bit]))
			flexsc_op_begin(exec, exec->page, bit);
		return -FLEXSC_LATER;
	}

	call->nr = (u32)head;
	flexsc_args_read(&call->regs, entry);
	traits = flexsc_call_traits(client->calls, call->nr);
	result = flexsc_policy_check(call, traits, true);
	if (unlikely(result)) {
		exec->not_made = true;
		flexsc_count(client, refused);
		flexsc_count(exec->pool, refused);
		return result;
	}
	if (traits & (FLEXSC_CALL_IN | FLEXSC_CALL_OUT | FLEXSC_CALL_SLEEPS))
		return serve_waiting(exec, traits);
	if (!exec->worker && !(traits & FLEXSC_CALL_HELPED))
		return serve_open(exec);
	result = flexsc_exec_call(exec, call, NULL);
	if (unlikely(result == -FLEXSC_AGAIN))
		return give_back(exec);
	return result;
}

static void count_latency(struct flexsc_exec *exec, u64 begun)
{
	unsigned int bucket = ilog2((local_clock() - begun) | 1);

	bucket = min_t(unsigned int, bucket, FLEXSC_LATENCY_BUCKETS - 1);
	flexsc_count(exec->client, latency[bucket]);
	flexsc_count(exec->pool, latency[bucket]);
}

/* Shows the entries of the claim below bit. Returns how many. */
static unsigned int show_done(struct flexsc_exec *exec, unsigned int bit)
{
	u64 below = bit < FLEXSC_PAGE_ENTRIES ? BIT_ULL(bit) - 1 : ~0ULL;
	u64 done = exec->claim & below;

	if (!done)
		return 0;
	flexsc_complete(exec->client, exec->page, done);
	/* CANCEL finds them here until their bits are set. */
	smp_mb__after_atomic();
	WRITE_ONCE(exec->claim, exec->claim & ~done);
	flexsc_client_completed(exec->client);
	return hweight64(done);
}

/* Sees to signals. Returns whether the rest of the claim is for others. */
static bool must_stop(struct flexsc_exec *exec)
{
	if (unlikely(signal_pending(current))) {
		if (exec->worker)
			return flexsc_exec_resume(exec);
		exec->stop = true;
	}
	if (exec->worker)
		return flexsc_worker_must_leave(exec->worker);
	return exec->stop || flexsc_group_stopped(exec->pool->group);
}

static void count_claim(struct flexsc_exec *exec, unsigned int size,
			unsigned int executed)
{
	struct flexsc_client *client = exec->client;
	struct flexsc_pool *pool = exec->pool;
	unsigned int bucket = ilog2(size);

	flexsc_count(client, batch_size[bucket]);
	flexsc_count(pool, batch_size[bucket]);
	if (exec->worker) {
		flexsc_count_add(client, executed, executed);
		flexsc_count_add(pool, executed, executed);
	} else {
		flexsc_count_add(client, helped, executed);
		flexsc_count_add(pool, helped, executed);
	}
}

/* Executes and completes a claim, which is not empty. */
void flexsc_serve_claim(struct flexsc_exec *exec, struct flexsc_client *client,
			unsigned int page, u64 *word, u64 claim)
{
	struct flexsc_entry *entries = client->pages[page];
	const unsigned int together = exec->worker ? SHOWN_TOGETHER :
						     FLEXSC_PAGE_ENTRIES;
	const u16 plain = exec->worker ? FLEXSC_CALL_WORKED : FLEXSC_CALL_HELPED;
	unsigned int size = hweight64(claim), executed = 0;
	bool timed = !(exec->nr_claims % LATENCY_EVERY);
	u64 begun = timed ? local_clock() : 0;

	trace_flexsc_claim(client, exec->pool->index, page, claim);
	WRITE_ONCE(exec->client, client);
	WRITE_ONCE(exec->page, page);
	exec->claim_word = word;
	WRITE_ONCE(exec->bit, FLEXSC_PAGE_ENTRIES); /* none runs yet */
	/*
	 * CANCEL reads these the other way round, with an smp_rmb() for each
	 * smp_wmb(): has_entry() and has_claimed(). What the claim is of first.
	 */
	smp_wmb();
	WRITE_ONCE(exec->claim, claim);
	/* It is in claim before it is no longer claiming. */
	smp_wmb();
	WRITE_ONCE(exec->claiming, NULL);
	/* The claim before the number that stands for it. */
	smp_wmb();
	WRITE_ONCE(exec->in_call, ++exec->nr_claims);
	barrier();
	while (exec->claim) {
		struct flexsc_entry *entry;
		unsigned int bit, end;
		long odd = 0, result;

		flexsc_lowest_run(exec->claim, &bit, &end);
		end = min(end, bit + together);
		entry = flexsc_run(exec, client, page, entries + bit,
				   entries + end, plain, true, &odd);
		bit = entry - entries;
		executed += show_done(exec, bit);
		if (bit == end || !(exec->claim & BIT_ULL(bit)))
			continue;
		/* It is this entry's turn, and it is not that simple. */
		if (unlikely(must_stop(exec))) {
			flexsc_put_back(client->group, exec->claim, word);
			WRITE_ONCE(exec->claim, 0);
			break;
		}
		exec->not_made = false;
		/* A restart code, if odd is one, means that nothing was done. */
		result = odd == -EINTR ? odd : serve_entry(exec, &entries[bit], bit);
		barrier();
		if (result == -FLEXSC_LATER) {
			WRITE_ONCE(exec->claim, exec->claim & ~BIT_ULL(bit));
		} else {
			trace_flexsc_complete(client, page, bit, exec->call.nr,
					      result);
			WRITE_ONCE(entries[bit].result, result);
			executed += show_done(exec, bit + 1) - exec->not_made;
		}
		/*
		 * After the entry has left the claim. A CANCEL that sees it the
		 * other way round marks a call that is over, which no other has
		 * the number of: nothing comes of it.
		 */
		WRITE_ONCE(exec->in_op, false);
	}
	WRITE_ONCE(exec->in_call, 0);
	count_claim(exec, size, executed);
	if (unlikely(timed))
		count_latency(exec, begun);
}
