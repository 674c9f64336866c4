// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadows: filled by readers as the notifier contract says, with what HMM reports, and
 * compared by the checker (compare.c).
 */
#include <linux/delay.h>
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

/*
 * Of the processor's time the checker takes one part, and leaves so many to those who
 * change things. A reader only pauses.
 */
#define MN_CHECK_PAUSE 3
#define MN_READ_PAUSE_US 100

/* The checker keeps a subscription's callbacks waiting for so many pages at most. */
#define MN_CHECK_PIECE 128

/* Of so many pages inside of a block one has its order checked. */
#define MN_ORDER_EVERY 64

/* A reader gives a piece up after so many retries, and takes another. */
#define MN_TRIES 32

/* HMM's own tries are to end, too: each of them is against a storm. */
#define MN_TIMEOUT_MS 100

/* ---- the shadow ---- */

unsigned long mn_count_valid(struct mn_sub *sub)
{
	unsigned long i, n = 0;

	mutex_lock(&sub->lock);
	for (i = 0; i < sub->npages; i++)
		n += !!sub->shadow[i];
	mutex_unlock(&sub->lock);
	return n;
}

/* Drops what lies in [start, end), which need not lie in the window. */
void mn_drop(struct mn_sub *sub, unsigned int event, unsigned long start,
	     unsigned long end)
{
	unsigned long after = sub->first + sub->npages * PAGE_SIZE;
	unsigned long i, last, dropped = 0;

	lockdep_assert_held(&sub->lock);

	start = max(start, sub->first);
	end = min(end, after);
	if (start >= end)
		return;
	if (mn_planted(sub->bench, GM_MN_PLANT_FORGET_EVENT) &&
	    event == sub->bench->tune.forget)
		return;
	i = PHYS_PFN(start - sub->first);
	last = PHYS_PFN(end - 1 - sub->first);
	if (mn_planted(sub->bench, GM_MN_PLANT_OFF_BY_ONE))
		last--;
	for (; i <= last && i < sub->npages; i++) {
		dropped += !!sub->shadow[i];
		sub->shadow[i] = 0;
	}
	mn_count(sub->bench, GM_MN_DROPPED, dropped);
}

/* What a device would write into its own page table. */
static unsigned long mn_shadow_entry(struct mn_sub *sub, unsigned long hmm_pfn)
{
	unsigned long entry;

	if (!(hmm_pfn & HMM_PFN_VALID))
		return 0;
	entry = hmm_pfn & (~HMM_PFN_FLAGS | HMM_PFN_VALID | HMM_PFN_WRITE);
	if (mn_planted(sub->bench, GM_MN_PLANT_ASSUME_WRITE))
		entry |= HMM_PFN_WRITE;
	if (mn_planted(sub->bench, GM_MN_PLANT_WRONG_PFN))
		entry++;
	return entry;
}

static void mn_store(struct mn_sub *sub, unsigned long first, unsigned long n,
		     const unsigned long *pfns)
{
	unsigned long i, addr, entry, stored = 0;
	unsigned int order;

	lockdep_assert_held(&sub->lock);

	for (i = 0; i < n; i++) {
		entry = mn_shadow_entry(sub, pfns[i]);
		sub->shadow[first + i] = entry;
		stored += !!entry;
		if (!entry)
			continue;
		/* Of each block the first page that is here, and any one. */
		order = hmm_pfn_to_map_order(pfns[i]);
		addr = sub->first + (first + i) * PAGE_SIZE;
		if (mn_planted(sub->bench, GM_MN_PLANT_WRONG_ORDER))
			mn_check_order(sub, first + i,
				       pfns[i] + (1UL << HMM_PFN_ORDER_SHIFT));
		else if (order && (!i || IS_ALIGNED(addr, PAGE_SIZE << order) ||
				   !get_random_u32_below(MN_ORDER_EVERY)))
			mn_check_order(sub, first + i, pfns[i]);
	}
	mn_count(sub->bench, GM_MN_STORED, stored);
}

/* ---- reader ---- */

/* A piece of the window: mostly short ones, so that all sizes of pages meet its ends. */
static unsigned long mn_pick_piece(struct mn_sub *sub, unsigned long *first)
{
	unsigned long n = get_random_u32_below(16) ? 32 : MN_PIECE;

	*first = get_random_u32_below(sub->npages);
	return min(n, sub->npages - *first);
}

/* What a reader asks for. @each: by the entries, which are then of all kinds. */
struct mn_request {
	unsigned long how;
	bool each;
	bool unlocked;
};

static const unsigned long mn_hows[] = {
	0,
	0,
	HMM_PFN_REQ_FAULT,
	HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
};

static unsigned long mn_pick_how(void)
{
	return mn_hows[get_random_u32_below(ARRAY_SIZE(mn_hows))];
}

/* The request for page @i: the same one in each try, and when the answer is looked at. */
static unsigned long mn_request_of(const struct mn_request *req, unsigned long i)
{
	return req->each ? mn_hows[(i / 2 + req->how) % ARRAY_SIZE(mn_hows)] : req->how;
}

/* After a success each page is as it was asked for. */
static void mn_check_answer(struct mn_sub *sub, unsigned long first, unsigned long n,
			    const struct mn_request *req, const unsigned long *pfns)
{
	const unsigned long asked = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	unsigned long i, want, answered = 0;

	for (i = 0; i < n; i++) {
		want = mn_request_of(req, i) & asked;
		if (want & ~pfns[i])
			mn_wrong(sub, GM_MN_WRONG_ANSWER, first + i, pfns[i], want);
		answered += !!want;
	}
	mn_count(sub->bench, GM_MN_ANSWERED, answered);
}

static int mn_fault(struct mn_sub *sub, struct hmm_range *range, bool unlocked)
{
	struct mm_struct *mm = sub->notifier.mm;
	unsigned long sleeps = current->nvcsw;
	int ret;

	if (unlocked) {
		mn_count(sub->bench, GM_MN_UNLOCKED, 1);
		return mn_range_fault_unlocked(range, MN_TIMEOUT_MS);
	}
	range->notifier_seq = mmu_interval_read_begin(&sub->notifier);
	if (current->nvcsw != sleeps)
		mn_count(sub->bench, GM_MN_WAITS, 1);
	mmap_read_lock(mm);
	ret = hmm_range_fault(range);
	mmap_read_unlock(mm);
	return ret;
}

/*
 * One try. 0: stored; -EBUSY: collided, or would have; else why the pages cannot be
 * faulted in.
 */
static int mn_try_read(struct mn_sub *sub, unsigned long first, unsigned long n,
		       const struct mn_request *req, unsigned long *pfns)
{
	struct mn_bench *bench = sub->bench;
	struct hmm_range range = {
		.notifier = &sub->notifier,
		.start = sub->first + first * PAGE_SIZE,
		.end = sub->first + (first + n) * PAGE_SIZE,
		.hmm_pfns = pfns,
	};
	unsigned long i;
	int ret;

	if (req->each)
		range.pfn_flags_mask = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	else
		range.default_flags = req->how;
	if (mn_planted(bench, GM_MN_PLANT_NO_FAULT)) {
		range.pfn_flags_mask = 0;
		range.default_flags = 0;
	}
	for (i = 0; i < n; i++)
		pfns[i] = req->each ? mn_request_of(req, i) : 0;

	ret = mn_fault(sub, &range, req->unlocked);
	if (ret == -EBUSY)
		mn_count(bench, GM_MN_BUSY, 1);
	if (ret)
		return ret;

	if (bench->tune.window_us)
		fsleep(get_random_u32_inclusive(1, bench->tune.window_us));
	mutex_lock(&sub->lock);
	if (mmu_interval_read_retry(&sub->notifier, range.notifier_seq) &&
	    !mn_planted(bench, GM_MN_PLANT_IGNORE_RETRY)) {
		mn_count(bench, GM_MN_RETRIES, 1);
		ret = -EBUSY;
	} else {
		mn_check_answer(sub, first, n, req, pfns);
		mn_store(sub, first, n, pfns);
	}
	mutex_unlock(&sub->lock);
	return ret;
}

static void mn_read(struct mn_sub *sub, unsigned long *pfns)
{
	struct mn_request req = {
		.each = !get_random_u32_below(4),
		.unlocked = mn_has_unlocked() && get_random_u32_below(2),
	};
	unsigned int tries;
	unsigned long first, n;
	int ret;

	req.how = req.each ? get_random_u32_below(ARRAY_SIZE(mn_hows)) : mn_pick_how();
	n = mn_pick_piece(sub, &first);
	for (tries = 0; tries < MN_TRIES; tries++) {
		ret = mn_try_read(sub, first, n, &req, pfns);
		if (!ret || fatal_signal_pending(current))
			break;
		/* A hole, or no permission: take what is there. */
		if (ret != -EBUSY) {
			req.how = 0;
			req.each = false;
		}
	}
	mn_count(sub->bench, GM_MN_READS, 1);
}

/* ---- checker ---- */

static void mn_check(struct mn_sub *sub, unsigned long *cpu)
{
	unsigned long first, n;

	for (first = 0; first < sub->npages; first += n) {
		n = min_t(unsigned long, MN_CHECK_PIECE, sub->npages - first);
		mutex_lock(&sub->lock);
		mn_check_piece(sub, first, n, cpu);
		mutex_unlock(&sub->lock);
		cond_resched();
	}
}

/* ---- for as long as wanted ---- */

static void mn_visit(struct mn_bench *bench, u32 role, unsigned int slot,
		     unsigned long *buf)
{
	struct mn_sub *sub = mn_sub_get(bench, slot);

	if (!sub)
		return;
	if (sub->npages && role == GM_MN_READER)
		mn_read(sub, buf);
	else if (sub->npages)
		mn_check(sub, buf);
	mn_sub_put(sub);
}

static int mn_run_once(struct mn_bench *bench, u32 role, unsigned long *buf)
{
	unsigned int slot;

	/* Another process's bench: that process may have ended. */
	if (!mmget_not_zero(bench->mm))
		return -ESRCH;
	if (role == GM_MN_READER)
		mn_visit(bench, role, get_random_u32_below(GM_MN_SLOTS), buf);
	else
		for (slot = 0; slot < GM_MN_SLOTS; slot++)
			mn_visit(bench, role, slot, buf);
	mmput(bench->mm);
	return 0;
}

int mn_run(struct mn_bench *bench, const struct gm_mn_run *arg)
{
	unsigned long end = jiffies + msecs_to_jiffies(arg->ms);
	unsigned long *buf;
	unsigned long pause = MN_READ_PAUSE_US;
	ktime_t start;
	int ret = 0;

	if (arg->role > GM_MN_CHECKER)
		return -EINVAL;
	if (!READ_ONCE(bench->mm))
		return -ESRCH;
	buf = kvmalloc_array(MN_PIECE, sizeof(*buf), GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	/* Once at least, however slow the machine is. */
	do {
		start = ktime_get();
		if (signal_pending(current))
			ret = -EINTR;
		else
			ret = mn_run_once(bench, arg->role, buf);
		if (arg->role == GM_MN_CHECKER)
			pause = MN_CHECK_PAUSE * ktime_us_delta(ktime_get(), start);
		usleep_range(pause, pause + MN_READ_PAUSE_US);
	} while (!ret && time_before(jiffies, end));
	kvfree(buf);
	return ret;
}
