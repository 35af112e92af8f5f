// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking before a call that could wait for its file: whether it would, for what
 * and how long. arm.c lets it wait then. (glance.c comes first.)
 *
 * Only calls that wait for nothing but that are treated so; for all others the
 * rule is: make the call, and let the one that sleeps be noticed (exec.c).
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

#include "exec.h"
#include "flexsc.h"
#include "look.h"
#include "op.h"

#define EVENTS_IN (EPOLLIN | EPOLLRDNORM)
#define EVENTS_OUT (EPOLLOUT | EPOLLWRNORM)

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

/* Whether the file is ready for *events, which are those of the call. */
static __always_inline bool is_ready(u16 traits, struct file *file,
				     const struct socket *sock, __poll_t *events)
{
	int ready = sock ? flexsc_tcp_ready(traits, sock->sk) : -1;

	*events = traits & FLEXSC_CALL_IN ? EVENTS_IN : EVENTS_OUT;
	if (ready >= 0)
		return ready;
	return vfs_poll(file, NULL) & (*events | FLEXSC_EVENTS_ALWAYS);
}

/* The time that a call may wait for the socket, in jiffies. */
static long socket_timeout(u16 traits, const struct socket *sock)
{
	return traits & FLEXSC_CALL_IN ? READ_ONCE(sock->sk->sk_rcvtimeo) :
					 READ_ONCE(sock->sk->sk_sndtimeo);
}

/* Begins to count a time limit, or finds that it is over. */
static bool is_over(struct flexsc_need *need, long timeout)
{
	if (need->limited)
		return time_after_eq(jiffies, need->until);
	need->limited = timeout != MAX_SCHEDULE_TIMEOUT;
	need->until = jiffies + timeout;
	return false;
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
	if (sock && sock->type == SOCK_STREAM)
		return bytes > flexsc_room_to_send(sock->sk);
	return sock && bytes == SIZE_MAX;
}

/*
 * What flexsc_glance() says of a call on found, whose reference it gets, and which
 * is this socket, or none.
 */
long flexsc_look(struct flexsc_exec *exec, const struct flexsc_call *call,
		 u16 traits, struct flexsc_need *need, struct file *found,
		 struct socket *sock)
{
	bool helper = exec->mode == FLEXSC_BY_HELPER;
	long timeout, ret = 0;

	if (!waits_for_readiness(call, traits, found, sock))
		goto out;
	if (!is_ready(traits, found, sock, &need->events)) {
		timeout = sock ? socket_timeout(traits, sock) :
				 MAX_SCHEDULE_TIMEOUT;
		if (!timeout) /* the call does not wait */
			goto out;
		if (is_over(need, timeout)) {
			ret = -EAGAIN;
			goto out;
		}
		need->file = found;
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
