// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving pages of processes into a device's memory and back: because the device wants them
 * (memory_migrate()), because the CPU does (memory_to_ram()), because others need the room
 * (memory_evict()).
 *
 * The kernel's page migration does what is dangerous: it takes the pages out of all page
 * tables, which announces an invalidation, which makes the mirrors take them from the
 * device; so when it lets us copy, neither side can write any more. Here is where to, and the
 * copying: the driver's, page by page or as long as both sides follow each other.
 *
 * All three fill in src and dst of struct memory_move. A page whose dst is 0 stays where it is.
 * What becomes of pages that can neither stay nor move is device_memory_lost.c's.
 */
#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/rmap.h>
#include <linux/slab.h>

#include "device_memory.h"

/* The pages in system memory have no DMA addresses at the moment; nothing was tried. */
#define MOVE_NOT_MAPPED 1

/* Page @i of the move stays where it is. */
static void move_drop(struct memory_move *move, unsigned int i)
{
	struct page *page = migrate_pfn_to_page(move->dst[i]);

	move->dst[i] = 0;
	unlock_page(page);
	put_page(page);
}

/* Adds page @i to the copies, to the last one if it follows it. Returns their number. */
static unsigned int move_add(struct memory_move *move, unsigned int nr, dma_addr_t dma,
			     u64 offset, bool clear)
{
	struct device_memory_copy *last = nr ? &move->copies[nr - 1] : NULL;
	u64 bytes = last ? (u64)last->nr_pages << PAGE_SHIFT : 0;

	if (last && last->clear == clear && last->offset + bytes == offset &&
	    (clear || last->system + bytes == dma)) {
		last->nr_pages++;
		return nr;
	}
	move->copies[nr] = (struct device_memory_copy){
		.system = dma,
		.offset = offset,
		.nr_pages = 1,
		.clear = clear,
	};
	return nr + 1;
}

/*
 * Lists what has a dst of the @nr_pages from @first on: pages of the system in move->sg, those
 * that are to be cleared as copies. Returns the number of the former; *nr_copies is that
 * of the latter.
 */
static unsigned int move_list(struct device_memory *memory, struct memory_move *move,
			      unsigned int first, unsigned int nr_pages, bool to_device,
			      unsigned int *nr_copies)
{
	unsigned int i, nr = 0;

	sg_init_table(move->sg, nr_pages);
	for (i = first; i < first + nr_pages; i++) {
		struct page *src = migrate_pfn_to_page(move->src[i]);
		struct page *dst = migrate_pfn_to_page(move->dst[i]);
		u64 offset;

		if (!dst)
			continue;
		offset = memory_offset(memory, to_device ? dst : src);
		if (!src) {
			*nr_copies = move_add(move, *nr_copies, 0, offset, true);
			continue;
		}
		sg_set_page(&move->sg[nr], to_device ? src : dst, PAGE_SIZE, 0);
		move->offsets[nr++] = offset;
	}
	if (nr)
		sg_mark_end(&move->sg[nr - 1]);
	return nr;
}

/* The listed pages, mapped as @nents pieces, as copies */
static unsigned int move_add_mapped(struct memory_move *move, unsigned int nents,
				    unsigned int nr_copies)
{
	struct scatterlist *sg;
	unsigned int i, at, k = 0;

	for_each_sg(move->sg, sg, nents, i)
		for (at = 0; at < sg_dma_len(sg); at += PAGE_SIZE)
			nr_copies = move_add(move, nr_copies, sg_dma_address(sg) + at,
					     move->offsets[k++], false);
	return nr_copies;
}

/* 0, MOVE_NOT_MAPPED, or what ops->copy() has returned */
static int move_map_and_copy(struct device_memory *memory, struct memory_move *move,
			     unsigned int first, unsigned int nr_pages,
			     enum dma_data_direction dir)
{
	unsigned int nr_copies = 0, nr, nents = 0;
	int ret = 0;

	nr = move_list(memory, move, first, nr_pages, dir == DMA_TO_DEVICE, &nr_copies);
	if (nr) {
		nents = dma_map_sg_attrs(memory->dev, move->sg, nr, dir, DMA_ATTR_NO_WARN);
		if (!nents)
			return MOVE_NOT_MAPPED;
		nr_copies = move_add_mapped(move, nents, nr_copies);
	}
	if (nr_copies)
		ret = memory->ops->copy(memory, move->copies, nr_copies, dir);
	if (nr)
		dma_unmap_sg(memory->dev, move->sg, nr, dir);
	return ret;
}

/*
 * Copies what has a dst: together, or page by page if there are no DMA addresses for so much at
 * once. What is not copied stays; it is in move->failed if that was the device's fault. Returns
 * how many have been copied.
 */
static unsigned int move_copy(struct device_memory *memory, struct memory_move *move,
			      unsigned int nr_pages, enum dma_data_direction dir)
{
	int all = move_map_and_copy(memory, move, 0, nr_pages, dir), ret;
	unsigned int i, done = 0;

	bitmap_zero(move->failed, MIRROR_CHUNK_PAGES);
	for (i = 0; i < nr_pages; i++) {
		if (!move->dst[i])
			continue;
		ret = all;
		if (all == MOVE_NOT_MAPPED)
			ret = move_map_and_copy(memory, move, i, 1, dir);
		if (ret) {
			if (ret != MOVE_NOT_MAPPED)
				__set_bit(i, move->failed);
			move_drop(move, i);
			continue;
		}
		/* The device may have written: what reclaim knows of the page is too old. */
		if (dir == DMA_FROM_DEVICE)
			SetPageDirty(migrate_pfn_to_page(move->dst[i]));
		done++;
	}
	return done;
}

/*
 * -- to the device
 */

/*
 * May memory of @vma move at all? That of files, of devices, of other domains may not: it is not
 * ours to take away. Nor may what KSM may have merged, because of two things in 6.12:
 *
 *	ksmd compares with the CPU what merged pages hold, wherever they have been moved to.
 *
 *	migrate_vma_setup() puts a migration entry in place of a page's, and relies on the
 *	reverse map to find it again. For a merged page that is ksmd's list of who has it; but
 *	ksmd drops from that list who has no present entry when it comes by, as during
 *	another migration. The entry then stays, and whoever waits for it panics the kernel.
 */
static bool move_may_leave(struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) && !(vma->vm_flags & VM_MERGEABLE);
}

/*
 * Pages of [start, end), in one chunk and in @vma, move to the device. Returns how many, or an
 * errno. Under the mmap lock; memory_make_room() has been called.
 */
long memory_migrate(struct device_mirror *mirror, struct vm_area_struct *vma,
		    unsigned long start, unsigned long end)
{
	struct device_memory *memory = mirror->memory;
	unsigned int i, nr = (end - start) >> PAGE_SHIFT, done;
	struct migrate_vma args = {
		.vma = vma,
		.start = start,
		.end = end,
		.pgmap_owner = memory_owner(memory),
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	unsigned int unused = 0;
	struct memory_move *move;
	long first, ret;

	mmap_assert_locked(mirror->mm);
	if (!move_may_leave(vma))
		return 0;
	move = kvmalloc(sizeof(*move), GFP_KERNEL | __GFP_NOWARN);
	if (!move)
		return -ENOMEM;
	first = memory_alloc(memory, nr);
	ret = first;
	if (first < 0)
		goto free;

	args.src = move->src;
	args.dst = move->dst;
	memset(move->dst, 0, sizeof(move->dst));
	ret = migrate_vma_setup(&args);
	if (ret) {
		memory_free(memory, first, nr);
		goto free;
	}
	for (i = 0; i < nr; i++) {
		struct page *page = memory_page(memory, first + i);

		/* A page each, so that large entries fit even if some do not move. */
		if (!(move->src[i] & MIGRATE_PFN_MIGRATE)) {
			unused++;
			memory_free(memory, first + i, 1);
			continue;
		}
		zone_device_page_init(page);
		move->dst[i] = migrate_pfn(page_to_pfn(page));
	}
	done = unused < nr ? move_copy(memory, move, nr, DMA_TO_DEVICE) : 0;
	migrate_vma_pages(&args);
	ret = 0;
	for (i = 0; i < nr && done; i++)
		ret += move->dst[i] && move->src[i] & MIGRATE_PFN_MIGRATE;
	if (ret)
		memory_begin_timeslice(memory, first);
	migrate_vma_finalize(&args);
free:
	kvfree(move);
	return ret;
}

/*
 * -- to the system
 */

static void move_alloc(struct memory_move *move, unsigned int i, struct vm_area_struct *vma,
		       unsigned long addr, gfp_t more)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | more;
	struct page *page;

	move->dst[i] = 0;
	/* What is not there at all (no page) need not come back. */
	if (!(move->src[i] & MIGRATE_PFN_MIGRATE) || !migrate_pfn_to_page(move->src[i]))
		return;
	page = vma ? alloc_page_vma(gfp, vma, addr) : alloc_page(gfp);
	if (!page)
		return;
	lock_page(page);
	move->dst[i] = migrate_pfn(page_to_pfn(page));
}

/* What is in memory of other devices, which has the same owner, is not ours to copy. */
static void move_keep_others(struct device_memory *memory, struct memory_move *move,
			     unsigned int nr)
{
	struct page *page;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		page = migrate_pfn_to_page(move->src[i]);
		if (page && !memory_owns(memory, page))
			move->src[i] &= ~MIGRATE_PFN_MIGRATE;
	}
}

/* [start, end) of the fault's VMA. Returns what the fault handler is to return. */
static vm_fault_t move_to_ram(struct vm_fault *vmf, struct memory_move *move,
			      unsigned long start, unsigned long end)
{
	struct device_memory *memory = container_of(vmf->page->pgmap, struct device_memory, pgmap);
	unsigned int i, nr = (end - start) >> PAGE_SHIFT;
	unsigned int wanted = ((vmf->address & PAGE_MASK) - start) >> PAGE_SHIFT;
	struct migrate_vma args = {
		.vma = vmf->vma,
		.start = start,
		.end = end,
		.src = move->src,
		.dst = move->dst,
		.pgmap_owner = memory_owner(memory),
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.fault_page = vmf->page,
	};
	vm_fault_t ret = 0;
	bool had_page;

	if (migrate_vma_setup(&args))
		return VM_FAULT_SIGBUS;
	move_keep_others(memory, move, nr);
	for (i = 0; i < nr; i++)
		move_alloc(move, i, vmf->vma, start + i * PAGE_SIZE,
			   i == wanted ? 0 : __GFP_NORETRY | __GFP_NOWARN);

	/* If it does not move, that is for the next fault to see; unless we are the reason. */
	had_page = move->dst[wanted];
	if (move->src[wanted] & MIGRATE_PFN_MIGRATE && migrate_pfn_to_page(move->src[wanted]) &&
	    !had_page)
		ret = VM_FAULT_OOM;
	atomic64_add(move_copy(memory, move, nr, DMA_FROM_DEVICE), &memory->to_system);
	if (had_page && !move->dst[wanted])
		ret = VM_FAULT_SIGBUS;
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	return ret;
}

/*
 * The CPU has touched a page that is in the device's memory: it comes back, with those of its
 * chunk that are there, too. Without memory, or DMA addresses, for so much at once, it comes
 * alone.
 */
vm_fault_t memory_to_ram(struct vm_fault *vmf)
{
	struct device_memory *memory = container_of(vmf->page->pgmap, struct device_memory, pgmap);
	unsigned long addr = vmf->address & PAGE_MASK;
	unsigned long base = ALIGN_DOWN(addr, MIRROR_CHUNK_SIZE);
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct memory_move *move;

	/* It tries again at once; in between it can be killed, and the page can leave. */
	if (memory_is_in_timeslice(memory, vmf->page))
		return 0;
	move = kvmalloc(sizeof(*move), GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
	if (move)
		ret = move_to_ram(vmf, move, max(base, vmf->vma->vm_start),
				  min(base + MIRROR_CHUNK_SIZE, vmf->vma->vm_end));
	kvfree(move);
	if (!(ret & VM_FAULT_SIGBUS))
		return ret;
	mutex_lock(&memory->spare_lock);
	ret = move_to_ram(vmf, memory->spare, addr, addr + PAGE_SIZE);
	mutex_unlock(&memory->spare_lock);
	return ret;
}

/*
 * Migration puts entries of its own in place of a page's, and walks the page's reverse map again
 * to take them out. Nothing in 6.12 keeps the anon_vma, which is the reverse map, meanwhile:
 * the one who migrates has to. A task that moves its own pages does so by its mmap lock. Here the
 * pages are anybody's, and their processes may exit while the device copies. So each anon_vma
 * gets a reference first:
 *
 *	evict					exit
 *	migrate_device_range()
 *	  page is mapped nowhere
 *						unmap: drops the migration entry
 *						unlink_anon_vmas(): frees the anon_vma
 *	migrate_device_finalize()
 *	  walks page->mapping's anon_vma
 *
 * Only pages that have got one are taken. The reference is that of the right anon_vma: a page has
 * one until it is freed, and nothing of the block is given out again while it is being
 * emptied (memory_block_begin()).
 */
static struct anon_vma *move_hold(struct page *page)
{
	struct folio *folio = folio_get_nontail_page(page);
	struct anon_vma *anon_vma;

	if (!folio)
		return NULL;
	anon_vma = folio_get_anon_vma(folio);
	folio_put(folio);
	return anon_vma;
}

/* Takes the pages of a block, from @pfn on, out of the page tables of all processes. */
static void move_take(struct memory_move *move, unsigned long pfn)
{
	unsigned int i, end;

	memset(move->src, 0, sizeof(move->src));
	for (i = 0; i < MEMORY_BLOCK_PAGES; i++)
		move->held[i] = move_hold(pfn_to_page(pfn + i));
	for (i = 0; i < MEMORY_BLOCK_PAGES; i = end + 1) {
		for (end = i; end < MEMORY_BLOCK_PAGES && move->held[end]; end++)
			;
		if (end > i)
			migrate_device_range(move->src + i, pfn + i, end - i);
	}
}

/* And puts entries there again: of where they are now. */
static void move_give_back(struct memory_move *move)
{
	unsigned int i;

	migrate_device_pages(move->src, move->dst, MEMORY_BLOCK_PAGES);
	migrate_device_finalize(move->src, move->dst, MEMORY_BLOCK_PAGES);
	for (i = 0; i < MEMORY_BLOCK_PAGES; i++)
		if (move->held[i])
			put_anon_vma(move->held[i]);
}

/*
 * Moves the pages of a block back, whoever's they are. Returns how many; -ENOMEM; -EIO if the
 * device does not copy, unless by @force they are given up then. Under evict_lock.
 */
long memory_evict(struct device_memory *memory, unsigned long block, bool force)
{
	unsigned long pfn = page_to_pfn(memory_page(memory, block * MEMORY_BLOCK_PAGES));
	unsigned int i, wanted = 0, got = 0, done, lost = 0;
	struct memory_move *move;
	bool spare = false;

	lockdep_assert_held(&memory->evict_lock);
	move = kvmalloc(sizeof(*move), GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
	if (!move) {
		mutex_lock(&memory->spare_lock);
		move = memory->spare;
		spare = true;
	}
	memory_block_begin(memory, block);
	move_take(move, pfn);
	for (i = 0; i < MEMORY_BLOCK_PAGES; i++) {
		move_alloc(move, i, NULL, 0, __GFP_NOWARN);
		wanted += !!(move->src[i] & MIGRATE_PFN_MIGRATE);
		got += !!move->dst[i];
	}
	done = move_copy(memory, move, MEMORY_BLOCK_PAGES, DMA_FROM_DEVICE);
	if (force)
		lost = memory_lose(memory, move);
	move_give_back(move);
	memory_block_end(memory, block);
	atomic64_add(done, &memory->to_system);

	if (spare)
		mutex_unlock(&memory->spare_lock);
	else
		kvfree(move);
	if (wanted && !got)
		return -ENOMEM;
	if (got && !done && !lost)
		return -EIO;
	return done;
}
