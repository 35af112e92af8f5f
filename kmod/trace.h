/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints, by which an administrator sees calls that no system call
 * tracepoint, audit rule or seccomp filter sees. A process is named by the
 * thread group that owns the group, a client by its slot in it.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM flexsc

#if !defined(FLEXSC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define FLEXSC_TRACE_H

#include <linux/tracepoint.h>

#include "flexsc.h"

/* Entries as they were found posted, or were claimed. */
DECLARE_EVENT_CLASS(flexsc_entries,
	TP_PROTO(const struct flexsc_client *client, unsigned int queue,
		 unsigned int page, u64 entries),
	TP_ARGS(client, queue, page, entries),
	TP_STRUCT__entry(
		__field(pid_t, process)
		__field(unsigned int, client)
		__field(unsigned int, queue)
		__field(unsigned int, page)
		__field(u64, entries)
	),
	TP_fast_assign(
		__entry->process = client->group->owner->tgid;
		__entry->client = client->slot;
		__entry->queue = queue;
		__entry->page = page;
		__entry->entries = entries;
	),
	TP_printk("process=%d client=%u queue=%u page=%u entries=%#llx",
		  __entry->process, __entry->client, __entry->queue,
		  __entry->page, __entry->entries)
);

DEFINE_EVENT(flexsc_entries, flexsc_post,
	TP_PROTO(const struct flexsc_client *client, unsigned int queue,
		 unsigned int page, u64 entries),
	TP_ARGS(client, queue, page, entries));

DEFINE_EVENT(flexsc_entries, flexsc_claim,
	TP_PROTO(const struct flexsc_client *client, unsigned int queue,
		 unsigned int page, u64 entries),
	TP_ARGS(client, queue, page, entries));

/* One entry: how it ended. */
TRACE_EVENT(flexsc_complete,
	TP_PROTO(const struct flexsc_client *client, unsigned int page,
		 unsigned int bit, u32 nr, long result),
	TP_ARGS(client, page, bit, nr, result),
	TP_STRUCT__entry(
		__field(pid_t, process)
		__field(unsigned int, client)
		__field(unsigned int, page)
		__field(unsigned int, bit)
		__field(u32, nr)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->process = client->group->owner->tgid;
		__entry->client = client->slot;
		__entry->page = page;
		__entry->bit = bit;
		__entry->nr = nr;
		__entry->result = result;
	),
	TP_printk("process=%d client=%u page=%u bit=%u nr=%u result=%ld",
		  __entry->process, __entry->client, __entry->page,
		  __entry->bit, __entry->nr, __entry->result)
);

/* An entry waits for its file; the worker goes on. */
TRACE_EVENT(flexsc_arm,
	TP_PROTO(const struct flexsc_client *client, unsigned int page,
		 unsigned int bit, u32 nr, int fd),
	TP_ARGS(client, page, bit, nr, fd),
	TP_STRUCT__entry(
		__field(pid_t, process)
		__field(unsigned int, client)
		__field(unsigned int, page)
		__field(unsigned int, bit)
		__field(u32, nr)
		__field(int, fd)
	),
	TP_fast_assign(
		__entry->process = client->group->owner->tgid;
		__entry->client = client->slot;
		__entry->page = page;
		__entry->bit = bit;
		__entry->nr = nr;
		__entry->fd = fd;
	),
	TP_printk("process=%d client=%u page=%u bit=%u nr=%u fd=%d",
		  __entry->process, __entry->client, __entry->page,
		  __entry->bit, __entry->nr, __entry->fd)
);

TRACE_EVENT(flexsc_doorbell,
	TP_PROTO(const struct flexsc_client *client, unsigned int pool,
		 bool woke),
	TP_ARGS(client, pool, woke),
	TP_STRUCT__entry(
		__field(pid_t, process)
		__field(unsigned int, client)
		__field(unsigned int, pool)
		__field(bool, woke)
	),
	TP_fast_assign(
		__entry->process = client->group->owner->tgid;
		__entry->client = client->slot;
		__entry->pool = pool;
		__entry->woke = woke;
	),
	TP_printk("process=%d client=%u pool=%u woke=%d", __entry->process,
		  __entry->client, __entry->pool, __entry->woke)
);

/* Of a pool: a worker fell asleep inside a call; a worker has nothing to do. */
DECLARE_EVENT_CLASS(flexsc_pool_event,
	TP_PROTO(const struct flexsc_pool *pool),
	TP_ARGS(pool),
	TP_STRUCT__entry(
		__field(pid_t, process)
		__field(unsigned int, pool)
		__field(int, running)
	),
	TP_fast_assign(
		__entry->process = pool->group->owner->tgid;
		__entry->pool = pool->index;
		__entry->running = atomic_read(&pool->running);
	),
	TP_printk("process=%d pool=%u running=%d", __entry->process,
		  __entry->pool, __entry->running)
);

DEFINE_EVENT(flexsc_pool_event, flexsc_block,
	TP_PROTO(const struct flexsc_pool *pool), TP_ARGS(pool));

DEFINE_EVENT(flexsc_pool_event, flexsc_sleep,
	TP_PROTO(const struct flexsc_pool *pool), TP_ARGS(pool));

#endif /* FLEXSC_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
