// SPDX-License-Identifier: GPL-2.0-only
/* Pools: how they are made and changed. What their workers do is in park.c. */
#include <linux/capability.h>
#include <linux/cpumask.h>
#include <linux/sched/rt.h>
#include <linux/sched/prio.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/linux/sched.h>

#include "exec.h"
#include "flexsc.h"
#include "resolve.h"

void flexsc_pool_config_put(struct flexsc_pool_config *config)
{
	if (refcount_dec_and_test(&config->ref))
		kfree(config);
}

/*
 * A new configuration that begins as a copy of old, or, without one, with the
 * caller's CPUs and its scheduling.
 */
static struct flexsc_pool_config *config_make(const struct flexsc_pool_config *old)
{
	struct flexsc_pool_config *config;

	config = kzalloc(sizeof(*config) + cpumask_size(), GFP_KERNEL_ACCOUNT);
	if (!config)
		return NULL;
	if (old) {
		config->sched_set = old->sched_set;
		config->policy = old->policy;
		config->priority = old->priority;
		cpumask_copy(to_cpumask(config->cpus), to_cpumask(old->cpus));
	} else {
		cpumask_copy(to_cpumask(config->cpus), current->cpus_ptr);
	}
	refcount_set(&config->ref, 1);
	return config;
}

/* The CPUs a caller asked for, cut to those its cpuset allows. */
static int config_cpus(struct flexsc_pool_config *config,
		       const struct flexsc_pool_params *params)
{
	struct cpumask *cpus = to_cpumask(config->cpus);
	unsigned int bytes = min_t(unsigned int, params->cpumask_bytes,
				   cpumask_size());
	cpumask_var_t allowed;
	int err = 0;

	if (params->set & FLEXSC_POOL_CPUMASK) {
		cpumask_clear(cpus);
		if (copy_from_user(cpumask_bits(cpus),
				   u64_to_user_ptr(params->cpumask), bytes))
			return -EFAULT;
	} else if (params->cpumask || params->cpumask_bytes) {
		return -EINVAL;
	}
	if (!alloc_cpumask_var(&allowed, GFP_KERNEL))
		return -ENOMEM;
	static_call(fx_cpuset_cpus_allowed)(current, allowed);
	cpumask_and(cpus, cpus, allowed);
	if (!cpumask_intersects(cpus, cpu_online_mask))
		err = -EINVAL;
	free_cpumask_var(allowed);
	return err;
}

/* Whether the caller could give itself this, as sched_setscheduler() judges. */
static int config_sched(struct flexsc_pool_config *config,
			const struct flexsc_pool_params *params)
{
	s32 priority = params->priority;

	if (!(params->set & FLEXSC_POOL_SCHED))
		return params->policy || priority ? -EINVAL : 0;
	switch (params->policy) {
	case SCHED_NORMAL:
	case SCHED_BATCH:
	case SCHED_IDLE:
		if (priority < MIN_NICE || priority > MAX_NICE)
			return -EINVAL;
		if (priority < task_nice(current) && !can_nice(current, priority))
			return -EPERM;
		break;
	case SCHED_FIFO:
	case SCHED_RR:
		if (priority < 1 || priority > MAX_RT_PRIO - 1)
			return -EINVAL;
		if (priority > rlimit(RLIMIT_RTPRIO) && !capable(CAP_SYS_NICE))
			return -EPERM;
		break;
	default:
		return -EINVAL;
	}
	config->sched_set = true;
	config->policy = params->policy;
	config->priority = priority;
	return 0;
}

static int params_check(const struct flexsc_pool_params *params)
{
	u32 set = params->set;

	if (set & ~FLEXSC_POOL_FIELDS || params->reserved ||
	    params->spin_us > FLEXSC_MAX_SPIN_US ||
	    params->concurrency > FLEXSC_MAX_WORKERS / 2 ||
	    params->standby_max > FLEXSC_MAX_WORKERS / 2)
		return -EINVAL;
	/* What is given must be meant. */
	if ((params->concurrency && !(set & FLEXSC_POOL_CONCURRENCY)) ||
	    (params->standby_max && !(set & FLEXSC_POOL_STANDBY_MAX)) ||
	    (params->spin_us && !(set & FLEXSC_POOL_SPIN)))
		return -EINVAL;
	if (set & FLEXSC_POOL_CONCURRENCY && !params->concurrency)
		return -EINVAL;
	return 0;
}

/* Takes over what params sets. Under group->mutex; workers read at any time. */
static void pool_set(struct flexsc_pool *pool,
		     const struct flexsc_pool_params *params)
{
	unsigned int standby = pool->max_workers - pool->concurrency;

	if (params->set & FLEXSC_POOL_STANDBY_MAX)
		standby = params->standby_max;
	if (params->set & FLEXSC_POOL_CONCURRENCY)
		WRITE_ONCE(pool->concurrency, params->concurrency);
	WRITE_ONCE(pool->max_workers, min_t(unsigned int, FLEXSC_MAX_WORKERS,
					    pool->concurrency + standby));
	if (params->set & FLEXSC_POOL_SPIN)
		WRITE_ONCE(pool->spin_ns, params->spin_us * NSEC_PER_USEC);
}

void flexsc_pool_free(struct flexsc_pool *pool)
{
	flexsc_pool_config_put(pool->config);
	free_percpu(pool->tally);
}

static int pool_init(struct flexsc_pool *pool, struct flexsc_group *group,
		     struct flexsc_pool_config *config,
		     const struct flexsc_pool_params *params)
{
	memset(pool, 0, sizeof(*pool));
	pool->tally = alloc_percpu_gfp(struct flexsc_tally, GFP_KERNEL_ACCOUNT);
	if (!pool->tally)
		return -ENOMEM;
	pool->group = group;
	pool->index = group->nr_pools;
	pool->config = config;
	pool->concurrency = cpumask_weight(to_cpumask(config->cpus));
	pool->max_workers = FLEXSC_MAX_WORKERS;
	pool_set(pool, params);
	pool->asleep = true;
	atomic_set(&pool->running, 0);
	INIT_LIST_HEAD(&pool->workers);
	INIT_LIST_HEAD(&pool->parked);
	return 0;
}

/* Under group->mutex. Returns the pool's number or -errno. */
int flexsc_pool_create(struct flexsc_group *group, void __user *arg)
{
	struct flexsc_pool *pool = &group->pools[group->nr_pools];
	struct flexsc_pool_config *config;
	struct flexsc_pool_params params;
	int err;

	err = flexsc_params_get(&params, sizeof(params), arg);
	if (!err)
		err = params_check(&params);
	if (err)
		return err;
	if (params.pool)
		return -EINVAL;
	/* Workers get the identity of the thread that makes them. */
	if (current != group->owner)
		return -EPERM;
	if (flexsc_group_identity(group) != FLEXSC_STATE_OPEN)
		return -ESHUTDOWN;
	if (group->nr_pools == FLEXSC_MAX_POOLS)
		return -ENOSPC;

	config = config_make(NULL);
	if (!config)
		return -ENOMEM;
	err = config_cpus(config, &params);
	if (!err)
		err = config_sched(config, &params);
	if (!err)
		err = pool_init(pool, group, config, &params);
	if (err) {
		flexsc_pool_config_put(config);
		return err;
	}

	/* One is enough to begin: it sees to further ones when it is woken. */
	err = flexsc_worker_create(pool);
	if (err) {
		flexsc_pool_free(pool);
		return err;
	}
	raw_spin_lock_irq(&group->lock);
	flexsc_pool_begin_locked(pool);
	raw_spin_unlock_irq(&group->lock);
	return pool->index;
}

/* Under group->mutex. */
int flexsc_pool_update(struct flexsc_group *group, void __user *arg)
{
	struct flexsc_pool_config *config, *old;
	struct flexsc_pool_params params;
	struct flexsc_pool *pool;
	int err;

	err = flexsc_params_get(&params, sizeof(params), arg);
	if (!err)
		err = params_check(&params);
	if (err)
		return err;
	if (params.pool >= group->nr_pools || !params.set)
		return -EINVAL;
	pool = &group->pools[array_index_nospec(params.pool, FLEXSC_MAX_POOLS)];

	config = config_make(pool->config);
	if (!config)
		return -ENOMEM;
	err = config_cpus(config, &params);
	if (!err)
		err = config_sched(config, &params);
	if (err) {
		flexsc_pool_config_put(config);
		return err;
	}

	raw_spin_lock_irq(&group->lock);
	old = pool->config;
	WRITE_ONCE(pool->config, config);
	pool_set(pool, &params);
	/* Parked workers take it over when they are woken; one may be needed. */
	flexsc_pool_kick_locked(pool);
	raw_spin_unlock_irq(&group->lock);
	flexsc_pool_config_put(old);
	return 0;
}
