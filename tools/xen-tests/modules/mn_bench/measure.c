// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is measured: each repetition between two readings of the TSC, which is a
 * time or, in a lab with ICOUNT=1, the number of instructions.
 */
#include <linux/delay.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "internal.h"

int (*mnb_invalidate_start)(struct mmu_notifier_range *range);
void (*mnb_invalidate_end)(struct mmu_notifier_range *range);

/**
 * struct mnb_run - a call of mnb_repeat() that is under way
 * @file: of the caller
 * @arg: what the caller asks for
 * @ticks: samples, where somebody wants them
 * @sub: first subscription of the group, for who reads
 * @done: repetitions
 */
struct mnb_run {
	struct mnb_file *file;
	struct mnb_repeat *arg;
	u64 *ticks[3];
	struct mnb_sub *sub;
	unsigned int done;
};

static void mnb_sample(struct mnb_run *run, int which, u64 value)
{
	if (run->ticks[which])
		run->ticks[which][run->done] = value;
}

static int mnb_nothing(struct mnb_run *run)
{
	u64 t = rdtsc_ordered();

	mnb_sample(run, 0, rdtsc_ordered() - t);
	return 0;
}

/*
 * The inline functions of mmu_notifier.h are left out: they also call might_sleep(),
 * which may give the CPU away.
 */
static int mnb_invalidate(struct mnb_run *run)
{
	struct mmu_notifier_range range;
	u64 t;
	int ret;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR,
				MMU_NOTIFIER_RANGE_BLOCKABLE, run->file->mm,
				run->arg->start,
				run->arg->start + run->arg->length);
	t = rdtsc_ordered();
	ret = mnb_invalidate_start(&range);
	mnb_invalidate_end(&range);
	mnb_sample(run, 0, rdtsc_ordered() - t);
	return WARN_ON_ONCE(ret);
}

static int mnb_read(struct mnb_run *run)
{
	u64 t = rdtsc_ordered();

	mmu_interval_read_begin(&run->sub->notifier);
	mnb_sample(run, 0, rdtsc_ordered() - t);
	return 0;
}

static bool mnb_read_once(struct mnb_sub *sub)
{
	unsigned long seq = mmu_interval_read_begin(&sub->notifier);
	bool ok;

	spin_lock(&sub->lock);
	ok = !mmu_interval_read_retry(&sub->notifier, seq);
	spin_unlock(&sub->lock);
	return ok;
}

static int mnb_read_colliding(struct mnb_run *run)
{
	struct mnb_group *group = run->sub->group;
	int calls = atomic_read(&group->calls);
	unsigned int tries = 1;
	long ret;
	u64 t;

	/* Whoever invalidates may have stopped. */
	ret = wait_event_interruptible_timeout(group->called,
					       atomic_read(&group->calls) != calls,
					       HZ);
	if (ret <= 0)
		return ret ?: -ETIME;
	t = rdtsc_ordered();
	while (!mnb_read_once(run->sub) && !fatal_signal_pending(current))
		tries++;
	mnb_sample(run, 0, rdtsc_ordered() - t);
	mnb_sample(run, 1, tries);
	return 0;
}

static const struct mmu_interval_notifier_ops mnb_come_and_go_ops = {
	.invalidate = mnb_minimal,
};

static int mnb_come_and_go(struct mnb_run *run)
{
	struct mnb_sub sub = {};
	u64 t[5];
	int ret;

	spin_lock_init(&sub.lock);
	t[0] = rdtsc_ordered();
	ret = mmu_interval_notifier_insert(&sub.notifier, run->file->mm,
					   run->arg->start, run->arg->length,
					   &mnb_come_and_go_ops);
	t[1] = rdtsc_ordered();
	if (ret)
		return ret;
	if (run->ticks[1])
		mmu_interval_read_begin(&sub.notifier);
	t[2] = rdtsc_ordered();
	t[3] = rdtsc_ordered();
	mmu_interval_notifier_remove(&sub.notifier);
	t[4] = rdtsc_ordered();
	mnb_sample(run, 0, t[1] - t[0]);
	mnb_sample(run, 1, t[2] - t[0]);
	mnb_sample(run, 2, t[4] - t[3]);
	return 0;
}

/* From the last one to the first, so that what remains are the first ones. */
static int mnb_remove_one(struct mnb_run *run)
{
	struct mnb_group *group = run->sub->group;
	struct mnb_sub *sub = &group->subs[group->count - 1 - run->done];
	u64 t = rdtsc_ordered();

	mmu_interval_notifier_remove(&sub->notifier);
	mnb_sample(run, 0, rdtsc_ordered() - t);
	return 0;
}

/* -- repeating it -------------------------------------------------------------- */

/* @locked: the mmap lock is held, as by who really invalidates */
static int mnb_loop(struct mnb_run *run, int (*once)(struct mnb_run *run),
		    bool locked)
{
	struct mm_struct *mm = run->file->mm;
	u64 end = run->arg->limit ? ktime_get_ns() + run->arg->limit : U64_MAX;
	unsigned long pause = div_u64(run->arg->pause, NSEC_PER_USEC);
	int ret = 0;

	if (locked && mmap_read_lock_killable(mm))
		return -EINTR;
	while (!ret && run->done < run->arg->count && ktime_get_ns() < end) {
		ret = once(run);
		run->done += !ret;
		if (signal_pending(current))
			ret = ret ?: -EINTR;
		if (pause)
			usleep_range(pause, pause + MNB_SLACK_US);
		cond_resched();
	}
	if (locked)
		mmap_read_unlock(mm);
	/* The time that was given is over: no reason for a complaint. */
	return ret == -ETIME ? 0 : ret;
}

static int mnb_remove_group(struct mnb_run *run)
{
	struct mnb_group *group = mnb_take(run->file, run->arg->group);
	int ret;

	if (!group)
		return -ENOENT;
	run->sub = group->subs;
	run->arg->count = min(run->arg->count, group->count);
	ret = mnb_loop(run, mnb_remove_one, false);
	mnb_remove(group, group->count - run->done);
	return ret;
}

static int mnb_dispatch(struct mnb_run *run, unsigned int cmd)
{
	struct mnb_group *group = run->file->groups[run->arg->group];

	if (group)
		run->sub = group->subs;
	switch (cmd) {
	case MNB_NOTHING:
		return mnb_loop(run, mnb_nothing, true);
	case MNB_INVALIDATE:
		/* An mm that never had a subscriber does not get there. */
		if (!mm_has_notifiers(run->file->mm))
			return -ENOENT;
		return mnb_loop(run, mnb_invalidate, true);
	case MNB_READ:
		return run->sub ? mnb_loop(run, mnb_read, false) : -ENOENT;
	case MNB_READ_COLLIDING:
		return run->sub ? mnb_loop(run, mnb_read_colliding, false) :
				  -ENOENT;
	case MNB_COME_AND_GO:
		return mnb_loop(run, mnb_come_and_go, false);
	}
	return -ENOTTY;
}

static int mnb_copy_samples(struct mnb_run *run)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(run->ticks); i++)
		if (run->ticks[i] &&
		    copy_to_user(u64_to_user_ptr(run->arg->samples[i]),
				 run->ticks[i],
				 array_size(run->done, sizeof(u64))))
			return -EFAULT;
	run->arg->count = run->done;
	return 0;
}

int mnb_repeat(struct mnb_file *file, unsigned int cmd, struct mnb_repeat *arg)
{
	struct mnb_run run = { .file = file, .arg = arg };
	int ret = -ENOMEM, i;

	if (!arg->count || arg->count > MNB_COUNT_MAX ||
	    arg->group >= MNB_GROUPS || !arg->length || arg->pause > NSEC_PER_SEC ||
	    arg->start >= TASK_SIZE || arg->length > TASK_SIZE - arg->start)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(run.ticks); i++) {
		if (!arg->samples[i])
			continue;
		run.ticks[i] = kvcalloc(arg->count, sizeof(u64), GFP_KERNEL);
		if (!run.ticks[i])
			goto free;
	}

	if (cmd == MNB_REMOVE) {
		ret = mnb_remove_group(&run);
	} else {
		down_read(&file->lock);
		ret = mnb_dispatch(&run, cmd);
		up_read(&file->lock);
	}
	if (!ret)
		ret = mnb_copy_samples(&run);
free:
	for (i = 0; i < ARRAY_SIZE(run.ticks); i++)
		kvfree(run.ticks[i]);
	return ret;
}
