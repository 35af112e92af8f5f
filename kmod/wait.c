// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for completions. The sleeping handshake of a carrier is that of the
 * workers (park.c), turned round:
 *
 *   waiter                             whoever completes
 *   waiter = current                   completion |= bit
 *   full barrier (set_current_state)   full barrier
 *   look at completion                 look at waiter
 *   sleep if there are too few         wake it if there are enough
 */
#include <linux/bitops.h>
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "compat.h"
#include "exec.h"
#include "flexsc.h"

/*
 * FLEXSC_WAIT_ADAPTIVE. Sleeping again and being woken again costs a carrier a
 * time that depends on the machine, and on how deep its CPU sleeps, so it is
 * measured: from the wake-up to when the carrier runs. It pays to be woken once
 * for the completions of several such times, the span; so that is how many it
 * waits for, at the pace of the last ones, and never much longer, if they fail
 * to come.
 */
#define ADAPTIVE_WAKES 8
#define ADAPTIVE_SPAN_MIN_NS (50 * NSEC_PER_USEC)
#define ADAPTIVE_SPAN_MAX_NS (5 * NSEC_PER_MSEC)
/* Weight of the newest measurement, one in so many. */
#define ADAPTIVE_MEMORY 4

/* The parts of FLEXSC_WAIT(). */
static inline u8 wait_arg_flags(u64 arg)
{
	return arg >> 48;
}

static inline u16 wait_arg_min(u64 arg)
{
	return arg >> 32;
}

struct wait_terms {
	unsigned int min;
	bool help;
	bool adaptive;
	ktime_t expires; /* KTIME_MAX: never */
};

/* With so many completions there may be more to wait for, but no need. */
static unsigned int wait_min(const struct wait_terms *terms)
{
	return terms->adaptive ? min(terms->min, 1U) : terms->min;
}

static __always_inline unsigned int
client_completions(const struct flexsc_client *client)
{
	const u64 *word = client->header->completion.page;
	const u64 *last = word + flexsc_used_pages(client);
	unsigned int n = 0;

	do {
		u64 bits = READ_ONCE(*word);

		if (bits)
			n += hweight64(bits);
	} while (++word != last);
	return n;
}

/* The waiter is about to be woken. Under group->lock. */
static void note_wake(struct flexsc_client *client)
{
	if (!client->woken_at)
		client->woken_at = ktime_get();
}

/* Wakes the thread in WAIT, if there is one. Under group->lock. */
void flexsc_client_wake_locked(struct flexsc_client *client)
{
	lockdep_assert_held(&client->group->lock);
	/* It stays until it has taken itself out of here, under the lock. */
	if (!client->waiter)
		return;
	note_wake(client);
	wake_up_process(client->waiter);
}

void flexsc_client_completed_locked(struct flexsc_client *client)
{
	lockdep_assert_held(&client->group->lock);
	if (client->waiter &&
	    client_completions(client) >= client->wait_min)
		flexsc_client_wake_locked(client);
}

/*
 * Completions came, and a thread waits. It is woken without the lock, which is
 * the first thing that it takes.
 */
void flexsc_client_wake(struct flexsc_client *client)
{
	struct task_struct *waiter = NULL;
	unsigned long flags;

	raw_spin_lock_irqsave(&client->group->lock, flags);
	if (client->waiter && client_completions(client) >= client->wait_min) {
		waiter = get_task_struct(client->waiter);
		note_wake(client);
	}
	raw_spin_unlock_irqrestore(&client->group->lock, flags);
	if (!waiter)
		return;
	wake_up_process(waiter);
	put_task_struct(waiter);
}

/*
 * An operation of the client became ready: whoever is to run it is woken. From
 * any context; the client must not go meanwhile.
 */
void flexsc_client_ready(struct flexsc_client *client, struct flexsc_pool *pool)
{
	struct flexsc_group *group = client->group;
	unsigned long flags;

	raw_spin_lock_irqsave(&group->lock, flags);
	if (READ_ONCE(client->helps))
		flexsc_client_wake_locked(client);
	else
		flexsc_pool_kick_locked(pool);
	raw_spin_unlock_irqrestore(&group->lock, flags);
}

/*
 * Sets whether operations that become ready are kept for this thread. Those
 * that were kept for a helper which does not come back are the workers'.
 */
static void set_helps(struct flexsc_client *client, bool helps)
{
	struct flexsc_group *group = client->group;
	unsigned int i, nr_pools;

	if (likely(client->helps == helps))
		return;
	WRITE_ONCE(client->helps, helps);
	if (helps)
		return;
	/*
	 * helps before nr_ready; flexsc_client_ready() reads helps after
	 * nr_ready was raised, with a lock taken in between.
	 */
	smp_mb();
	nr_pools = flexsc_group_pools(group);
	for (i = 0; i < nr_pools; i++) {
		if (READ_ONCE(client->nr_ready[i]))
			flexsc_pool_kick(&group->pools[i]);
	}
}

/* Starts and ends to be an executor that CANCEL looks at. */
static void helper_begin(struct flexsc_client *client,
			 struct flexsc_exec *helper)
{
	flexsc_exec_init(helper, FLEXSC_BY_HELPER, client->group->pools);
	/* It counts on from where the last helper of the client was. */
	helper->nr_claims = client->nr_helped;
	flexsc_exec_begin(helper);
	/* What it says before that it is there; CANCEL makes us pass a barrier. */
	smp_store_release(&client->helper, helper);
}

static void helper_end(struct flexsc_client *client, struct flexsc_exec *helper)
{
	flexsc_exec_end(helper);
	client->nr_helped = helper->nr_claims;
	/*
	 * helper before nr_cancels; a CANCEL has the other order and makes this
	 * CPU pass a full barrier in between. So either it finds no helper, or
	 * we wait until it does not look at it any more.
	 */
	WRITE_ONCE(client->helper, NULL);
	barrier();
	if (unlikely(READ_ONCE(client->group->nr_cancels))) {
		raw_spin_lock_irq(&client->group->lock);
		raw_spin_unlock_irq(&client->group->lock);
	}
}

/* Whether the waiter may go, with *ret as its result. */
static bool wait_is_over(struct flexsc_client *client, unsigned int min,
			 bool timed_out, long *ret)
{
	unsigned int n = client_completions(client);

	*ret = n;
	if (n >= min || READ_ONCE(client->notified) || timed_out)
		return true;
	if (flexsc_group_stopped(client->group)) {
		if (!n)
			*ret = -ESHUTDOWN;
		return true;
	}
	if (signal_pending(current)) {
		if (!n)
			*ret = -EINTR;
		return true;
	}
	return false;
}

static u64 with_memory(u64 old, u64 sample)
{
	return old ? old + (s64)(sample - old) / ADAPTIVE_MEMORY : sample;
}

/*
 * Sleeps until wait_is_over(), or until there is something for a helper to do.
 */
static long sleep_for_completions(struct flexsc_client *client,
				  const struct wait_terms *terms,
				  unsigned int min, ktime_t expires, bool *over)
{
	bool timed_out = expires <= 0;
	ktime_t woken_at;
	long ret;

	raw_spin_lock_irq(&client->group->lock);
	client->wait_min = min;
	client->woken_at = 0;
	WRITE_ONCE(client->waiter, current);
	raw_spin_unlock_irq(&client->group->lock);
	for (;;) {
		/*
		 * waiter and wait_min before completion bits: full barrier,
		 * see the top of this file. The same for notified, the
		 * group's state and operations that become ready, which are
		 * set before the waiter is woken under the lock.
		 */
		set_current_state(TASK_INTERRUPTIBLE);
		*over = wait_is_over(client, min, timed_out, &ret);
		if (*over || (terms->help && flexsc_help_wanted(client)))
			break;
		timed_out = !schedule_hrtimeout(expires == KTIME_MAX ? NULL : &expires,
						HRTIMER_MODE_ABS);
	}
	__set_current_state(TASK_RUNNING);
	raw_spin_lock_irq(&client->group->lock);
	WRITE_ONCE(client->waiter, NULL);
	woken_at = client->woken_at;
	raw_spin_unlock_irq(&client->group->lock);
	if (terms->adaptive && woken_at)
		client->wake_ns = with_memory(client->wake_ns,
					      ktime_sub(ktime_get(), woken_at));
	return ret;
}

static u64 adaptive_span(const struct flexsc_client *client)
{
	return clamp_t(u64, ADAPTIVE_WAKES * client->wake_ns,
		       ADAPTIVE_SPAN_MIN_NS, ADAPTIVE_SPAN_MAX_NS);
}

static unsigned int adaptive_goal(const struct flexsc_client *client, u64 span,
				  unsigned int most)
{
	return clamp_t(u64, div64_u64(span, client->pace_ns ?: span), 1, most);
}

static void adaptive_learn(struct flexsc_client *client, ktime_t begun, long n)
{
	if (n <= 0)
		return;
	client->pace_ns =
		with_memory(client->pace_ns,
			    div64_u64(ktime_sub(ktime_get(), begun), n) ?: 1);
}

/* One sleep, or two if fewer completions came than expected. */
static long sleep_adaptively(struct flexsc_client *client,
			     const struct wait_terms *terms, bool *over)
{
	ktime_t begun = ktime_get();
	u64 span = adaptive_span(client);
	unsigned int goal = adaptive_goal(client, span, terms->min);
	ktime_t soon = ktime_add_ns(begun, 2 * span);
	long ret = 0;

	*over = false;
	if (goal > 1 && soon < terms->expires) {
		ret = sleep_for_completions(client, terms, goal, soon, over);
		if (*over && !ret && !READ_ONCE(client->notified))
			*over = false; /* only the time was */
	}
	if (!*over && !ret)
		ret = sleep_for_completions(client, terms, 1, terms->expires,
					    over);
	adaptive_learn(client, begun, ret);
	return ret;
}

/* As the one thread in WAIT. */
static long wait_as_waiter(struct flexsc_client *client,
			   struct flexsc_exec *helper,
			   const struct wait_terms *terms)
{
	bool over;
	long ret;

	for (;;) {
		if (helper)
			flexsc_help(helper, client);
		if (wait_is_over(client, wait_min(terms), terms->expires <= 0,
				 &ret))
			return ret;
		if (terms->adaptive)
			ret = sleep_adaptively(client, terms, &over);
		else
			ret = sleep_for_completions(client, terms, terms->min,
						    terms->expires, &over);
		if (over)
			return ret;
	}
}

/* A WAIT that cannot end at once. */
static noinline long wait_slowly(struct flexsc_client *client, u64 arg)
{
	struct flexsc_group *group = client->group;
	u32 timeout_us = (u32)arg;
	/* What is read of it is written by flexsc_exec_init(). */
	struct flexsc_exec helper fx_uninitialized;
	struct wait_terms terms = {
		.min = wait_arg_min(arg),
		.help = wait_arg_flags(arg) & FLEXSC_WAIT_HELP,
		.adaptive = wait_arg_flags(arg) & FLEXSC_WAIT_ADAPTIVE,
		.expires = KTIME_MAX,
	};
	long ret;

	if (unlikely(cmpxchg_acquire(&client->in_wait, 0, 1)))
		return -EBUSY;
	if (!timeout_us)
		terms.expires = 0;
	else if (timeout_us != FLEXSC_WAIT_FOREVER)
		terms.expires = ktime_add_us(ktime_get(), timeout_us);

	set_helps(client, terms.help);
	if (terms.help) {
		helper_begin(client, &helper);
		ret = wait_as_waiter(client, &helper, &terms);
		helper_end(client, &helper);
		WRITE_ONCE(client->mixed, helper.mixed);
	} else {
		ret = wait_as_waiter(client, NULL, &terms);
	}

	if (unlikely(READ_ONCE(client->notified))) {
		raw_spin_lock_irq(&group->lock);
		WRITE_ONCE(client->notified, false);
		raw_spin_unlock_irq(&group->lock);
	}
	/* All of the above before the next thread that waits. */
	smp_store_release(&client->in_wait, 0);
	return ret;
}

/* FLEXSC_CMD_WAIT. */
long flexsc_client_wait(struct flexsc_client *client, u64 arg)
{
	unsigned int n;

	if (unlikely(wait_arg_flags(arg) &
			     ~(FLEXSC_WAIT_HELP | FLEXSC_WAIT_ADAPTIVE) ||
		     wait_arg_min(arg) > client->nr_pages * FLEXSC_PAGE_ENTRIES))
		return -EINVAL;
	flexsc_count(client, waits);
	if (wait_arg_flags(arg) & FLEXSC_WAIT_HELP) {
		if (READ_ONCE(client->mixed))
			return wait_slowly(client, arg);
		if (unlikely(!flexsc_help_plain(client))) {
			WRITE_ONCE(client->mixed, true);
			return wait_slowly(client, arg);
		}
	}
	/* Nothing to wait for, nothing left to do: whoever else waits. */
	if (likely(!READ_ONCE(client->notified))) {
		n = client_completions(client);
		if (n >= wait_arg_min(arg) || !(u32)arg ||
		    (n && wait_arg_flags(arg) & FLEXSC_WAIT_ADAPTIVE))
			return n;
	}
	return wait_slowly(client, arg);
}

/* FLEXSC_CMD_NOTIFY. */
void flexsc_client_notify(struct flexsc_client *client)
{
	raw_spin_lock_irq(&client->group->lock);
	WRITE_ONCE(client->notified, true);
	flexsc_client_wake_locked(client);
	raw_spin_unlock_irq(&client->group->lock);
}
