// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first look before a call that could wait for its file: for those that
 * servers make most, on sockets that are ready for all of it, it is enough. For
 * all others there is look.c.
 */
#include <linux/file.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/sock.h>
#include <asm/unistd.h>

#include "exec.h"
#include "flexsc.h"
#include "look.h"
#include "op.h"

static bool is_udp(const struct sock *sk)
{
	return sk->sk_type == SOCK_DGRAM && sk->sk_protocol == IPPROTO_UDP &&
	       (sk->sk_family == AF_INET || sk->sk_family == AF_INET6);
}

/* What there is for the next calls too: for the answer, of the next requests. */
static void see_udp(struct flexsc_seen *seen, const struct sock *sk)
{
	seen->to_receive = skb_queue_len_lockless(&udp_sk(sk)->reader_queue) +
			   skb_queue_len_lockless(&sk->sk_receive_queue);
	/* Half of the buffer is free, and half of that goes to what is no data. */
	seen->to_send = sock_writeable(sk) ? READ_ONCE(sk->sk_sndbuf) / 4 : 0;
}

/* Whether a call that sends so much need not wait. */
static bool send_goes_through(struct flexsc_seen *seen, u16 traits,
			      const struct sock *sk, size_t size)
{
	if (is_udp(sk))
		see_udp(seen, sk);
	else if (flexsc_tcp_ready(traits, sk) > 0)
		seen->to_send = flexsc_room_to_send(sk);
	if (!seen->to_send || size > seen->to_send)
		return false;
	seen->to_send -= min(seen->to_send, size + FLEXSC_SENDING_TAKES);
	return true;
}

/* Whether the call need not wait for the socket. No means: ask further. */
static __always_inline bool
goes_through(struct flexsc_exec *exec, const struct flexsc_call *call, u16 traits,
	     const struct file *file, const struct sock *sk)
{
	const struct pt_regs *regs = &call->regs;
	struct flexsc_seen *seen = &exec->seen;

	seen->fd = regs->di;
	switch (call->nr) {
	case __NR_recvfrom:
		if (regs->r10 || file->f_flags & O_NONBLOCK)
			return false;
		if (!is_udp(sk))
			return flexsc_tcp_ready(traits, sk) > 0;
		see_udp(seen, sk);
		if (!seen->to_receive)
			return false;
		seen->to_receive--;
		return true;
	case __NR_sendto:
		if (regs->r10 & ~FLEXSC_SEND_FLAGS)
			return false;
		return send_goes_through(seen, traits, sk, regs->dx);
	case __NR_sendfile:
		return send_goes_through(seen, traits, sk, regs->r10);
	default:
		return false;
	}
}

/* The call has waited. Whether found is still the file that it has waited for. */
static noinline bool is_still_its(struct flexsc_need *need, struct file *found)
{
	struct file *before = need->file;

	need->file = NULL;
	fput(before);
	return found == before;
}

/* flexsc_glance() of what was not seen. */
long flexsc_glance_anew(struct flexsc_exec *exec, const struct flexsc_call *call,
			u16 traits, struct flexsc_need *need)
{
	struct file *found;
	struct socket *sock;

	flexsc_forget(exec);
	if (unlikely(traits & FLEXSC_CALL_SLEEPS))
		return exec->mode == FLEXSC_BY_HELPER && flexsc_policy_sleeps(call) ?
			       -FLEXSC_LEAVE : 0;
	found = fget(call->regs.di);
	/* The descriptor may be another file's since the call began to wait. */
	if (unlikely(need->file) && !is_still_its(need, found)) {
		if (found)
			fput(found);
		return -EBADF;
	}
	if (unlikely(!found))
		return 0;
	sock = sock_from_file(found);
	if (sock && unlikely(!sock->sk))
		sock = NULL;
	if (!sock || unlikely(!goes_through(exec, call, traits, found, sock->sk)))
		return flexsc_look(exec, call, traits, need, found, sock);
	exec->interrupt = traits & FLEXSC_CALL_IN;
	fput(found);
	return 0;
}
