// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only our kernel has.
 */
#include <linux/hmm-dma.h>
#include <linux/mm.h>
#include <asm/tsc.h>

#include "internal.h"

/* As a driver uses it: called again when the entries have not lasted. */
int hmb_unlocked(struct hmb_ctx *ctx)
{
	bool retry;
	int ret;

	do {
		ctx->run->tries++;
		ret = hmm_range_fault_unlocked_timeout(&ctx->range, 0);
		if (ret)
			return ret;
		spin_lock(&ctx->lock);
		retry = mmu_interval_read_retry(&ctx->notifier, ctx->range.notifier_seq);
		spin_unlock(&ctx->lock);
	} while (retry);
	return 0;
}

static int hmb_dma_map(struct device *dev, struct hmb_ctx *ctx, struct hmm_dma_map *map)
{
	bool block = ctx->run->what == HMB_DMA_BLOCK;
	unsigned int order = 0;
	unsigned long i;
	dma_addr_t addr;

	for (i = 0; i < ctx->npages; i += 1UL << order) {
		if (block)
			addr = hmm_dma_map_block(dev, map, i, NULL, &order);
		else
			addr = hmm_dma_map_pfn(dev, map, i, NULL);
		if (addr == DMA_MAPPING_ERROR)
			return -EIO;
		ctx->run->mappings++;
	}
	return 0;
}

/* All pages have to be there, so that what is counted is mapping them. */
int hmb_dma(struct device *dev, struct hmb_ctx *ctx)
{
	unsigned long *pfns = ctx->range.hmm_pfns;
	struct hmm_dma_map map;
	unsigned long i;
	int ret;
	u64 t;

	ret = hmm_dma_map_alloc(dev, &map, ctx->npages, PAGE_SIZE);
	if (ret)
		return ret;
	ctx->range.hmm_pfns = map.pfn_list;
	ret = hmb_by_hand(ctx);
	if (ret)
		goto free;

	t = rdtsc_ordered();
	ret = hmb_dma_map(dev, ctx, &map);
	ctx->run->ticks = rdtsc_ordered() - t;
	t = rdtsc_ordered();
	for (i = 0; i < ctx->npages; i++)
		hmm_dma_unmap_pfn(dev, &map, i);
	ctx->run->undo = rdtsc_ordered() - t;
	memcpy(pfns, map.pfn_list, array_size(ctx->npages, sizeof(*pfns)));
free:
	ctx->range.hmm_pfns = pfns;
	hmm_dma_map_free(dev, &map);
	return ret;
}
