// SPDX-License-Identifier: GPL-2.0-only
/* Finds the kernel functions of resolve.h, or says which one is missing. */
#define pr_fmt(fmt) "flexsc: " fmt

#include <linux/kprobes.h>
#include <asm/ibt.h>

#include "resolve.h"

/*
 * What a static call points to before flexsc_resolve(). Never called: the
 * device appears only after all of them were found.
 */
long fx_stub_x64_sys_call(const struct pt_regs *regs, unsigned int nr)
{
	return -EOPNOTSUPP;
}

struct task_struct *fx_stub_create_io_thread(int (*fn)(void *), void *arg,
					     int node)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void fx_stub_wake_up_new_task(struct task_struct *task)
{
}

void fx_stub_do_exit(long code)
{
}

bool fx_stub_get_signal(struct ksignal *ksig)
{
	return true;
}

void fx_stub_task_work_run(void)
{
}

void fx_stub_mem_cgroup_handle_over_high(gfp_t gfp_mask)
{
}

void fx_stub_cpuset_cpus_allowed(struct task_struct *task, struct cpumask *mask)
{
}

DEFINE_STATIC_CALL(fx_x64_sys_call, fx_stub_x64_sys_call);
DEFINE_STATIC_CALL(fx_create_io_thread, fx_stub_create_io_thread);
DEFINE_STATIC_CALL(fx_wake_up_new_task, fx_stub_wake_up_new_task);
DEFINE_STATIC_CALL(fx_do_exit, fx_stub_do_exit);
DEFINE_STATIC_CALL(fx_get_signal, fx_stub_get_signal);
DEFINE_STATIC_CALL(fx_task_work_run, fx_stub_task_work_run);
DEFINE_STATIC_CALL(fx_mem_cgroup_handle_over_high,
		   fx_stub_mem_cgroup_handle_over_high);
DEFINE_STATIC_CALL(fx_cpuset_cpus_allowed, fx_stub_cpuset_cpus_allowed);

/*
 * The address of a function, by way of a kprobe that is registered disabled,
 * so that no text is patched (x64_sys_call is the hottest function there is).
 */
static void *lookup(const char *name)
{
	struct kprobe probe = {
		.symbol_name = name,
		.flags = KPROBE_FLAG_DISABLED,
	};
	unsigned long addr;
	int err;

	err = register_kprobe(&probe);
	if (err) {
		pr_err("this kernel has no usable %s (error %d); supported are Debian's 6.1 and 6.12\n",
		       name, err);
		return NULL;
	}
	addr = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	/* kprobes skip the ENDBR, or what is left of an erased one. */
	if (is_endbr(*(u32 *)(addr - ENDBR_INSN_SIZE)))
		addr -= ENDBR_INSN_SIZE;
	return (void *)addr;
}

#define RESOLVE(name)                                                     \
	({                                                                \
		void *addr_of_##name = lookup(#name);                     \
									  \
		if (addr_of_##name)                                       \
			static_call_update(fx_##name,                     \
					   (typeof(fx_stub_##name) *)addr_of_##name); \
		addr_of_##name;                                           \
	})

int flexsc_resolve(void)
{
	if (!RESOLVE(x64_sys_call) || !RESOLVE(create_io_thread) ||
	    !RESOLVE(wake_up_new_task) || !RESOLVE(do_exit) ||
	    !RESOLVE(get_signal) || !RESOLVE(task_work_run) ||
	    !RESOLVE(mem_cgroup_handle_over_high) ||
	    !RESOLVE(cpuset_cpus_allowed))
		return -ENOENT;
	return 0;
}
