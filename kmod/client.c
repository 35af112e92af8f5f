// SPDX-License-Identifier: GPL-2.0-only
/* Clients: the shared pages, and what a carrier asks for about them. */
#include <linux/anon_inodes.h>
#include <linux/bitops.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "flexsc.h"

#define HEADER_ORDER 1

static_assert(PAGE_SIZE << HEADER_ORDER == FLEXSC_HEADER_BYTES);
static_assert(PAGE_SIZE == FLEXSC_PAGE_BYTES);

static unsigned long client_region_pages(const struct flexsc_client *client)
{
	return (1UL << HEADER_ORDER) + client->nr_pages;
}

static void client_free(struct flexsc_client *client)
{
	unsigned int i;

	for (i = 0; i < client->nr_pages; i++)
		free_page((unsigned long)client->pages[i]);
	if (client->header) {
		free_page((unsigned long)client->header);
		free_page((unsigned long)client->header + PAGE_SIZE);
	}
	kfree(client);
}

void flexsc_client_put(struct flexsc_client *client)
{
	struct flexsc_group *group = client->group;

	if (!refcount_dec_and_test(&client->ref))
		return;
	account_locked_vm(group->mm, client_region_pages(client), false);
	client_free(client);
	flexsc_group_put(group);
}

/*
 * Marks an entry as done. After this the entry belongs to user space again and
 * is not touched.
 */
void flexsc_complete(struct flexsc_client *client, unsigned int page,
		     unsigned int bit, long result)
{
	WRITE_ONCE(client->pages[page][bit].result, result);
	/*
	 * Result before bit. Pairs with the acquire with which user space
	 * takes completion bits.
	 */
	smp_mb__before_atomic();
	set_bit(bit, (unsigned long *)&client->header->completion.page[page]);
}

static unsigned int client_completions(const struct flexsc_client *client)
{
	unsigned int i, n = 0;

	for (i = 0; i < client->nr_pages; i++)
		n += hweight64(READ_ONCE(client->header->completion.page[i]));
	return n;
}

/* Wakes the thread in WAIT, if there is one. Under group->lock. */
void flexsc_client_wake_locked(struct flexsc_client *client)
{
	lockdep_assert_held(&client->group->lock);
	/* It stays until it has taken itself out of here, under the lock. */
	if (client->waiter)
		wake_up_process(client->waiter);
}

void flexsc_client_completed_locked(struct flexsc_client *client)
{
	lockdep_assert_held(&client->group->lock);
	if (client->waiter && client_completions(client) >= client->wait_min)
		wake_up_process(client->waiter);
}

/*
 * Called by workers after they set completion bits: wakes the thread in WAIT if
 * that has what it waits for.
 */
void flexsc_client_completed(struct flexsc_client *client)
{
	/*
	 * Completion bits before waiter. Pairs with set_current_state() in
	 * client_wait(): either we see the waiter or it sees the bits.
	 */
	smp_mb();
	if (likely(!READ_ONCE(client->waiter)))
		return;
	raw_spin_lock_irq(&client->group->lock);
	flexsc_client_completed_locked(client);
	raw_spin_unlock_irq(&client->group->lock);
}

static long client_wait(struct flexsc_client *client, void __user *arg)
{
	struct flexsc_group *group = client->group;
	struct flexsc_wait wait;
	unsigned int n;
	ktime_t expires;
	bool timed_out;
	long ret;

	ret = flexsc_params_get(&wait, sizeof(wait), arg);
	if (ret)
		return ret;
	if (wait.flags || wait.reserved ||
	    wait.min_complete > client->nr_pages * FLEXSC_PAGE_ENTRIES)
		return -EINVAL;
	atomic64_inc(&client->waits);
	n = client_completions(client);
	if (n >= wait.min_complete)
		return n;
	expires = ktime_add_safe(ktime_get(), ns_to_ktime(max(wait.timeout_ns, 0LL)));
	timed_out = wait.timeout_ns == 0;

	raw_spin_lock_irq(&group->lock);
	if (client->waiter) {
		raw_spin_unlock_irq(&group->lock);
		return -EBUSY;
	}
	client->wait_min = wait.min_complete;
	WRITE_ONCE(client->waiter, current);
	raw_spin_unlock_irq(&group->lock);

	for (;;) {
		/*
		 * waiter before completion bits: full barrier, pairs with
		 * smp_mb() in flexsc_client_completed(). The same for notified
		 * and the group's state, which are set under the lock before
		 * waiter is looked at.
		 */
		set_current_state(TASK_INTERRUPTIBLE);
		n = client_completions(client);
		ret = n;
		if (n >= wait.min_complete || READ_ONCE(client->notified) ||
		    timed_out)
			break;
		if (flexsc_group_stopped(group)) {
			ret = n ? n : -ESHUTDOWN;
			break;
		}
		if (signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		timed_out = !schedule_hrtimeout(wait.timeout_ns < 0 ? NULL : &expires,
						HRTIMER_MODE_ABS);
	}
	__set_current_state(TASK_RUNNING);

	raw_spin_lock_irq(&group->lock);
	WRITE_ONCE(client->waiter, NULL);
	WRITE_ONCE(client->notified, false);
	raw_spin_unlock_irq(&group->lock);
	return ret;
}

static void client_notify(struct flexsc_client *client)
{
	raw_spin_lock_irq(&client->group->lock);
	WRITE_ONCE(client->notified, true);
	flexsc_client_wake_locked(client);
	raw_spin_unlock_irq(&client->group->lock);
}

static long client_doorbell(struct flexsc_client *client, unsigned long pool)
{
	struct flexsc_group *group = client->group;

	/* Pools come into being before nr_pools counts them, and stay. */
	if (pool >= smp_load_acquire(&group->nr_pools))
		return -EINVAL;
	atomic64_inc(&client->doorbells);
	if (flexsc_pool_kick(&group->pools[0]))
		atomic64_inc(&client->doorbell_wakes);
	return 0;
}

static long client_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct flexsc_client *client = file->private_data;
	long ret = flexsc_caller_check(client->group);

	if (unlikely(ret))
		return ret;
	/* What is complete can still be waited for after the group stopped. */
	if (cmd == FLEXSC_IOC_WAIT)
		return client_wait(client, (void __user *)arg);
	if (unlikely(flexsc_group_stopped(client->group)))
		return -ESHUTDOWN;

	switch (cmd) {
	case FLEXSC_IOC_DOORBELL:
		return client_doorbell(client, arg);
	case FLEXSC_IOC_FLUSH:
		if (arg)
			return -EINVAL;
		/*
		 * One of the calls may close this file, and a process with one
		 * thread holds no reference to it during an ioctl.
		 */
		get_file(file);
		ret = flexsc_client_flush(client);
		fput(file);
		return ret;
	case FLEXSC_IOC_NOTIFY:
		if (arg)
			return -EINVAL;
		client_notify(client);
		return 0;
	default:
		return -ENOTTY;
	}
}

/*
 * The pages are refcounted and may outlive us in the mapping; nothing is mapped
 * by page frame number alone. A child gets no copy of the mapping.
 */
static int client_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct flexsc_client *client = file->private_data;
	unsigned long at = vma->vm_start;
	unsigned int i;
	int err;

	err = flexsc_caller_check(client->group);
	if (err)
		return err;
	if (!(vma->vm_flags & VM_SHARED) || vma->vm_pgoff ||
	    vma_pages(vma) != client_region_pages(client))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	fx_vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP,
			VM_MAYEXEC);

	for (i = 0; i < 1U << HEADER_ORDER; i++, at += PAGE_SIZE) {
		err = vm_insert_page(vma, at,
				     virt_to_page((void *)client->header + i * PAGE_SIZE));
		if (err)
			return err;
	}
	for (i = 0; i < client->nr_pages; i++, at += PAGE_SIZE) {
		err = vm_insert_page(vma, at, virt_to_page(client->pages[i]));
		if (err)
			return err;
	}
	return 0;
}

void flexsc_client_stats(const struct flexsc_client *client,
			 struct flexsc_stats *stats)
{
	stats->doorbells += atomic64_read(&client->doorbells);
	stats->doorbell_wakes += atomic64_read(&client->doorbell_wakes);
	stats->waits += atomic64_read(&client->waits);
	stats->flushes += atomic64_read(&client->flushes);
	stats->flushed += atomic64_read(&client->flushed);
}

static void client_remove(struct flexsc_client *client)
{
	struct flexsc_group *group = client->group;
	unsigned int i;

	raw_spin_lock_irq(&group->lock);
	for (i = 0; i < FLEXSC_MAX_CLIENTS; i++) {
		if (group->clients[i] == client)
			group->clients[i] = NULL;
	}
	/* Workers that serve it notice and drop their references. */
	WRITE_ONCE(group->generation, group->generation + 1);
	flexsc_client_stats(client, &group->gone);
	raw_spin_unlock_irq(&group->lock);
}

static int client_release(struct inode *inode, struct file *file)
{
	struct flexsc_client *client = file->private_data;

	client_remove(client);
	flexsc_client_put(client);
	return 0;
}

static const struct file_operations client_fops = {
	.owner = THIS_MODULE,
	.release = client_release,
	.unlocked_ioctl = client_ioctl,
	.mmap = client_mmap,
	.llseek = noop_llseek,
};

static struct flexsc_client *client_alloc(unsigned int nr_pages)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO;
	struct flexsc_client *client;
	struct page *header;

	client = kzalloc(struct_size(client, pages, nr_pages), GFP_KERNEL_ACCOUNT);
	if (!client)
		return NULL;
	/* One object for us, single pages for the mapping. */
	header = alloc_pages(gfp, HEADER_ORDER);
	if (!header)
		goto err;
	split_page(header, HEADER_ORDER);
	client->header = page_address(header);
	for (; client->nr_pages < nr_pages; client->nr_pages++) {
		void *page = (void *)get_zeroed_page(gfp);

		if (!page)
			goto err;
		client->pages[client->nr_pages] = page;
	}
	return client;
err:
	client_free(client);
	return NULL;
}

static int client_add(struct flexsc_group *group, struct flexsc_client *client)
{
	unsigned int slot, i;
	int err = -ENOSPC;

	raw_spin_lock_irq(&group->lock);
	for (slot = 0; slot < FLEXSC_MAX_CLIENTS; slot++) {
		if (group->clients[slot])
			continue;
		/* A pool that is awake looks at the new words by itself. */
		for (i = 0; i < FLEXSC_MAX_POOLS; i++)
			client->header->need_doorbell[i].value =
				i >= group->nr_pools || group->pools[i].asleep;
		client->header->state.value = group->state;
		group->clients[slot] = client;
		WRITE_ONCE(group->generation, group->generation + 1);
		err = 0;
		break;
	}
	raw_spin_unlock_irq(&group->lock);
	return err;
}

/* Under group->mutex. Returns a descriptor or -errno. */
int flexsc_client_create(struct flexsc_group *group, void __user *arg)
{
	struct flexsc_client_params params;
	struct flexsc_client *client;
	int err;

	err = flexsc_params_get(&params, sizeof(params), arg);
	if (err)
		return err;
	if (params.flags || params.reserved || !params.nr_pages ||
	    params.nr_pages > FLEXSC_MAX_PAGES)
		return -EINVAL;

	client = client_alloc(params.nr_pages);
	if (!client)
		return -ENOMEM;
	client->header->abi_version = FLEXSC_ABI_VERSION;
	client->header->header_bytes = FLEXSC_HEADER_BYTES;
	client->header->nr_pages = client->nr_pages;
	client->header->features = FLEXSC_FEATURE_FLUSH | FLEXSC_FEATURE_WAIT_SOME;
	refcount_set(&client->ref, 1);
	client->group = group;

	err = account_locked_vm(group->mm, client_region_pages(client), true);
	if (err) {
		client_free(client);
		return err;
	}
	refcount_inc(&group->ref);
	err = client_add(group, client);
	if (err)
		goto err_put;
	err = anon_inode_getfd("[flexsc-client]", &client_fops, client,
			       O_RDWR | O_CLOEXEC);
	if (err >= 0)
		return err;
	client_remove(client);
err_put:
	flexsc_client_put(client);
	return err;
}
