// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two-pass callbacks. The first pass makes readers retry, and no more; entries are
 * dropped in the second, as by a device that has been told to and is waited for. So
 * the checker finds stale entries when a second pass does not come before the CPU's
 * entries change.
 */
#include <linux/slab.h>

#include "internal.h"

struct mn_finish {
	struct mmu_interval_notifier_finish finish;
	unsigned int event;
	unsigned long start;
	unsigned long end;
};

/*
 * NULL: all the work is done in the first pass. So it is when there is no memory,
 * which every eighth call pretends, and when the second pass could not take the
 * lock because it must not sleep.
 */
static struct mn_finish *mn_finish_alloc(struct mn_sub *sub,
					 const struct mmu_notifier_range *range)
{
	struct mn_finish *fin;

	if (!mmu_notifier_range_blockable(range) || sub->nr_events % 8 == 7)
		return NULL;
	fin = kmalloc(sizeof(*fin), GFP_NOWAIT | __GFP_NOWARN);
	if (!fin)
		return NULL;
	fin->event = range->event;
	fin->start = range->start;
	fin->end = range->end;
	return fin;
}

static bool mn_invalidate_start(struct mmu_interval_notifier *notifier,
				const struct mmu_notifier_range *range,
				unsigned long cur_seq,
				struct mmu_interval_notifier_finish **finish)
{
	struct mn_sub *sub = container_of(notifier, struct mn_sub, notifier);
	struct mn_finish *fin;
	bool ok;

	if (!mn_callback_begin(sub, range))
		return true;
	ok = mn_sub_lock(sub, range);
	if (ok) {
		mn_collide(sub, range, cur_seq);
		fin = mn_finish_alloc(sub, range);
		if (fin) {
			mn_count(sub->bench, GM_MN_UNFINISHED, 1);
			*finish = &fin->finish;
		} else {
			mn_drop(sub, range->event, range->start, range->end);
		}
		mutex_unlock(&sub->lock);
		ok = mn_hold(sub, range);
	}
	/* A second pass that is still to come counts as a callback that runs. */
	if (!*finish) {
		mn_note_order(sub, GM_MN_RETURNED);
		mn_callback_end(sub);
	}
	return ok;
}

static void mn_invalidate_finish(struct mmu_interval_notifier_finish *finish)
{
	struct mn_finish *fin = container_of(finish, struct mn_finish, finish);
	struct mn_sub *sub = container_of(finish->notifier, struct mn_sub, notifier);

	mn_note_order(sub, GM_MN_SECOND);
	mutex_lock(&sub->lock);
	mn_drop(sub, fin->event, fin->start, fin->end);
	mutex_unlock(&sub->lock);
	mn_count(sub->bench, GM_MN_UNFINISHED, -1);
	mn_count(sub->bench, GM_MN_FINISHES, 1);
	kfree(fin);
	mn_note_order(sub, GM_MN_RETURNED);
	mn_callback_end(sub);
}

static const struct mmu_interval_notifier_ops mn_ops = {
	.invalidate_start = mn_invalidate_start,
	.invalidate_finish = mn_invalidate_finish,
};

const struct mmu_interval_notifier_ops *mn_two_pass_ops(void)
{
	return &mn_ops;
}
