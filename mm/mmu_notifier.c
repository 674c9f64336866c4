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
 *                   nothing overlaps
 *	  idle ----------------------------> quiet ---+
 *	   ^ |                                 |      | end
 *	   | | a subscription overlaps         | a subscription that overlaps
 *	   | v                                 v is inserted
 *	   | colliding <-----------------------+
 *	   |     |                                    |
 *	   +-----+------------------------------------+
 *	    end, or refused (non-blockable)
 *
 *  quiet: in a bucket, which is a list with a lock that CPUs pick by their number and
 *	that all mms share. The state is entered under the bucket's lock after a look at
 *	the mm's tree of subscriptions that takes no lock of the mm. So an invalidation
 *	that concerns nobody writes nothing that the mm's other threads read.
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
 * Locks, in this order:
 *  - subscriptions->lock: changes to the tree, the list of colliding, the waiters,
 *    the last ticket, the list of plain notifiers.
 *  - mn_bucket->lock: the list of quiet ones. Also holds off the end of remove while
 *    its owner looks at the tree.
 * Both are held for short stretches and never across a callback. Above them are the
 * locks of the mm (every invalidation holds the mmap lock, a VMA's or a reverse map
 * lock) and the driver's. A lock that a callback takes must not be held across
 * read_begin, remove or anything else that waits for an invalidation to end: lockdep
 * knows all of them as mmu_notifier_invalidate_range_start.
 *
 * The races that shaped this. Each is between two critical sections of one lock, or
 * has its barrier named in the code.
 *
 * A quiet start and an insert: one of them sees the other.
 *
 *	start					insert
 *	bucket->lock				subs->lock
 *	  look at the tree: nothing		  put it into the tree
 *	  put the range into the bucket		  for each bucket:
 *	bucket->unlock				    bucket->lock
 *						      ranges that overlap: colliding
 *						    bucket->unlock
 *
 * If the bucket's turn comes before the start's section, the tree shows the subscription
 * to the start; otherwise the bucket shows the range to the insert. A bucket that
 * this mm has not used yet is marked as used in that section, before the look at the
 * tree, and the insert looks at the marks after it has changed the tree.
 *
 * A look at the tree and a remove: the memory of the node.
 *
 *	start					remove
 *	bucket->lock				subs->lock
 *	  node = ...				  take it out of the tree
 *	  node->start				subs->unlock
 *	bucket->unlock				for each bucket: lock, unlock
 *						return, the driver frees it
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
#include <linux/interval_tree.h>
#include <linux/llist.h>
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

struct mn_bucket mn_buckets[MN_BUCKETS] = {
	[0 ... MN_BUCKETS - 1] = {
		.lock = __SPIN_LOCK_UNLOCKED(mn_buckets.lock),
	},
};

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

static struct mmu_interval_notifier *
mn_sub(struct interval_tree_node *node)
{
	return container_of(node, struct mmu_interval_notifier, interval_tree);
}

static struct interval_tree_node *mn_node(struct rb_node *rb)
{
	return rb_entry(rb, struct interval_tree_node, rb);
}

/* -- states and transitions ---------------------------------------------------- */

/*
 * Might a subscription overlap [start, last]? No lock of the mm is held: the caller's
 * bucket lock keeps the nodes allocated, and the rbtree keeps a descent from going
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

/*
 * idle -> quiet, if nothing overlaps. Returns false if something might; the range is
 * idle then.
 */
static __always_inline bool
mn_start_quiet(struct mmu_notifier_subscriptions *subs,
	       struct mmu_notifier_range *range)
{
	/* Any number would do, this one is usually nobody else's. */
	unsigned int i = raw_smp_processor_id() % MN_BUCKETS;
	struct mn_bucket *bucket = &mn_buckets[i];
	bool overlap;

	spin_lock(&bucket->lock);
	/* Pairs with the barrier in mn_buckets_of(). */
	if (unlikely(!(READ_ONCE(subs->buckets) & BIT(i)))) {
		set_bit(i, &subs->buckets);
		smp_mb__after_atomic(); /* the mark, then the tree */
	}
	overlap = mn_may_overlap(subs, range->start, mn_last(range));
	if (likely(!overlap)) {
		hlist_add_head(&range->in_flight, &bucket->quiet);
		range->bucket = bucket;
		range->seq = 0;
	}
	spin_unlock(&bucket->lock);
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

/* quiet -> idle; false if an insert has made it colliding. */
static bool mn_end_quiet(struct mmu_notifier_range *range)
{
	struct mn_bucket *bucket = range->bucket;
	bool quiet;

	spin_lock(&bucket->lock);
	quiet = !range->seq;
	if (likely(quiet))
		hlist_del(&range->in_flight);
	spin_unlock(&bucket->lock);
	return quiet;
}

/* -- callbacks ------------------------------------------------------------------ */

/*
 * Collect subscriptions that the range overlaps, from node on. Returns whether there
 * may be more after the last one.
 *
 * That one stays in the tree for as long as the range is in flight, so it is a place
 * to go on from. One that began to go before the range started is not waiting for
 * it, and is passed over.
 */
static bool mn_collect(struct interval_tree_node *node,
		       const struct mmu_notifier_range *range, bool started,
		       struct mn_batch *batch)
{
	batch->n = 0;
	for (; node; node = interval_tree_iter_next(node, range->start,
						    mn_last(range))) {
		struct mmu_interval_notifier *sub = mn_sub(node);

		if (unlikely(sub->remover) &&
		    (!started || mn_later(range->seq, sub->remover->seq)))
			continue;
		batch->sub[batch->n++] = sub;
		if (batch->n == MN_BATCH)
			return true;
	}
	return false;
}

static bool mn_call(struct mmu_interval_notifier *sub,
		    const struct mmu_notifier_range *range,
		    struct llist_head *finishes)
{
	const struct mmu_interval_notifier_ops *ops = sub->ops;
	struct mmu_interval_notifier_finish *finish = NULL;
	bool ret;

	if (!ops->invalidate_start)
		return ops->invalidate(sub, range, range->seq);

	ret = ops->invalidate_start(sub, range, range->seq, &finish);
	/* Who refuses has started nothing that could be finished. */
	if (finish && !WARN_ON(!ret)) {
		finish->notifier = sub;
		__llist_add(&finish->link, finishes);
	}
	return ret;
}

/* Returns false if a callback of a non-blockable invalidation would have to sleep. */
static bool mn_call_batch(struct mn_batch *batch,
			  const struct mmu_notifier_range *range,
			  struct llist_head *finishes)
{
	unsigned int i;

	for (i = 0; i < batch->n; i++) {
		bool ret;

		if (mmu_notifier_range_blockable(range)) {
			ret = mn_call(batch->sub[i], range, finishes);
			/* The entries will change, whatever it says. */
			WARN_ON(!ret);
			continue;
		}
		non_block_start();
		ret = mn_call(batch->sub[i], range, finishes);
		non_block_end();
		if (!ret)
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

/*
 * A subscription may overlap: the certain way. Returns how many were called, or -EAGAIN
 * if one of them refused; the range is idle then.
 */
static noinline long mn_start_slow(struct mmu_notifier_subscriptions *subs,
				   struct mmu_notifier_range *range)
{
	LLIST_HEAD(finishes);
	struct interval_tree_node *node;
	struct mn_batch batch;
	long overlaps = 0;
	bool more, ok;

	spin_lock(&subs->lock);
	node = interval_tree_iter_first(&subs->tree, range->start, mn_last(range));
	more = mn_collect(node, range, false, &batch);
	if (!batch.n) {
		struct mn_bucket *bucket = &mn_buckets[0];

		/* Nobody, after all; subs->lock holds off a change of that. */
		set_bit(0, &subs->buckets);
		spin_lock(&bucket->lock);
		hlist_add_head(&range->in_flight, &bucket->quiet);
		range->bucket = bucket;
		range->seq = 0;
		spin_unlock(&bucket->lock);
		spin_unlock(&subs->lock);
		return 0;
	}
	range->bucket = NULL;
	mn_start_colliding(subs, range);
	spin_unlock(&subs->lock);

	for (;;) {
		overlaps += batch.n;
		ok = mn_call_batch(&batch, range, &finishes);
		if (!ok || !more)
			break;
		spin_lock(&subs->lock);
		node = interval_tree_iter_next(&batch.sub[MN_BATCH - 1]->interval_tree,
					       range->start, mn_last(range));
		more = mn_collect(node, range, true, &batch);
		spin_unlock(&subs->lock);
	}

	mn_finish(&finishes);
	if (!ok) {
		mn_end_colliding(subs, range);
		return -EAGAIN;
	}
	return overlaps;
}

/* Returns how many waiters were woken. */
static unsigned int mn_end_intervals(struct mmu_notifier_subscriptions *subs,
				     struct mmu_notifier_range *range)
{
	if (range->bucket && mn_end_quiet(range))
		return 0;
	return mn_end_colliding(subs, range);
}

/* -- what the core mm calls ------------------------------------------------------ */

int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->mm->notifier_subscriptions;
	long overlaps = 0;
	int ret = 0;

	if (subs->has_intervals && !mn_start_quiet(subs, range)) {
		overlaps = mn_start_slow(subs, range);
		if (overlaps < 0)
			ret = overlaps;
	}
	if (!ret && unlikely(!hlist_empty(&subs->list))) {
		ret = mn_plain_invalidate_start(subs, range);
		/* A start that fails has no end. */
		if (ret && subs->has_intervals)
			mn_end_intervals(subs, range);
	}
	trace_mmu_notifier_invalidate_start(range, overlaps, ret);
	return ret;
}

void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->mm->notifier_subscriptions;
	unsigned int woken = 0;

	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	if (subs->has_intervals)
		woken = mn_end_intervals(subs, range);
	if (unlikely(!hlist_empty(&subs->list)))
		mn_plain_invalidate_end(subs, range);
	trace_mmu_notifier_invalidate_end(range, woken);
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
