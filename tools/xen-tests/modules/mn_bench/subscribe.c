// SPDX-License-Identifier: GPL-2.0-only
/*
 * Subscriptions, what they do when they are invalidated, and the pretended device.
 */
#include <linux/delay.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "internal.h"

/* -- the device: busy for a time, without a CPU ------------------------------- */

static enum hrtimer_restart mnb_shootdown_done(struct hrtimer *timer)
{
	struct mnb_shootdown *shootdown =
		container_of(timer, struct mnb_shootdown, timer);

	complete(&shootdown->done);
	return HRTIMER_NORESTART;
}

void mnb_shootdown_begin(struct mnb_shootdown *shootdown, u64 ns)
{
	init_completion(&shootdown->done);
	hrtimer_init(&shootdown->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	shootdown->timer.function = mnb_shootdown_done;
	hrtimer_start(&shootdown->timer, ns_to_ktime(ns), HRTIMER_MODE_REL);
}

void mnb_shootdown_wait(struct mnb_shootdown *shootdown)
{
	wait_for_completion(&shootdown->done);
	/* The timer's function may still be about to return. */
	hrtimer_cancel(&shootdown->timer);
}

/* -- callbacks ----------------------------------------------------------------- */

bool mnb_minimal(struct mmu_interval_notifier *notifier,
		 const struct mmu_notifier_range *range, unsigned long seq)
{
	struct mnb_sub *sub = container_of(notifier, struct mnb_sub, notifier);

	spin_lock(&sub->lock);
	mmu_interval_set_seq(notifier, seq);
	spin_unlock(&sub->lock);
	return true;
}

static bool mnb_sleep(struct mmu_interval_notifier *notifier,
		      const struct mmu_notifier_range *range, unsigned long seq)
{
	struct mnb_sub *sub = container_of(notifier, struct mnb_sub, notifier);
	unsigned long us = div_u64(sub->group->delay, NSEC_PER_USEC);

	if (!mmu_notifier_range_blockable(range))
		return false;
	mnb_minimal(notifier, range, seq);
	atomic_inc(&sub->group->calls);
	wake_up(&sub->group->called);
	usleep_range(us, us + MNB_SLACK_US);
	return true;
}

static bool mnb_device(struct mmu_interval_notifier *notifier,
		       const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	struct mnb_sub *sub = container_of(notifier, struct mnb_sub, notifier);
	struct mnb_shootdown *shootdown;

	if (!mmu_notifier_range_blockable(range))
		return false;
	mnb_minimal(notifier, range, seq);
	shootdown = kmalloc(sizeof(*shootdown), GFP_KERNEL | __GFP_NOFAIL);
	mnb_shootdown_begin(shootdown, sub->group->delay);
	mnb_shootdown_wait(shootdown);
	kfree(shootdown);
	return true;
}

static const struct mmu_interval_notifier_ops mnb_ops[] = {
	[MNB_MINIMAL] = { .invalidate = mnb_minimal },
	[MNB_SLEEP] = { .invalidate = mnb_sleep },
	[MNB_DEVICE_1] = { .invalidate = mnb_device },
};

static const struct mmu_interval_notifier_ops *mnb_ops_of(u32 kind)
{
	if (kind == MNB_DEVICE_2)
		return mnb_two_pass_ops();
	return &mnb_ops[kind];
}

/* -- groups -------------------------------------------------------------------- */

/* @count: of its subscriptions that are there still, the first ones */
void mnb_remove(struct mnb_group *group, unsigned int count)
{
	while (count--) {
		mmu_interval_notifier_remove(&group->subs[count].notifier);
		cond_resched();
	}
	kvfree(group);
}

static struct mnb_group *mnb_insert(struct mm_struct *mm,
				    const struct mnb_subscribe *arg)
{
	const struct mmu_interval_notifier_ops *ops = mnb_ops_of(arg->kind);
	struct mnb_group *group;
	unsigned int i;
	int ret;

	if (!ops)
		return ERR_PTR(-EOPNOTSUPP);
	group = kvzalloc(struct_size(group, subs, arg->count), GFP_KERNEL);
	if (!group)
		return ERR_PTR(-ENOMEM);
	group->count = arg->count;
	group->delay = arg->delay;
	init_waitqueue_head(&group->called);
	for (i = 0; i < arg->count; i++) {
		struct mnb_sub *sub = &group->subs[i];

		sub->group = group;
		spin_lock_init(&sub->lock);
		ret = mmu_interval_notifier_insert(&sub->notifier, mm,
						   arg->start + i * arg->stride,
						   arg->length, ops);
		if (ret) {
			mnb_remove(group, i);
			return ERR_PTR(ret);
		}
		cond_resched();
	}
	return group;
}

/* All of it is user addresses, whatever the numbers. */
static bool mnb_subscribe_valid(const struct mnb_subscribe *arg)
{
	return arg->kind <= MNB_DEVICE_2 && arg->count &&
	       arg->count <= MNB_COUNT_MAX && arg->length &&
	       arg->delay <= NSEC_PER_SEC && arg->start < TASK_SIZE &&
	       arg->length <= TASK_SIZE - arg->start &&
	       arg->stride <= (TASK_SIZE - arg->start - arg->length) / arg->count;
}

int mnb_subscribe(struct mnb_file *file, const struct mnb_subscribe *arg)
{
	struct mnb_group *group;
	int i;

	if (!mnb_subscribe_valid(arg))
		return -EINVAL;
	/* Not under the lock: with many of them this takes seconds. */
	group = mnb_insert(file->mm, arg);
	if (IS_ERR(group))
		return PTR_ERR(group);

	down_write(&file->lock);
	for (i = 0; i < MNB_GROUPS; i++) {
		if (!file->groups[i]) {
			file->groups[i] = group;
			break;
		}
	}
	up_write(&file->lock);
	if (i < MNB_GROUPS)
		return i;
	mnb_remove(group, group->count);
	return -ENOSPC;
}

/* The group of that number, which nobody else will find; NULL: none */
struct mnb_group *mnb_take(struct mnb_file *file, unsigned long number)
{
	struct mnb_group *group = NULL;

	if (number >= MNB_GROUPS)
		return NULL;
	down_write(&file->lock);
	swap(group, file->groups[number]);
	up_write(&file->lock);
	return group;
}

int mnb_unsubscribe(struct mnb_file *file, unsigned long number)
{
	struct mnb_group *group = mnb_take(file, number);

	if (!group)
		return -ENOENT;
	mnb_remove(group, group->count);
	return 0;
}

/* The file's last reference is gone, so nobody else looks at it. */
void mnb_unsubscribe_all(struct mnb_file *file)
{
	int i;

	for (i = 0; i < MNB_GROUPS; i++)
		if (file->groups[i])
			mnb_remove(file->groups[i], file->groups[i]->count);
}
