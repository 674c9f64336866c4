/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the notifier core share: mmu_notifier.c (invalidations, and where
 * all of it is explained), mmu_interval.c (interval subscriptions) and
 * mmu_notifier_plain.c (plain notifiers, and how an mm gets its first subscriber).
 */
#ifndef _MM_MMU_NOTIFIER_INTERNAL_H
#define _MM_MMU_NOTIFIER_INTERNAL_H

#include <linux/bits.h>
#include <linux/cache.h>
#include <linux/completion.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/rbtree.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>

/*
 * Where quiet invalidations are noted (see mmu_notifier.c). The number of buckets is
 * bounded because insert and remove visit those that their mm has used, one by one,
 * and because the set of them is a bitmap in one word.
 */
#define MN_BUCKETS	BITS_PER_LONG

/* A cache line of most machines. Who finds all taken is noted as colliding. */
#define MN_SLOTS	(64 / sizeof(struct mn_slot))

/*
 * 0: free. MN_LOOKING: the owner looks at the tree; nobody else touches the slot then.
 * Otherwise the address of a quiet struct mmu_notifier_range, and MN_HELD if an insert
 * looks at it; its owner cannot end it then. Both are short, and are not preempted.
 */
struct mn_slot {
	unsigned long range;
};

#define MN_LOOKING	1UL
#define MN_HELD		1UL

struct mn_bucket {
	struct mn_slot slot[MN_SLOTS];
} ____cacheline_aligned_in_smp;

extern struct mn_bucket mn_buckets[MN_BUCKETS];

/* A reader or a remover, on its stack, in subscriptions->waiters. */
struct mn_waiter {
	struct list_head link;
	const struct interval_tree_node *interval;
	unsigned long seq;	/* waits for tickets up to this one */
	unsigned int pending;	/* how many of these are in flight */
	struct completion done;
};

/**
 * struct mmu_notifier_subscriptions - what an mm has when it has subscribers
 *
 * Installed under mm_take_all_locks(), so that no invalidation is in flight then;
 * freed with the mm_struct.
 *
 * The first cache line is only read by an invalidation that overlaps nothing, the
 * second one is written by collisions.
 *
 * @list: plain notifiers; changed under @lock, walked under SRCU
 * @has_intervals: invalidations are to be noted; set under mm_take_all_locks()
 * @tree_seq: tells a walker without @lock that the tree has changed under it
 * @tree: subscriptions; changed under @lock and @tree_seq
 * @buckets: those that invalidations of this mm use; bits are set under @lock, and
 *	stay
 * @lock: see above and below
 * @nr_colliding: length of @colliding; also read without @lock
 * @seq: the last ticket; odd
 * @colliding: invalidations in flight that overlap a subscription
 * @waiters: readers and removers that wait for some of these
 */
struct mmu_notifier_subscriptions {
	struct hlist_head list;
	bool has_intervals;
	seqcount_t tree_seq;
	struct rb_root_cached tree;
	unsigned long buckets;

	spinlock_t lock ____cacheline_aligned_in_smp;
	unsigned int nr_colliding;
	unsigned long seq;
	struct hlist_head colliding;
	struct list_head waiters;
};

/*
 * A callback that may not sleep may take spinlocks. With PREEMPT_RT these sleep themselves, and the
 * debugging option behind non_block_start() cannot tell one from the other.
 */
static inline void mn_non_block_start(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		non_block_start();
}

static inline void mn_non_block_end(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		non_block_end();
}

static inline unsigned long mn_last(const struct mmu_notifier_range *range)
{
	return range->end - 1;
}

static inline bool mn_overlaps(const struct mmu_notifier_range *range,
			       const struct interval_tree_node *interval)
{
	return range->start <= interval->last && interval->start <= mn_last(range);
}

/* idle or quiet -> colliding: the next ticket, and a place in the list */
static inline void mn_start_colliding(struct mmu_notifier_subscriptions *subs,
				      struct mmu_notifier_range *range)
{
	lockdep_assert_held(&subs->lock);
	subs->seq += 2;
	range->seq = subs->seq;
	hlist_add_head(&range->in_flight, &subs->colliding);
	/* Before the callbacks' set_seq, which is a release. */
	WRITE_ONCE(subs->nr_colliding, subs->nr_colliding + 1);
}

int mn_plain_invalidate_start(struct mmu_notifier_subscriptions *subs,
			      struct mmu_notifier_range *range);
void mn_plain_invalidate_end(struct mmu_notifier_subscriptions *subs,
			     struct mmu_notifier_range *range);
void mn_plain_release(struct mmu_notifier_subscriptions *subs,
		      struct mm_struct *mm);

int mn_read_begin_until(struct mmu_interval_notifier *interval_sub, unsigned long *seq,
			unsigned long deadline);

#endif /* _MM_MMU_NOTIFIER_INTERNAL_H */
