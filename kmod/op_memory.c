// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of operations.
 */
#include <linux/slab.h>

#include "flexsc.h"
#include "op.h"

/*
 * Operations that have ended are kept for others of the client, as long as they
 * are few and small: most calls of a server wait once, so memory would be taken
 * and given back for each. These are the most calls for which the allocator has
 * the memory in pieces of 1 and 2 KiB.
 */
static const u8 spare_calls[FLEXSC_SPARES] = { 2, 7 };
#define SPARES_KEPT 64

/* One that was kept, or NULL. */
static struct flexsc_op *spare_take(struct flexsc_client *client, u8 kind)
{
	struct flexsc_op *op;

	/* A hint: others may be faster. */
	if (!READ_ONCE(client->spare[kind]))
		return NULL;
	raw_spin_lock_irq(&client->ops_lock);
	op = client->spare[kind];
	if (likely(op)) {
		WRITE_ONCE(client->spare[kind], op->next_spare);
		client->nr_spare[kind]--;
	}
	raw_spin_unlock_irq(&client->ops_lock);
	return op;
}

/*
 * For one that has ended, under client->ops_lock. Whether it is kept, and not the
 * caller's any more; if not, the caller frees it.
 */
bool flexsc_op_keep(struct flexsc_op *op)
{
	struct flexsc_client *client = op->client;
	u8 kind = op->kind;

	lockdep_assert_held(&client->ops_lock);
	if (kind == FLEXSC_SPARES || client->nr_spare[kind] == SPARES_KEPT)
		return false;
	op->next_spare = client->spare[kind];
	WRITE_ONCE(client->spare[kind], op);
	client->nr_spare[kind]++;
	return true;
}

void flexsc_op_free(struct flexsc_op *op)
{
	kfree(op);
}

/* Of a client that nobody uses any more. */
void flexsc_ops_free(struct flexsc_client *client)
{
	struct flexsc_op *op;
	u8 kind;

	for (kind = 0; kind < FLEXSC_SPARES; kind++) {
		while ((op = client->spare[kind])) {
			client->spare[kind] = op->next_spare;
			kfree(op);
		}
	}
}

/*
 * An operation of so many calls at this place, not listed yet. Of its fields,
 * those before kind are set.
 */
struct flexsc_op *flexsc_op_alloc(struct flexsc_client *client,
				  struct flexsc_pool *pool, unsigned int page,
				  unsigned int bit, unsigned int nr_calls,
				  gfp_t gfp)
{
	struct flexsc_op *op = NULL;
	unsigned int room = nr_calls;
	u8 kind = 0;

	while (kind < FLEXSC_SPARES && spare_calls[kind] < nr_calls)
		kind++;
	if (likely(kind < FLEXSC_SPARES)) {
		room = spare_calls[kind];
		op = spare_take(client, kind);
	}
	if (unlikely(!op))
		op = kmalloc(struct_size(op, calls, room), gfp);
	if (unlikely(!op))
		return NULL;
	memset(op, 0, offsetof(struct flexsc_op, kind));
	op->kind = kind;
	op->client = client;
	op->pool = pool;
	op->page = page;
	op->bit = bit;
	op->nr_calls = nr_calls;
	op->task = current;
	return op;
}
