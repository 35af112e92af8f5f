// SPDX-License-Identifier: GPL-2.0-only
/* What was counted, put together for the owner of a group. */
#include <linux/file.h>
#include <linux/percpu.h>

#include "flexsc.h"

/* All of a tally is u64. */
#define TALLY_WORDS (sizeof(struct flexsc_tally) / sizeof(u64))

static struct flexsc_tally *stats_tally(struct flexsc_stats *stats)
{
	return (struct flexsc_tally *)&stats->executed;
}

static void tally_sum(struct flexsc_tally *to, const struct flexsc_tally *from)
{
	unsigned int i;

	for (i = 0; i < TALLY_WORDS; i++)
		((u64 *)to)[i] += READ_ONCE(((const u64 *)from)[i]);
}

void flexsc_tally_add(struct flexsc_tally *to,
		      const struct flexsc_tally __percpu *from)
{
	int cpu;

	for_each_possible_cpu(cpu)
		tally_sum(to, per_cpu_ptr(from, cpu));
}

static void pool_state(struct flexsc_stats *stats, struct flexsc_pool *pool)
{
	stats->workers += pool->nr_workers;
	stats->running += max(0, atomic_read(&pool->running));
}

/* Under group->lock. */
static void pool_stats(struct flexsc_stats *stats, struct flexsc_pool *pool)
{
	struct flexsc_group *group = pool->group;
	unsigned int i;

	pool_state(stats, pool);
	flexsc_tally_add(stats_tally(stats), pool->tally);
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (group->clients[i])
			stats->waiting +=
				READ_ONCE(group->clients[i]->nr_waiting_at[pool->index]);
	}
}

static void client_stats(struct flexsc_stats *stats,
			 struct flexsc_client *client)
{
	unsigned int i;

	for (i = 0; i < FLEXSC_MAX_POOLS; i++)
		stats->waiting += READ_ONCE(client->nr_waiting_at[i]);
	flexsc_tally_add(stats_tally(stats), client->tally);
}

/*
 * Under group->lock. An entry is counted for its client and for its pool; what
 * only pools count is added to the sum over the clients.
 */
static void group_stats(struct flexsc_stats *stats, struct flexsc_group *group)
{
	struct flexsc_tally pools = {};
	unsigned int i;

	for (i = 0; i < group->nr_pools; i++) {
		pool_state(stats, &group->pools[i]);
		flexsc_tally_add(&pools, group->pools[i].tally);
	}
	tally_sum(stats_tally(stats), &group->gone);
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (group->clients[i])
			client_stats(stats, group->clients[i]);
	}
	stats->blocked = pools.blocked;
	stats->handed_back = pools.handed_back;
	stats->parks = pools.parks;
	stats->wakes = pools.wakes;
}

/* The client that a descriptor stands for, if it is one of the group. */
static int client_stats_of(struct flexsc_stats *stats,
			   struct flexsc_group *group, int fd)
{
	struct file *file = fget(fd);
	struct flexsc_client *client;

	if (!file)
		return -EINVAL;
	client = flexsc_client_of(file);
	if (client && client->group == group)
		client_stats(stats, client);
	else
		client = NULL;
	fput(file);
	return client ? 0 : -EINVAL;
}

/* FLEXSC_IOC_STATS. */
int flexsc_stats_get(struct flexsc_group *group, void __user *arg)
{
	struct flexsc_stats stats, in;
	unsigned int i;
	int err;

	err = flexsc_params_get(&in, sizeof(in), arg);
	if (err)
		return err;
	memset(&stats, 0, sizeof(stats));
	stats.scope = in.scope;
	stats.index = in.index;
	switch (in.scope) {
	case FLEXSC_STATS_GROUP:
		raw_spin_lock_irq(&group->lock);
		group_stats(&stats, group);
		raw_spin_unlock_irq(&group->lock);
		break;
	case FLEXSC_STATS_POOL:
		if (in.index >= flexsc_group_pools(group))
			return -EINVAL;
		raw_spin_lock_irq(&group->lock);
		pool_stats(&stats, &group->pools[array_index_nospec(in.index,
								    FLEXSC_MAX_POOLS)]);
		raw_spin_unlock_irq(&group->lock);
		break;
	case FLEXSC_STATS_CLIENT:
		err = client_stats_of(&stats, group, in.index);
		if (err)
			return err;
		break;
	default:
		return -EINVAL;
	}
	for (i = 0; i < FLEXSC_BATCH_BUCKETS; i++)
		stats.batches += stats.batch_size[i];
	return flexsc_params_put(arg, &stats, sizeof(stats), in.size);
}
