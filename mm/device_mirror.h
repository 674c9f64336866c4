/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private to mm/device_mirror*.c and mm/device_memory*.c. The types, their locks and their
 * lifetimes are explained at the top of mm/device_mirror.c.
 */
#ifndef _MM_DEVICE_MIRROR_H
#define _MM_DEVICE_MIRROR_H

#include <linux/bitfield.h>
#include <linux/device_mirror.h>
#include <linux/dma-mapping.h>
#include <linux/hmm-dma.h>
#include <linux/mmu_notifier.h>
#include <linux/refcount.h>
#include <linux/sizes.h>

/* A chunk: what one fault looks at, and what one table of the device covers. */
#define MIRROR_CHUNK_SHIFT 21
#define MIRROR_CHUNK_SIZE BIT(MIRROR_CHUNK_SHIFT)
#define MIRROR_CHUNK_PAGES (MIRROR_CHUNK_SIZE >> PAGE_SHIFT)

/*
 * A window: one subscription. Larger ones cost less when a process has much memory; but a
 * fault waits for every invalidation in its window.
 */
#define MIRROR_WINDOW_SHIFT 25
#define MIRROR_WINDOW_SIZE BIT(MIRROR_WINDOW_SHIFT)
#define MIRROR_WINDOW_CHUNKS (MIRROR_WINDOW_SIZE / MIRROR_CHUNK_SIZE)

/* A fault brings in as many pages around it that are not there yet. */
#define MIRROR_AROUND_SIZE SZ_64K

/*
 * mirror_chunk.unit: 0 for a page that the device has not, MIRROR_UNIT_TAIL for one of a
 * run that begins further down, and for the first of a run
 */
#define MIRROR_UNIT_HEAD BIT(7)
#define MIRROR_UNIT_WRITE BIT(6)
#define MIRROR_UNIT_LOCAL BIT(5) /* in the device's memory */
#define MIRROR_UNIT_PEER BIT(4) /* in another device's; hmm_dma_map has only its address */
#define MIRROR_UNIT_ORDER GENMASK(3, 0)

#define MIRROR_UNIT_TAIL 1

struct mirror_chunk {
	struct hmm_dma_map map;
	unsigned int nr_mapped;
	u8 unit[MIRROR_CHUNK_PAGES];
};

/* What a second pass of an invalidation has to know. */
struct mirror_finish {
	struct mmu_interval_notifier_finish finish;
	struct device_mirror_shootdown shootdown;
	bool unmapped; /* there may be nothing left afterwards */
};

struct mirror_window {
	struct mmu_interval_notifier notifier;
	struct device_mirror *mirror;
	refcount_t users;
	spinlock_t lock; /* chunks, and what is in them */
	bool idle;
	struct mirror_chunk *chunks[MIRROR_WINDOW_CHUNKS];
	struct mirror_finish spare;
	unsigned long spare_busy;
	struct rcu_head rcu;
};

struct mirror_window *mirror_window_get(struct device_mirror *mirror, unsigned long addr);
void mirror_window_put(struct mirror_window *window);
struct mirror_chunk *mirror_chunk_alloc(struct device_mirror *mirror);
void mirror_chunk_free(struct device_mirror *mirror, struct mirror_chunk *chunk);

enum device_mirror_advice mirror_advice(struct device_mirror *mirror, unsigned long addr);
void mirror_advice_unmapped(struct device_mirror *mirror, unsigned long start,
			    unsigned long end);

/* The first page of the run that page @i is part of, which the device has. */
static inline unsigned int mirror_unit_head(const struct mirror_chunk *chunk, unsigned int i)
{
	while (chunk->unit[i] == MIRROR_UNIT_TAIL)
		i--;
	return i;
}

static inline unsigned int mirror_unit_pages(u8 unit)
{
	return 1U << FIELD_GET(MIRROR_UNIT_ORDER, unit);
}

static inline struct mirror_chunk **mirror_chunk_slot(struct mirror_window *window,
						      unsigned long addr)
{
	return &window->chunks[(addr & (MIRROR_WINDOW_SIZE - 1)) >> MIRROR_CHUNK_SHIFT];
}

#ifdef CONFIG_DEVICE_PRIVATE
void *memory_owner(struct device_memory *memory);
struct device_memory *memory_of_peer(const struct page *page);
dma_addr_t memory_peer_map(struct device_memory *memory, struct device *dev, u64 offset,
			   unsigned int *order);
void memory_peer_unmap(struct device *dev, const struct page *page, dma_addr_t address,
		       unsigned int order);
bool memory_owns(const struct device_memory *memory, const struct page *page);
u64 memory_offset(const struct device_memory *memory, const struct page *page);
void memory_touch(struct device_memory *memory, u64 offset);
long memory_migrate(struct device_mirror *mirror, struct vm_area_struct *vma,
		    unsigned long start, unsigned long end);
int memory_make_room(struct device_memory *memory, unsigned int nr_pages);
#else
static inline void *memory_owner(struct device_memory *memory)
{
	return NULL;
}

static inline struct device_memory *memory_of_peer(const struct page *page)
{
	return NULL;
}

static inline dma_addr_t memory_peer_map(struct device_memory *memory, struct device *dev,
					 u64 offset, unsigned int *order)
{
	return DMA_MAPPING_ERROR;
}

static inline void memory_peer_unmap(struct device *dev, const struct page *page,
				     dma_addr_t address, unsigned int order)
{
}

static inline bool memory_owns(const struct device_memory *memory, const struct page *page)
{
	return false;
}

static inline u64 memory_offset(const struct device_memory *memory, const struct page *page)
{
	return 0;
}

static inline void memory_touch(struct device_memory *memory, u64 offset)
{
}

static inline long memory_migrate(struct device_mirror *mirror, struct vm_area_struct *vma,
				  unsigned long start, unsigned long end)
{
	return -EOPNOTSUPP;
}

static inline int memory_make_room(struct device_memory *memory, unsigned int nr_pages)
{
	return -EOPNOTSUPP;
}
#endif

#endif /* _MM_DEVICE_MIRROR_H */
