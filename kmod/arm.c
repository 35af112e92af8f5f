// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for files without holding a thread: a call that would wait (look.c)
 * is put into the wait queue of its file, as io_uring and epoll do, and made
 * when the file says that it is ready.
 */
#include <linux/file.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/timer.h>
#include <net/sock.h>
#include <asm/unistd.h>

#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "trace.h"

/*
 * What an operation waits for has come: if it waits, somebody is told. Whether
 * it had not come before. op and its client stay meanwhile: whoever owns op now
 * first waits, in flexsc_op_unarm(), for the caller of this to be out of it.
 */
static bool op_fire(struct flexsc_op *op)
{
	struct flexsc_client *client = op->client;
	struct flexsc_pool *pool = op->pool;
	unsigned long flags;
	bool waited, ready;

	raw_spin_lock_irqsave(&client->ops_lock, flags);
	waited = op->state == FLEXSC_OP_ARMED || op->state == FLEXSC_OP_ARMING;
	ready = flexsc_op_fire_locked(op);
	raw_spin_unlock_irqrestore(&client->ops_lock, flags);
	if (ready)
		flexsc_client_ready(client, pool);
	return waited;
}

/*
 * The file reports something. Under the lock of the wait queue, in any context.
 */
static int op_wake(struct wait_queue_entry *entry, unsigned int mode, int sync,
		   void *key)
{
	struct flexsc_op_wait *wait =
		container_of(entry, struct flexsc_op_wait, entry);
	struct flexsc_op *op = wait->op;
	__poll_t events = key_to_poll(key);
	bool taken;

	/* No events: the file does not say which. */
	if (events && !(events & (op->need.events | FLEXSC_EVENTS_ALWAYS | POLLFREE)))
		return 0;
	/* To take it out of this queue, its owner needs the lock we are under. */
	taken = op_fire(op);
	if (taken)
		op->woken = true; /* for the owner, after flexsc_op_unarm() */
	if (taken || unlikely(events & POLLFREE)) {
		/*
		 * Nothing that comes now is of interest to it; and with POLLFREE
		 * the queue itself goes, when we are out of it.
		 */
		list_del_init(&entry->entry);
		/* Last: op may be freed then. Pairs with flexsc_op_unarm(). */
		smp_store_release(&wait->head, NULL);
	}
	/* An exclusive wake-up that was not, is somebody else's. */
	return taken;
}

/* The socket's time limit is over: the owner looks again. In a softirq. */
static void op_limit(struct timer_list *timer)
{
	op_fire(container_of(timer, struct flexsc_op, limit_timer));
}

/* vfs_poll() calls it for every queue that the file has. */
static void op_queue(struct file *file, struct wait_queue_head *head,
		     struct poll_table_struct *table)
{
	struct flexsc_op *op = container_of(table, struct flexsc_op, table);
	struct flexsc_op_wait *wait;
	unsigned int i;

	for (i = 0; i < op->nr_waits; i++) {
		if (op->waits[i].head == head)
			return;
	}
	if (op->nr_waits == ARRAY_SIZE(op->waits)) {
		op->unarmable = true;
		return;
	}
	wait = &op->waits[op->nr_waits++];
	wait->op = op;
	wait->head = head;
	init_waitqueue_func_entry(&wait->entry, op_wake);
	if (op->exclusive)
		add_wait_queue_exclusive(head, &wait->entry);
	else
		add_wait_queue(head, &wait->entry);
}

/*
 * Whether the call, if a thread made it, would wait so that of several threads
 * one is woken for what comes, because one alone can have it: a connection or a
 * datagram (inet_csk_wait_for_connect(), __skb_wait_for_more_packets()). Only
 * for families that wake somebody for each.
 */
static bool waits_exclusively(const struct flexsc_op *op)
{
	const struct flexsc_op_call *member = &op->calls[op->pos];
	const struct socket *sock = sock_from_file(op->need.file);

	if (!sock || !sock->sk || !(member->traits & FLEXSC_CALL_IN))
		return false;
	if (sock->sk->sk_family != AF_INET && sock->sk->sk_family != AF_INET6 &&
	    sock->sk->sk_family != AF_UNIX)
		return false;
	return sock->type == SOCK_DGRAM || member->call.nr == __NR_accept ||
	       member->call.nr == __NR_accept4;
}

/*
 * An operation ends that may have been woken for something which it did not
 * take: the next one that waits for the file is.
 */
void flexsc_op_pass_on(const struct flexsc_op *op)
{
	const struct socket *sock = sock_from_file(op->need.file);
	struct socket_wq *queue;

	if (!op->exclusive || !op->woken || !sock->sk)
		return;
	rcu_read_lock();
	queue = rcu_dereference(sock->sk->sk_wq);
	if (skwq_has_sleeper(queue))
		wake_up_interruptible_poll(&queue->wait, op->need.events);
	rcu_read_unlock();
}

/* Takes an operation that the caller owns out of the queues of its file. */
void flexsc_op_unarm(struct flexsc_op *op)
{
	unsigned int i;

	if (op->need.limited)
		fx_timer_delete_sync(&op->limit_timer);
	for (i = 0; i < op->nr_waits; i++) {
		struct flexsc_op_wait *wait = &op->waits[i];
		struct wait_queue_head *head;

		/* A queue that goes away (POLLFREE) stays for a grace period. */
		rcu_read_lock();
		/* Pairs with the release in op_wake(). */
		head = smp_load_acquire(&wait->head);
		if (head) {
			spin_lock_irq(&head->lock);
			list_del_init(&wait->entry.entry);
			wait->head = NULL;
			spin_unlock_irq(&head->lock);
		}
		rcu_read_unlock();
	}
	op->nr_waits = 0;
}

/* Lets an operation of the caller wait for op->need.events of op->need.file. */
enum flexsc_armed flexsc_op_arm(struct flexsc_op *op)
{
	struct flexsc_client *client = op->client;
	enum flexsc_armed how;
	__poll_t mask;

	op->unarmable = false;
	op->exclusive = waits_exclusively(op);
	op->woken = false;
	raw_spin_lock_irq(&client->ops_lock);
	op->state = FLEXSC_OP_ARMING;
	raw_spin_unlock_irq(&client->ops_lock);

	if (op->need.limited) {
		timer_setup(&op->limit_timer, op_limit, 0);
		mod_timer(&op->limit_timer, op->need.until);
	}
	init_poll_funcptr(&op->table, op_queue);
	op->table._key = op->need.events | FLEXSC_EVENTS_ALWAYS;
	mask = vfs_poll(op->need.file, &op->table);

	raw_spin_lock_irq(&client->ops_lock);
	if (mask & (op->need.events | FLEXSC_EVENTS_ALWAYS) ||
	    op->state == FLEXSC_OP_FIRED || op->end) {
		how = FLEXSC_READY;
	} else if (!op->nr_waits || op->unarmable || client->closed) {
		how = FLEXSC_CANNOT;
	} else {
		how = FLEXSC_ARMED;
		op->state = FLEXSC_OP_ARMED;
		op->task = NULL;
		client->nr_waiting_at[op->pool->index]++;
		flexsc_op_count(op, armed);
		trace_flexsc_arm(client, op->page, op->bit,
				 op->calls[op->pos].call.nr,
				 op->calls[op->pos].call.regs.di);
	}
	if (how != FLEXSC_ARMED)
		op->state = FLEXSC_OP_RUNNING;
	raw_spin_unlock_irq(&client->ops_lock);
	if (how != FLEXSC_ARMED)
		flexsc_op_unarm(op);
	return how;
}
