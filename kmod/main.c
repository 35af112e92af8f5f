// SPDX-License-Identifier: GPL-2.0-only
/*
 * FlexSC: system calls without exceptions (Soares and Stumm, OSDI 2010), as a
 * device. This file loads and unloads, and watches for owners that exit.
 */
#define pr_fmt(fmt) "flexsc: " fmt

#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/tracepoint.h>

#include "flexsc.h"
#include "resolve.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static LIST_HEAD(groups);
static DEFINE_RAW_SPINLOCK(groups_lock);
static u64 newest; /* the last id given out; under groups_lock */

/* The list is in the order of the ids. */
void flexsc_groups_add(struct flexsc_group *group)
{
	raw_spin_lock_irq(&groups_lock);
	group->id = ++newest;
	list_add_tail(&group->node, &groups);
	raw_spin_unlock_irq(&groups_lock);
}

void flexsc_groups_remove(struct flexsc_group *group)
{
	raw_spin_lock_irq(&groups_lock);
	list_del(&group->node);
	raw_spin_unlock_irq(&groups_lock);
}

u64 flexsc_groups_newest(void)
{
	u64 id;

	raw_spin_lock_irq(&groups_lock);
	id = newest;
	raw_spin_unlock_irq(&groups_lock);
	return id;
}

/*
 * The first group with this id or a higher one whose descriptor is open, with a
 * reference, or NULL. While a group is in the list its file holds a reference:
 * that is given up after the removal from the list, which takes this lock.
 */
struct flexsc_group *flexsc_groups_from(u64 id)
{
	struct flexsc_group *group, *found = NULL;

	raw_spin_lock_irq(&groups_lock);
	list_for_each_entry(group, &groups, node) {
		if (group->id < id)
			continue;
		refcount_inc(&group->ref);
		found = group;
		break;
	}
	raw_spin_unlock_irq(&groups_lock);
	return found;
}

/*
 * The owner of a group leaves: its workers must too, or a process whose last
 * user thread called exit() would live on in a worker that sleeps in read().
 * Runs in do_exit() of every task, before it gives up its files; nothing here
 * may sleep.
 */
static void owner_exit_probe(void *data, struct task_struct *task)
{
	struct flexsc_group *group;
	unsigned long flags;

	/* Without the lock: whoever owns a group has put it there itself. */
	if (likely(list_empty(&groups)))
		return;
	raw_spin_lock_irqsave(&groups_lock, flags);
	list_for_each_entry(group, &groups, node) {
		if (group->owner == task)
			flexsc_group_stop(group, FLEXSC_STATE_CLOSED);
	}
	raw_spin_unlock_irqrestore(&groups_lock, flags);
}

static struct tracepoint *exit_tracepoint;

static void find_exit_tracepoint(struct tracepoint *tp, void *data)
{
	if (!strcmp(tp->name, "sched_process_exit"))
		exit_tracepoint = tp;
}

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "flexsc",
	.fops = &flexsc_group_fops,
	.mode = 0600,
};

static int __init flexsc_init(void)
{
	int err;

	flexsc_watched_init();
	err = flexsc_calls_init();
	if (!err)
		err = flexsc_resolve();
	if (err)
		return err;

	for_each_kernel_tracepoint(find_exit_tracepoint, NULL);
	if (!exit_tracepoint) {
		pr_err("this kernel has no tracepoint sched_process_exit\n");
		return -ENOENT;
	}
	err = tracepoint_probe_register(exit_tracepoint, owner_exit_probe, NULL);
	if (err)
		return err;

	preempt_notifier_inc();

	/* From here on we are in use: nothing after it may fail. */
	err = misc_register(&device);
	if (err)
		goto err_notifier;
	flexsc_debugfs_init();
	return 0;

err_notifier:
	preempt_notifier_dec();
	tracepoint_probe_unregister(exit_tracepoint, owner_exit_probe, NULL);
	tracepoint_synchronize_unregister();
	return err;
}

/*
 * Every file, and with it every worker, holds a reference to the module: none
 * is left here.
 */
static void __exit flexsc_exit(void)
{
	flexsc_debugfs_exit();
	misc_deregister(&device);
	preempt_notifier_dec();
	tracepoint_probe_unregister(exit_tracepoint, owner_exit_probe, NULL);
	tracepoint_synchronize_unregister();
}

module_init(flexsc_init);
module_exit(flexsc_exit);

MODULE_DESCRIPTION("Exception-less system calls");
MODULE_AUTHOR("The FlexSC authors");
MODULE_LICENSE("GPL");
