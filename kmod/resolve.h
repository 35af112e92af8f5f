/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Functions of the kernel that it does not export. They are found once, at
 * load, and called by static calls: patched into direct calls, which are right
 * on a CPU with indirect-branch tracking (the kernel erases the ENDBR of
 * functions whose address it never takes, so an indirect call would fault) and
 * cost no retpoline.
 */
#ifndef FLEXSC_RESOLVE_H
#define FLEXSC_RESOLVE_H

#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/static_call_types.h>
#include <linux/static_call.h>

int flexsc_resolve(void);

/* Call with static_call(fx_NAME)(...). */
long fx_stub_x64_sys_call(const struct pt_regs *regs, unsigned int nr);
struct task_struct *fx_stub_create_io_thread(int (*fn)(void *), void *arg,
					     int node);
void fx_stub_wake_up_new_task(struct task_struct *task);
void fx_stub_do_exit(long code);
bool fx_stub_get_signal(struct ksignal *ksig);
void fx_stub_task_work_run(void);
void fx_stub_mem_cgroup_handle_over_high(gfp_t gfp_mask);
void fx_stub_cpuset_cpus_allowed(struct task_struct *task,
				 struct cpumask *mask);

DECLARE_STATIC_CALL(fx_x64_sys_call, fx_stub_x64_sys_call);
DECLARE_STATIC_CALL(fx_create_io_thread, fx_stub_create_io_thread);
DECLARE_STATIC_CALL(fx_wake_up_new_task, fx_stub_wake_up_new_task);
DECLARE_STATIC_CALL(fx_do_exit, fx_stub_do_exit);
DECLARE_STATIC_CALL(fx_get_signal, fx_stub_get_signal);
DECLARE_STATIC_CALL(fx_task_work_run, fx_stub_task_work_run);
DECLARE_STATIC_CALL(fx_mem_cgroup_handle_over_high,
		    fx_stub_mem_cgroup_handle_over_high);
DECLARE_STATIC_CALL(fx_cpuset_cpus_allowed, fx_stub_cpuset_cpus_allowed);

#endif /* FLEXSC_RESOLVE_H */
