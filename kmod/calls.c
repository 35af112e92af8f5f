// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of calls (calls.h) and who narrows it: the administrator for
 * everybody, when the module is loaded, and a group for itself. Nobody can
 * widen it.
 */
#define pr_fmt(fmt) "flexsc: " fmt

#include <linux/build_bug.h>
#include <linux/ctype.h>
#include <linux/kstrtox.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/unistd.h>

#include "flexsc.h"

#define ARGS0 0
#define ARGS3 FLEXSC_CALL_ARGS
#define ARGS6 (FLEXSC_CALL_ARGS | FLEXSC_CALL_ARGS4)
#define PLAIN                                                           \
	(FLEXSC_CLASS_WORKER | FLEXSC_CALL_FLUSHED | FLEXSC_CALL_WORKED | \
	 FLEXSC_CALL_HELPED)
#define LOOKED_AT (FLEXSC_CLASS_WORKER | FLEXSC_CALL_FLUSHED)

/*
 * A class, what is known of the call, and how many arguments it takes: none, at
 * most 3, at most 6.
 */
#define W0(name) ROW(name, PLAIN | ARGS0)
#define W3(name) ROW(name, PLAIN | ARGS3)
#define W6(name) ROW(name, PLAIN | ARGS6)
#define W3_FD(name) ROW(name, PLAIN | FLEXSC_CALL_FD | ARGS3)
#define W6_FD(name) ROW(name, PLAIN | FLEXSC_CALL_FD | ARGS6)
#define W3_IN(name) \
	ROW(name, LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_IN | ARGS3)
#define W6_IN(name) \
	ROW(name, LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_IN | ARGS6)
#define W3_OUT(name) \
	ROW(name, LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_OUT | ARGS3)
#define W6_OUT(name) \
	ROW(name, LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_OUT | ARGS6)
/* They wait if what they open is a FIFO. */
#define W_OPENS(name) ROW(name, LOOKED_AT | FLEXSC_CALL_WORKED | ARGS6)
#define W_SLEEPS(name) ROW(name, LOOKED_AT | FLEXSC_CALL_SLEEPS | ARGS6)
#define W_FD_SLEEPS(name) \
	ROW(name, LOOKED_AT | FLEXSC_CALL_FD | FLEXSC_CALL_SLEEPS | ARGS6)
#define A(name) ROW(name, FLEXSC_CLASS_ARGS)
#define A_FD(name) ROW(name, FLEXSC_CLASS_ARGS | FLEXSC_CALL_FD)
#define A_SLEEPS(name) ROW(name, FLEXSC_CLASS_ARGS | FLEXSC_CALL_SLEEPS)
#define C(name) ROW(name, FLEXSC_CLASS_CALLER | FLEXSC_CALL_FLUSHED | ARGS6)
#define R(name) ROW(name, FLEXSC_CLASS_REFUSED)

/* Newer than the oldest kernel we build for. */
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_map_shadow_stack
#define __NR_map_shadow_stack 453
#endif
#ifndef __NR_futex_wake
#define __NR_futex_wake 454
#define __NR_futex_wait 455
#define __NR_futex_requeue 456
#endif
#ifndef __NR_statmount
#define __NR_statmount 457
#define __NR_listmount 458
#endif
#ifndef __NR_lsm_get_self_attr
#define __NR_lsm_get_self_attr 459
#define __NR_lsm_set_self_attr 460
#define __NR_lsm_list_modules 461
#endif
#ifndef __NR_mseal
#define __NR_mseal 462
#endif
#ifndef __NR_uretprobe
#define __NR_uretprobe 335
#endif

#define ROW(name, what) [__NR_##name] = (what) | FLEXSC_CALL_LISTED
static const u16 all_calls[FLEXSC_NR_CALLS] __initconst = {
	[FLEXSC_NR_NOP] = PLAIN | ARGS0 | FLEXSC_CALL_LISTED,
	/* Not plain: no system call of the kernel, see flexsc_dispatch(). */
	[FLEXSC_NR_COMPARE] = FLEXSC_CLASS_WORKER | FLEXSC_CALL_LISTED,
#include "calls.h"
};

#undef ROW

#define ROW(name, what) [__NR_##name] = #name
static const char *const names[FLEXSC_NR_CALLS] __initconst = {
#include "calls.h"
};

#undef ROW

/* All of them, less what the administrator denies. */
u16 flexsc_calls[FLEXSC_NR_CALLS] __ro_after_init;

/*
 * A call that this kernel has and calls.h does not: an error of the build. (6.1
 * lists its holes as well.)
 */
static void __init check_all_listed(void)
{
#define __SYSCALL(nr, sym)                                               \
	{                                                                \
		BUILD_BUG_ON(__builtin_strcmp(#sym, "sys_ni_syscall") != 0 && \
			     !(all_calls[nr] & FLEXSC_CALL_LISTED));     \
	}
#define __SYSCALL_NORETURN(nr, sym) __SYSCALL(nr, sym)
#include <asm/syscalls_64.h>
#undef __SYSCALL
#undef __SYSCALL_NORETURN
}

static char *deny;
module_param(deny, charp, 0444);
MODULE_PARM_DESC(deny, "system calls, by name or number and separated by commas, that are never made");

/* What is left of a call that must not be made: CANCEL still goes by it. */
static u16 refused(u16 traits)
{
	return FLEXSC_CLASS_REFUSED |
	       (traits & (FLEXSC_CALL_FD | FLEXSC_CALL_LISTED));
}

/* ... that must not be made by a worker or a helper. */
static u16 flushed_only(u16 traits)
{
	switch (traits & FLEXSC_CLASS_MASK) {
	case FLEXSC_CLASS_WORKER:
		traits &= ~(FLEXSC_CLASS_MASK | FLEXSC_CALL_WORKED |
			    FLEXSC_CALL_HELPED | FLEXSC_CALL_IN |
			    FLEXSC_CALL_OUT | FLEXSC_CALL_SLEEPS);
		return traits | FLEXSC_CLASS_CALLER;
	case FLEXSC_CLASS_ARGS:
		return traits | FLEXSC_CALL_NO_WORKER;
	default:
		return traits;
	}
}

static int __init find_call(const char *name)
{
	unsigned int nr;

	if (isdigit(*name))
		return kstrtouint(name, 10, &nr) || nr >= FLEXSC_NR_CALLS ?
			       -EINVAL : (int)nr;
	for (nr = 0; nr < FLEXSC_NR_CALLS; nr++) {
		if (names[nr] && !strcmp(names[nr], name))
			return nr;
	}
	return -EINVAL;
}

/* Sets the table up. A name in deny= that there is not: the load fails. */
int __init flexsc_calls_init(void)
{
	char *list, *rest, *name;
	int nr = 0;

	check_all_listed();
	memcpy(flexsc_calls, all_calls, sizeof(flexsc_calls));
	if (!deny)
		return 0;
	list = kstrdup(deny, GFP_KERNEL);
	if (!list)
		return -ENOMEM;
	rest = list;
	while ((name = strsep(&rest, ","))) {
		name = strim(name);
		if (!*name)
			continue;
		nr = find_call(name);
		if (nr < 0) {
			pr_err("deny=%s: there is no system call \"%s\"\n", deny, name);
			break;
		}
		flexsc_calls[nr] = refused(flexsc_calls[nr]);
	}
	kfree(list);
	return min(nr, 0);
}

/*
 * FLEXSC_IOC_NARROW. Under group->mutex, before the group has had a client:
 * nobody looks at the group's table meanwhile but POLICY, and it is the same
 * for all calls that the group ever makes.
 */
int flexsc_calls_narrow(struct flexsc_group *group, void __user *arg)
{
	struct flexsc_policy policy;
	u8 *most;
	u32 i;
	int err;

	err = flexsc_params_get(&policy, sizeof(policy), arg);
	if (err)
		return err;
	if (policy.reserved || policy.count > FLEXSC_POLICY_COUNT)
		return -EINVAL;
	if (group->had_client)
		return -EBUSY;
	most = memdup_user(u64_to_user_ptr(policy.classes), policy.count);
	if (IS_ERR(most))
		return PTR_ERR(most);
	err = -EINVAL;
	for (i = 0; i < policy.count; i++) {
		if (most[i] > FLEXSC_CLASS_ARGS)
			goto out;
	}
	err = -ENOMEM;
	if (!group->own_calls) {
		group->own_calls = kmemdup(flexsc_calls, sizeof(flexsc_calls),
					   GFP_KERNEL_ACCOUNT);
		if (!group->own_calls)
			goto out;
		/* The table before the pointer to it, which POLICY reads. */
		smp_store_release(&group->calls, group->own_calls);
	}
	for (i = 0; i < policy.count; i++) {
		u64 nr = (u64)policy.first + i;
		u16 *call;

		if (nr >= FLEXSC_NR_CALLS)
			break;
		call = &group->own_calls[array_index_nospec(nr, FLEXSC_NR_CALLS)];
		if (most[i] == FLEXSC_CLASS_REFUSED)
			WRITE_ONCE(*call, refused(*call));
		else if (most[i] == FLEXSC_CLASS_CALLER)
			WRITE_ONCE(*call, flushed_only(*call));
	}
	err = 0;
out:
	kfree(most);
	return err;
}

/* What POLICY says of a call. */
enum flexsc_call_class flexsc_calls_class(const struct flexsc_group *group, u32 nr)
{
	/* Pairs with the release above. */
	u16 traits = flexsc_call_traits(smp_load_acquire(&group->calls), nr);

	if (traits & FLEXSC_CALL_NO_WORKER)
		return FLEXSC_CLASS_CALLER;
	return traits & FLEXSC_CLASS_MASK;
}
