// SPDX-License-Identifier: GPL-2.0-only
/*
 * hmm_check: what the kernel reports, and access to memory through that. A page that was
 * reported is used as Documentation/hmm.md asks for: under the lock that the invalidate
 * callback takes, and only if there has been no collision.
 */
#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

/* Then it is EBUSY, and for the program to say whether that is too often. */
#define HC_TRIES 1000

static unsigned long hc_request(u32 flags)
{
	return (flags & GM_HMM_VALID ? HMM_PFN_REQ_FAULT : 0) |
	       (flags & GM_HMM_WRITE ? HMM_PFN_REQ_WRITE : 0);
}

/* One call. The caller need not hold a reference to the process. */
static int hc_fault_once(struct hmm_range *range)
{
	struct mm_struct *mm = range->notifier->mm;
	int ret;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	range->notifier_seq = mmu_interval_read_begin(range->notifier);
	mmap_read_lock(mm);
	ret = hmm_range_fault(range);
	mmap_read_unlock(mm);
	mmput(mm);
	return ret;
}

/*
 * Asks for @range, whose requests are @requests (NULL: only range->default_flags). On
 * success the driver lock is held and what was found is true as long as it is.
 */
static int hc_fault(struct hc_bench *bench, struct hmm_range *range, const unsigned long *requests,
		    u32 how, u32 timeout_ms, u32 *retries)
{
	size_t bytes = ((range->end - range->start) >> PAGE_SHIFT) * sizeof(*requests);
	unsigned int tries;
	int ret;

	for (tries = 0; tries < HC_TRIES; tries++) {
		if (requests)
			memcpy(range->hmm_pfns, requests, bytes);
		ret = how == GM_HMM_UNLOCKED ? hc_unlocked(range, timeout_ms) :
					       hc_fault_once(range);
		if (!ret) {
			mutex_lock(&bench->lock);
			if (!mmu_interval_read_retry(range->notifier, range->notifier_seq))
				return 0;
			mutex_unlock(&bench->lock);
			ret = -EBUSY;
		} else if (ret != -EBUSY || how == GM_HMM_UNLOCKED) {
			return ret;
		}
		if (how == GM_HMM_ONCE)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		++*retries;
		cond_resched();
	}
	return -EBUSY;
}

/* A subscription to no more than @range, for one request; undone by hc_narrow_end() */
static int hc_narrow_begin(struct hc_bench *bench, struct hc_sub *sub, struct hmm_range *range)
{
	struct mm_struct *mm = bench->all.notifier.mm;
	int ret;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	ret = hc_subscribe(sub, bench, mm, range->start, range->end - range->start);
	mmput(mm);
	range->notifier = &sub->notifier;
	return ret;
}

static void hc_narrow_end(struct hc_sub *sub)
{
	mmu_interval_notifier_remove(&sub->notifier);
}

static void hc_decode(struct gm_hmm_entry *entry, unsigned long pfn)
{
	entry->flags = (pfn & HMM_PFN_VALID ? GM_HMM_VALID : 0) |
		       (pfn & HMM_PFN_WRITE ? GM_HMM_WRITE : 0) |
		       (pfn & HMM_PFN_ERROR ? GM_HMM_ERROR : 0);
	entry->order = hmm_pfn_to_map_order(pfn);
	entry->pfn = pfn & ~HMM_PFN_FLAGS;
}

/* A second opinion on what the caller has at @addr. */
static void hc_compare(struct gm_hmm_entry *entry, unsigned long addr)
{
	struct page *page;

	if (!(entry->flags & GM_HMM_VALID) || get_user_pages_fast(addr, 1, 0, &page) != 1)
		return;
	if (page_to_pfn(page) == entry->pfn)
		entry->flags |= GM_HMM_SAME;
	put_page(page);
}

static int hc_take_entries(struct hc_bench *bench, struct gm_hmm_take *arg,
			   struct gm_hmm_entry *entries, unsigned long *pfns)
{
	struct hmm_range range = {
		.notifier = &bench->all.notifier,
		.start = arg->start,
		.end = arg->start + arg->pages * PAGE_SIZE,
		.hmm_pfns = pfns,
		.default_flags = hc_request(arg->request),
		.pfn_flags_mask = hc_request(arg->mask),
	};
	unsigned long *requests = pfns + arg->pages;
	struct hc_sub sub;
	u64 i;
	int ret;

	for (i = 0; i < arg->pages; i++)
		requests[i] = hc_request(entries[i].flags);
	if (!arg->keep) {
		ret = hc_narrow_begin(bench, &sub, &range);
		if (ret)
			return ret;
	}
	ret = hc_fault(bench, &range, requests, arg->how, arg->timeout_ms, &arg->retries);
	if (!ret) {
		if (arg->keep)
			bench->last_seq = range.notifier_seq;
		mutex_unlock(&bench->lock);
	}
	if (!arg->keep)
		hc_narrow_end(&sub);
	if (ret)
		return ret;
	for (i = 0; i < arg->pages; i++) {
		hc_decode(&entries[i], pfns[i]);
		if (arg->pin)
			hc_compare(&entries[i], arg->start + i * PAGE_SIZE);
	}
	return 0;
}

int hc_take(struct hc_bench *bench, struct gm_hmm_take *arg)
{
	size_t bytes = arg->pages * sizeof(struct gm_hmm_entry);
	void __user *user = u64_to_user_ptr(arg->entries);
	struct gm_hmm_entry *entries;
	unsigned long *pfns;
	int ret;

	if (!arg->pages || arg->pages > GM_HMM_MAX_PAGES || arg->how > GM_HMM_UNLOCKED)
		return -EINVAL;
	entries = vmemdup_user(user, bytes);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	pfns = kvcalloc(2 * arg->pages, sizeof(*pfns), GFP_KERNEL);
	ret = pfns ? hc_take_entries(bench, arg, entries, pfns) : -ENOMEM;
	if (!ret && copy_to_user(user, entries, bytes))
		ret = -EFAULT;
	kvfree(pfns);
	kvfree(entries);
	return ret;
}

int hc_access(struct hc_bench *bench, struct gm_hmm_access *arg)
{
	unsigned long pfn = 0;
	struct hmm_range range = {
		.start = arg->addr & PAGE_MASK,
		.end = (arg->addr & PAGE_MASK) + PAGE_SIZE,
		.hmm_pfns = &pfn,
		.default_flags = hc_request(GM_HMM_VALID | (arg->write ? GM_HMM_WRITE : 0)),
	};
	struct hc_sub sub;
	struct page *page;
	u64 *word;
	int ret;

	if (!IS_ALIGNED(arg->addr, sizeof(*word)) || arg->how == GM_HMM_ONCE ||
	    arg->how > GM_HMM_UNLOCKED)
		return -EINVAL;
	ret = hc_narrow_begin(bench, &sub, &range);
	if (ret)
		return ret;
	ret = hc_fault(bench, &range, NULL, arg->how, arg->timeout_ms, &arg->retries);
	if (ret)
		goto out;

	/* The driver lock is held. */
	page = hmm_pfn_to_page(pfn);
	word = kmap_local_page(page) + offset_in_page(arg->addr);
	if (arg->write) {
		WRITE_ONCE(*word, arg->value);
		/* The CPU's entry may say that nobody has written. */
		set_page_dirty(page);
	} else {
		arg->value = READ_ONCE(*word);
	}
	kunmap_local(word);
	mutex_unlock(&bench->lock);
out:
	hc_narrow_end(&sub);
	return ret;
}

/* Nothing is migrated: there is nowhere to go. */
int hc_migrate(struct hc_bench *bench, const struct gm_hmm_migrate *arg)
{
	struct mm_struct *mm = current->mm;
	struct migrate_vma args = {
		.start = arg->start,
		.end = arg->start + arg->pages * PAGE_SIZE,
		.pgmap_owner = bench,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	int ret = -ENOMEM;

	if (!arg->pages || arg->pages > GM_HMM_MAX_PAGES)
		return -EINVAL;
	args.src = kvcalloc(2 * arg->pages, sizeof(*args.src), GFP_KERNEL);
	if (!args.src)
		return -ENOMEM;
	args.dst = args.src + arg->pages;
	mmap_read_lock(mm);
	args.vma = vma_lookup(mm, args.start);
	ret = args.vma ? migrate_vma_setup(&args) : -EFAULT;
	if (!ret) {
		migrate_vma_pages(&args);
		migrate_vma_finalize(&args);
	}
	mmap_read_unlock(mm);
	if (!ret && !args.cpages)
		ret = -EBUSY;
	kvfree(args.src);
	return ret;
}
