/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private to mm/device_memory.c, device_memory_move.c and device_memory_lost.c.
 */
#ifndef _MM_DEVICE_MEMORY_H
#define _MM_DEVICE_MEMORY_H

#include <linux/bitmap.h>
#include <linux/scatterlist.h>

#include "device_mirror.h"

/* What is evicted at once, and what a chunk that is moved as a whole gets. */
#define MEMORY_BLOCK_SIZE MIRROR_CHUNK_SIZE
#define MEMORY_BLOCK_PAGES MIRROR_CHUNK_PAGES

/*
 * struct memory_block_state - 2 MiB of the device's memory, under device_memory.lock
 * @lru: in device_memory.lru if any page is in use
 * @nr_used: pages that have been given out
 * @emptying: no more are
 * @stay: in jiffies: until then the CPU waits for pages of the block
 * @used: which
 */
struct memory_block_state {
	struct list_head lru;
	unsigned int nr_used;
	bool emptying;
	u64 stay;
	DECLARE_BITMAP(used, MEMORY_BLOCK_PAGES);
};

/*
 * struct memory_move - what is needed to move up to a chunk: too much for a stack
 * @src: as for migrate_vma_setup()
 * @dst: likewise
 * @sg: the pages in system memory, so that an IOMMU maps, and forgets, all of them at once
 * @offsets: where in the device's memory those in @sg are, or go
 * @copies: for ops->copy()
 * @failed: pages that it has failed for
 * @held: eviction: anon_vmas of the pages, with a reference each; NULL for what stays
 */
struct memory_move {
	unsigned long src[MIRROR_CHUNK_PAGES];
	unsigned long dst[MIRROR_CHUNK_PAGES];
	struct scatterlist sg[MIRROR_CHUNK_PAGES];
	u64 offsets[MIRROR_CHUNK_PAGES];
	struct device_memory_copy copies[MIRROR_CHUNK_PAGES];
	DECLARE_BITMAP(failed, MIRROR_CHUNK_PAGES);
	struct anon_vma *held[MIRROR_CHUNK_PAGES];
};

long memory_alloc(struct device_memory *memory, unsigned int nr);
void memory_free(struct device_memory *memory, unsigned long first, unsigned int nr);
struct page *memory_page(const struct device_memory *memory, unsigned long i);
void memory_block_begin(struct device_memory *memory, unsigned long block);
void memory_block_end(struct device_memory *memory, unsigned long block);
void memory_begin_timeslice(struct device_memory *memory, unsigned long first);
bool memory_is_in_timeslice(struct device_memory *memory, const struct page *page);
long memory_evict(struct device_memory *memory, unsigned long block, bool force);
unsigned int memory_lose(struct device_memory *memory, const struct memory_move *move);
vm_fault_t memory_to_ram(struct vm_fault *vmf);

#endif /* _MM_DEVICE_MEMORY_H */
