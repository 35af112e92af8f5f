// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user (the real one of the thread that opens the device) may have of
 * everything, over all of its processes. The system's own limits hold besides:
 * RLIMIT_MEMLOCK and the memory cgroup for pages, RLIMIT_NPROC and the pids
 * cgroup for workers.
 */
#include <linux/cred.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "flexsc.h"

static uint limits[FLEXSC_USER_THINGS] = {
	[FLEXSC_USER_GROUPS] = 256,
	[FLEXSC_USER_CLIENTS] = 4096,
	[FLEXSC_USER_PAGES] = 131072,
	[FLEXSC_USER_WORKERS] = 16384,
};

/* Root may change them at any time; what is there already stays. */
module_param_named(user_groups, limits[FLEXSC_USER_GROUPS], uint, 0644);
MODULE_PARM_DESC(user_groups, "opens of the device that a user may have");
module_param_named(user_clients, limits[FLEXSC_USER_CLIENTS], uint, 0644);
MODULE_PARM_DESC(user_clients, "clients that a user may have");
module_param_named(user_pages, limits[FLEXSC_USER_PAGES], uint, 0644);
MODULE_PARM_DESC(user_pages, "shared pages that a user may have, headers included");
module_param_named(user_workers, limits[FLEXSC_USER_WORKERS], uint, 0644);
MODULE_PARM_DESC(user_workers, "worker threads that a user may have");

struct flexsc_user {
	struct list_head node;
	kuid_t uid;
	unsigned int groups; /* under users_lock: references */
	/*
	 * Raised first, and lowered again if that is too much: so no more is
	 * granted than the limit. They order nothing.
	 */
	atomic_long_t things[FLEXSC_USER_THINGS];
};

static LIST_HEAD(users);
static DEFINE_SPINLOCK(users_lock);

static struct flexsc_user *user_of(kuid_t uid)
{
	struct flexsc_user *user;

	list_for_each_entry(user, &users, node) {
		if (uid_eq(user->uid, uid))
			return user;
	}
	return NULL;
}

/* For a new group. ERR_PTR(-EUSERS): it may have no more. */
struct flexsc_user *flexsc_user_get(kuid_t uid)
{
	struct flexsc_user *user, *fresh;

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return ERR_PTR(-ENOMEM);
	spin_lock(&users_lock);
	user = user_of(uid);
	if ((user ? user->groups : 0) >= READ_ONCE(limits[FLEXSC_USER_GROUPS])) {
		user = ERR_PTR(-EUSERS);
	} else {
		if (!user) {
			user = fresh;
			fresh = NULL;
			user->uid = uid;
			list_add(&user->node, &users);
		}
		user->groups++;
	}
	spin_unlock(&users_lock);
	kfree(fresh);
	return user;
}

/* The group goes. All it had of other things was given back. */
void flexsc_user_put(struct flexsc_user *user)
{
	bool last;

	spin_lock(&users_lock);
	last = !--user->groups;
	if (last)
		list_del(&user->node);
	spin_unlock(&users_lock);
	if (last)
		kfree(user);
}

/* Takes n more of something, if the user may have them. */
bool flexsc_user_charge(struct flexsc_user *user, enum flexsc_user_thing thing,
			long n)
{
	if (atomic_long_add_return(n, &user->things[thing]) <=
	    (long)READ_ONCE(limits[thing]))
		return true;
	flexsc_user_give_back(user, thing, n);
	return false;
}

void flexsc_user_give_back(struct flexsc_user *user,
			   enum flexsc_user_thing thing, long n)
{
	atomic_long_sub(n, &user->things[thing]);
}
