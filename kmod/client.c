// SPDX-License-Identifier: GPL-2.0-only
/* Clients: the shared pages, and what a carrier asks for about them. */
#include <linux/anon_inodes.h>
#include <linux/bitops.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include "compat.h"
#include "flexsc.h"
#include "op.h"
#include "trace.h"

/* The header is one object for us and single pages for the mapping. */
#define HEADER_PAGES (FLEXSC_HEADER_BYTES / PAGE_SIZE)
#define HEADER_ORDER 3

static_assert(HEADER_PAGES * PAGE_SIZE == FLEXSC_HEADER_BYTES);
static_assert(HEADER_PAGES <= 1 << HEADER_ORDER);
static_assert(PAGE_SIZE == FLEXSC_PAGE_BYTES);

static unsigned long client_region_pages(const struct flexsc_client *client)
{
	return HEADER_PAGES + client->nr_pages;
}

static void client_free(struct flexsc_client *client)
{
	unsigned int i;

	for (i = 0; i < client->nr_pages; i++)
		free_page((unsigned long)client->pages[i]);
	for (i = 0; client->header && i < HEADER_PAGES; i++)
		free_page((unsigned long)client->header + i * PAGE_SIZE);
	free_percpu(client->tally);
	flexsc_ops_free(client);
	kfree(client);
}

/* The user's limits: a client, and its pages. */
static bool client_charge(const struct flexsc_client *client,
			  struct flexsc_user *user)
{
	if (!flexsc_user_charge(user, FLEXSC_USER_CLIENTS, 1))
		return false;
	if (flexsc_user_charge(user, FLEXSC_USER_PAGES,
			       client_region_pages(client)))
		return true;
	flexsc_user_give_back(user, FLEXSC_USER_CLIENTS, 1);
	return false;
}

static void client_uncharge(const struct flexsc_client *client,
			    struct flexsc_user *user)
{
	flexsc_user_give_back(user, FLEXSC_USER_PAGES,
			      client_region_pages(client));
	flexsc_user_give_back(user, FLEXSC_USER_CLIENTS, 1);
}

void flexsc_client_free(struct flexsc_client *client)
{
	struct flexsc_group *group = client->group;

	account_locked_vm(group->mm, client_region_pages(client), false);
	client_uncharge(client, group->user);
	client_free(client);
	flexsc_group_put(group);
}

/* FLEXSC_CMD_DOORBELL. */
static long client_doorbell(struct flexsc_client *client, u64 pool)
{
	struct flexsc_group *group = client->group;
	bool woke;

	if (pool >= flexsc_group_pools(group))
		return -EINVAL;
	pool = array_index_nospec(pool, FLEXSC_MAX_POOLS);
	flexsc_count(client, doorbells);
	woke = flexsc_pool_kick(&group->pools[pool]);
	if (woke)
		flexsc_count(&group->pools[pool], wakes);
	trace_flexsc_doorbell(client, pool, woke);
	return 0;
}

/* See FLEXSC_CMD(). */
static __always_inline long client_command(struct flexsc_client *client,
					   u64 offset)
{
	unsigned int op = offset >> 56 & 0x7f;
	u64 arg = offset & GENMASK_ULL(55, 0);
	bool stopped = flexsc_group_stopped(client->group);

	switch (op) {
	case FLEXSC_CMD_WAIT:
		/* What is complete can be waited for in a stopped group too. */
		return flexsc_client_wait(client, arg);
	case FLEXSC_CMD_FLUSH:
		if (arg)
			return -EINVAL;
		return stopped ? -ESHUTDOWN : flexsc_client_flush(client);
	case FLEXSC_CMD_DOORBELL:
		if (arg >= FLEXSC_MAX_POOLS)
			return -EINVAL;
		return stopped ? -ESHUTDOWN : client_doorbell(client, arg);
	case FLEXSC_CMD_NOTIFY:
		if (arg)
			return -EINVAL;
		if (stopped)
			return -ESHUTDOWN;
		flexsc_client_notify(client);
		return 0;
	default:
		return -EINVAL;
	}
}

/*
 * The commands. The call that makes one may hold no reference
 * to the file, if the process has one thread, and a call of a flush may close
 * it: the client has to be held.
 */
static loff_t client_llseek(struct file *file, loff_t offset, int whence)
{
	struct flexsc_client *client = file->private_data;
	long ret;

	if (unlikely(offset >= 0 || whence != SEEK_SET))
		return -ESPIPE;
	ret = flexsc_caller_check(client->group);
	if (unlikely(ret))
		return ret;
	refcount_inc(&client->ref);
	/* The commonest by the shortest way. */
	if (likely(offset == (loff_t)FLEXSC_CMD(FLEXSC_CMD_FLUSH, 0) &&
		   !flexsc_group_stopped(client->group)))
		ret = flexsc_client_flush(client);
	else
		ret = client_command(client, offset);
	flexsc_client_put(client);
	return ret;
}

static long client_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct flexsc_client *client = file->private_data;
	long ret = flexsc_caller_check(client->group);

	if (ret)
		return ret;
	if (cmd != FLEXSC_IOC_CANCEL)
		return -ENOTTY;
	refcount_inc(&client->ref);
	ret = flexsc_client_cancel(client, (void __user *)arg);
	flexsc_client_put(client);
	return ret;
}

/*
 * The pages are refcounted and may outlive us in the mapping; nothing is mapped
 * by page frame number alone. A child gets no copy of the mapping, and VM_IO
 * keeps madvise() from changing that.
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
	fx_vm_flags_mod(vma, VM_DONTCOPY | VM_IO | VM_DONTEXPAND | VM_DONTDUMP,
			VM_MAYEXEC);

	for (i = 0; i < HEADER_PAGES; i++, at += PAGE_SIZE) {
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
	flexsc_tally_add(&group->gone, client->tally);
	raw_spin_unlock_irq(&group->lock);
}

static int client_release(struct inode *inode, struct file *file)
{
	struct flexsc_client *client = file->private_data;

	client_remove(client);
	flexsc_ops_close(client);
	flexsc_client_put(client);
	return 0;
}

static const struct file_operations client_fops = {
	.owner = THIS_MODULE,
	.release = client_release,
	.unlocked_ioctl = client_ioctl,
	.mmap = client_mmap,
	.llseek = client_llseek,
};

/* The client of a file, or NULL. */
struct flexsc_client *flexsc_client_of(struct file *file)
{
	return file->f_op == &client_fops ? file->private_data : NULL;
}

static struct flexsc_client *client_alloc(unsigned int nr_pages)
{
	/*
	 * A megabyte and more, as somebody outside asks for it: at the limit of
	 * the memory cgroup it is refused, instead of killing for it.
	 */
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_RETRY_MAYFAIL |
			  __GFP_NOWARN;
	struct flexsc_client *client;
	struct page *header;
	unsigned int i;

	client = kzalloc(struct_size(client, pages, nr_pages), GFP_KERNEL_ACCOUNT);
	if (!client)
		return NULL;
	client->tally = alloc_percpu_gfp(struct flexsc_tally, GFP_KERNEL_ACCOUNT);
	header = alloc_pages(gfp, HEADER_ORDER);
	if (!header)
		goto err;
	split_page(header, HEADER_ORDER);
	client->header = page_address(header);
	for (i = HEADER_PAGES; i < 1 << HEADER_ORDER; i++)
		free_page((unsigned long)client->header + i * PAGE_SIZE);
	if (!client->tally)
		goto err;
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
		client->slot = slot;
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
	unsigned int i;
	int err;

	err = flexsc_params_get(&params, sizeof(params), arg);
	if (err)
		return err;
	if (params.flags || params.reserved || !params.nr_pages ||
	    params.nr_pages > FLEXSC_MAX_PAGES)
		return -EINVAL;

	group->had_client = true;
	client = client_alloc(params.nr_pages);
	if (!client)
		return -ENOMEM;
	client->header->abi_version = FLEXSC_ABI_VERSION;
	client->header->header_bytes = FLEXSC_HEADER_BYTES;
	client->header->nr_pages = client->nr_pages;
	client->header->features = FLEXSC_FEATURES;
	refcount_set(&client->ref, 1);
	client->group = group;
	client->calls = group->calls;
	raw_spin_lock_init(&client->ops_lock);
	INIT_LIST_HEAD(&client->ops);
	for (i = 0; i < FLEXSC_MAX_POOLS; i++)
		INIT_LIST_HEAD(&client->ready[i]);

	if (!client_charge(client, group->user)) {
		client_free(client);
		return -EUSERS;
	}
	err = account_locked_vm(group->mm, client_region_pages(client), true);
	if (err) {
		client_uncharge(client, group->user);
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
