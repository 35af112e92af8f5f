/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether sockets are ready, without asking poll. */
#ifndef FLEXSC_LOOK_H
#define FLEXSC_LOOK_H

#include <net/sock.h>
#include <net/tcp.h>

#include "exec.h"
#include "op.h"

/* As sk_stream_is_writeable(), whose calls of the protocol are indirect. */
static inline bool flexsc_tcp_writeable(const struct sock *sk)
{
	const struct tcp_sock *tcp = tcp_sk(sk);
	u64 unsent = READ_ONCE(tcp->write_seq) - READ_ONCE(tcp->snd_nxt);

	return sk_stream_wspace(sk) >= sk_stream_min_wspace(sk) &&
	       unsent * 2 < tcp_notsent_lowat(tcp);
}

/*
 * What poll would say of a TCP socket in its usual state, at a tenth of the
 * price: 1 if it is ready, 0 if it is not, -1 if poll has to be asked. As in
 * tcp_poll(), what is read without the socket's lock is true or was a moment ago.
 */
static inline int flexsc_tcp_ready(u16 traits, const struct sock *sk)
{
	const struct tcp_sock *tcp = tcp_sk(sk);
	const struct proto *layer = READ_ONCE(sk->sk_prot);

	/* One that has further layers (TLS, BPF) has other functions too. */
	if (!sk_is_tcp(sk) || layer->sendmsg != tcp_sendmsg || layer->sock_is_readable)
		return -1;
	if (READ_ONCE(sk->sk_state) != TCP_ESTABLISHED ||
	    READ_ONCE(sk->sk_shutdown) || READ_ONCE(sk->sk_err))
		return -1;
	if (traits & FLEXSC_CALL_OUT) /* poll asks for a wake-up too */
		return flexsc_tcp_writeable(sk) ? 1 : -1;
	if (READ_ONCE(sk->sk_rcvlowat) > 1 || READ_ONCE(tcp->urg_data))
		return -1;
	return READ_ONCE(tcp->rcv_nxt) != READ_ONCE(tcp->copied_seq);
}

/* Bytes that can be sent at once. Buffers take at most twice the data. */
static inline size_t flexsc_room_to_send(const struct sock *sk)
{
	return max(0, (READ_ONCE(sk->sk_sndbuf) - READ_ONCE(sk->sk_wmem_queued)) / 2);
}

/* Flags with which a sendto() waits as without them. */
#define FLEXSC_SEND_FLAGS ((u64)(MSG_NOSIGNAL | MSG_MORE))

/* What is sent takes room for more than its bytes; of many small ones for most. */
#define FLEXSC_SENDING_TAKES 768

/*
 * Whether an earlier look of the chain has seen that the call need not wait. As
 * after each look, that can change before the call: then a call that receives is
 * interrupted, and another waits by itself.
 */
static __always_inline bool flexsc_was_seen(struct flexsc_exec *exec,
					    const struct flexsc_call *call)
{
	const struct pt_regs *regs = &call->regs;
	struct flexsc_seen *seen = &exec->seen;
	size_t size;

	if (regs->di != seen->fd)
		return false;
	switch (call->nr) {
	case __NR_recvfrom:
		if (regs->r10 || !seen->to_receive)
			return false;
		seen->to_receive--;
		exec->interrupt = true;
		return true;
	case __NR_sendto:
		if (regs->r10 & ~FLEXSC_SEND_FLAGS)
			return false;
		size = regs->dx;
		break;
	case __NR_sendfile:
		size = regs->r10;
		break;
	default:
		return false;
	}
	if (seen->to_send < FLEXSC_SENDING_TAKES ||
	    size > seen->to_send - FLEXSC_SENDING_TAKES)
		return false;
	seen->to_send -= FLEXSC_SENDING_TAKES + size;
	return true;
}

/* glance.c: forgets what was seen, and looks. */
long flexsc_glance_anew(struct flexsc_exec *exec, const struct flexsc_call *call,
			u16 traits, struct flexsc_need *need);

/* look.c */
long flexsc_look(struct flexsc_exec *exec, const struct flexsc_call *call,
		 u16 traits, struct flexsc_need *need, struct file *found,
		 struct socket *sock);

/*
 * Looks before a call that could wait. 0: make it. -FLEXSC_WAITS: its file is
 * not ready; need says for what and how long to wait. -EAGAIN: for a socket, it
 * has waited as long as it may. -FLEXSC_LEAVE: the executor is a helper and the
 * call may sleep.
 */
static __always_inline long flexsc_glance(struct flexsc_exec *exec,
					  const struct flexsc_call *call,
					  u16 traits, struct flexsc_need *need)
{
	return flexsc_was_seen(exec, call) ? 0 :
					     flexsc_glance_anew(exec, call, traits, need);
}

#endif /* FLEXSC_LOOK_H */
