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
	lockdep_assert_held(&pool->group->lock);
	stats->workers += pool->nr_workers;
	stats->running += max(0, atomic_read(&pool->running));
}

static void add_batches(struct flexsc_stats *stats)
{
	unsigned int i;

	for (i = 0; i < FLEXSC_BATCH_BUCKETS; i++)
		stats->batches += stats->batch_size[i];
}

static void add_client(struct flexsc_stats *stats, struct flexsc_client *client)
{
	unsigned int i;

	for (i = 0; i < FLEXSC_MAX_POOLS; i++)
		stats->waiting += READ_ONCE(client->nr_waiting_at[i]);
	flexsc_tally_add(stats_tally(stats), client->tally);
}

/*
 * These three add up what the CPUs counted, which takes time on a machine with
 * many of them: not under a lock. A tally stays as long as its pool (which
 * stays as long as its group) or its client; the caller holds that.
 */
void flexsc_stats_client(struct flexsc_stats *stats,
			 struct flexsc_client *client)
{
	memset(stats, 0, sizeof(*stats));
	add_client(stats, client);
	add_batches(stats);
}

void flexsc_stats_pool(struct flexsc_stats *stats, struct flexsc_pool *pool)
{
	struct flexsc_group *group = pool->group;
	unsigned int i;

	memset(stats, 0, sizeof(*stats));
	raw_spin_lock_irq(&group->lock);
	pool_state(stats, pool);
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (group->clients[i])
			stats->waiting +=
				READ_ONCE(group->clients[i]->nr_waiting_at[pool->index]);
	}
	raw_spin_unlock_irq(&group->lock);
	flexsc_tally_add(stats_tally(stats), pool->tally);
	add_batches(stats);
}

/*
 * An entry is counted for its client and for its pool; what only pools count is
 * added to the sum over the clients.
 */
void flexsc_stats_group(struct flexsc_stats *stats, struct flexsc_group *group)
{
	struct flexsc_client *clients[FLEXSC_MAX_CLIENTS];
	struct flexsc_tally pools = {};
	unsigned int i, nr_pools;

	memset(stats, 0, sizeof(*stats));
	raw_spin_lock_irq(&group->lock);
	nr_pools = group->nr_pools;
	for (i = 0; i < nr_pools; i++)
		pool_state(stats, &group->pools[i]);
	/*
	 * Together: a client that leaves is added to gone and loses its place
	 * under this lock, so it is counted once.
	 */
	tally_sum(stats_tally(stats), &group->gone);
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		clients[i] = group->clients[i];
		if (clients[i])
			refcount_inc(&clients[i]->ref);
	}
	raw_spin_unlock_irq(&group->lock);

	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (!clients[i])
			continue;
		add_client(stats, clients[i]);
		flexsc_client_put(clients[i]);
	}
	for (i = 0; i < nr_pools; i++)
		flexsc_tally_add(&pools, group->pools[i].tally);
	stats->blocked = pools.blocked;
	stats->handed_back = pools.handed_back;
	stats->parks = pools.parks;
	stats->wakes = pools.wakes;
	add_batches(stats);
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
		flexsc_stats_client(stats, client);
	else
		client = NULL;
	fput(file);
	return client ? 0 : -EINVAL;
}

/* FLEXSC_IOC_STATS. */
int flexsc_stats_get(struct flexsc_group *group, void __user *arg)
{
	u32 size, scope, index;
	struct flexsc_stats stats;
	int err;

	err = flexsc_params_get(&stats, sizeof(stats), arg);
	if (err)
		return err;
	size = stats.size;
	scope = stats.scope;
	index = stats.index;
	switch (scope) {
	case FLEXSC_STATS_GROUP:
		flexsc_stats_group(&stats, group);
		break;
	case FLEXSC_STATS_POOL:
		if (index >= flexsc_group_pools(group))
			return -EINVAL;
		flexsc_stats_pool(&stats,
				  &group->pools[array_index_nospec(index, FLEXSC_MAX_POOLS)]);
		break;
	case FLEXSC_STATS_CLIENT:
		err = client_stats_of(&stats, group, index);
		if (err)
			return err;
		break;
	default:
		return -EINVAL;
	}
	stats.scope = scope;
	stats.index = index;
	return flexsc_params_put(arg, &stats, sizeof(stats), size);
}
