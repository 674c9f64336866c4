// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMU notifiers: a shadow of a page table never outlives what it copies.
 *
 * The problem. A device driver copies entries of a process's page table into its
 * device's. The copy (the shadow) is right until the CPU's entry changes. So whoever
 * changes entries announces it before (start) and says when it is done (end), and the
 * subscriber
 *
 *  - on start drops its shadow entries in the range, and
 *  - from start to end makes no new ones from what it reads there.
 *
 * The first is a callback. The second is where a reader, that is whoever copies
 * entries, and an invalidation meet; it is what this file is about. What the driver
 * writes is in Documentation/mmu-notifier.md:
 *
 *	again:
 *	seq = mmu_interval_read_begin(sub);
 *	... read the CPU's entries, fault, sleep ...
 *	mutex_lock(&driver->lock);
 *	if (mmu_interval_read_retry(sub, seq)) {
 *		mutex_unlock(&driver->lock);
 *		goto again;
 *	}
 *	... write them into the shadow ...
 *	mutex_unlock(&driver->lock);
 *
 * and its invalidate callback takes the same lock, calls mmu_interval_set_seq(), drops
 * what it has. An invalidation that comes after read_begin and calls the callback
 * before the retry is seen by the retry; one that calls it after the retry finds the
 * new entries and drops them. Left is the one that had called it before read_begin
 * and has not ended: read_begin waits for the end of those. All that follows is there
 * to tell which these are, for one subscription, without anybody else paying for it.
 *
 * An invalidation (struct mmu_notifier_range, on the stack of whoever announced it)
 *
 *	        nothing overlaps            +-------+           end
 *	 +--------------------------------> | quiet | ---------------------+
 *	 |                                  +-------+                      |
 *	 |                                      | a subscription that      |
 *	 |                                      v overlaps is inserted     v
 *	idle                              +-----------+                  idle
 *	 +------------------------------> | colliding | -------------------+
 *	        a subscription overlaps   +-----------+    end, or refused
 *
 *  quiet: in a slot, a word that holds its address. CPUs have their own bucket of
 *	these, which all mms share. The state is entered after a look at the mm's tree of
 *	subscriptions that takes no lock. So an invalidation that concerns nobody
 *	writes nothing that the mm's other threads read.
 *  colliding: in the mm's list of these, with a ticket: a number, always odd, that
 *	no other had. The ticket is the cur_seq of the callbacks.
 *
 * A subscription (struct mmu_interval_notifier)
 *
 *	absent --insert--> live --remove--> removing --> absent
 *
 *  live: every invalidation that starts calls it if it overlaps.
 *  removing: still in the tree, so that those which are in flight find their way on,
 *	but one that starts does not see it. This ends when those have ended that were
 *	colliding when it began: neither collisions elsewhere nor later ones here can
 *	hold it up. The driver's device is not using the range any more, or its
 *	pages are pinned, before it calls remove.
 *
 * Here is the side of whoever changes entries; mmu_interval.c is the side of the
 * subscribers (insert, remove, read), mmu_notifier_plain.c has the plain notifiers.
 *
 * Waiting is exact: a waiter (reader or remover) counts the colliding invalidations that
 * overlap it and leaves the last ticket with the count; an invalidation that ends
 * lowers the counts of the waiters that it overlaps and whose ticket is not older than
 * its own, and wakes those that reach zero.
 *
 * subscriptions->lock covers changes to the tree, the list of colliding, the waiters, the
 * last ticket, the list of plain notifiers. It is held for short stretches and never
 * across a callback. Above it are the locks of the mm (every invalidation holds the mmap
 * lock, a VMA's or a reverse map lock) and the driver's. A lock that a callback takes
 * must not be held across read_begin, remove or anything else that waits for an
 * invalidation to end: lockdep knows all of them as mmu_notifier_invalidate_range_start.
 *
 * The races that shaped this.
 *
 * A quiet start and an insert: one of them sees the other.
 *
 *	start					insert (under subs->lock)
 *	slot = range | LOOKING			put it into the tree
 *	full barrier				full barrier
 *	look at the tree: nothing		for each slot:
 *	slot = range				  wait while LOOKING
 *						  range overlaps: colliding
 *
 * Either the insert finds the slot taken, or the start finds the subscription in the
 * tree. A start makes use of a bucket only when the mm has it marked, which is done
 * under subs->lock; until then it is noted as colliding, which does no harm.
 *
 * A look at the tree and a remove: the memory of the node.
 *
 *	start					remove
 *	slot = range | LOOKING			take it out of the tree
 *	full barrier				full barrier
 *	node = ...				for each slot:
 *	node->start				  wait while LOOKING
 *	slot = range, or 0 (release)		return, the driver frees it
 *
 * A look during a change of the tree may miss nodes; the sequence count tells, and the
 * start goes the slow way, under subs->lock.
 *
 * A reader and a start: the reader looks at the subscription's number first, and at
 * the number of colliding invalidations of the mm after that.
 *
 *	reader					start
 *						nr_colliding++
 *						callback:
 *	seq = acquire(sub->invalidate_seq)	  set_seq: release(invalidate_seq)
 *	acquire(nr_colliding) == 0		...
 *						change entries
 *						end: release(nr_colliding)
 *
 * If the reader got the ticket of an invalidation, it also sees it counted, or ended
 * with the entries as it left them. If it did not get it, the retry will.
 */

#include <linux/completion.h>
#include <linux/export.h>
#include <linux/interval_tree_generic.h>
#include <linux/llist.h>
#include <linux/preempt.h>
#include <linux/smp.h>

#include "mmu_notifier_internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/mmu_notifier.h>

/* The inline mmu_interval_read_retry() is in modules, too. */
EXPORT_TRACEPOINT_SYMBOL_GPL(mmu_interval_retry);

#ifdef CONFIG_LOCKDEP
struct lockdep_map __mmu_notifier_invalidate_range_start_map = {
	.name = "mmu_notifier_invalidate_range_start"
};
#endif

struct mn_bucket mn_buckets[MN_BUCKETS];

/*
 * The kernel's own interval tree once more, with its functions in line: they are half
 * of what a callback costs. Changes to the tree go through interval_tree_insert() and
 * interval_tree_remove(), see mmu_interval.c.
 */
#define MN_START(sub)	((sub)->interval_tree.start)
#define MN_LAST(sub)	((sub)->interval_tree.last)
INTERVAL_TREE_DEFINE(struct mmu_interval_notifier, interval_tree.rb,
		     unsigned long, interval_tree.__subtree_last,
		     MN_START, MN_LAST, static inline __maybe_unused, mn_tree)

/*
 * How many subscriptions are collected at a time, to be called without the lock. On
 * the stack of whoever changes page tables, which may be deep in reclaim.
 */
#define MN_BATCH 16

struct mn_batch {
	unsigned int n;
	struct mmu_interval_notifier *sub[MN_BATCH];
};

/* Tickets wrap; those that are compared are never half the way round apart. */
static bool mn_later(unsigned long ticket, unsigned long than)
{
	return (long)(ticket - than) > 0;
}

static struct interval_tree_node *mn_node(struct rb_node *rb)
{
	return rb_entry(rb, struct interval_tree_node, rb);
}

/* -- states and transitions ---------------------------------------------------- */

/*
 * Might a subscription overlap [start, last]? No lock is held: the caller's slot, which
 * is LOOKING, keeps the nodes allocated, and the rbtree keeps a descent from going
 * round in circles (lib/rbtree.c). When the tree changed meanwhile the answer is yes.
 *
 * The descent is that of interval_tree_iter_first(), which may not be called while
 * somebody changes the tree.
 */
static __always_inline bool
mn_may_overlap(const struct mmu_notifier_subscriptions *subs,
	       unsigned long start, unsigned long last)
{
	unsigned int seq = raw_seqcount_begin(&subs->tree_seq);
	struct rb_node *rb = READ_ONCE(subs->tree.rb_leftmost);

	if (rb && mn_node(rb)->start <= last) {
		rb = READ_ONCE(subs->tree.rb_root.rb_node);
		if (rb && READ_ONCE(mn_node(rb)->__subtree_last) < start)
			rb = NULL;
	} else {
		rb = NULL;
	}

	/* Here, the subtree of rb has an interval that ends at start or later. */
	while (rb) {
		struct interval_tree_node *node = mn_node(rb);
		struct rb_node *child = READ_ONCE(rb->rb_left);

		/*
		 * If such an interval is on the left, then one that overlaps is, or
		 * none does: what is on the right starts later still.
		 */
		if (child && READ_ONCE(mn_node(child)->__subtree_last) >= start) {
			rb = child;
			continue;
		}
		if (node->start > last)
			break;
		if (node->last >= start)
			return true;
		rb = READ_ONCE(rb->rb_right);
		if (rb && READ_ONCE(mn_node(rb)->__subtree_last) < start)
			break;
	}
	return read_seqcount_retry(&subs->tree_seq, seq);
}

static unsigned int mn_bucket(void)
{
	/* Any would do, this one is usually nobody else's. */
	return (unsigned int)raw_smp_processor_id() % MN_BUCKETS;
}

/*
 * idle -> quiet, if nothing overlaps. Returns false if something might, or there is no
 * slot; the range is idle then.
 */
static __always_inline bool
mn_start_quiet(struct mmu_notifier_subscriptions *subs,
	       struct mmu_notifier_range *range)
{
	unsigned int i = mn_bucket();
	struct mn_slot *slot = mn_buckets[i].slot;
	unsigned long old = 0;
	bool overlap;

	/* Pairs with the release in mn_mark_bucket(). */
	if (unlikely(!(READ_ONCE(subs->buckets) & BIT(i))))
		return false;

	preempt_disable();
	/* A full barrier, between the slot and the tree; pairs with mn_buckets_of(). */
	while (!try_cmpxchg(&slot->range, &old, (unsigned long)range | MN_LOOKING)) {
		if (++slot == mn_buckets[i].slot + MN_SLOTS) {
			preempt_enable();
			return false;
		}
		old = 0;
	}
	range->slot = slot;
	overlap = mn_may_overlap(subs, range->start, mn_last(range));
	/* Whoever finds it not LOOKING knows that the nodes are not looked at any more. */
	smp_store_release(&slot->range, overlap ? 0 : (unsigned long)range);
	preempt_enable();
	return !overlap;
}

/* An invalidation has ended: returns how many waiters that was the last one for. */
static unsigned int mn_wake(struct mmu_notifier_subscriptions *subs,
			    const struct mmu_notifier_range *range)
{
	struct mn_waiter *waiter, *next;
	unsigned int woken = 0;

	lockdep_assert_held(&subs->lock);
	list_for_each_entry_safe(waiter, next, &subs->waiters, link) {
		if (mn_later(range->seq, waiter->seq) ||
		    !mn_overlaps(range, waiter->interval))
			continue;
		if (--waiter->pending)
			continue;
		/* The waiter's stack frame goes with its completion. */
		list_del(&waiter->link);
		complete(&waiter->done);
		woken++;
	}
	return woken;
}

/* colliding -> idle. Returns how many waiters were woken. */
static unsigned int mn_end_colliding(struct mmu_notifier_subscriptions *subs,
				     struct mmu_notifier_range *range)
{
	unsigned int woken = 0;

	spin_lock(&subs->lock);
	hlist_del(&range->in_flight);
	if (!list_empty(&subs->waiters))
		woken = mn_wake(subs, range);
	/* The entries have changed for who sees this; pairs with read_begin. */
	smp_store_release(&subs->nr_colliding, subs->nr_colliding - 1);
	spin_unlock(&subs->lock);
	return woken;
}

/* An insert holds the slot: wait, it may let go or make the range colliding. */
static noinline bool mn_end_held(struct mmu_notifier_range *range)
{
	unsigned long old = (unsigned long)range;

	while (!try_cmpxchg(&range->slot->range, &old, 0)) {
		if (old != ((unsigned long)range | MN_HELD))
			return false;
		cpu_relax();
		old = (unsigned long)range;
	}
	return true;
}

/* quiet -> idle; false if it is colliding, from the start or by an insert. */
static __always_inline bool mn_end_quiet(struct mmu_notifier_range *range)
{
	unsigned long old = (unsigned long)range;

	if (!range->slot)
		return false;
	return likely(try_cmpxchg(&range->slot->range, &old, 0)) ||
	       mn_end_held(range);
}

/* quiet or colliding -> idle. Returns how many waiters were woken. */
static unsigned int mn_end_intervals(struct mmu_notifier_subscriptions *subs,
				     struct mmu_notifier_range *range)
{
	if (mn_end_quiet(range))
		return 0;
	return mn_end_colliding(subs, range);
}

/* -- callbacks ------------------------------------------------------------------ */

/*
 * Collect subscriptions that the range overlaps, from sub on. Returns whether there may
 * be more after the last one.
 *
 * That one stays in the tree for as long as the range is in flight, so it is a place
 * to go on from. One that began to go before the range started is not waiting for
 * it, and is passed over.
 */
static __always_inline bool mn_collect(struct mmu_interval_notifier *sub,
				       const struct mmu_notifier_range *range,
				       struct mn_batch *batch)
{
	unsigned long start = range->start, last = mn_last(range);

	batch->n = 0;
	for (; sub; sub = mn_tree_iter_next(sub, start, last)) {
		if (unlikely(sub->remover) && mn_later(range->seq, sub->remover->seq))
			continue;
		batch->sub[batch->n++] = sub;
		if (batch->n == MN_BATCH)
			return true;
	}
	return false;
}

static noinline bool mn_call_two_pass(struct mmu_interval_notifier *sub,
				      const struct mmu_notifier_range *range,
				      struct llist_head *finishes)
{
	struct mmu_interval_notifier_finish *finish = NULL;
	bool ret;

	ret = sub->ops->invalidate_start(sub, range, range->seq, &finish);
	/* Who refuses has started nothing that could be finished. */
	if (finish && !WARN_ON(!ret)) {
		finish->notifier = sub;
		__llist_add(&finish->link, finishes);
	}
	return ret;
}

/* Returns false if a callback of a non-blockable invalidation would have to sleep. */
static bool mn_call_batch(const struct mn_batch *batch,
			  const struct mmu_notifier_range *range,
			  struct llist_head *finishes)
{
	unsigned int i;

	for (i = 0; i < batch->n; i++) {
		struct mmu_interval_notifier *sub = batch->sub[i];
		bool ret;

		if (!mmu_notifier_range_blockable(range))
			non_block_start();
		if (likely(sub->ops->invalidate))
			ret = sub->ops->invalidate(sub, range, range->seq);
		else
			ret = mn_call_two_pass(sub, range, finishes);
		if (!mmu_notifier_range_blockable(range))
			non_block_end();
		/* If it is blockable the entries will change, whatever it says. */
		if (unlikely(!ret) && !WARN_ON(mmu_notifier_range_blockable(range)))
			return false;
	}
	return true;
}

static void mn_finish(struct llist_head *finishes)
{
	struct mmu_interval_notifier_finish *finish, *next;

	llist_for_each_entry_safe(finish, next,
				  llist_reverse_order(__llist_del_all(finishes)),
				  link)
		finish->notifier->ops->invalidate_finish(finish);
}

/* From now on an invalidation that starts on this CPU may be quiet. */
static void mn_mark_bucket(struct mmu_notifier_subscriptions *subs)
{
	unsigned long bit = BIT(mn_bucket());

	lockdep_assert_held(&subs->lock);
	if (subs->buckets & bit)
		return;
	/* Who sees the mark sees the changes of the tree that came before it. */
	smp_store_release(&subs->buckets, subs->buckets | bit);
}

/*
 * A subscription may overlap: the certain way, idle -> colliding. Returns how many were
 * called, or -EAGAIN if one of them refused; the range is idle then.
 */
static noinline long mn_start_slow(struct mmu_notifier_subscriptions *subs,
				   struct mmu_notifier_range *range)
{
	LLIST_HEAD(finishes);
	struct mmu_interval_notifier *sub;
	struct mn_batch batch;
	long overlaps = 0;
	bool more, ok = true;

	range->slot = NULL;
	spin_lock(&subs->lock);
	mn_mark_bucket(subs);
	mn_start_colliding(subs, range);
	sub = mn_tree_iter_first(&subs->tree, range->start, mn_last(range));
	for (;;) {
		more = mn_collect(sub, range, &batch);
		spin_unlock(&subs->lock);

		overlaps += batch.n;
		ok = mn_call_batch(&batch, range, &finishes);
		if (likely(!more) || !ok)
			break;
		spin_lock(&subs->lock);
		sub = mn_tree_iter_next(batch.sub[MN_BATCH - 1], range->start,
					mn_last(range));
	}

	mn_finish(&finishes);
	if (!ok) {
		mn_end_colliding(subs, range);
		return -EAGAIN;
	}
	return overlaps;
}

/* -- what the core mm calls ------------------------------------------------------ */

/* What is not an invalidation that concerns nobody; keeps that one short. */
static noinline int mn_start_rest(struct mmu_notifier_subscriptions *subs,
				  struct mmu_notifier_range *range, bool quiet)
{
	long overlaps = 0;
	int ret = 0;

	if (subs->has_intervals && !quiet) {
		overlaps = mn_start_slow(subs, range);
		if (overlaps < 0) {
			ret = overlaps;
			overlaps = 0;
		}
	}
	if (!ret && !hlist_empty(&subs->list)) {
		ret = mn_plain_invalidate_start(subs, range);
		/* A start that fails has no end. */
		if (ret && subs->has_intervals)
			mn_end_intervals(subs, range);
	}
	trace_mmu_notifier_invalidate_start(range, overlaps, ret);
	return ret;
}

int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->mm->notifier_subscriptions;
	bool quiet = subs->has_intervals && mn_start_quiet(subs, range);

	if (!quiet || unlikely(!hlist_empty(&subs->list)))
		return mn_start_rest(subs, range, quiet);
	trace_mmu_notifier_invalidate_start(range, 0, 0);
	return 0;
}

static noinline void mn_end_rest(struct mmu_notifier_subscriptions *subs,
				 struct mmu_notifier_range *range, bool quiet)
{
	unsigned int woken = 0;

	if (subs->has_intervals && !quiet)
		woken = mn_end_colliding(subs, range);
	if (!hlist_empty(&subs->list))
		mn_plain_invalidate_end(subs, range);
	trace_mmu_notifier_invalidate_end(range, woken);
}

void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->mm->notifier_subscriptions;
	bool quiet = subs->has_intervals && mn_end_quiet(range);

	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	if (!quiet || unlikely(!hlist_empty(&subs->list)))
		mn_end_rest(subs, range, quiet);
	else
		trace_mmu_notifier_invalidate_end(range, 0);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
}

/* The last user of the mm is gone; its pages are about to be freed. */
void __mmu_notifier_release(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mm->notifier_subscriptions;

	if (subs->has_intervals) {
		struct mmu_notifier_range range;

		/* One that is over at once: there is nothing left to change. */
		mmu_notifier_range_init(&range, MMU_NOTIFY_RELEASE,
					MMU_NOTIFIER_RANGE_BLOCKABLE, mm, 0,
					ULONG_MAX);
		mn_start_slow(subs, &range);
		mn_end_intervals(subs, &range);
	}
	if (!hlist_empty(&subs->list))
		mn_plain_release(subs, mm);
}
