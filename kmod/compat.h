/* SPDX-License-Identifier: GPL-2.0-only */
/* All that differs between the supported kernels, 6.1 to 6.12. */
#ifndef FLEXSC_COMPAT_H
#define FLEXSC_COMPAT_H

#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/timer.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "FlexSC supports Linux 6.1 to 6.12"
#endif

/* 6.3: flags of a VMA are changed by functions only. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void fx_vm_flags_mod(struct vm_area_struct *vma,
				   unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#else
#define fx_vm_flags_mod(vma, set, clear) vm_flags_mod(vma, set, clear)
#endif

/*
 * Whether the scheduler took the current task off the run queue (it sleeps) or
 * only preempted it, asked from a preempt notifier. Since 6.12 a sleeping task
 * can stay on the queue until its lag is gone (delayed dequeue).
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
static inline bool fx_current_sleeps(void)
{
	return !current->on_rq;
}
#else
static inline bool fx_current_sleeps(void)
{
	return !task_is_runnable(current);
}
#endif

/* 6.2: a name that says more. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define fx_timer_delete_sync(timer) del_timer_sync(timer)
#else
#define fx_timer_delete_sync(timer) timer_delete_sync(timer)
#endif

/*
 * A variable of the stack that is not zeroed (CONFIG_INIT_STACK_ALL_ZERO does
 * that), where it is large and written before it is read.
 */
#if __has_attribute(__uninitialized__)
#define fx_uninitialized __attribute__((__uninitialized__))
#else
#define fx_uninitialized
#endif

#endif /* FLEXSC_COMPAT_H */
