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
 * and its invalidate callback takes the same lock, calls mmu_interval_set_seq() and drops
 * what it has. For each invalidation there are four cases:
 *
 *  - it calls back after the retry: the callback drops the new entries;
 *  - it calls back between read_begin and the retry: the retry sees that;
 *  - it called back before read_begin, and has not ended;
 *  - it will never call back: the subscription was born inside it.
 *
 * For the last two read_begin waits until it ends. All that follows is there to tell
 * which these are, for one subscription, without anybody else paying for it.
 *
 * An invalidation in flight is its struct mmu_notifier_range, on the stack of whoever
 * announced it. It is in one of two places:
 *
 *  quiet: nothing overlaps it. Its address is in a slot, which is a word. CPUs have a
 *	bucket of slots each, which all mms share. The way there takes no lock, and
 *	writes nothing that other threads of the mm read.
 *  colliding: in the mm's list of these, with a ticket. That is a number, always odd,
 *	that no other one has: the cur_seq of the callbacks.
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
 * A subscription is a struct mmu_interval_notifier, in the mm's interval tree:
 *
 *	absent --insert--> live --remove--> removing --> absent
 *
 *  live: every invalidation that starts calls it if it overlaps.
 *  removing: still in the tree, so that those which are in flight find their way on,
 *	but one that starts does not see it. This ends when those have ended that were
 *	colliding with it when it began: neither collisions elsewhere nor later ones
 *	here can hold it up. The driver has seen to it before that the device does
 *	not use the range any more, or that the pages are pinned.
 *
 * What always holds:
 *
 *  I1 A quiet invalidation overlaps no live subscription.
 *  I2 An invalidation in flight that overlaps a live subscription is in the list.
 *  I3 A subscription that it overlaps stays in the tree until it ends, unless remove
 *     had begun before it started.
 *
 * Waiting is exact. A waiter (reader or remover) counts the colliding invalidations that
 * overlap it, and keeps the last ticket with the count. One that ends lowers the count
 * of each waiter that it overlaps and whose ticket is not older than its own; a waiter
 * wakes up when its count is zero. The work is in proportion to the threads of the
 * process that are inside a collision.
 *
 * Here is the side of whoever changes entries; mmu_interval.c is the side of the
 * subscribers (insert, remove, read), mmu_notifier_plain.c has the plain notifiers.
 *
 * subscriptions->lock covers changes to the tree, the list of colliding, the waiters, the
 * last ticket, the list of plain notifiers. It is held for short stretches and never
 * across a callback. Lock order:
 *
 *	the mm's: mmap lock, a VMA's or a reverse map lock (from start to end of each)
 *	  the driver's, taken by callbacks
 *	    subscriptions->lock
 *
 * A lock that a callback takes must not be held across read_begin, remove or anything
 * else that waits for an invalidation to end: lockdep knows all of these as
 * mmu_notifier_invalidate_range_start.
 *
 * The races that shaped this:
 *
 * A quiet start and an insert (I1): one of them sees the other.
 *
 *	start					insert (under subs->lock)
 *	slot = LOOKING				put it into the tree
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
 *	slot = LOOKING				take it out of the tree
 *	full barrier				full barrier
 *	node = ...				for each slot:
 *	node->start				  wait while LOOKING
 *	slot = range, or 0 (release)		return, the driver frees it
 *
 * A look during a change of the tree may miss nodes; the sequence count tells, and the
 * start goes the slow way, under subs->lock. It may even go round in a circle for as long
 * as the stores of a rotation take to arrive; the next change waits for it to end.
 *
 * These waits are the one thing that ties mms together. They are for a look at a tree
 * that is not preempted.
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
	struct mmu_interval_notifier **end;
	struct mmu_interval_notifier *sub[MN_BATCH];
};

/* Tickets wrap; those that are compared are never half the way round apart. */
static bool mn_later(unsigned long ticket, unsigned long than)
{
	return (long)(ticket - than) > 0;
}

static struct mmu_interval_notifier *mn_sub(struct rb_node *rb)
{
	return rb_entry(rb, struct mmu_interval_notifier, interval_tree.rb);
}

static unsigned long mn_subtree_last(struct rb_node *rb)
{
	return READ_ONCE(mn_sub(rb)->interval_tree.__subtree_last);
}

/* -- states and transitions ---------------------------------------------------- */

/*
 * The first subscription that overlaps [start, last], or NULL; worth something if the
 * tree has not changed meanwhile. No lock is held: the caller's slot, which is LOOKING,
 * keeps the nodes allocated.
 *
 * The descent is that of interval_tree_iter_first(), which may not be called while
 * somebody changes the tree.
 */
static __always_inline struct mmu_interval_notifier *
mn_look(const struct mmu_notifier_subscriptions *subs, unsigned long start,
	unsigned long last)
{
	struct rb_node *rb = READ_ONCE(subs->tree.rb_leftmost);

	if (!rb || mn_sub(rb)->interval_tree.start > last)
		return NULL;
	rb = READ_ONCE(subs->tree.rb_root.rb_node);
	if (!rb || mn_subtree_last(rb) < start)
		return NULL;

	/* Here, the subtree of rb has an interval that ends at start or later. */
	for (;;) {
		struct mmu_interval_notifier *sub = mn_sub(rb);
		struct rb_node *child = READ_ONCE(rb->rb_left);

		/*
		 * If there is one on the left, then one that overlaps is there or
		 * nowhere: what is on the right starts later still.
		 */
		if (child && mn_subtree_last(child) >= start) {
			rb = child;
			continue;
		}
		if (sub->interval_tree.start > last)
			return NULL;
		if (sub->interval_tree.last >= start)
			return sub;
		rb = READ_ONCE(rb->rb_right);
		if (!rb || mn_subtree_last(rb) < start)
			return NULL;
	}
}

static unsigned int mn_bucket(void)
{
	/* Any would do, this one is usually nobody else's. */
	return (unsigned int)raw_smp_processor_id() % MN_BUCKETS;
}

/*
 * idle -> quiet, if nothing overlaps. Returns false if something might, or there is no
 * slot; the range is idle then. *found is the first that overlaps as of *tree_seq, or
 * NULL.
 */
static __always_inline bool
mn_start_quiet(struct mmu_notifier_subscriptions *subs,
	       struct mmu_notifier_range *range,
	       struct mmu_interval_notifier **found, unsigned int *tree_seq)
{
	unsigned int i = mn_bucket();
	struct mn_slot *slot = mn_buckets[i].slot;
	unsigned long old = 0;
	bool quiet;

	*found = NULL;
	/*
	 * Who sees the mark sees the tree as it was then: a branch, and the full
	 * barrier below. Pairs with the release in mn_mark_bucket().
	 */
	if (unlikely(!(READ_ONCE(subs->buckets) & BIT(i))))
		return false;

	preempt_disable();
	/* A full barrier, between the slot and the tree; pairs with mn_buckets_of(). */
	while (!try_cmpxchg(&slot->range, &old, MN_LOOKING)) {
		if (++slot == mn_buckets[i].slot + MN_SLOTS) {
			preempt_enable();
			return false;
		}
		old = 0;
	}
	range->slot = slot;
	*tree_seq = raw_seqcount_begin(&subs->tree_seq);
	*found = mn_look(subs, range->start, mn_last(range));
	quiet = !read_seqcount_retry(&subs->tree_seq, *tree_seq) && !*found;
	/* Whoever finds it not LOOKING knows that the nodes are not looked at any more. */
	smp_store_release(&slot->range, quiet ? (unsigned long)range : 0);
	preempt_enable();
	return quiet;
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
		/* Nobody touches the waiter after this: it is on a stack. */
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
	__hlist_del(&range->in_flight);
	if (!list_empty(&subs->waiters))
		woken = mn_wake(subs, range);
	/* Whoever reads 0 reads the new entries, too; pairs with read_begin. */
	smp_store_release(&subs->nr_colliding, subs->nr_colliding - 1);
	spin_unlock(&subs->lock);
	return woken;
}

/* An insert holds the slot: wait, it may let go or make the range colliding. */
static noinline bool mn_end_held(struct mmu_notifier_range *range)
{
	unsigned long old = (unsigned long)range;

	while (!try_cmpxchg(&range->slot->range, &old, 0)) {
		/* Anything else: the slot is not ours any more. */
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
 * That one stays in the tree for as long as the range is in flight (I3), so it is a
 * place to go on from. One that began to go before the range started is not waiting for
 * it, and is passed over.
 */
static __always_inline bool mn_collect(struct mmu_interval_notifier *sub,
				       const struct mmu_notifier_range *range,
				       struct mn_batch *batch)
{
	unsigned long start = range->start, last = mn_last(range);
	struct mmu_interval_notifier **next = batch->sub;

	for (; sub; sub = mn_tree_iter_next(sub, start, last)) {
		if (unlikely(sub->remover) && mn_later(range->seq, sub->remover->seq))
			continue;
		*next++ = sub;
		if (next == batch->sub + MN_BATCH)
			break;
	}
	batch->end = next;
	return sub;
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

static __always_inline bool mn_call(struct mmu_interval_notifier *sub,
				    const struct mmu_notifier_range *range,
				    struct llist_head *finishes)
{
	if (likely(sub->ops->invalidate))
		return sub->ops->invalidate(sub, range, range->seq);
	return mn_call_two_pass(sub, range, finishes);
}

static __always_inline void mn_call_batch(struct mn_batch *batch,
					  const struct mmu_notifier_range *range,
					  struct llist_head *finishes)
{
	struct mmu_interval_notifier **sub;
	bool ok = true;

	for (sub = batch->sub; sub != batch->end; sub++)
		ok &= mn_call(*sub, range, finishes);
	/* The entries will change, whatever they say. */
	WARN_ON(!ok);
}

/* Returns false if a callback would have to sleep. */
static noinline bool mn_call_batch_nonblock(struct mn_batch *batch,
					    const struct mmu_notifier_range *range,
					    struct llist_head *finishes)
{
	struct mmu_interval_notifier **sub;
	bool ok = true;

	mn_non_block_start();
	for (sub = batch->sub; ok && sub != batch->end; sub++)
		ok = mn_call(*sub, range, finishes);
	mn_non_block_end();
	return ok;
}

static noinline void mn_finish(const struct mmu_notifier_range *range,
			       struct llist_head *finishes)
{
	struct mmu_interval_notifier_finish *finish, *next;

	if (!mmu_notifier_range_blockable(range))
		mn_non_block_start();
	llist_for_each_entry_safe(finish, next,
				  llist_reverse_order(__llist_del_all(finishes)),
				  link)
		finish->notifier->ops->invalidate_finish(finish);
	if (!mmu_notifier_range_blockable(range))
		mn_non_block_end();
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
 * A subscription may overlap: the certain way, idle -> colliding. found: the first one as
 * of tree_seq, or NULL. Returns how many were called, or -EAGAIN if one of them
 * refused; the range is idle then.
 */
static __always_inline long
mn_start_slow(struct mmu_notifier_subscriptions *subs,
	      struct mmu_notifier_range *range,
	      struct mmu_interval_notifier *found, unsigned int tree_seq)
{
	/* Not worth what it costs to have all of it initialised. */
	struct mn_batch batch __uninitialized;
	LLIST_HEAD(finishes);
	long overlaps = 0;
	bool more, ok = true;

	range->slot = NULL;
	spin_lock(&subs->lock);
	if (unlikely(!found))
		mn_mark_bucket(subs);
	mn_start_colliding(subs, range);
	if (!found || read_seqcount_retry(&subs->tree_seq, tree_seq))
		found = mn_tree_iter_first(&subs->tree, range->start, mn_last(range));
	for (;;) {
		more = mn_collect(found, range, &batch);
		spin_unlock(&subs->lock);

		overlaps += batch.end - batch.sub;
		if (likely(mmu_notifier_range_blockable(range)))
			mn_call_batch(&batch, range, &finishes);
		else
			ok = mn_call_batch_nonblock(&batch, range, &finishes);
		if (likely(!more) || !ok)
			break;
		spin_lock(&subs->lock);
		found = mn_tree_iter_next(batch.end[-1], range->start, mn_last(range));
	}

	if (unlikely(!llist_empty(&finishes)))
		mn_finish(range, &finishes);
	if (unlikely(!ok)) {
		mn_end_colliding(subs, range);
		return -EAGAIN;
	}
	return overlaps;
}

/* -- what the core mm calls ------------------------------------------------------ */

/* The rest of a start whose interval notifiers have been called, or are none. */
static noinline int mn_start_plain(struct mmu_notifier_subscriptions *subs,
				   struct mmu_notifier_range *range, long overlaps)
{
	int ret = mn_plain_invalidate_start(subs, range);

	/* A start that fails has no end. */
	if (ret && subs->has_intervals)
		mn_end_intervals(subs, range);
	trace_mmu_notifier_invalidate_start(range, overlaps, ret);
	return ret;
}

static noinline int mn_start_rest(struct mmu_notifier_subscriptions *subs,
				  struct mmu_notifier_range *range,
				  struct mmu_interval_notifier *found,
				  unsigned int tree_seq)
{
	long overlaps = mn_start_slow(subs, range, found, tree_seq);

	if (unlikely(overlaps < 0)) {
		trace_mmu_notifier_invalidate_start(range, 0, overlaps);
		return overlaps;
	}
	if (unlikely(!hlist_empty(&subs->list)))
		return mn_start_plain(subs, range, overlaps);
	trace_mmu_notifier_invalidate_start(range, overlaps, 0);
	return 0;
}

/* What needs a stack frame is elsewhere: the common case is that nothing overlaps. */
int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->mm->notifier_subscriptions;
	struct mmu_interval_notifier *found;
	unsigned int tree_seq = 0;

	if (likely(subs->has_intervals) &&
	    !mn_start_quiet(subs, range, &found, &tree_seq))
		return mn_start_rest(subs, range, found, tree_seq);
	if (unlikely(!hlist_empty(&subs->list)))
		return mn_start_plain(subs, range, 0);
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
		unsigned int woken;
		long overlaps;

		/*
		 * One that is over at once: there is nothing left to change. No lock
		 * of the mm is held, and none needed: nobody can join any more.
		 */
		mmu_notifier_range_init(&range, MMU_NOTIFY_RELEASE,
					MMU_NOTIFIER_RANGE_BLOCKABLE, mm, 0,
					ULONG_MAX);
		overlaps = mn_start_slow(subs, &range, NULL, 0);
		trace_mmu_notifier_invalidate_start(&range, overlaps, 0);
		woken = mn_end_colliding(subs, &range);
		trace_mmu_notifier_invalidate_end(&range, woken);
	}
	if (!hlist_empty(&subs->list))
		mn_plain_release(subs, mm);
}
