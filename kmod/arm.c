// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for files without holding a thread: a call that would wait is put
 * into the wait queue of its file, as io_uring and epoll do, and made when the
 * file says that it is ready.
 *
 * Only calls that wait for nothing but that are treated so; for all others the
 * rule is: make the call, and let the one that sleeps be noticed (execute.c).
 */
#include <linux/file.h>
#include <linux/net.h>
#include <linux/pipe_fs_i.h>
#include <linux/poll.h>
#include <linux/signalfd.h>
#include <linux/socket.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <net/sock.h>
#include <asm/unistd.h>

#include "flexsc.h"
#include "op.h"
#include "trace.h"

#define EVENTS_IN (EPOLLIN | EPOLLRDNORM)
#define EVENTS_OUT (EPOLLOUT | EPOLLWRNORM)
#define EVENTS_ALWAYS (EPOLLERR | EPOLLHUP | EPOLLNVAL)

/* The vectors of a writev() that are added up to know its size. */
#define VECTORS_READ 8

static bool is_accept(u32 nr)
{
	return nr == __NR_accept || nr == __NR_accept4;
}

/* MSG_* flags of a call on a socket. */
static unsigned int message_flags(const struct flexsc_call *call)
{
	switch (call->nr) {
	case __NR_recvfrom:
	case __NR_sendto:
	case __NR_recvmmsg:
	case __NR_sendmmsg:
		return call->regs.r10;
	case __NR_recvmsg:
	case __NR_sendmsg:
		return call->regs.dx;
	default:
		return 0;
	}
}

/* Whether the call ends without waiting, whatever the state of the socket. */
static bool socket_never_waits(const struct flexsc_call *call, u16 traits,
			       const struct socket *sock)
{
	bool listens = READ_ONCE(sock->sk->sk_state) == TCP_LISTEN;

	if (is_accept(call->nr))
		return !listens;
	if (listens) /* an error */
		return true;
	return message_flags(call) & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE);
}

/* A time limit of the socket counts from the call, so the call has to wait. */
static bool socket_has_timeout(u16 traits, const struct socket *sock)
{
	long timeout = traits & FLEXSC_CALL_IN ? READ_ONCE(sock->sk->sk_rcvtimeo) :
						 READ_ONCE(sock->sk->sk_sndtimeo);

	return timeout != MAX_SCHEDULE_TIMEOUT;
}

static bool is_transfer(u32 nr)
{
	return nr == __NR_read || nr == __NR_write;
}

static bool is_vectored(u32 nr)
{
	return nr == __NR_readv || nr == __NR_writev;
}

static bool may_access(u64 at, u64 length)
{
	return length <= MAX_RW_COUNT &&
	       access_ok((void __user *)at, length);
}

/*
 * Whether a call fails for its vectors. *bytes gets how much they are. They can
 * change until the call reads them; then it waits, or fails, as it would have.
 */
static bool vectors_fail(u64 at, u64 n, size_t *bytes)
{
	const struct iovec __user *vectors = (void __user *)at;
	u64 i;

	*bytes = 0;
	if (n > UIO_MAXIOV)
		return true;
	if (n > VECTORS_READ) {
		*bytes = SIZE_MAX;
		return false;
	}
	for (i = 0; i < n; i++) {
		struct iovec vector;

		if (copy_from_user(&vector, &vectors[i], sizeof(vector)) ||
		    !may_access((__force u64)vector.iov_base, vector.iov_len))
			return true;
		*bytes += vector.iov_len;
	}
	return false;
}

/* Whether the call fails, or has nothing to do, whatever its file is. */
static bool arguments_decide(const struct flexsc_call *call)
{
	const struct pt_regs *regs = &call->regs;
	struct user_msghdr header;
	size_t bytes;

	switch (call->nr) {
	case __NR_read:
	case __NR_write:
		return !regs->dx || !may_access(regs->si, regs->dx);
	case __NR_readv:
	case __NR_writev:
		return vectors_fail(regs->si, regs->dx, &bytes) || !bytes;
	case __NR_recvfrom:
	case __NR_sendto:
		return !may_access(regs->si, regs->dx);
	case __NR_recvmsg:
	case __NR_sendmsg:
		/* Without bytes there may still be a message to wait for. */
		return copy_from_user(&header, (void __user *)regs->si,
				      sizeof(header)) ||
		       vectors_fail((__force u64)header.msg_iov,
				    header.msg_iovlen, &bytes);
	case __NR_accept4:
		return regs->r10 & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
	default:
		return false;
	}
}

/*
 * Anonymous inodes that can be waited for as poll tells, by the name that
 * /proc/PID/fd shows. Others, and devices, may refuse or wait for reasons of
 * their own.
 */
static bool anonymous_waits(const struct flexsc_call *call,
			    const struct file *file)
{
	const char *name = file->f_path.dentry->d_name.name;

	/* Buffers that are too small are refused at once. */
	if (!strcmp(name, "[eventfd]") || !strcmp(name, "[timerfd]"))
		return call->regs.dx >= sizeof(u64);
	if (!strcmp(name, "[signalfd]"))
		return call->regs.dx >= sizeof(struct signalfd_siginfo);
	return !strcmp(name, "inotify");
}

/*
 * Whether the call, if it waits, waits for the readiness that poll tells. The
 * answer no means: make the call.
 */
static bool waits_for_readiness(const struct flexsc_call *call, u16 traits,
				const struct file *file, struct socket *sock)
{
	umode_t type = file_inode(file)->i_mode & S_IFMT;
	fmode_t needed = traits & FLEXSC_CALL_IN ? FMODE_READ | FMODE_CAN_READ :
						   FMODE_WRITE | FMODE_CAN_WRITE;

	if (file->f_flags & O_NONBLOCK || !file_can_poll((struct file *)file) ||
	    arguments_decide(call))
		return false;
	if (sock)
		return !socket_never_waits(call, traits, sock);
	/* Errors come first. */
	if ((file->f_mode & needed) != needed)
		return false;
	if (type == S_IFIFO)
		return is_transfer(call->nr) || is_vectored(call->nr);
	return !type && is_transfer(call->nr) && anonymous_waits(call, file);
}

/* Bytes that a call is going to write, or more than fit anywhere. */
static size_t bytes_to_write(const struct flexsc_call *call)
{
	size_t bytes;

	switch (call->nr) {
	case __NR_write:
	case __NR_sendto:
		return call->regs.dx;
	case __NR_sendfile:
		return call->regs.r10;
	case __NR_writev:
		vectors_fail(call->regs.si, call->regs.dx, &bytes);
		return bytes;
	default:
		return SIZE_MAX;
	}
}

/*
 * Whether a call that found its file ready may still wait in the middle: a
 * write that does not fit, or a read that insists on all of its bytes.
 */
static bool may_wait_midway(const struct flexsc_call *call, u16 traits,
			    const struct file *file, struct socket *sock)
{
	size_t bytes;

	if (traits & FLEXSC_CALL_IN)
		return message_flags(call) & MSG_WAITALL;
	bytes = bytes_to_write(call);
	if (S_ISFIFO(file_inode(file)->i_mode))
		return bytes > PIPE_BUF;
	/* Buffers are charged with what they take, at most twice the data. */
	if (sock && sock->type == SOCK_STREAM)
		return bytes > (size_t)max(0, (READ_ONCE(sock->sk->sk_sndbuf) -
					       READ_ONCE(sock->sk->sk_wmem_queued)) / 2);
	return sock && bytes == SIZE_MAX;
}

/*
 * Looks before a call that could wait. 0: make it. -FLEXSC_WAITS: its file is
 * not ready; *file gets a reference, *events what to wait for. -FLEXSC_LEAVE:
 * the executor is a helper and the call may sleep.
 */
long flexsc_look(struct flexsc_exec *exec, const struct flexsc_call *call,
		 u16 traits, struct file **file, __poll_t *events)
{
	bool helper = exec->mode == FLEXSC_BY_HELPER;
	struct file *found, *before = *file;
	struct socket *sock;
	long ret = 0;

	if (traits & FLEXSC_CALL_SLEEPS)
		return helper && flexsc_policy_sleeps(call) ? -FLEXSC_LEAVE : 0;
	found = fget(call->regs.di);
	if (before) {
		/* The descriptor may be another file's since it began to wait. */
		fput(before);
		*file = NULL;
		if (found != before) {
			if (found)
				fput(found);
			return -EBADF;
		}
	}
	if (!found)
		return 0;
	sock = sock_from_file(found);
	if (sock && !sock->sk)
		sock = NULL;
	if (!waits_for_readiness(call, traits, found, sock))
		goto out;
	if (sock && socket_has_timeout(traits, sock)) {
		ret = helper ? -FLEXSC_LEAVE : 0;
		goto out;
	}
	*events = traits & FLEXSC_CALL_IN ? EVENTS_IN : EVENTS_OUT;
	if (!(vfs_poll(found, NULL) & (*events | EVENTS_ALWAYS))) {
		*file = found;
		return -FLEXSC_WAITS;
	}
	if (may_wait_midway(call, traits, found, sock))
		ret = helper ? -FLEXSC_LEAVE : 0;
	else
		exec->interrupt = traits & FLEXSC_CALL_IN;
out:
	fput(found);
	return ret;
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
	struct flexsc_client *client = op->client;
	struct flexsc_pool *pool = op->pool;
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	bool ready;

	/* No events: the file does not say which. */
	if (events && !(events & (op->events | EVENTS_ALWAYS | POLLFREE)))
		return 0;
	raw_spin_lock_irqsave(&client->ops_lock, flags);
	ready = flexsc_op_fire_locked(op);
	raw_spin_unlock_irqrestore(&client->ops_lock, flags);
	/*
	 * op and client stay: who owns op now takes it out of this queue first,
	 * and for that waits for the lock that we are under.
	 */
	if (ready)
		flexsc_client_ready(client, pool);
	if (unlikely(events & POLLFREE)) {
		/* The queue itself goes, when we are out of it. */
		list_del_init(&entry->entry);
		/* Last: op may be freed then. Pairs with flexsc_op_unarm(). */
		smp_store_release(&wait->head, NULL);
	}
	return 0;
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
	add_wait_queue(head, &wait->entry);
}

/* Takes an operation that the caller owns out of the queues of its file. */
void flexsc_op_unarm(struct flexsc_op *op)
{
	unsigned int i;

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

/* Lets an operation of the caller wait for op->events of op->file. */
enum flexsc_armed flexsc_op_arm(struct flexsc_op *op)
{
	struct flexsc_client *client = op->client;
	enum flexsc_armed how;
	__poll_t mask;

	op->unarmable = false;
	raw_spin_lock_irq(&client->ops_lock);
	op->state = FLEXSC_OP_ARMING;
	raw_spin_unlock_irq(&client->ops_lock);

	init_poll_funcptr(&op->table, op_queue);
	op->table._key = op->events | EVENTS_ALWAYS;
	mask = vfs_poll(op->file, &op->table);

	raw_spin_lock_irq(&client->ops_lock);
	if (mask & (op->events | EVENTS_ALWAYS) ||
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
