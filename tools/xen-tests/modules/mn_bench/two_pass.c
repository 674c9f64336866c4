// SPDX-License-Identifier: GPL-2.0-only
/*
 * A subscriber that sets its device to work in the first pass and waits for it in
 * the second.
 */
#include <linux/slab.h>

#include "internal.h"

struct mnb_finish {
	struct mmu_interval_notifier_finish finish;
	struct mnb_shootdown shootdown;
};

static bool mnb_two_pass_start(struct mmu_interval_notifier *notifier,
			       const struct mmu_notifier_range *range,
			       unsigned long seq,
			       struct mmu_interval_notifier_finish **finish)
{
	struct mnb_sub *sub = container_of(notifier, struct mnb_sub, notifier);
	struct mnb_finish *later;

	if (!mmu_notifier_range_blockable(range))
		return false;
	mnb_minimal(notifier, range, seq);
	later = kmalloc(sizeof(*later), GFP_KERNEL | __GFP_NOFAIL);
	mnb_shootdown_begin(&later->shootdown, sub->group->delay);
	*finish = &later->finish;
	return true;
}

static void mnb_two_pass_finish(struct mmu_interval_notifier_finish *finish)
{
	struct mnb_finish *later =
		container_of(finish, struct mnb_finish, finish);

	mnb_shootdown_wait(&later->shootdown);
	kfree(later);
}

static const struct mmu_interval_notifier_ops mnb_ops_two_pass = {
	.invalidate_start = mnb_two_pass_start,
	.invalidate_finish = mnb_two_pass_finish,
};

const struct mmu_interval_notifier_ops *mnb_two_pass_ops(void)
{
	return &mnb_ops_two_pass;
}
