// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the administrator sees of all groups: /sys/kernel/debug/flexsc/groups,
 * for root. A record for each group whose descriptor is open, for each of its
 * pools and for each of its clients; docs/observability.md has the format.
 *
 * A record is one step of the seq_file. Its place in the file is the id of its
 * group and its part of it, which stay what they are while other groups and
 * clients come and go: what exists from the beginning to the end of a reading
 * is in it exactly once. A reading ends with the group that was the newest when
 * it began, so it ends.
 *
 * Lifetimes: between start and stop the cursor holds references to the group
 * and the client that it is at, so that neither a close nor a kill takes them
 * away; what was counted by then stays readable. Each record is put together
 * from short looks under group->lock; no lock is held while text is made, and
 * not even a reference while it is copied to user space, which happens after
 * stop. We may give up the last reference, in a context that may sleep. An open
 * file holds the module (debugfs takes owner), so that none of this outlives
 * it.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/string_helpers.h>
#include <uapi/linux/sched.h>

#include "flexsc.h"

/* Changes when a reader that goes by names of keys would no longer do. */
#define FORMAT 1

/* A place: id of the group << PART_BITS | part. Place 0 is the first line. */
#define PART_BITS 7
#define PART_POOLS 1
#define PART_CLIENTS (PART_POOLS + FLEXSC_MAX_POOLS)
#define PARTS (PART_CLIENTS + FLEXSC_MAX_CLIENTS)

static_assert(PARTS <= 1 << PART_BITS);

struct cursor {
	u64 newest; /* the last group of this reading */
	unsigned int part;
	struct flexsc_group *group;
	struct flexsc_client *client; /* with a part that is one */
};

static void put_client(struct cursor *at)
{
	if (at->client)
		flexsc_client_put(at->client);
	at->client = NULL;
}

static void put_group(struct cursor *at)
{
	put_client(at);
	if (at->group)
		flexsc_group_put(at->group);
	at->group = NULL;
}

/* Goes to the first part from at->part on that there is. */
static bool find_part(struct cursor *at)
{
	struct flexsc_group *group = at->group;

	put_client(at);
	if (at->part < PART_POOLS + flexsc_group_pools(group))
		return true;
	at->part = max_t(unsigned int, at->part, PART_CLIENTS);
	raw_spin_lock_irq(&group->lock);
	for (; at->part < PARTS && !at->client; at->part++)
		at->client = group->clients[at->part - PART_CLIENTS];
	if (at->client) {
		at->part--;
		refcount_inc(&at->client->ref);
	}
	raw_spin_unlock_irq(&group->lock);
	return at->client;
}

/* Goes to the first record at *pos or behind it. */
static void *find_record(struct cursor *at, loff_t *pos)
{
	u64 id = *pos >> PART_BITS;

	at->part = *pos & (BIT(PART_BITS) - 1);
	for (;; id++, at->part = 0) {
		if (!at->group || at->group->id != id) {
			put_group(at);
			at->group = flexsc_groups_from(id);
			if (!at->group || at->group->id > at->newest)
				break;
			if (at->group->id != id)
				at->part = 0;
			id = at->group->id;
		}
		if (find_part(at)) {
			*pos = id << PART_BITS | at->part;
			return at;
		}
	}
	*pos = (at->newest + 1) << PART_BITS;
	return NULL;
}

static void *groups_start(struct seq_file *m, loff_t *pos)
{
	struct cursor *at = m->private;

	if (*pos)
		return find_record(at, pos);
	at->newest = flexsc_groups_newest();
	return SEQ_START_TOKEN;
}

static void *groups_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return find_record(m->private, pos);
}

static void groups_stop(struct seq_file *m, void *v)
{
	put_group(m->private);
}

static const char *state_name(u32 state)
{
	static const char * const names[] = {
		[FLEXSC_STATE_OPEN] = "open",
		[FLEXSC_STATE_CLOSED] = "closed",
		[FLEXSC_STATE_CREDENTIALS] = "credentials",
		[FLEXSC_STATE_NAMESPACE] = "namespace",
		[FLEXSC_STATE_SECCOMP] = "seccomp",
	};

	return names[state];
}

static const char *policy_name(const struct flexsc_pool_config *config)
{
	if (!config->sched_set)
		return "inherited";
	switch (config->policy) {
	case SCHED_BATCH:
		return "batch";
	case SCHED_IDLE:
		return "idle";
	case SCHED_FIFO:
		return "fifo";
	case SCHED_RR:
		return "rr";
	default:
		return "other";
	}
}

/* Buckets that are not empty, by the lowest value that falls into them. */
static void show_histogram(struct seq_file *m, const char *name,
			   const u64 *buckets, unsigned int nr)
{
	char separator = '=';
	unsigned int i;

	seq_printf(m, " %s", name);
	for (i = 0; i < nr; i++) {
		if (!buckets[i])
			continue;
		seq_printf(m, "%c%llu:%llu", separator, 1ULL << i, buckets[i]);
		separator = ',';
	}
	if (separator == '=')
		seq_putc(m, '=');
}

static void show_counters(struct seq_file *m, const struct flexsc_stats *stats)
{
	seq_printf(m, " executed=%llu helped=%llu flushed=%llu",
		   stats->executed, stats->helped, stats->flushed);
	seq_printf(m, " refused=%llu stopped=%llu cancelled=%llu timed_out=%llu",
		   stats->refused, stats->stopped, stats->cancelled,
		   stats->timed_out);
	seq_printf(m, " batches=%llu armed=%llu blocked=%llu handed_back=%llu",
		   stats->batches, stats->armed, stats->blocked,
		   stats->handed_back);
	seq_printf(m, " parks=%llu doorbells=%llu wakes=%llu waits=%llu flushes=%llu",
		   stats->parks, stats->doorbells, stats->wakes, stats->waits,
		   stats->flushes);
	show_histogram(m, "batch_size", stats->batch_size, FLEXSC_BATCH_BUCKETS);
	show_histogram(m, "latency_ns", stats->latency, FLEXSC_LATENCY_BUCKETS);
	seq_putc(m, '\n');
}

/* The name of a process is its own to choose: nothing in it may look like ours. */
static void show_name(struct seq_file *m, struct task_struct *task)
{
	char name[TASK_COMM_LEN];

	get_task_comm(name, task);
	seq_escape_str(m, name, ESCAPE_OCTAL | ESCAPE_NAP | ESCAPE_APPEND, " \\");
}

static void show_group(struct seq_file *m, struct flexsc_group *group)
{
	struct flexsc_stats stats;
	unsigned int clients = 0, i;

	flexsc_stats_group(&stats, group);
	/* Numbers for people, each as it is at its moment: no lock, here and below. */
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++)
		clients += !!READ_ONCE(group->clients[i]);
	seq_printf(m, "group id=%llu process=%d thread=%d name=", group->id,
		   group->owner->tgid, group->owner->pid);
	show_name(m, group->owner);
	seq_printf(m, " state=%s pools=%u clients=%u workers=%u running=%u waiting=%u",
		   state_name(READ_ONCE(group->state)), flexsc_group_pools(group),
		   clients, stats.workers, stats.running, stats.waiting);
	show_counters(m, &stats);
}

static void show_pool(struct seq_file *m, struct flexsc_pool *pool)
{
	struct flexsc_group *group = pool->group;
	struct flexsc_pool_config *config;
	unsigned int workers, spare, running;
	struct flexsc_stats stats;
	bool asleep;

	flexsc_stats_pool(&stats, pool);
	raw_spin_lock_irq(&group->lock);
	config = pool->config;
	refcount_inc(&config->ref); /* a POOL_UPDATE may replace it */
	workers = pool->nr_workers;
	spare = pool->nr_spare;
	running = max(0, atomic_read(&pool->running));
	asleep = pool->asleep;
	raw_spin_unlock_irq(&group->lock);

	seq_printf(m, "pool group=%llu index=%u cpus=%*pbl policy=%s priority=%d",
		   group->id, pool->index,
		   cpumask_pr_args(to_cpumask(config->cpus)),
		   policy_name(config), config->priority);
	flexsc_pool_config_put(config);
	seq_printf(m, " concurrency=%u max_workers=%u spin_us=%llu asleep=%d",
		   READ_ONCE(pool->concurrency), READ_ONCE(pool->max_workers),
		   READ_ONCE(pool->spin_ns) / NSEC_PER_USEC, asleep);
	/* running changes without the lock: what is left over cannot be negative. */
	seq_printf(m, " workers=%u running=%u parked=%u blocked_now=%d waiting=%u",
		   workers, running, spare,
		   max(0, (int)(workers - spare - running)), stats.waiting);
	show_counters(m, &stats);
}

static void show_client(struct seq_file *m, struct flexsc_client *client)
{
	struct flexsc_stats stats;

	flexsc_stats_client(&stats, client);
	seq_printf(m, "client group=%llu index=%u pages=%u in_wait=%u waiting=%u",
		   client->group->id, client->slot, client->nr_pages,
		   READ_ONCE(client->in_wait), stats.waiting);
	show_counters(m, &stats);
}

static int groups_show(struct seq_file *m, void *v)
{
	struct cursor *at = m->private;

	if (v == SEQ_START_TOKEN)
		seq_printf(m, "flexsc format=%d abi=%d\n", FORMAT,
			   FLEXSC_ABI_VERSION);
	else if (at->client)
		show_client(m, at->client);
	else if (at->part < PART_POOLS)
		show_group(m, at->group);
	else
		show_pool(m, &at->group->pools[at->part - PART_POOLS]);
	return 0;
}

static const struct seq_operations groups_ops = {
	.start = groups_start,
	.next = groups_next,
	.stop = groups_stop,
	.show = groups_show,
};

static int groups_open(struct inode *inode, struct file *file)
{
	return seq_open_private(file, &groups_ops, sizeof(struct cursor));
}

static const struct file_operations groups_fops = {
	.owner = THIS_MODULE,
	.open = groups_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = seq_release_private,
};

static struct dentry *folder;

/* Without debugfs there is no file; all else works. */
void flexsc_debugfs_init(void)
{
	folder = debugfs_create_dir("flexsc", NULL);
	debugfs_create_file("groups", 0400, folder, NULL, &groups_fops);
}

/* Waits for an open() that is under way and was refused, as we are leaving. */
void flexsc_debugfs_exit(void)
{
	debugfs_remove(folder);
}
