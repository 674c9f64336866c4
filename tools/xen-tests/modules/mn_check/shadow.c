// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadows: filled by readers as the notifier contract says, compared by the checker.
 *
 * The invariant: a valid entry of a shadow names the page that the CPU's entry names,
 * and does not allow writing where the CPU's does not.
 *
 * While the checker holds a subscription's lock no invalidation that touches a valid
 * entry of it gets past its start: its callback wants that lock. So nobody changes
 * such an entry of the CPU's meanwhile, other than to allow more, and the comparison
 * needs no other lock. Neither the mmap lock: a change of an entry outside of an
 * invalidation must not hide behind it.
 */
#include <linux/delay.h>
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
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

/* A reader gives a piece up after so many retries, and takes another. */
#define MN_TRIES 32

/* ---- what the CPU uses ---- */

static unsigned long mn_entry(unsigned long pfn, bool write)
{
	return pfn | HMM_PFN_VALID | (write ? HMM_PFN_WRITE : 0);
}

/* The entry for @addr, in the form of a shadow's; 0: not present. */
static unsigned long mn_cpu_entry(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgdp = pgd_offset(mm, addr);
	p4d_t *p4dp;
	pud_t *pudp;
	pmd_t *pmdp;
	pmd_t pmd;
	pte_t pte;

	if (!pgd_present(READ_ONCE(*pgdp)))
		return 0;
	p4dp = p4d_offset(pgdp, addr);
	if (!p4d_present(READ_ONCE(*p4dp)))
		return 0;
	pudp = pud_offset(p4dp, addr);
	if (!pud_present(READ_ONCE(*pudp)))
		return 0;
	pmdp = pmd_offset(pudp, addr);
	pmd = pmdp_get_lockless(pmdp);
	if (!pmd_present(pmd) || pmd_protnone(pmd))
		return 0;
	if (pmd_leaf(pmd))
		return mn_entry(pmd_pfn(pmd) + PHYS_PFN(addr & ~PMD_MASK),
				pmd_write(pmd));
	pte = ptep_get(pte_offset_kernel(&pmd, addr));
	if (!pte_present(pte) || pte_protnone(pte))
		return 0;
	return mn_entry(pte_pfn(pte), pte_write(pte));
}

/* Interrupts off: page tables are not freed meanwhile (as for get_user_pages_fast). */
static void mn_cpu_entries(struct mm_struct *mm, unsigned long addr,
			   unsigned long n, unsigned long *entries)
{
	unsigned long i, flags;

	local_irq_save(flags);
	for (i = 0; i < n; i++)
		entries[i] = mn_cpu_entry(mm, addr + i * PAGE_SIZE);
	local_irq_restore(flags);
}

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

static void mn_store(struct mn_sub *sub, unsigned long first, unsigned long n,
		     const unsigned long *pfns)
{
	unsigned long i, entry, stored = 0;

	lockdep_assert_held(&sub->lock);

	for (i = 0; i < n; i++) {
		entry = 0;
		if (pfns[i] & HMM_PFN_VALID)
			entry = mn_entry(pfns[i] & ~HMM_PFN_FLAGS,
					 pfns[i] & HMM_PFN_WRITE);
		if (entry && mn_planted(sub->bench, GM_MN_PLANT_ASSUME_WRITE))
			entry |= HMM_PFN_WRITE;
		sub->shadow[first + i] = entry;
		stored += !!entry;
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

/*
 * One try. 0: stored; -EBUSY: collided, or would have; else why the pages cannot be
 * faulted in.
 */
static int mn_try_read(struct mn_sub *sub, unsigned long first, unsigned long n,
		       unsigned long how, unsigned long *pfns)
{
	struct mn_bench *bench = sub->bench;
	struct mm_struct *mm = sub->notifier.mm;
	struct hmm_range range = {
		.notifier = &sub->notifier,
		.start = sub->first + first * PAGE_SIZE,
		.end = sub->first + (first + n) * PAGE_SIZE,
		.hmm_pfns = pfns,
		.default_flags = how,
	};
	unsigned long sleeps = current->nvcsw;
	int ret;

	range.notifier_seq = mmu_interval_read_begin(&sub->notifier);
	if (current->nvcsw != sleeps)
		mn_count(bench, GM_MN_WAITS, 1);

	mmap_read_lock(mm);
	ret = hmm_range_fault(&range);
	mmap_read_unlock(mm);
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
		mn_store(sub, first, n, pfns);
	}
	mutex_unlock(&sub->lock);
	return ret;
}

static void mn_read(struct mn_sub *sub, unsigned long *pfns)
{
	static const unsigned long hows[] = {
		0,
		0,
		HMM_PFN_REQ_FAULT,
		HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
	};
	unsigned long how = hows[get_random_u32_below(ARRAY_SIZE(hows))];
	unsigned int tries;
	unsigned long first, n;
	int ret;

	n = mn_pick_piece(sub, &first);
	for (tries = 0; tries < MN_TRIES; tries++) {
		ret = mn_try_read(sub, first, n, how, pfns);
		if (!ret || fatal_signal_pending(current))
			break;
		/* A hole, or no permission: take what is there. */
		if (ret != -EBUSY)
			how = 0;
	}
	mn_count(sub->bench, GM_MN_READS, 1);
}

/* ---- checker ---- */

static bool mn_is_wrong(unsigned long shadow, unsigned long cpu)
{
	return !(cpu & HMM_PFN_VALID) ||
	       (shadow ^ cpu) & ~HMM_PFN_FLAGS ||
	       (shadow & ~cpu) & HMM_PFN_WRITE;
}

static void mn_report(struct mn_sub *sub, unsigned long i, unsigned long cpu)
{
	struct mn_bench *bench = sub->bench;
	unsigned long nr, known = min_t(unsigned long, sub->nr_events, GM_MN_HISTORY);
	struct gm_mn_report *report;

	spin_lock(&bench->lock);
	if (bench->nr_reports < GM_MN_REPORTS) {
		report = &bench->reports[bench->nr_reports++];
		report->slot = sub->slot;
		report->addr = sub->first + i * PAGE_SIZE;
		report->shadow = sub->shadow[i];
		report->cpu = cpu;
		report->sub_start = sub->start;
		report->sub_length = sub->length;
		report->nr_events = sub->nr_events;
		for (nr = 0; nr < known; nr++)
			report->history[nr] = sub->events[(sub->nr_events - known + nr) %
							  GM_MN_HISTORY];
	}
	spin_unlock(&bench->lock);
}

static void mn_check(struct mn_sub *sub, unsigned long *cpu)
{
	unsigned long first, n, i, compared = 0;

	for (first = 0; first < sub->npages; first += n) {
		n = min_t(unsigned long, MN_CHECK_PIECE, sub->npages - first);
		mutex_lock(&sub->lock);
		mn_cpu_entries(sub->notifier.mm, sub->first + first * PAGE_SIZE, n, cpu);
		for (i = 0; i < n; i++) {
			unsigned long *entry = &sub->shadow[first + i];

			if (!*entry)
				continue;
			compared++;
			if (!mn_is_wrong(*entry, cpu[i]))
				continue;
			mn_report(sub, first + i, cpu[i]);
			mn_count(sub->bench, GM_MN_MISMATCHES, 1);
			/* Once is enough. */
			*entry = 0;
		}
		mutex_unlock(&sub->lock);
		cond_resched();
	}
	mn_count(sub->bench, GM_MN_COMPARED, compared);
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
