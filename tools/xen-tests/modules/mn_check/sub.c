// SPDX-License-Identifier: GPL-2.0-only
/*
 * Subscriptions: insert, remove, and the one-pass callback.
 *
 * A subscription that has been removed goes into a quarantine, marked dead, and is
 * freed when MN_QUARANTINE others have followed: a callback that the core makes too
 * late is counted, and touches no memory of somebody else.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

/* ---- callbacks ---- */

void mn_note_order(struct mn_sub *sub, unsigned int what)
{
	struct mn_bench *bench = sub->bench;
	unsigned int nr = atomic_fetch_inc(&bench->nr_order);

	if (nr >= GM_MN_ORDER)
		return;
	bench->order.step[nr].what = what;
	bench->order.step[nr].slot = sub->slot;
}

/* False: the subscription must not be called any more; leave it alone. */
bool mn_callback_begin(struct mn_sub *sub, const struct mmu_notifier_range *range)
{
	struct mn_bench *bench = sub->bench;

	atomic_inc(&sub->running);
	/* Pairs with mn_bury()'s: one of the two sees the other. */
	smp_mb__after_atomic();
	if (READ_ONCE(sub->magic) != MN_LIVE) {
		mn_count(bench, GM_MN_AFTER_FREE, 1);
		mn_callback_end(sub);
		return false;
	}
	mn_note_order(sub, GM_MN_CALLED);
	mn_count(bench, GM_MN_EVENTS + range->event, 1);
	if (!mmu_notifier_range_blockable(range))
		mn_count(bench, GM_MN_NONBLOCK, 1);
	return true;
}

void mn_callback_end(struct mn_sub *sub)
{
	atomic_dec(&sub->running);
}

bool mn_sub_lock(struct mn_sub *sub, const struct mmu_notifier_range *range)
{
	if (mmu_notifier_range_blockable(range)) {
		mutex_lock(&sub->lock);
		return true;
	}
	if (mutex_trylock(&sub->lock))
		return true;
	mn_count(sub->bench, GM_MN_REFUSED, 1);
	return false;
}

/* Under the subscription's lock: from here on every reader in flight has to retry. */
void mn_collide(struct mn_sub *sub, const struct mmu_notifier_range *range,
		unsigned long cur_seq)
{
	lockdep_assert_held(&sub->lock);

	sub->events[sub->nr_events++ % GM_MN_HISTORY] = (struct gm_mn_event){
		.event = range->event,
		.flags = range->flags,
		.start = range->start,
		.end = range->end,
		.seq = cur_seq,
	};
	if (!mn_planted(sub->bench, GM_MN_PLANT_SKIP_SET_SEQ))
		mmu_interval_set_seq(&sub->notifier, cur_seq);
}

/*
 * Stands for a device that takes its time. Killable: else the process that is in the
 * callback could not end, and its files, this one among them, would stay open.
 */
bool mn_hold(struct mn_sub *sub, const struct mmu_notifier_range *range)
{
	if (!READ_ONCE(sub->hold))
		return true;
	if (!mmu_notifier_range_blockable(range)) {
		mn_count(sub->bench, GM_MN_REFUSED, 1);
		return false;
	}
	atomic_inc(&sub->holding);
	wait_event_killable(sub->bench->wait, !READ_ONCE(sub->hold));
	atomic_dec(&sub->holding);
	return true;
}

static bool mn_invalidate(struct mmu_interval_notifier *notifier,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	struct mn_sub *sub = container_of(notifier, struct mn_sub, notifier);
	bool ok;

	if (!mn_callback_begin(sub, range))
		return true;
	ok = mn_sub_lock(sub, range);
	if (ok) {
		mn_collide(sub, range, cur_seq);
		mn_drop(sub, range->event, range->start, range->end);
		mutex_unlock(&sub->lock);
		ok = mn_hold(sub, range);
	}
	mn_note_order(sub, GM_MN_RETURNED);
	mn_callback_end(sub);
	return ok;
}

static const struct mmu_interval_notifier_ops mn_one_pass_ops = {
	.invalidate = mn_invalidate,
};

/* ---- the table ---- */

struct mn_sub *mn_sub_get(struct mn_bench *bench, unsigned int slot)
{
	struct mn_sub *sub;

	if (slot >= GM_MN_SLOTS)
		return NULL;
	spin_lock(&bench->lock);
	sub = bench->slots[slot];
	if (sub)
		sub->users++;
	spin_unlock(&bench->lock);
	return sub;
}

static unsigned int mn_sub_users(struct mn_sub *sub)
{
	unsigned int users;

	spin_lock(&sub->bench->lock);
	users = sub->users;
	spin_unlock(&sub->bench->lock);
	return users;
}

void mn_sub_put(struct mn_sub *sub)
{
	struct mn_bench *bench = sub->bench;
	bool last;

	/* From the unlock on @sub may be gone. */
	spin_lock(&bench->lock);
	last = !--sub->users;
	spin_unlock(&bench->lock);
	if (last)
		wake_up_all(&bench->wait);
}

/* ---- insert ---- */

/* All subscriptions of a bench are of one mm, so that its end can be watched. */
static int mn_bench_adopt(struct mn_bench *bench, struct mm_struct *mm)
{
	int ret = 0;

	spin_lock(&bench->lock);
	if (!bench->mm) {
		mmgrab(mm);
		bench->mm = mm;
	} else if (bench->mm != mm) {
		ret = -EXDEV;
	}
	spin_unlock(&bench->lock);
	return ret;
}

static void mn_sub_free(struct mn_sub *sub)
{
	kvfree(sub->shadow);
	kfree(sub);
}

static struct mn_sub *mn_sub_alloc(struct mn_bench *bench,
				   const struct gm_mn_insert *arg)
{
	struct mn_sub *sub = kzalloc(sizeof(*sub), GFP_KERNEL);

	if (!sub)
		return ERR_PTR(-ENOMEM);
	sub->magic = MN_LIVE;
	sub->bench = bench;
	sub->slot = arg->slot;
	sub->flags = arg->flags;
	sub->start = arg->start;
	sub->length = arg->length;
	mutex_init(&sub->lock);
	if (!(arg->flags & GM_MN_SHADOW))
		return sub;

	sub->first = arg->start & PAGE_MASK;
	sub->npages = PHYS_PFN(PAGE_ALIGN(arg->start + arg->length) - sub->first);
	sub->shadow = kvcalloc(sub->npages, sizeof(*sub->shadow), GFP_KERNEL);
	if (!sub->shadow) {
		kfree(sub);
		return ERR_PTR(-ENOMEM);
	}
	return sub;
}

/* Shadows are short and of user addresses: nothing here can overflow then. */
static int mn_insert_check(const struct gm_mn_insert *arg)
{
	if (arg->slot >= GM_MN_SLOTS ||
	    arg->flags & ~(GM_MN_SHADOW | GM_MN_TWO_PASS | GM_MN_SIGNAL))
		return -EINVAL;
	if (arg->flags & GM_MN_SHADOW &&
	    (arg->length > (GM_MN_MAX_PAGES - 1) * PAGE_SIZE ||
	     arg->start > TASK_SIZE_MAX - GM_MN_MAX_PAGES * PAGE_SIZE))
		return -EINVAL;
	return 0;
}

int mn_sub_insert(struct mn_bench *bench, const struct gm_mn_insert *arg)
{
	const struct mmu_interval_notifier_ops *ops = &mn_one_pass_ops;
	struct mn_sub *sub;
	int ret;

	ret = mn_insert_check(arg);
	if (ret)
		return ret;
	if (arg->flags & GM_MN_TWO_PASS) {
		ops = mn_two_pass_ops();
		if (!ops)
			return -EOPNOTSUPP;
	}
	ret = mn_bench_adopt(bench, current->mm);
	if (ret)
		return ret;
	sub = mn_sub_alloc(bench, arg);
	if (IS_ERR(sub))
		return PTR_ERR(sub);

	if (arg->flags & GM_MN_SIGNAL)
		send_sig(SIGUSR1, current, 1);
	ret = mmu_interval_notifier_insert(&sub->notifier, current->mm, arg->start,
					   arg->length, ops);
	if (ret) {
		mn_sub_free(sub);
		return ret;
	}

	spin_lock(&bench->lock);
	if (bench->slots[arg->slot])
		ret = -EBUSY;
	else
		bench->slots[arg->slot] = sub;
	spin_unlock(&bench->lock);
	if (ret) {
		mmu_interval_notifier_remove(&sub->notifier);
		mn_sub_free(sub);
		return ret;
	}
	mn_count(bench, GM_MN_INSERTS, 1);
	return 0;
}

/* ---- remove ---- */

static void mn_bury(struct mn_sub *sub)
{
	struct mn_bench *bench = sub->bench;
	struct mn_sub *oldest = NULL;

	/* Ordered against mn_callback_begin(). */
	smp_store_mb(sub->magic, MN_DEAD);
	if (atomic_read(&sub->running))
		mn_count(bench, GM_MN_AFTER_FREE, 1);

	spin_lock(&bench->lock);
	list_add_tail(&sub->quarantine, &bench->quarantine);
	if (bench->nr_quarantine == MN_QUARANTINE) {
		oldest = list_first_entry(&bench->quarantine, struct mn_sub,
					  quarantine);
		list_del(&oldest->quarantine);
	} else {
		bench->nr_quarantine++;
	}
	spin_unlock(&bench->lock);
	if (oldest)
		mn_sub_free(oldest);
}

static void mn_sub_unsubscribe(struct mn_sub *sub)
{
	struct mn_bench *bench = sub->bench;

	wait_event(bench->wait, !mn_sub_users(sub));
	if (mn_planted(bench, GM_MN_PLANT_FREE_EARLY)) {
		WRITE_ONCE(sub->magic, MN_DEAD);
		if (bench->tune.window_us)
			fsleep(bench->tune.window_us);
	}
	mmu_interval_notifier_remove(&sub->notifier);
	mn_bury(sub);
	mn_count(bench, GM_MN_REMOVES, 1);
}

int mn_sub_remove(struct mn_bench *bench, unsigned int slot)
{
	struct mn_sub *sub;

	if (slot >= GM_MN_SLOTS)
		return -EINVAL;
	spin_lock(&bench->lock);
	sub = bench->slots[slot];
	bench->slots[slot] = NULL;
	spin_unlock(&bench->lock);
	if (!sub)
		return -ENOENT;
	mn_sub_unsubscribe(sub);
	return 0;
}

/* The last user of the file has gone. */
void mn_sub_remove_all(struct mn_bench *bench)
{
	struct mn_sub *sub, *next;
	unsigned int slot;

	for (slot = 0; slot < GM_MN_SLOTS; slot++)
		mn_sub_remove(bench, slot);
	list_for_each_entry_safe(sub, next, &bench->quarantine, quarantine)
		mn_sub_free(sub);
}
