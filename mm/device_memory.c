// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a device that pages of processes can move to: who has what, and making room.
 *
 * Each page of the device's memory has a struct page (DEVICE_PRIVATE: the CPU has no way to
 * it), which the kernel counts references of as of any other; when the last one goes,
 * memory_page_free() has it back. Pages are given out from blocks of 2 MiB, of which those
 * in use are in a list, the least recently wanted first. "Wanted" is all that is known: a
 * fault of the device that maps pages of the block. What the device uses without faulting
 * is not seen.
 *
 * Making room means to move the pages of the first block back to the system's memory,
 * whoever's they are; meanwhile nothing of it is given out. Their processes' device entries go
 * with the invalidation that this is; the device faults, and finds them there.
 *
 * Other devices may use a page where it is, if the driver has a way (ops->peer_map()). Memory of
 * all that have one belongs to one owner, in the sense of HMM, so that a mirror's fault gets to
 * see its pages; which of them the device reaches is asked page by page. Memory without
 * a way has an owner of its own. An entry of another device goes as one of this one's does, by
 * the invalidation without which no page leaves: so no page is free while a device has it.
 *
 * memory->lock protects blocks and list, and is a leaf: pages are freed in all kinds of
 * places. memory->evict_lock lets one task at a time make room, so that two do not evict
 * twice as much as is needed; it is taken before page locks, and not under the mmap lock.
 */
#include <linux/device.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/ioport.h>
#include <linux/jiffies.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "device_memory.h"

/* Pages are numbered from the beginning of the device's memory. */
static unsigned long memory_index(const struct device_memory *memory, const struct page *page)
{
	return page_to_pfn(page) - PHYS_PFN(memory->pgmap.range.start);
}

struct page *memory_page(const struct device_memory *memory, unsigned long i)
{
	return pfn_to_page(PHYS_PFN(memory->pgmap.range.start) + i);
}

/* The owner of what devices reach in each other */
static char memory_peers;

/*
 * Whose pages a mirror gets to see: those of @memory, and of others that are reached the same
 * way. NULL: of a device without memory that pages move to.
 */
void *memory_owner(struct device_memory *memory)
{
	return memory ? memory->pgmap.owner : &memory_peers;
}

/* Whose memory @page is in, if other devices may reach it; or NULL */
struct device_memory *memory_of_peer(const struct page *page)
{
	if (!is_device_private_page(page) || page->pgmap->owner != &memory_peers)
		return NULL;
	return container_of(page->pgmap, struct device_memory, pgmap);
}

dma_addr_t memory_peer_map(struct device_memory *memory, struct device *dev, u64 offset,
			   unsigned int *order)
{
	return memory->ops->peer_map(memory, dev, offset, order);
}

/* @page, the first of the run, is still there: it waits for this. */
void memory_peer_unmap(struct device *dev, const struct page *page, dma_addr_t address,
		       unsigned int order)
{
	struct device_memory *memory = memory_of_peer(page);

	if (!WARN_ON_ONCE(!memory))
		memory->ops->peer_unmap(memory, dev, address, order);
}

/* Is @page one of this device's? */
bool memory_owns(const struct device_memory *memory, const struct page *page)
{
	return is_device_private_page(page) && page->pgmap == &memory->pgmap;
}

/* Where it is, in bytes */
u64 memory_offset(const struct device_memory *memory, const struct page *page)
{
	return (u64)memory_index(memory, page) << PAGE_SHIFT;
}

/* The device wants what is at @offset, in bytes. */
void memory_touch(struct device_memory *memory, u64 offset)
{
	struct memory_block_state *block = &memory->blocks[offset / MEMORY_BLOCK_SIZE];

	spin_lock(&memory->lock);
	if (block->nr_used && !list_is_last(&block->lru, &memory->lru))
		list_move_tail(&block->lru, &memory->lru);
	spin_unlock(&memory->lock);
}

/* The first of @nr free pages in @block, as a number in it; MEMORY_BLOCK_PAGES: there are none */
static unsigned long memory_block_find(struct memory_block_state *block, unsigned int nr)
{
	if (block->emptying || nr > MEMORY_BLOCK_PAGES - block->nr_used)
		return MEMORY_BLOCK_PAGES;
	return bitmap_find_next_zero_area(block->used, MEMORY_BLOCK_PAGES, 0, nr,
					  roundup_pow_of_two(nr) - 1);
}

/*
 * @nr pages that follow each other, at most a block's, so aligned that large entries of the
 * device fit. Returns the number of the first one, or -ENOSPC. They are not initialised.
 */
long memory_alloc(struct device_memory *memory, unsigned int nr)
{
	unsigned long i, at = MEMORY_BLOCK_PAGES;

	spin_lock(&memory->lock);
	for (i = 0; i < memory->nr_blocks && !memory->dying; i++) {
		at = memory_block_find(&memory->blocks[i], nr);
		if (at < MEMORY_BLOCK_PAGES)
			break;
	}
	if (at < MEMORY_BLOCK_PAGES) {
		struct memory_block_state *block = &memory->blocks[i];

		bitmap_set(block->used, at, nr);
		if (!block->nr_used)
			list_add_tail(&block->lru, &memory->lru);
		WRITE_ONCE(block->nr_used, block->nr_used + nr);
	}
	spin_unlock(&memory->lock);
	return at < MEMORY_BLOCK_PAGES ? i * MEMORY_BLOCK_PAGES + at : -ENOSPC;
}

/* Pages that have been allocated, all in one block, are free again. */
void memory_free(struct device_memory *memory, unsigned long first, unsigned int nr)
{
	struct memory_block_state *block = &memory->blocks[first / MEMORY_BLOCK_PAGES];

	spin_lock(&memory->lock);
	bitmap_clear(block->used, first % MEMORY_BLOCK_PAGES, nr);
	WRITE_ONCE(block->nr_used, block->nr_used - nr);
	if (!block->nr_used)
		list_del_init(&block->lru);
	spin_unlock(&memory->lock);
}

/* From now until memory_block_end() nothing of the block is given out. */
void memory_block_begin(struct device_memory *memory, unsigned long block)
{
	spin_lock(&memory->lock);
	memory->blocks[block].emptying = true;
	spin_unlock(&memory->lock);
}

void memory_block_end(struct device_memory *memory, unsigned long block)
{
	spin_lock(&memory->lock);
	memory->blocks[block].emptying = false;
	spin_unlock(&memory->lock);
}

/* Pages of the block that page @first is in have just come. */
void memory_begin_timeslice(struct device_memory *memory, unsigned long first)
{
	unsigned int ms = READ_ONCE(memory->timeslice_ms);

	if (ms)
		WRITE_ONCE(memory->blocks[first / MEMORY_BLOCK_PAGES].stay,
			   get_jiffies_64() + msecs_to_jiffies(ms));
}

bool memory_is_in_timeslice(struct device_memory *memory, const struct page *page)
{
	u64 stay = READ_ONCE(memory->blocks[memory_index(memory, page) / MEMORY_BLOCK_PAGES].stay);

	return stay && time_before64(get_jiffies_64(), stay);
}

/* Nobody has a reference to @page any more. */
static void memory_page_free(struct page *page)
{
	struct device_memory *memory = container_of(page->pgmap, struct device_memory, pgmap);

	memory_free(memory, memory_index(memory, page), 1);
}

static const struct dev_pagemap_ops memory_pgmap_ops = {
	.page_free = memory_page_free,
	.migrate_to_ram = memory_to_ram,
};

/* Could @nr pages be allocated? */
static bool memory_has_room(struct device_memory *memory, unsigned int nr)
{
	unsigned long i;
	bool room = false;

	spin_lock(&memory->lock);
	for (i = 0; i < memory->nr_blocks && !room; i++)
		room = memory_block_find(&memory->blocks[i], nr) < MEMORY_BLOCK_PAGES;
	spin_unlock(&memory->lock);
	return room;
}

/* The block least recently wanted, which is then the last one in the list; or -ENOENT */
static long memory_oldest(struct device_memory *memory)
{
	struct memory_block_state *block;
	long i = -ENOENT;

	spin_lock(&memory->lock);
	block = list_first_entry_or_null(&memory->lru, struct memory_block_state, lru);
	if (block) {
		i = block - memory->blocks;
		list_move_tail(&block->lru, &memory->lru);
	}
	spin_unlock(&memory->lock);
	return i;
}

/*
 * Sees to it that @nr pages could be allocated, by eviction if need be. Returns 0; -EINTR when
 * killed; or -ENOSPC: in a whole round through the blocks none could be emptied so far, or
 * one cannot be for a reason that is the next one's, too (no memory, a device that does not
 * copy). Who asks again begins with another block.
 */
int memory_make_room(struct device_memory *memory, unsigned int nr)
{
	unsigned long tries = memory->nr_blocks;
	long block, moved = 0;

	if (nr > MEMORY_BLOCK_PAGES || READ_ONCE(memory->dying))
		return -ENOSPC;
	if (memory_has_room(memory, nr))
		return 0;

	if (mutex_lock_killable(&memory->evict_lock))
		return -EINTR;
	while (!memory_has_room(memory, nr) && tries-- && moved >= 0 &&
	       !fatal_signal_pending(current)) {
		block = memory_oldest(memory);
		if (block < 0)
			break;
		moved = memory_evict(memory, block, false);
		if (moved > 0)
			atomic64_add(moved, &memory->evicted);
	}
	mutex_unlock(&memory->evict_lock);
	if (fatal_signal_pending(current))
		return -EINTR;
	return memory_has_room(memory, nr) ? 0 : -ENOSPC;
}

/**
 * device_memory_used - how much of a device's memory pages of processes occupy
 * @memory: the memory
 *
 * Context: any
 * Return: bytes
 */
u64 device_memory_used(struct device_memory *memory)
{
	unsigned long i;
	u64 used = 0;

	spin_lock(&memory->lock);
	for (i = 0; i < memory->nr_blocks; i++)
		used += memory->blocks[i].nr_used;
	spin_unlock(&memory->lock);
	return used << PAGE_SHIFT;
}
EXPORT_SYMBOL_GPL(device_memory_used);

static int memory_evict_round(struct device_memory *memory, bool force)
{
	unsigned long i;
	int err = 0;

	mutex_lock(&memory->evict_lock);
	for (i = 0; i < memory->nr_blocks; i++) {
		long ret = 0;

		if (READ_ONCE(memory->blocks[i].nr_used))
			ret = memory_evict(memory, i, force);
		if (ret < 0)
			err = err ?: ret;
	}
	mutex_unlock(&memory->evict_lock);
	return err;
}

/**
 * device_memory_evict_all - move everything back to the system's memory
 * @memory: the memory
 *
 * For suspend and reset, while the device still works. Processes may move pages to the
 * device again at once.
 *
 * Context: may sleep, for long; not under the mmap lock
 * Return: 0; -EBUSY if pages are left (somebody else holds references to them for the moment);
 *	-ENOMEM; or what ops->copy() has returned
 */
int device_memory_evict_all(struct device_memory *memory)
{
	int ret = memory_evict_round(memory, false);

	if (!ret && device_memory_used(memory))
		ret = -EBUSY;
	return ret;
}
EXPORT_SYMBOL_GPL(device_memory_evict_all);

static int memory_map(struct device_memory *memory)
{
	struct dev_pagemap *pgmap = &memory->pgmap;
	struct resource *res;
	void *ret;

	res = request_free_mem_region(&iomem_resource, memory->size, dev_name(memory->dev));
	if (IS_ERR(res))
		return PTR_ERR(res);
	pgmap->type = MEMORY_DEVICE_PRIVATE;
	pgmap->range.start = res->start;
	pgmap->range.end = res->end;
	pgmap->nr_range = 1;
	pgmap->ops = &memory_pgmap_ops;
	pgmap->owner = memory->ops->peer_map ? (void *)&memory_peers : memory;
	ret = memremap_pages(pgmap, dev_to_node(memory->dev));
	if (IS_ERR(ret)) {
		release_mem_region(res->start, resource_size(res));
		return PTR_ERR(ret);
	}
	return 0;
}

/**
 * device_memory_init - let pages of processes move to a device
 * @memory: filled in
 * @dev: the device, able to do DMA
 * @size: bytes of its memory that are to be used for this, from offset 0 on; rounded down to
 *	2 MiB
 * @ops: the driver's operations
 * @driver_data: the driver's
 *
 * Takes 64 bytes of the system's memory a page.
 *
 * Context: may sleep
 * Return: 0; -EINVAL if @size is too small, or an operation is missing; -ENOMEM; or why the
 *	kernel cannot have struct pages for it
 */
int device_memory_init(struct device_memory *memory, struct device *dev, u64 size,
		       const struct device_memory_ops *ops, void *driver_data)
{
	unsigned long i;
	int ret = -ENOMEM;

	memset(memory, 0, sizeof(*memory));
	if (WARN_ON_ONCE(!ops->copy || !ops->peer_map != !ops->peer_unmap))
		return -EINVAL;
	memory->dev = dev;
	memory->ops = ops;
	memory->driver_data = driver_data;
	memory->nr_blocks = size / MEMORY_BLOCK_SIZE;
	memory->size = (u64)memory->nr_blocks * MEMORY_BLOCK_SIZE;
	if (!memory->nr_blocks)
		return -EINVAL;
	spin_lock_init(&memory->lock);
	mutex_init(&memory->evict_lock);
	mutex_init(&memory->spare_lock);
	INIT_LIST_HEAD(&memory->lru);

	memory->spare = kvzalloc(sizeof(*memory->spare), GFP_KERNEL);
	memory->blocks = kvcalloc(memory->nr_blocks, sizeof(*memory->blocks), GFP_KERNEL);
	if (!memory->spare || !memory->blocks)
		goto free;
	for (i = 0; i < memory->nr_blocks; i++)
		INIT_LIST_HEAD(&memory->blocks[i].lru);
	ret = memory_map(memory);
	if (!ret)
		return 0;
free:
	kvfree(memory->blocks);
	kvfree(memory->spare);
	return ret;
}
EXPORT_SYMBOL_GPL(device_memory_init);

/*
 * Nothing is left when it returns. What the device does not copy the first time gets a second
 * try: the driver may have reset it, and its memory may have survived that. After that
 * what it does not copy is lost.
 */
static void memory_empty(struct device_memory *memory)
{
	unsigned int pause = 1;
	bool force = false;

	spin_lock(&memory->lock);
	WRITE_ONCE(memory->dying, true);
	spin_unlock(&memory->lock);

	/* A page may be locked, or somebody looks at it: that passes. */
	for (;;) {
		memory_evict_round(memory, force);
		if (!device_memory_used(memory))
			break;
		force = true;
		fsleep(pause * USEC_PER_MSEC);
		pause = min(2 * pause, 100U);
	}
}

/**
 * device_memory_suspend - move everything back, for a time
 * @memory: the memory
 *
 * For a reset that the device's memory does not survive. What the device does not copy (it is
 * gone, it hangs) is lost, as for device_memory_destroy(). No page moves to the device until
 * device_memory_resume().
 *
 * Context: may sleep, until nobody has a reference to any of the pages; not under the mmap lock
 */
void device_memory_suspend(struct device_memory *memory)
{
	memory_empty(memory);
}
EXPORT_SYMBOL_GPL(device_memory_suspend);

/**
 * device_memory_resume - the device's memory can be used again
 * @memory: the memory, after device_memory_suspend()
 *
 * Context: any
 */
void device_memory_resume(struct device_memory *memory)
{
	spin_lock(&memory->lock);
	WRITE_ONCE(memory->dying, false);
	spin_unlock(&memory->lock);
}
EXPORT_SYMBOL_GPL(device_memory_resume);

/**
 * device_memory_destroy - move everything back, and end
 * @memory: the memory; no mirror uses it any more
 *
 * If the device cannot copy (it is gone, it has been reset) what was in its memory is lost:
 * whoever touches such a page gets a SIGBUS, as for memory that the hardware has lost, and
 * the log says how many there are. A page is never another's, old, or empty instead.
 *
 * Context: may sleep, until nobody has a reference to any of the pages; not under the mmap lock
 */
void device_memory_destroy(struct device_memory *memory)
{
	memory_empty(memory);
	memunmap_pages(&memory->pgmap);
	release_mem_region(memory->pgmap.range.start, range_len(&memory->pgmap.range));
	kvfree(memory->blocks);
	kvfree(memory->spare);
}
EXPORT_SYMBOL_GPL(device_memory_destroy);
