// SPDX-License-Identifier: GPL-2.0-only
/* Groups: what an open of /dev/flexsc is, whose it is, and how it stops. */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/kcov.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "exec.h"
#include "flexsc.h"

/*
 * Copies a struct that begins with its own size. A shorter one (from an older
 * caller) is filled up with zeros; a longer one must end in zeros.
 */
int flexsc_params_get(void *params, size_t ksize, void __user *arg)
{
	u32 size;

	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < 2 * sizeof(u32))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(params, ksize, arg, size);
}

/* Gives a struct back, cut to what the caller knows. */
int flexsc_params_put(void __user *arg, void *params, size_t ksize, u32 size)
{
	*(u32 *)params = ksize;
	return copy_to_user(arg, params, min_t(size_t, size, ksize)) ? -EFAULT : 0;
}

/*
 * Whether the owner still is who it was when the workers were made; asked by a
 * worker after each claim. The workers hold references to all that is
 * compared, so equal pointers mean the same object. real_cred, because cred is
 * overridden for a moment inside some system calls of the owner.
 */
enum flexsc_state flexsc_group_identity(struct flexsc_group *group)
{
	struct task_struct *owner = group->owner;

	if (unlikely(READ_ONCE(owner->flags) & PF_EXITING))
		return FLEXSC_STATE_CLOSED;
	if (unlikely(rcu_access_pointer(owner->real_cred) != group->cred))
		return FLEXSC_STATE_CREDENTIALS;
	if (unlikely(READ_ONCE(owner->fs) != current->fs ||
		     READ_ONCE(owner->files) != current->files ||
		     READ_ONCE(owner->nsproxy) != current->nsproxy))
		return FLEXSC_STATE_NAMESPACE;
	if (unlikely(flexsc_task_restricted(owner) ||
		     flexsc_task_restricted(current)))
		return FLEXSC_STATE_SECCOMP;
	return FLEXSC_STATE_OPEN;
}

/*
 * No call begins after this. Never waits: it may run in the exit of the owner,
 * of a worker, or in the last fput() of our file, wherever that happens.
 */
void flexsc_group_stop(struct flexsc_group *group, enum flexsc_state why)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&group->lock, flags);
	if (group->state == FLEXSC_STATE_OPEN) {
		WRITE_ONCE(group->state, why);
		for (i = 0; i < group->nr_pools; i++)
			flexsc_pool_stop_locked(&group->pools[i]);
		for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
			struct flexsc_client *client = group->clients[i];

			if (!client)
				continue;
			WRITE_ONCE(client->header->state.value, why);
			flexsc_client_wake_locked(client);
		}
	}
	raw_spin_unlock_irqrestore(&group->lock, flags);
}

/* Whether the owner still is who it was; if not, the group stops. */
bool flexsc_identity_holds(struct flexsc_group *group)
{
	enum flexsc_state identity = flexsc_group_identity(group);

	if (likely(identity == FLEXSC_STATE_OPEN))
		return true;
	flexsc_group_stop(group, identity);
	return false;
}

void flexsc_group_put(struct flexsc_group *group)
{
	unsigned int i;

	if (!refcount_dec_and_test(&group->ref))
		return;
	for (i = 0; i < group->nr_pools; i++)
		flexsc_pool_free(&group->pools[i]);
	kfree(group->own_calls);
	flexsc_user_put(group->user);
	put_cred(group->cred);
	put_task_struct(group->owner);
	mmdrop(group->mm);
	kfree(group);
}

static int group_open(struct inode *inode, struct file *file)
{
	struct flexsc_group *group;

	if (flexsc_task_restricted(current))
		return -EACCES;
	if (current->flags & (PF_KTHREAD | PF_IO_WORKER))
		return -EPERM;

	group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);
	if (!group)
		return -ENOMEM;
	group->user = flexsc_user_get(current_uid());
	if (IS_ERR(group->user)) {
		int err = PTR_ERR(group->user);

		kfree(group);
		return err;
	}
	refcount_set(&group->ref, 1);
	mutex_init(&group->mutex);
	raw_spin_lock_init(&group->lock);
	INIT_LIST_HEAD(&group->cancels);
	group->calls = flexsc_calls;
	group->owner = get_task_struct(current);
	group->mm = current->mm;
	mmgrab(group->mm);
	group->cred = get_cred(current_real_cred());
	group->kcov_handle = kcov_common_handle();
	file->private_data = group;
	flexsc_groups_add(group);
	return 0;
}

static int group_release(struct inode *inode, struct file *file)
{
	struct flexsc_group *group = file->private_data;

	flexsc_groups_remove(group);
	flexsc_group_stop(group, FLEXSC_STATE_CLOSED);
	flexsc_group_put(group);
	return 0;
}

static int group_query(void __user *arg)
{
	struct flexsc_query query;
	u32 size;
	int err;

	err = flexsc_params_get(&query, sizeof(query), arg);
	if (err)
		return err;
	size = query.size;
	query = (struct flexsc_query){
		.abi_version = FLEXSC_ABI_VERSION,
		.features = FLEXSC_FEATURES,
		.max_pages = FLEXSC_MAX_PAGES,
		.max_clients = FLEXSC_MAX_CLIENTS,
		.max_pools = FLEXSC_MAX_POOLS,
		.max_workers = FLEXSC_MAX_WORKERS,
	};
	return flexsc_params_put(arg, &query, sizeof(query), size);
}

static int group_policy(struct flexsc_group *group, void __user *arg)
{
	struct flexsc_policy policy;
	u8 classes[FLEXSC_POLICY_COUNT];
	u32 i;
	int err;

	err = flexsc_params_get(&policy, sizeof(policy), arg);
	if (err)
		return err;
	if (policy.reserved || policy.count > sizeof(classes))
		return -EINVAL;
	for (i = 0; i < policy.count; i++) {
		u64 nr = (u64)policy.first + i;

		classes[i] = flexsc_calls_class(group, min_t(u64, nr, U32_MAX));
	}
	if (copy_to_user(u64_to_user_ptr(policy.classes), classes, policy.count))
		return -EFAULT;
	return 0;
}

static long group_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct flexsc_group *group = file->private_data;
	void __user *user = (void __user *)arg;
	long ret = flexsc_caller_check(group);

	if (ret)
		return ret;
	switch (cmd) {
	case FLEXSC_IOC_QUERY:
		return group_query(user);
	case FLEXSC_IOC_POLICY:
		return group_policy(group, user);
	case FLEXSC_IOC_STATS:
		return flexsc_stats_get(group, user);
	case FLEXSC_IOC_POOL_CREATE:
	case FLEXSC_IOC_POOL_UPDATE:
	case FLEXSC_IOC_CLIENT_CREATE:
	case FLEXSC_IOC_NARROW:
		break;
	default:
		return -ENOTTY;
	}

	/*
	 * A process with one thread holds no reference to the file during an
	 * ioctl, but from the first worker on there is somebody who can close
	 * it: a call may have been posted before there was a pool.
	 */
	get_file(file);
	if (mutex_lock_interruptible(&group->mutex)) {
		fput(file);
		return -EINTR;
	}
	if (flexsc_group_stopped(group))
		ret = -ESHUTDOWN;
	else if (cmd == FLEXSC_IOC_POOL_CREATE)
		ret = flexsc_pool_create(group, user);
	else if (cmd == FLEXSC_IOC_POOL_UPDATE)
		ret = flexsc_pool_update(group, user);
	else if (cmd == FLEXSC_IOC_NARROW)
		ret = flexsc_calls_narrow(group, user);
	else
		ret = flexsc_client_create(group, user);
	mutex_unlock(&group->mutex);
	fput(file);
	return ret;
}

const struct file_operations flexsc_group_fops = {
	.owner = THIS_MODULE,
	.open = group_open,
	.release = group_release,
	.unlocked_ioctl = group_ioctl,
};
