// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helping: a carrier that has nothing to do but wait, and shares its CPU with
 * the workers, executes what it has posted itself, in the crossing that it
 * makes anyway. It never sleeps for one of the calls: it looks first, arms what
 * would wait for a file, and leaves to the workers what may sleep otherwise.
 */
#include <linux/sched/signal.h>

#include "flexsc.h"
#include "op.h"
#include "trace.h"

/* Whether an operation became ready that a helper can go on with. */
bool flexsc_help_wanted(struct flexsc_client *client)
{
	return READ_ONCE(client->nr_helpable);
}

static void help_pool(struct flexsc_exec *exec, struct flexsc_client *client)
{
	struct flexsc_pool *pool = exec->pool;
	u64 *words = client->header->submission[pool->index].page;
	struct flexsc_op *op;
	unsigned int page;

	for (page = 0; page < client->nr_pages && !exec->stop; page++) {
		u64 claim;

		if (!READ_ONCE(words[page]))
			continue;
		/* Full barrier, pairs with the release of the poster. */
		claim = xchg(&words[page], 0);
		if (!claim)
			continue;
		trace_flexsc_post(client, pool->index, page, claim);
		flexsc_serve_claim(exec, client, page, &words[page], claim);
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
	unsigned int i, nr_pools = smp_load_acquire(&group->nr_pools);

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
