// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain notifiers: subscribers that hear of everything that happens to an mm.
 *
 * They are a list that is walked under SRCU, so that a callback may sleep, and that
 * changes under the mm's subscriptions->lock. What the SRCU read side gives:
 *
 *  - unregister takes the notifier off the list and waits for a grace period: no
 *    callback runs when it returns;
 *  - put takes it off the list and frees it after a grace period;
 *  - exit (mn_plain_release) calls ->release inside a read side critical section and
 *    waits for a grace period at the end. So does unregister, and whoever comes
 *    second finds the notifier off the list and only waits for the other: when
 *    either returns, ->release has been called and has returned. That is why the
 *    pages of the mm can be freed then.
 *
 * No lock is held across a callback, SRCU's read side is none: a ->release may wait
 * for a worker that is in the middle of an invalidation.
 *
 * Joining is the difficult part. An invalidation that began before there was a
 * subscriber was not announced to it, and the subscriber would shadow entries that are
 * just changing. mm_take_all_locks() excludes that: every invalidation holds the mmap
 * lock, a VMA's lock or a reverse map lock from its start to its end, and all of them
 * are taken. This is done for each plain notifier, and once in the life of an mm for
 * its first interval notifier; all later ones find what is in flight noted.
 */

#include <linux/err.h>
#include <linux/export.h>
#include <linux/freezer.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "mmu_notifier_internal.h"

DEFINE_STATIC_SRCU(mn_srcu);

/* Inside srcu_read_lock(&mn_srcu). */
#define mn_for_each_plain(subscription, subs)				\
	hlist_for_each_entry_srcu(subscription, &(subs)->list, hlist,	\
				  srcu_read_lock_held(&mn_srcu))

static void mn_plain_end(struct mmu_notifier_subscriptions *subs,
			 struct mmu_notifier_range *range)
{
	struct mmu_notifier *subscription;

	mn_for_each_plain(subscription, subs) {
		if (!subscription->ops->invalidate_range_end)
			continue;
		if (!mmu_notifier_range_blockable(range))
			mn_non_block_start();
		subscription->ops->invalidate_range_end(subscription, range);
		if (!mmu_notifier_range_blockable(range))
			mn_non_block_end();
	}
}

static int mn_plain_start_one(struct mmu_notifier *subscription,
			      struct mmu_notifier_range *range)
{
	const struct mmu_notifier_ops *ops = subscription->ops;
	int ret;

	if (mmu_notifier_range_blockable(range)) {
		ret = ops->invalidate_range_start(subscription, range);
		/* There is no way back for the caller. */
		WARN(ret, "%pS refuses a blockable invalidation: %d\n",
		     ops->invalidate_range_start, ret);
		return ret;
	}

	mn_non_block_start();
	ret = ops->invalidate_range_start(subscription, range);
	mn_non_block_end();
	if (ret) {
		WARN(ret != -EAGAIN, "%pS fails with %d\n",
		     ops->invalidate_range_start, ret);
		/* The undoing would end what was not started. */
		WARN(ops->invalidate_range_end,
		     "%pS may refuse, and has an end\n",
		     ops->invalidate_range_start);
	}
	return ret;
}

/**
 * mn_plain_invalidate_start - announce an invalidation to the plain notifiers
 * @subs: of the mm
 * @range: the invalidation
 *
 * Return: 0; or, for a non-blockable one, what the last of those that refused
 *	returned. Nothing is left started then.
 */
int mn_plain_invalidate_start(struct mmu_notifier_subscriptions *subs,
			      struct mmu_notifier_range *range)
{
	struct mmu_notifier *subscription;
	int ret = 0;
	int idx;

	idx = srcu_read_lock(&mn_srcu);
	/*
	 * All of them, even when one has refused: those that may refuse have no
	 * end, so all ends can be called to undo the starts.
	 */
	mn_for_each_plain(subscription, subs) {
		int err;

		if (!subscription->ops->invalidate_range_start)
			continue;
		err = mn_plain_start_one(subscription, range);
		if (err)
			ret = err;
	}
	if (ret && !mmu_notifier_range_blockable(range))
		mn_plain_end(subs, range);
	else
		ret = 0;
	srcu_read_unlock(&mn_srcu, idx);
	return ret;
}

void mn_plain_invalidate_end(struct mmu_notifier_subscriptions *subs,
			     struct mmu_notifier_range *range)
{
	int idx;

	idx = srcu_read_lock(&mn_srcu);
	mn_plain_end(subs, range);
	srcu_read_unlock(&mn_srcu, idx);
}

int __mmu_notifier_clear_flush_young(struct mm_struct *mm, unsigned long start,
				     unsigned long end)
{
	struct mmu_notifier *subscription;
	int young = 0;
	int idx;

	idx = srcu_read_lock(&mn_srcu);
	mn_for_each_plain(subscription, mm->notifier_subscriptions) {
		if (subscription->ops->clear_flush_young)
			young |= subscription->ops->clear_flush_young(subscription, mm,
								      start, end);
	}
	srcu_read_unlock(&mn_srcu, idx);
	return young;
}

int __mmu_notifier_clear_young(struct mm_struct *mm, unsigned long start,
			       unsigned long end)
{
	struct mmu_notifier *subscription;
	int young = 0;
	int idx;

	idx = srcu_read_lock(&mn_srcu);
	mn_for_each_plain(subscription, mm->notifier_subscriptions) {
		if (subscription->ops->clear_young)
			young |= subscription->ops->clear_young(subscription, mm,
								start, end);
	}
	srcu_read_unlock(&mn_srcu, idx);
	return young;
}

int __mmu_notifier_test_young(struct mm_struct *mm, unsigned long address)
{
	struct mmu_notifier *subscription;
	int young = 0;
	int idx;

	idx = srcu_read_lock(&mn_srcu);
	mn_for_each_plain(subscription, mm->notifier_subscriptions) {
		if (subscription->ops->test_young)
			young = subscription->ops->test_young(subscription, mm,
							      address);
		/* One access is all there is to know. */
		if (young)
			break;
	}
	srcu_read_unlock(&mn_srcu, idx);
	return young;
}

void __mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						   unsigned long start,
						   unsigned long end)
{
	struct mmu_notifier *subscription;
	int idx;

	idx = srcu_read_lock(&mn_srcu);
	mn_for_each_plain(subscription, mm->notifier_subscriptions) {
		const struct mmu_notifier_ops *ops = subscription->ops;

		if (ops->arch_invalidate_secondary_tlbs)
			ops->arch_invalidate_secondary_tlbs(subscription, mm,
							    start, end);
	}
	srcu_read_unlock(&mn_srcu, idx);
}

/**
 * mn_plain_release - the process has exited: tell the plain notifiers
 * @subs: of the mm
 * @mm: has no users any more, so that nobody can join
 *
 * Context: may sleep, for as long as the callbacks do.
 */
void mn_plain_release(struct mmu_notifier_subscriptions *subs,
		      struct mm_struct *mm)
{
	struct mmu_notifier *subscription;
	int idx;

	idx = srcu_read_lock(&mn_srcu);
	mn_for_each_plain(subscription, subs) {
		if (subscription->ops->release)
			subscription->ops->release(subscription, mm);
	}

	spin_lock(&subs->lock);
	while (!hlist_empty(&subs->list))
		hlist_del_init_rcu(subs->list.first);
	spin_unlock(&subs->lock);
	srcu_read_unlock(&mn_srcu, idx);

	/* An unregister may have come first, and still be in its ->release. */
	synchronize_srcu(&mn_srcu);
}

/*
 * mm_take_all_locks() gives up when a signal is pending, so that a long list of VMAs
 * can be interrupted. Most callers cannot restart, and a timer that happens to fire
 * is no reason to fail. A signal that is pending does not interrupt again, but some
 * senders can repeat theirs for ever, and so does the freezer: hence the limit.
 */
#define MN_TRIES 4

static int mn_take_all_locks(struct mm_struct *mm)
{
	unsigned int tries;
	int ret = -EINTR;

	for (tries = 0; ret == -EINTR && tries < MN_TRIES; tries++) {
		bool notify;

		if (fatal_signal_pending(current) || freezing(current))
			return -EINTR;
		notify = test_and_clear_thread_flag(TIF_NOTIFY_SIGNAL);
		clear_thread_flag(TIF_SIGPENDING);
		ret = mm_take_all_locks(mm);
		if (notify)
			set_thread_flag(TIF_NOTIFY_SIGNAL);
		calculate_sigpending();
	}
	return ret;
}

static struct mmu_notifier_subscriptions *mn_subscriptions_alloc(void)
{
	struct mmu_notifier_subscriptions *subs;

	subs = kzalloc(sizeof(*subs), GFP_KERNEL);
	if (!subs)
		return NULL;
	INIT_HLIST_HEAD(&subs->list);
	seqcount_init(&subs->tree_seq);
	subs->tree = RB_ROOT_CACHED;
	spin_lock_init(&subs->lock);
	subs->seq = 1;
	INIT_HLIST_HEAD(&subs->colliding);
	INIT_LIST_HEAD(&subs->waiters);
	return subs;
}

/**
 * __mmu_notifier_register - mmu_notifier_register() under the mmap lock
 * @subscription: the notifier; NULL: only make the mm ready for interval notifiers
 * @mm: mm to be notified of
 *
 * Context: the mmap lock is held for write. May sleep.
 * Return: as mmu_notifier_register().
 */
int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mm->notifier_subscriptions;
	struct mmu_notifier_subscriptions *new = NULL;
	int ret;

	mmap_assert_write_locked(mm);
	if (WARN_ON(atomic_read(&mm->mm_users) <= 0))
		return -EINVAL;
	if (subscription) {
		const struct mmu_notifier_ops *ops = subscription->ops;

		/* A device walks the CPU's page table or has a shadow, not both. */
		if (WARN_ON_ONCE(ops->arch_invalidate_secondary_tlbs &&
				 (ops->invalidate_range_start ||
				  ops->invalidate_range_end)))
			return -EINVAL;
	}

	if (!subs) {
		new = mn_subscriptions_alloc();
		if (!new)
			return -ENOMEM;
		subs = new;
	}

	ret = mn_take_all_locks(mm);
	if (ret) {
		kfree(new);
		return ret;
	}

	if (subscription) {
		mmgrab(mm);
		subscription->mm = mm;
		subscription->users = 1;
		spin_lock(&subs->lock);
		hlist_add_head_rcu(&subscription->hlist, &subs->list);
		spin_unlock(&subs->lock);
	} else {
		/* For an insert that does not hold the mmap lock. */
		smp_store_release(&subs->has_intervals, true);
	}
	if (new) {
		/* For the same. */
		smp_store_release(&mm->notifier_subscriptions, new);
	}

	mm_drop_all_locks(mm);
	return 0;
}
EXPORT_SYMBOL_GPL(__mmu_notifier_register);

/**
 * mmu_notifier_register - hear of all that happens to an mm
 * @subscription: the notifier, with its ops set
 * @mm: mm to be notified of; the caller holds a reference of its users (it is
 *	current->mm, or from get_task_mm() or the like)
 *
 * Callbacks may run before this returns. To be undone by mmu_notifier_unregister(),
 * or by mmu_notifier_put().
 *
 * Context: takes the mmap lock for write: the caller holds neither that nor another
 *	lock of the mm. May sleep.
 * Return: 0, -ENOMEM, -EINVAL (callbacks that exclude one another), or -EINTR when
 *	the calling task is being killed or frozen, or gets one signal after another.
 */
int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm)
{
	int ret;

	mmap_write_lock(mm);
	ret = __mmu_notifier_register(subscription, mm);
	mmap_write_unlock(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_notifier_register);

/* The mm's notifier with these ops, with one more user; NULL if there is none. */
static struct mmu_notifier *
mn_find_get(struct mmu_notifier_subscriptions *subs,
	    const struct mmu_notifier_ops *ops)
{
	struct mmu_notifier *subscription, *found = NULL;

	spin_lock(&subs->lock);
	hlist_for_each_entry(subscription, &subs->list, hlist) {
		if (subscription->ops != ops)
			continue;
		if (subscription->users == UINT_MAX) {
			found = ERR_PTR(-EOVERFLOW);
			break;
		}
		subscription->users++;
		found = subscription;
		break;
	}
	spin_unlock(&subs->lock);
	return found;
}

/**
 * mmu_notifier_get_locked - the one notifier of an mm with these ops
 * @ops: identifies the notifier; ->alloc_notifier makes it when there is none yet
 * @mm: mm to be notified of; the caller holds a reference of its users
 *
 * Each get is paired with an mmu_notifier_put(). In between the notifier's mm pointer
 * stays valid; mmget_not_zero() makes it a usable address space.
 *
 * Context: the mmap lock is held for write. May sleep.
 * Return: the notifier; or ERR_PTR(): what ->alloc_notifier returned, -EOVERFLOW
 *	(2^32 users), or as from mmu_notifier_register().
 */
struct mmu_notifier *mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
					     struct mm_struct *mm)
{
	struct mmu_notifier *subscription;
	int ret;

	mmap_assert_write_locked(mm);

	if (mm->notifier_subscriptions) {
		subscription = mn_find_get(mm->notifier_subscriptions, ops);
		if (subscription)
			return subscription;
	}

	subscription = ops->alloc_notifier(mm);
	if (IS_ERR(subscription))
		return subscription;
	subscription->ops = ops;
	ret = __mmu_notifier_register(subscription, mm);
	if (ret) {
		ops->free_notifier(subscription);
		return ERR_PTR(ret);
	}
	return subscription;
}
EXPORT_SYMBOL_GPL(mmu_notifier_get_locked);

/**
 * mmu_notifier_unregister - hear no more
 * @subscription: registered with mmu_notifier_register()
 * @mm: as at registration
 *
 * Calls ->release unless exit has; when this returns, no callback runs or will run.
 * The mm_struct may be gone then.
 *
 * Context: may sleep. Not from a callback, nor under a lock that one takes.
 */
void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mm->notifier_subscriptions;

	if (!hlist_unhashed_lockless(&subscription->hlist)) {
		int idx = srcu_read_lock(&mn_srcu);

		/* Before it leaves the list: an exit that finds it gone relies on us. */
		if (subscription->ops->release)
			subscription->ops->release(subscription, mm);
		srcu_read_unlock(&mn_srcu, idx);

		spin_lock(&subs->lock);
		/* _init: exit may have done it since. */
		hlist_del_init_rcu(&subscription->hlist);
		spin_unlock(&subs->lock);
	}

	synchronize_srcu(&mn_srcu);
	mmdrop(mm);
}
EXPORT_SYMBOL_GPL(mmu_notifier_unregister);

static void mn_free_rcu(struct rcu_head *rcu)
{
	struct mmu_notifier *subscription =
		container_of(rcu, struct mmu_notifier, rcu);
	struct mm_struct *mm = subscription->mm;

	subscription->ops->free_notifier(subscription);
	mmdrop(mm);
}

/**
 * mmu_notifier_put - give back what mmu_notifier_get() gave
 * @subscription: the notifier
 *
 * With the last one the notifier leaves the mm, and ->free_notifier is called later,
 * when no callback can be running any more. ->release is not called: before the last
 * put the caller has seen to it that there are no shadow entries and will be none. May
 * be called from ->release.
 *
 * A module whose callbacks these are calls mmu_notifier_synchronize() before it goes.
 *
 * Context: any that may take a spinlock.
 */
void mmu_notifier_put(struct mmu_notifier *subscription)
{
	struct mmu_notifier_subscriptions *subs =
		subscription->mm->notifier_subscriptions;
	bool last;

	spin_lock(&subs->lock);
	last = !WARN_ON(!subscription->users) && !--subscription->users;
	if (last)
		hlist_del_init_rcu(&subscription->hlist);
	spin_unlock(&subs->lock);

	if (last)
		call_srcu(&mn_srcu, &subscription->rcu, mn_free_rcu);
}
EXPORT_SYMBOL_GPL(mmu_notifier_put);

/**
 * mmu_notifier_synchronize - wait for the notifiers that were put
 *
 * When it returns, ->free_notifier of all that had been put before has returned, and
 * so has every callback. For module exit.
 *
 * Context: may sleep. Not from a callback.
 */
void mmu_notifier_synchronize(void)
{
	srcu_barrier(&mn_srcu);
}
EXPORT_SYMBOL_GPL(mmu_notifier_synchronize);

/* The mm_struct itself is being freed: the last mm_count is gone, and with it everyone. */
void __mmu_notifier_subscriptions_destroy(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mm->notifier_subscriptions;

	WARN_ON(!hlist_empty(&subs->list));
	WARN_ON(!RB_EMPTY_ROOT(&subs->tree.rb_root));
	WARN_ON(!hlist_empty(&subs->colliding));
	mm->notifier_subscriptions = LIST_POISON1;
	kfree(subs);
}
