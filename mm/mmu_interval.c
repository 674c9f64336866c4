// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interval notifiers, the side of the subscribers: insert, remove, and beginning to
 * read. What they have to be right against is in mmu_notifier.c, and so is the
 * protocol, with its states, locks and races.
 */

#include <linux/completion.h>
#include <linux/export.h>
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <trace/events/mmu_notifier.h>

#include "mmu_notifier_internal.h"

/*
 * raw_: the lock that serialises these is not one that the sequence count has to know.
 * Nobody waits for an even count, so it does not matter if a writer is preempted.
 */
static void mn_tree_insert(struct mmu_notifier_subscriptions *subs,
			   struct mmu_interval_notifier *interval_sub)
{
	struct interval_tree_node *node = &interval_sub->interval_tree;

	lockdep_assert_held(&subs->lock);
	/*
	 * The tree links a node with plain stores: whoever comes by without the lock
	 * finds the same contents before these as after them. The write barrier is
	 * in raw_write_seqcount_begin().
	 */
	node->rb.rb_left = NULL;
	node->rb.rb_right = NULL;
	node->__subtree_last = node->last;
	raw_write_seqcount_begin(&subs->tree_seq);
	interval_tree_insert(node, &subs->tree);
	raw_write_seqcount_end(&subs->tree_seq);
}

static void mn_tree_remove(struct mmu_notifier_subscriptions *subs,
			   struct mmu_interval_notifier *interval_sub)
{
	lockdep_assert_held(&subs->lock);
	raw_write_seqcount_begin(&subs->tree_seq);
	interval_tree_remove(&interval_sub->interval_tree, &subs->tree);
	raw_write_seqcount_end(&subs->tree_seq);
	/* So that a second remove is noticed. */
	RB_CLEAR_NODE(&interval_sub->interval_tree.rb);
}

/* How many invalidations are in flight that the subscription collides with? */
static unsigned int
mn_collisions(const struct mmu_notifier_subscriptions *subs,
	      const struct mmu_interval_notifier *interval_sub)
{
	const struct mmu_notifier_range *range;
	unsigned int n = 0;

	lockdep_assert_held(&subs->lock);
	hlist_for_each_entry(range, &subs->colliding, in_flight)
		n += mn_overlaps(range, &interval_sub->interval_tree);
	return n;
}

/* Returns for how many invalidations to wait; if any, the waiter is listed. */
static unsigned int
mn_wait_prepare(struct mmu_notifier_subscriptions *subs,
		const struct mmu_interval_notifier *interval_sub,
		struct mn_waiter *waiter)
{
	unsigned int pending = mn_collisions(subs, interval_sub);

	if (pending) {
		waiter->interval = &interval_sub->interval_tree;
		waiter->seq = subs->seq;
		waiter->pending = pending;
		init_completion(&waiter->done);
		list_add_tail(&waiter->link, &subs->waiters);
	}
	return pending;
}

/*
 * Who waits for invalidations waits for their callbacks, and for what these wait
 * for. Said always, so that lockdep sees it without a collision. The debugging half of
 * might_sleep(): without a collision there is no reason to offer the CPU.
 */
static void mn_might_wait(void)
{
	__might_sleep(__FILE__, __LINE__);
	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
}

/*
 * The buckets that may have to do with a change of the tree that was just made. A bucket
 * that is marked later, and a slot that is taken later, has an owner who sees the change.
 */
static unsigned long mn_buckets_of(struct mmu_notifier_subscriptions *subs)
{
	smp_mb(); /* the change of the tree, then the slots; see mn_start_quiet() */
	return READ_ONCE(subs->buckets);
}

/*
 * Keep the owner of a quiet invalidation from ending it. Returns which one that is, or
 * NULL if the slot is free. Preemption is off until mn_let_go().
 */
static struct mmu_notifier_range *mn_hold(struct mn_slot *slot)
{
	unsigned long value;

	for (;;) {
		/* Acquire: if one has just ended, our readers see what it has changed. */
		value = smp_load_acquire(&slot->range);
		if (!value)
			return NULL;
		/* MN_LOOKING, or held by another insert */
		if (value & MN_HELD) {
			cpu_relax();
			continue;
		}
		preempt_disable();
		if (try_cmpxchg(&slot->range, &value, value | MN_HELD))
			return (struct mmu_notifier_range *)value;
		preempt_enable();
	}
}

/* range: as it was held; NULL: it has left the slot */
static void mn_let_go(struct mn_slot *slot, struct mmu_notifier_range *range)
{
	/* Who ends it, or takes the slot next, sees what was done to it. */
	smp_store_release(&slot->range, (unsigned long)range);
	preempt_enable();
}

/*
 * quiet -> colliding, for all that overlap a subscription that has just been put
 * into the tree.
 */
static void mn_promote(struct mmu_notifier_subscriptions *subs,
		       struct mmu_interval_notifier *interval_sub)
{
	unsigned long buckets = mn_buckets_of(subs);
	unsigned int i;

	lockdep_assert_held(&subs->lock);
	for_each_set_bit(i, &buckets, MN_BUCKETS) {
		struct mn_slot *slot = mn_buckets[i].slot;
		struct mn_slot *end = slot + MN_SLOTS;

		for (; slot < end; slot++) {
			struct mmu_notifier_range *range = mn_hold(slot);

			if (!range)
				continue;
			if (range->mm == interval_sub->mm &&
			    mn_overlaps(range, &interval_sub->interval_tree)) {
				mn_start_colliding(subs, range);
				range = NULL;
			}
			mn_let_go(slot, range);
		}
	}
}

/* A subscription has left the tree: when this returns, nobody looks at it any more. */
static void mn_wait_for_walkers(struct mmu_notifier_subscriptions *subs)
{
	unsigned long buckets = mn_buckets_of(subs);
	unsigned int i;

	for_each_set_bit(i, &buckets, MN_BUCKETS) {
		struct mn_slot *slot = mn_buckets[i].slot;
		struct mn_slot *end = slot + MN_SLOTS;

		for (; slot < end; slot++)
			/* Pairs with the release in mn_start_quiet(). */
			while (smp_load_acquire(&slot->range) == MN_LOOKING)
				cpu_relax();
	}
}

/* Begin to read if no invalidation of the mm collides with anybody. */
static __always_inline bool
mn_read_begin_fast(const struct mmu_notifier_subscriptions *subs,
		   const struct mmu_interval_notifier *interval_sub,
		   unsigned long *seq)
{
	/* The number first, then the count: see mmu_notifier.c. */
	*seq = smp_load_acquire(&interval_sub->invalidate_seq);
	/* ... and the count before the entries. */
	return likely(!smp_load_acquire(&subs->nr_colliding));
}

/**
 * mmu_interval_try_read_begin - mmu_interval_read_begin() that does not wait
 * @interval_sub: the subscription
 * @seq: for mmu_interval_read_retry(), if the return is true
 *
 * Context: any that may take a spinlock.
 * Return: true if no invalidation that overlaps the subscription is in flight, and the
 *	read has begun; false if it would have to wait.
 */
bool mmu_interval_try_read_begin(struct mmu_interval_notifier *interval_sub,
				 unsigned long *seq)
{
	struct mmu_notifier_subscriptions *subs =
		interval_sub->mm->notifier_subscriptions;
	bool collides;

	if (mn_read_begin_fast(subs, interval_sub, seq))
		return true;

	spin_lock(&subs->lock);
	*seq = READ_ONCE(interval_sub->invalidate_seq);
	collides = mn_collisions(subs, interval_sub);
	spin_unlock(&subs->lock);
	return !collides;
}
EXPORT_SYMBOL_GPL(mmu_interval_try_read_begin);

/* read_begin, when there are collisions in the mm */
static noinline unsigned long
mn_read_begin_slow(struct mmu_notifier_subscriptions *subs,
		   struct mmu_interval_notifier *interval_sub)
{
	struct mn_waiter waiter;
	unsigned long seq, fresh;
	unsigned int pending;

	spin_lock(&subs->lock);
	seq = READ_ONCE(interval_sub->invalidate_seq);
	pending = mn_wait_prepare(subs, interval_sub, &waiter);
	spin_unlock(&subs->lock);
	if (!pending)
		return seq;

	trace_mmu_interval_wait(interval_sub, pending);
	wait_for_completion(&waiter.done);

	/*
	 * Those that were waited for have called the callback, and seq has probably
	 * passed. A new collision may be there already: no second wait, so that
	 * the caller can bound the time by bounding its retries.
	 */
	if (mmu_interval_try_read_begin(interval_sub, &fresh))
		return fresh;
	return seq;
}

/* No longer waiting: the time is up, or the task is being killed. */
static void mn_wait_cancel(struct mmu_notifier_subscriptions *subs,
			   struct mn_waiter *waiter)
{
	spin_lock(&subs->lock);
	/* Otherwise whoever was the last one has just taken it off the list. */
	if (waiter->pending)
		list_del(&waiter->link);
	spin_unlock(&subs->lock);
}

/**
 * mn_read_begin_until - mmu_interval_read_begin() that can be killed and has a time limit
 * @interval_sub: the subscription
 * @seq: for mmu_interval_read_retry()
 * @deadline: in jiffies; 0 for none
 *
 * Other than mmu_interval_read_begin() it goes on waiting while there are collisions.
 *
 * Context: as mmu_interval_read_begin()
 * Return: 0; -EBUSY when the time is up, -EINTR when the task is being killed
 */
int mn_read_begin_until(struct mmu_interval_notifier *interval_sub, unsigned long *seq,
			unsigned long deadline)
{
	struct mmu_notifier_subscriptions *subs =
		interval_sub->mm->notifier_subscriptions;
	long left = MAX_SCHEDULE_TIMEOUT;
	struct mn_waiter waiter;
	unsigned int pending;

	mn_might_wait();
	for (;;) {
		if (mn_read_begin_fast(subs, interval_sub, seq))
			return 0;

		spin_lock(&subs->lock);
		*seq = READ_ONCE(interval_sub->invalidate_seq);
		pending = mn_wait_prepare(subs, interval_sub, &waiter);
		spin_unlock(&subs->lock);
		if (!pending)
			return 0;

		trace_mmu_interval_wait(interval_sub, pending);
		if (deadline)
			left = max_t(long, deadline - jiffies, 0);
		left = wait_for_completion_killable_timeout(&waiter.done, left);
		if (left <= 0) {
			mn_wait_cancel(subs, &waiter);
			return left ? -EINTR : -EBUSY;
		}
	}
}

/**
 * mmu_interval_read_begin - begin to read page table entries for a shadow
 * @interval_sub: the subscription; the reader stays within its range
 *
 * Waits for the invalidations that are in flight now and overlap the subscription,
 * for no others. Between this and mmu_interval_read_retry() the caller may sleep,
 * fault, and take the mmap lock; it reads and does not yet tell the device.
 *
 * Context: may sleep. Not under a lock that an invalidate callback takes, nor between
 *	the start and the end of an invalidation.
 * Return: a number for mmu_interval_read_retry(), which may already be true.
 */
unsigned long
mmu_interval_read_begin(struct mmu_interval_notifier *interval_sub)
{
	struct mmu_notifier_subscriptions *subs =
		interval_sub->mm->notifier_subscriptions;
	unsigned long seq;

	mn_might_wait();
	if (mn_read_begin_fast(subs, interval_sub, &seq))
		return seq;
	return mn_read_begin_slow(subs, interval_sub);
}
EXPORT_SYMBOL_GPL(mmu_interval_read_begin);

static int mn_insert(struct mmu_interval_notifier *interval_sub,
		     struct mm_struct *mm,
		     struct mmu_notifier_subscriptions *subs,
		     unsigned long start, unsigned long length,
		     const struct mmu_interval_notifier_ops *ops)
{
	unsigned int colliding = 0;
	unsigned long last;

	if (!length || check_add_overflow(start, length - 1, &last))
		return -EOVERFLOW;
	if (WARN_ON(atomic_read(&mm->mm_users) <= 0))
		return -EINVAL;
	/* One of the two ways, and all of it. */
	if (WARN_ON(!ops->invalidate == !ops->invalidate_start ||
		    !ops->invalidate_start != !ops->invalidate_finish))
		return -EINVAL;

	/* The memory only; mm_users is the business of whoever reads entries. */
	mmgrab(mm);
	interval_sub->mm = mm;
	interval_sub->ops = ops;
	interval_sub->remover = NULL;
	interval_sub->interval_tree.start = start;
	interval_sub->interval_tree.last = last;

	spin_lock(&subs->lock);
	/*
	 * Even, so no ticket, and a number that nobody has had. The last ticket would
	 * not do: it may still be set, by an invalidation that is on its way through
	 * the tree, and a number that comes back would let a reader pass that has missed
	 * another one in between.
	 */
	subs->seq += 2;
	interval_sub->invalidate_seq = subs->seq - 1;
	mn_tree_insert(subs, interval_sub);
	mn_promote(subs, interval_sub);
	if (trace_mmu_interval_insert_enabled())
		colliding = mn_collisions(subs, interval_sub);
	spin_unlock(&subs->lock);

	trace_mmu_interval_insert(interval_sub, colliding);
	return 0;
}

/**
 * mmu_interval_notifier_insert - subscribe to a range of an mm
 * @interval_sub: memory for the subscription
 * @mm: the mm; the caller holds a reference of its users
 * @start: first byte
 * @length: in bytes
 * @ops: callbacks
 *
 * When this returns, every invalidation that starts and overlaps the range calls
 * back; for those in flight mmu_interval_read_begin() waits. It waits for none
 * itself. The shadow is empty at first: it is filled by readers only.
 *
 * The subscription keeps the mm_struct allocated, not the address space.
 *
 * Context: the mm's first one takes the mmap lock for write: the caller does not
 *	hold it, nor another lock of the mm. May sleep.
 * Return: 0; -EOVERFLOW if @length is 0 or the range ends beyond the last address;
 *	-EINVAL for an mm without users or @ops without callbacks; for the mm's first
 *	one also -ENOMEM, or -EINTR as from mmu_notifier_register().
 */
int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_subscriptions *subs;
	int ret;

	might_lock(&mm->mmap_lock);

	/* Both pair with the releases in __mmu_notifier_register(). */
	subs = smp_load_acquire(&mm->notifier_subscriptions);
	/* As above: the mm is ready for intervals if this is set. */
	if (!subs || !smp_load_acquire(&subs->has_intervals)) {
		ret = mmu_notifier_register(NULL, mm);
		if (ret)
			return ret;
		subs = mm->notifier_subscriptions;
	}
	return mn_insert(interval_sub, mm, subs, start, length, ops);
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_insert);

/**
 * mmu_interval_notifier_insert_locked - the same for who holds the mmap lock
 * @interval_sub: memory for the subscription
 * @mm: the mm; the caller holds a reference of its users
 * @start: first byte
 * @length: in bytes
 * @ops: callbacks
 *
 * Context: the mmap lock is held for write. May sleep.
 * Return: as mmu_interval_notifier_insert().
 */
int mmu_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
					struct mm_struct *mm, unsigned long start,
					unsigned long length,
					const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_subscriptions *subs = mm->notifier_subscriptions;
	int ret;

	mmap_assert_write_locked(mm);

	if (!subs || !subs->has_intervals) {
		ret = __mmu_notifier_register(NULL, mm);
		if (ret)
			return ret;
		subs = mm->notifier_subscriptions;
	}
	return mn_insert(interval_sub, mm, subs, start, length, ops);
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_insert_locked);

/**
 * mmu_interval_notifier_remove - end a subscription
 * @interval_sub: inserted
 *
 * From here on no invalidation that starts calls back: the caller has seen to it that
 * the device does not use the range any more. Waits for the invalidations that
 * are in flight now and overlap the subscription, for no others. When it returns no
 * callback runs, and the memory may be freed; so may the mm_struct be.
 *
 * Safe against exit of the process in any order. The caller excludes readers of this
 * subscription. To subscribe to another range while the device goes on: insert a second
 * subscription first, then remove this one.
 *
 * Context: may sleep. Not from a callback, not under a lock that one takes, nor between
 *	the start and the end of an invalidation.
 */
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub)
{
	struct mm_struct *mm = interval_sub->mm;
	struct mmu_notifier_subscriptions *subs = mm->notifier_subscriptions;
	struct mn_waiter waiter;	/* interval_sub->remover until it is out of the tree */
	unsigned int pending;

	might_sleep();
	mn_might_wait();

	spin_lock(&subs->lock);
	/* Others, as they come and go, move it about in the tree. */
	if (WARN_ON(RB_EMPTY_NODE(&interval_sub->interval_tree.rb))) {
		spin_unlock(&subs->lock);
		return;
	}
	pending = mn_wait_prepare(subs, interval_sub, &waiter);
	if (pending)
		interval_sub->remover = &waiter;
	else
		mn_tree_remove(subs, interval_sub);
	spin_unlock(&subs->lock);

	trace_mmu_interval_remove(interval_sub, pending);
	if (pending) {
		wait_for_completion(&waiter.done);
		spin_lock(&subs->lock);
		mn_tree_remove(subs, interval_sub);
		spin_unlock(&subs->lock);
	}
	mn_wait_for_walkers(subs);
	mmdrop(mm);
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_remove);

/**
 * __mmu_interval_trace_retry - mmu_interval_read_retry() has said yes: trace it
 * @interval_sub: the subscription
 * @seq: the number that the read began with
 *
 * A header cannot have a trace event in line. Not to be called but by that function.
 *
 * Context: as mmu_interval_read_retry()
 */
void __mmu_interval_trace_retry(struct mmu_interval_notifier *interval_sub,
				unsigned long seq)
{
	trace_mmu_interval_retry(interval_sub, seq);
}
EXPORT_SYMBOL_GPL(__mmu_interval_trace_retry);
