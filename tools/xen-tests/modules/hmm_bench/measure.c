// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is measured, each between two readings of the TSC: a time or, in a lab with
 * ICOUNT=1, the number of instructions. Memory for results and the subscription are
 * made before.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "internal.h"

static bool hmb_invalidate(struct mmu_interval_notifier *notifier,
			   const struct mmu_notifier_range *range, unsigned long seq)
{
	struct hmb_ctx *ctx = container_of(notifier, struct hmb_ctx, notifier);

	spin_lock(&ctx->lock);
	mmu_interval_set_seq(notifier, seq);
	spin_unlock(&ctx->lock);
	return true;
}

static const struct mmu_interval_notifier_ops hmb_ops = {
	.invalidate = hmb_invalidate,
};

/* A collision is tried again, and everything is counted. */
static int hmb_fault(struct hmb_ctx *ctx)
{
	struct mm_struct *mm = ctx->notifier.mm;
	int ret;
	u64 t;

	mmap_read_lock(mm);
	do {
		ctx->run->tries++;
		ctx->range.notifier_seq = mmu_interval_read_begin(&ctx->notifier);
		t = rdtsc_ordered();
		ret = hmm_range_fault(&ctx->range);
		ctx->run->ticks += rdtsc_ordered() - t;
	} while (ret == -EBUSY && !signal_pending(current));
	mmap_read_unlock(mm);
	return ret;
}

int hmb_by_hand(struct hmb_ctx *ctx)
{
	struct mm_struct *mm = ctx->notifier.mm;
	bool retry = true;
	int ret = 0;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	while (retry && !signal_pending(current)) {
		ctx->run->tries++;
		ctx->range.notifier_seq = mmu_interval_read_begin(&ctx->notifier);
		mmap_read_lock(mm);
		ret = hmm_range_fault(&ctx->range);
		mmap_read_unlock(mm);
		if (ret == -EBUSY)
			continue;
		if (ret)
			break;
		spin_lock(&ctx->lock);
		retry = mmu_interval_read_retry(&ctx->notifier, ctx->range.notifier_seq);
		spin_unlock(&ctx->lock);
	}
	mmput(mm);
	return ret ?: retry ? -EINTR : 0;
}

static int hmb_loop(struct hmb_ctx *ctx, int (*loop)(struct hmb_ctx *ctx))
{
	u64 t = rdtsc_ordered();
	int ret = loop(ctx);

	ctx->run->ticks = rdtsc_ordered() - t;
	return ret;
}

/* The other way to a process's pages. The entries become what HMM would have said. */
static int hmb_pin(struct hmb_ctx *ctx)
{
	unsigned int gup = ctx->run->flags & HMB_WRITE ? FOLL_WRITE : 0;
	unsigned long done = 0, i;
	struct page **pages;
	long ret = 0;
	u64 t;

	pages = kvcalloc(ctx->npages, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	t = rdtsc_ordered();
	mmap_read_lock(current->mm);
	while (done < ctx->npages) {
		ret = pin_user_pages(ctx->range.start + done * PAGE_SIZE, ctx->npages - done,
				     gup, pages + done);
		if (ret <= 0)
			break;
		done += ret;
	}
	mmap_read_unlock(current->mm);
	ctx->run->ticks = rdtsc_ordered() - t;
	ctx->run->tries = 1;

	for (i = 0; i < done; i++)
		ctx->range.hmm_pfns[i] = page_to_pfn(pages[i]) | HMM_PFN_VALID |
					 (gup ? HMM_PFN_WRITE : 0);
	t = rdtsc_ordered();
	unpin_user_pages(pages, done);
	ctx->run->undo = rdtsc_ordered() - t;
	kvfree(pages);
	if (done == ctx->npages)
		return 0;
	return ret ?: -EFAULT;
}

/* As a driver does it on a kernel without hmm_dma_map_pfn(). */
static int hmb_dma_page(struct device *dev, struct hmb_ctx *ctx)
{
	dma_addr_t *addrs;
	unsigned long i;
	int ret;
	u64 t;

	addrs = kvcalloc(ctx->npages, sizeof(*addrs), GFP_KERNEL);
	if (!addrs)
		return -ENOMEM;
	ret = hmb_by_hand(ctx);
	t = rdtsc_ordered();
	for (i = 0; !ret && i < ctx->npages; i++) {
		addrs[i] = dma_map_page(dev, hmm_pfn_to_page(ctx->range.hmm_pfns[i]), 0,
					PAGE_SIZE, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, addrs[i]))
			ret = -EIO;
		else
			ctx->run->mappings++;
	}
	ctx->run->ticks = rdtsc_ordered() - t;
	t = rdtsc_ordered();
	for (i = 0; i < ctx->run->mappings; i++)
		dma_unmap_page(dev, addrs[i], PAGE_SIZE, DMA_BIDIRECTIONAL);
	ctx->run->undo = rdtsc_ordered() - t;
	kvfree(addrs);
	return ret;
}

static int hmb_nothing(struct hmb_ctx *ctx)
{
	return 0;
}

static int hmb_measure(struct device *dev, struct hmb_ctx *ctx)
{
	switch (ctx->run->what) {
	case HMB_NOTHING:
		return hmb_loop(ctx, hmb_nothing);
	case HMB_FAULT:
		return hmb_fault(ctx);
	case HMB_BY_HAND:
		return hmb_loop(ctx, hmb_by_hand);
	case HMB_UNLOCKED:
		return hmb_loop(ctx, hmb_unlocked);
	case HMB_PIN:
		return hmb_pin(ctx);
	case HMB_DMA_PAGE:
		return hmb_dma_page(dev, ctx);
	case HMB_DMA_PFN:
	case HMB_DMA_BLOCK:
		return hmb_dma(dev, ctx);
	}
	return -EINVAL;
}

static void hmb_request(struct hmb_ctx *ctx)
{
	unsigned long req = 0, i;

	if (ctx->run->flags & (HMB_READ | HMB_WRITE))
		req |= HMM_PFN_REQ_FAULT;
	if (ctx->run->flags & HMB_WRITE)
		req |= HMM_PFN_REQ_WRITE;
	if (!(ctx->run->flags & HMB_EACH)) {
		ctx->range.default_flags = req;
		return;
	}
	ctx->range.pfn_flags_mask = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	for (i = 0; i < ctx->npages; i++)
		ctx->range.hmm_pfns[i] = req;
}

/* What there was: so that who measures can see that it was what he meant to measure. */
static void hmb_result(struct hmb_ctx *ctx)
{
	unsigned long addr, entry, i;

	for (i = 0; i < ctx->npages; i++) {
		entry = ctx->range.hmm_pfns[i];
		if (!(entry & HMM_PFN_VALID))
			continue;
		addr = ctx->range.start + i * PAGE_SIZE;
		ctx->run->valid++;
		ctx->run->writable += !!(entry & HMM_PFN_WRITE);
		ctx->run->blocks += IS_ALIGNED(addr, PAGE_SIZE << hmm_pfn_to_map_order(entry));
	}
}

int hmb_run(struct device *dev, struct hmb_run *run)
{
	struct hmb_ctx *ctx;
	int ret = -ENOMEM;

	run->ticks = 0;
	run->undo = 0;
	run->valid = 0;
	run->writable = 0;
	run->blocks = 0;
	run->mappings = 0;
	run->tries = 0;
	if (!run->length || !PAGE_ALIGNED(run->start | run->length) ||
	    PHYS_PFN(run->length) > HMB_PAGES_MAX || run->start >= TASK_SIZE ||
	    run->length > TASK_SIZE - run->start)
		return -EINVAL;
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;
	spin_lock_init(&ctx->lock);
	ctx->run = run;
	ctx->npages = PHYS_PFN(run->length);
	ctx->range.notifier = &ctx->notifier;
	ctx->range.start = run->start;
	ctx->range.end = run->start + run->length;
	ctx->range.hmm_pfns = kvcalloc(ctx->npages, sizeof(unsigned long), GFP_KERNEL);
	if (!ctx->range.hmm_pfns)
		goto free;
	hmb_request(ctx);
	ret = mmu_interval_notifier_insert(&ctx->notifier, current->mm, run->start,
					   run->length, &hmb_ops);
	if (ret)
		goto free;

	ret = hmb_measure(dev, ctx);
	mmu_interval_notifier_remove(&ctx->notifier);
	if (!ret)
		hmb_result(ctx);
free:
	kvfree(ctx->range.hmm_pfns);
	kfree(ctx);
	return ret;
}
