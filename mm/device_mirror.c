// SPDX-License-Identifier: GPL-2.0-only
/*
 * One address space, mirrored into one page table of a device.
 *
 * A mirror keeps the device's entries true: a device entry exists only while the CPU's page
 * table says the same, and the memory behind it is given up only after the device has let
 * go of it. The driver brings five operations (struct device_mirror_ops) and knows nothing of
 * mm; this file and its neighbours know nothing of devices.
 *
 *	device_mirror.c		windows, invalidation, how all of it comes and goes
 *	device_mirror_fault.c	the device wants a page: faults, prefetch, advice
 *	device_memory.c		the device's own memory: who has what, making room
 *	device_memory_move.c	moving pages there and back
 *	device_memory_lost.c	pages that are gone with the device
 *
 * What there is
 *
 *	A window is an aligned piece of address space (32 MiB) with one subscription to the
 *	invalidations in it. It is made by the first fault in it.
 *
 *	A chunk is an aligned piece of a window (2 MiB): for each of its pages, whether the
 *	device has an entry, and the DMA address behind it.
 *
 *	A run is what was given to ops->map() in one call: pages with addresses that follow
 *	each other, in one DMA mapping. mirror_chunk.unit says where runs begin, and how
 *	long they are. A run goes as a whole, because a DMA mapping does.
 *
 * Chunks lie where addresses say, not where VMAs do. So there is nothing to split when a
 * process unmaps a part of something, and nothing to merge: runs in the part go, the others
 * stay.
 *
 * "Has" and "may have"
 *
 *	unit[i] != 0 means: the device *may* use page i, through its table or an entry in its
 *	TLB. It is set before the entry is written and cleared after a shootdown that
 *	followed the entry's end. Between the two an invalidation is in flight:
 *
 *	invalidate, first pass			invalidate, second pass
 *	lock					wait for the device
 *	mmu_interval_set_seq()			lock
 *	clear the entries			unmap DMA, unit[] = 0
 *	start the shootdown			unlock
 *	unlock
 *
 *	Nobody writes entries of a window meanwhile (mmu_interval_read_retry() says retry
 *	until the invalidation has ended), so the second pass finds what the first one left.
 *	Another invalidation may overlap. It finds unit[] still set, and shoots down
 *	for itself: it may be faster, but it cannot return before the device has let go.
 *
 * Locks
 *
 *	window->lock protects the window's chunks and all that is in them, covers
 *	mmu_interval_read_retry(), and is what ops->map(), clear() and shootdown_start() are
 *	called under. It is a spinlock, so that an invalidation that may not sleep can take
 *	it. Nothing of the mirror is locked while it waits for the device, faults, or
 *	allocates. There is no lock for a mirror as a whole: faults in different windows meet
 *	nowhere, those in one window only while they write entries.
 *
 *	mmap lock, reverse map locks
 *	  window->lock
 *	    the driver's locks around its table and its registers
 *	    device_memory.lock
 *
 * An invalidation that may not sleep (OOM reaper) is refused when something is mapped in its
 * range: the reaper tries again, and leaves what it cannot have to exit_mmap().
 *
 * Lifetimes
 *
 *	A mirror holds a reference to the mm_struct, not to the memory: the process exits
 *	as it likes, which is an invalidation of everything; later faults are -ESRCH.
 *	A fault holds a reference to its window. Windows and chunks in which nothing is left
 *	after an munmap() are freed by a worker (gc), because a subscription cannot be removed
 *	from its own callback. Chunks are looked up anew under the lock each time.
 *
 *	device_mirror_destroy() needs the driver to have stopped calling; invalidations
 *	may come until it has removed the subscriptions.
 */
#include <kunit/static_stub.h>
#include <linux/device.h>
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "device_mirror.h"

/*
 * -- windows and chunks
 */

struct mirror_chunk *mirror_chunk_alloc(struct device_mirror *mirror)
{
	struct mirror_chunk *chunk;
	int ret;

	/* Where a test comes between reading the CPU's page table and entering what was read */
	KUNIT_STATIC_STUB_REDIRECT(mirror_chunk_alloc, mirror);
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL_ACCOUNT);
	if (!chunk)
		return ERR_PTR(-ENOMEM);
	ret = hmm_dma_map_alloc(mirror->dev, &chunk->map, MIRROR_CHUNK_PAGES, PAGE_SIZE);
	if (ret) {
		kfree(chunk);
		return ERR_PTR(ret);
	}
	return chunk;
}

/* May be NULL. Nothing is mapped in it. */
void mirror_chunk_free(struct device_mirror *mirror, struct mirror_chunk *chunk)
{
	if (!chunk)
		return;
	WARN_ON_ONCE(chunk->nr_mapped);
	hmm_dma_map_free(mirror->dev, &chunk->map);
	kfree(chunk);
}

/*
 * The CPU's entry may be writable and clean, and stays so when the device writes: without this,
 * reclaim would throw away what it has written. The pages are there: whoever takes them waits.
 */
static void mirror_mark_dirty(const struct mirror_chunk *chunk, unsigned int head, unsigned int nr)
{
	struct page *page = hmm_pfn_to_page(chunk->map.pfn_list[head]);
	unsigned int i;

	for (i = 0; i < nr; i++)
		set_page_dirty(page + i);
}

/* The device has let go of the run that begins at page @head. */
static void mirror_unmap_unit(struct device_mirror *mirror, struct mirror_chunk *chunk,
			      unsigned int head)
{
	u8 unit = chunk->unit[head];
	unsigned int nr = mirror_unit_pages(unit);

	if (unit & MIRROR_UNIT_PEER) {
		memory_peer_unmap(mirror->dev, hmm_pfn_to_page(chunk->map.pfn_list[head]),
				  chunk->map.dma_list[head], FIELD_GET(MIRROR_UNIT_ORDER, unit));
	} else if (!(unit & MIRROR_UNIT_LOCAL)) {
		if (unit & MIRROR_UNIT_WRITE)
			mirror_mark_dirty(chunk, head, nr);
		hmm_dma_unmap_pfn(mirror->dev, &chunk->map, head);
	}
	memset(chunk->unit + head, 0, nr);
	chunk->nr_mapped -= nr;
}

static bool mirror_invalidate_start(struct mmu_interval_notifier *notifier,
				    const struct mmu_notifier_range *range,
				    unsigned long cur_seq,
				    struct mmu_interval_notifier_finish **finish);
static void mirror_invalidate_finish(struct mmu_interval_notifier_finish *finish);

static const struct mmu_interval_notifier_ops mirror_notifier_ops = {
	.invalidate_start = mirror_invalidate_start,
	.invalidate_finish = mirror_invalidate_finish,
};

static struct mirror_window *mirror_window_new(struct device_mirror *mirror, unsigned long index)
{
	struct mirror_window *window;
	int ret = -ESRCH;

	window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	if (!window)
		return ERR_PTR(-ENOMEM);
	window->mirror = mirror;
	spin_lock_init(&window->lock);
	refcount_set(&window->users, 2); /* the array of windows, and the caller */

	if (mmget_not_zero(mirror->mm)) {
		ret = mmu_interval_notifier_insert(&window->notifier, mirror->mm,
						   index << MIRROR_WINDOW_SHIFT,
						   MIRROR_WINDOW_SIZE, &mirror_notifier_ops);
		/* Not exit_mmap() from here: whoever calls may hold what callbacks need. */
		mmput_async(mirror->mm);
	}
	if (ret) {
		kfree(window);
		return ERR_PTR(ret);
	}
	return window;
}

static struct mirror_window *mirror_window_find(struct device_mirror *mirror, unsigned long index)
{
	struct mirror_window *window;

	rcu_read_lock();
	window = xa_load(&mirror->windows, index);
	if (window && !refcount_inc_not_zero(&window->users))
		window = NULL;
	rcu_read_unlock();
	return window;
}

/* The window of @addr, with a reference; or an ERR_PTR(). May sleep. */
struct mirror_window *mirror_window_get(struct device_mirror *mirror, unsigned long addr)
{
	unsigned long index = addr >> MIRROR_WINDOW_SHIFT;
	struct mirror_window *window, *other;

	for (;;) {
		window = mirror_window_find(mirror, index);
		if (window)
			return window;
		window = mirror_window_new(mirror, index);
		if (IS_ERR(window))
			return window;
		other = xa_cmpxchg(&mirror->windows, index, NULL, window, GFP_KERNEL);
		if (!other)
			return window;

		/* Somebody else was faster, or there is no memory for the array. */
		mmu_interval_notifier_remove(&window->notifier);
		kfree_rcu(window, rcu);
		if (xa_is_err(other))
			return ERR_PTR(xa_err(other));
	}
}

void mirror_window_put(struct mirror_window *window)
{
	/* The last reference is the array's: see mirror_gc_window(). */
	refcount_dec(&window->users);
}

/*
 * -- invalidation
 */

/*
 * Which pages of a chunk, of those in [*first, *last], may the device have? Makes them
 * whole runs. False: none.
 */
static bool mirror_chunk_extent(const struct mirror_chunk *chunk, unsigned int *first,
				unsigned int *last)
{
	const u8 *unit = chunk->unit;
	unsigned int i = *first, end = *last + 1, head;
	const u8 *found;

	found = memchr_inv(unit + i, 0, end - i);
	if (!found)
		return false;
	*first = mirror_unit_head(chunk, found - unit);

	for (i = *last; !unit[i]; i--)
		;
	head = mirror_unit_head(chunk, i);
	*last = head + mirror_unit_pages(unit[head]) - 1;
	return true;
}

/*
 * What the device may have in [*start, *end) of the window, made whole runs at both ends.
 * False: nothing.
 */
static bool mirror_extent(struct mirror_window *window, unsigned long *start, unsigned long *end)
{
	unsigned long from = *start, to = *end, base, addr;
	unsigned int first, last;
	bool found = false;

	lockdep_assert_held(&window->lock);
	for (addr = from; addr < to; addr = base + MIRROR_CHUNK_SIZE) {
		struct mirror_chunk *chunk = *mirror_chunk_slot(window, addr);

		base = ALIGN_DOWN(addr, MIRROR_CHUNK_SIZE);
		if (!chunk || !chunk->nr_mapped)
			continue;
		first = (addr - base) >> PAGE_SHIFT;
		last = (min(to - base, MIRROR_CHUNK_SIZE) - 1) >> PAGE_SHIFT;
		if (!mirror_chunk_extent(chunk, &first, &last))
			continue;
		if (!found)
			*start = base + first * PAGE_SIZE;
		*end = base + (last + 1UL) * PAGE_SIZE;
		found = true;
	}
	return found;
}

/* The device has let go of [start, end), which is whole runs. */
static void mirror_let_go(struct mirror_window *window, unsigned long start, unsigned long end)
{
	unsigned long base, addr;

	spin_lock(&window->lock);
	for (addr = start; addr < end; addr = base + MIRROR_CHUNK_SIZE) {
		struct mirror_chunk *chunk = *mirror_chunk_slot(window, addr);
		unsigned int i, last;

		base = ALIGN_DOWN(addr, MIRROR_CHUNK_SIZE);
		if (!chunk || !chunk->nr_mapped)
			continue;
		last = (min(end - base, MIRROR_CHUNK_SIZE) - 1) >> PAGE_SHIFT;
		for (i = (addr - base) >> PAGE_SHIFT; i <= last; i++)
			if (chunk->unit[i])
				mirror_unmap_unit(window->mirror, chunk, i);
	}
	spin_unlock(&window->lock);
}

static struct mirror_finish *mirror_finish_alloc(struct mirror_window *window)
{
	if (!test_and_set_bit_lock(0, &window->spare_busy))
		return &window->spare;
	return kmalloc(sizeof(struct mirror_finish), GFP_NOWAIT | __GFP_NOWARN);
}

static void mirror_finish_free(struct mirror_window *window, struct mirror_finish *finish)
{
	if (finish == &window->spare)
		clear_bit_unlock(0, &window->spare_busy);
	else
		kfree(finish);
}

/* Nothing may be left in the window: let the worker look. */
static void mirror_is_idle(struct mirror_window *window)
{
	WRITE_ONCE(window->idle, true);
	queue_work(system_unbound_wq, &window->mirror->gc);
}

static void mirror_shootdown_wait(struct mirror_window *window,
				  struct device_mirror_shootdown *shootdown, bool unmapped)
{
	window->mirror->ops->shootdown_finish(window->mirror, shootdown);
	mirror_let_go(window, shootdown->start, shootdown->end);
	if (unmapped)
		mirror_is_idle(window);
}

static void mirror_invalidate_finish(struct mmu_interval_notifier_finish *finish)
{
	struct mirror_finish *pass = container_of(finish, struct mirror_finish, finish);
	struct mirror_window *window = container_of(finish->notifier, struct mirror_window,
						    notifier);

	mirror_shootdown_wait(window, &pass->shootdown, pass->unmapped);
	mirror_finish_free(window, pass);
}

static bool mirror_invalidate_start(struct mmu_interval_notifier *notifier,
				    const struct mmu_notifier_range *range,
				    unsigned long cur_seq,
				    struct mmu_interval_notifier_finish **finish)
{
	struct mirror_window *window = container_of(notifier, struct mirror_window, notifier);
	unsigned long start = max(range->start, notifier->interval_tree.start);
	unsigned long end = min(range->end - 1, notifier->interval_tree.last) + 1;
	struct device_mirror *mirror = window->mirror;
	struct device_mirror_shootdown shootdown = {};
	bool unmapped = range->event == MMU_NOTIFY_UNMAP;
	struct mirror_finish *pass = NULL;
	bool found;

	spin_lock(&window->lock);
	found = mirror_extent(window, &start, &end);
	if (found && !mmu_notifier_range_blockable(range)) {
		spin_unlock(&window->lock);
		return false;
	}
	mmu_interval_set_seq(notifier, cur_seq);
	if (found) {
		mirror->ops->clear(mirror, start, end);
		shootdown.start = start;
		shootdown.end = end;
		mirror->ops->shootdown_start(mirror, &shootdown);
		pass = mirror_finish_alloc(window);
		if (pass) {
			pass->shootdown = shootdown;
			pass->unmapped = unmapped;
		}
	}
	spin_unlock(&window->lock);

	if (unmapped)
		mirror_advice_unmapped(mirror, range->start, range->end);
	if (!found) {
		if (unmapped)
			mirror_is_idle(window);
		return true;
	}
	atomic64_inc(&mirror->count.invalidations);
	atomic64_inc(&mirror->count.shootdowns);
	if (pass)
		*finish = &pass->finish;
	else
		mirror_shootdown_wait(window, &shootdown, unmapped);
	return true;
}

/*
 * -- what is no longer needed
 */

static void mirror_gc_chunks(struct mirror_window *window)
{
	struct mirror_chunk *chunk;
	unsigned int i;

	for (i = 0; i < MIRROR_WINDOW_CHUNKS; i++) {
		spin_lock(&window->lock);
		chunk = window->chunks[i];
		if (chunk && chunk->nr_mapped)
			chunk = NULL;
		if (chunk)
			WRITE_ONCE(window->chunks[i], NULL);
		spin_unlock(&window->lock);
		mirror_chunk_free(window->mirror, chunk);
	}
}

/*
 * True: the window is empty, nobody uses it, and it is no longer in the array. A fault that
 * comes while there are no users finds no window, and makes a new one or this one again.
 */
static bool mirror_gc_window(struct device_mirror *mirror, struct mirror_window *window)
{
	unsigned long start = window->notifier.interval_tree.start;
	unsigned long index = start >> MIRROR_WINDOW_SHIFT;
	bool gone;

	WRITE_ONCE(window->idle, false);
	mirror_gc_chunks(window);
	/* Its subscription is how advice learns of the end of what it was given for. */
	if (mt_find(&mirror->advice, &start, window->notifier.interval_tree.last))
		return false;

	xa_lock(&mirror->windows);
	gone = refcount_dec_if_one(&window->users);
	/* Somebody uses it just now: the next one who comes by shall look again. */
	if (!gone)
		WRITE_ONCE(window->idle, true);
	if (gone && memchr_inv(window->chunks, 0, sizeof(window->chunks))) {
		refcount_set(&window->users, 1);
		gone = false;
	}
	if (gone)
		__xa_erase(&mirror->windows, index);
	xa_unlock(&mirror->windows);
	return gone;
}

static void mirror_window_free(struct mirror_window *window)
{
	unsigned int i;

	mmu_interval_notifier_remove(&window->notifier);
	for (i = 0; i < MIRROR_WINDOW_CHUNKS; i++)
		mirror_chunk_free(window->mirror, window->chunks[i]);
	kfree_rcu(window, rcu);
}

static void mirror_gc(struct work_struct *work)
{
	struct device_mirror *mirror = container_of(work, struct device_mirror, gc);
	struct mirror_window *window;
	unsigned long index;

	/* Only this worker frees windows while the mirror lives. */
	xa_for_each(&mirror->windows, index, window) {
		if (READ_ONCE(window->idle) && mirror_gc_window(mirror, window))
			mirror_window_free(window);
		cond_resched();
	}
}

/*
 * -- the mirror
 */

/**
 * device_mirror_init - mirror an address space
 * @mirror: filled in
 * @dev: what does the DMA, coherently with the CPU's caches
 * @mm: the address space, usually current->mm
 * @ops: the driver's operations
 * @memory: the device's memory, or NULL. It lives longer than the mirror
 *
 * Nothing is mapped yet: that is for device_mirror_fault() and device_mirror_prefetch().
 *
 * Context: may sleep
 * Return: 0; -EINVAL if an operation is missing
 */
int device_mirror_init(struct device_mirror *mirror, struct device *dev, struct mm_struct *mm,
		       const struct device_mirror_ops *ops, struct device_memory *memory)
{
	memset(mirror, 0, sizeof(*mirror));
	if (WARN_ON_ONCE(!ops->prepare || !ops->map || !ops->clear || !ops->shootdown_start ||
			 !ops->shootdown_finish))
		return -EINVAL;

	mirror->dev = dev;
	mirror->mm = mm;
	mirror->ops = ops;
	mirror->memory = memory;
	xa_init_flags(&mirror->windows, XA_FLAGS_ACCOUNT);
	mt_init_flags(&mirror->advice, MT_FLAGS_USE_RCU);
	INIT_WORK(&mirror->gc, mirror_gc);
	mmgrab(mm);
	return 0;
}
EXPORT_SYMBOL_GPL(device_mirror_init);

/**
 * device_mirror_kill - no more faults
 * @mirror: the mirror
 *
 * For a device that is gone, or about to be. Faults that begin after this are -ENODEV. What
 * is mapped stays until device_mirror_destroy().
 *
 * Context: any
 */
void device_mirror_kill(struct device_mirror *mirror)
{
	WRITE_ONCE(mirror->dead, true);
}
EXPORT_SYMBOL_GPL(device_mirror_kill);

/* Everything that the device may still have goes, with one shootdown. */
static void mirror_take_all(struct device_mirror *mirror)
{
	struct device_mirror_shootdown shootdown = { .start = 0, .end = TASK_SIZE_MAX };
	struct mirror_window *window;
	unsigned long index;
	bool any = false;

	xa_for_each(&mirror->windows, index, window) {
		unsigned long start = index << MIRROR_WINDOW_SHIFT;
		unsigned long end = start + MIRROR_WINDOW_SIZE;

		spin_lock(&window->lock);
		if (mirror_extent(window, &start, &end)) {
			mirror->ops->clear(mirror, start, end);
			any = true;
		}
		spin_unlock(&window->lock);
	}
	if (!any)
		return;
	atomic64_inc(&mirror->count.shootdowns);
	mirror->ops->shootdown_start(mirror, &shootdown);
	mirror->ops->shootdown_finish(mirror, &shootdown);
	xa_for_each(&mirror->windows, index, window)
		mirror_let_go(window, index << MIRROR_WINDOW_SHIFT,
			      (index << MIRROR_WINDOW_SHIFT) + MIRROR_WINDOW_SIZE);
}

/**
 * device_mirror_destroy - end a mirror
 * @mirror: the mirror; no call with it is under way or will come, but those of ops
 *
 * When it returns nothing is mapped, the device has let go of all, and ops are no
 * longer called. The process may have exited, be exiting, or live on.
 *
 * Context: may sleep, waits for the device and for invalidations in flight; not under
 *	the mmap lock, nor under a lock that ops take
 */
void device_mirror_destroy(struct device_mirror *mirror)
{
	struct mirror_window *window;
	unsigned long index;

	device_mirror_kill(mirror);
	disable_work_sync(&mirror->gc);

	/* With the subscriptions the reason goes why entries may be believed. */
	mirror_take_all(mirror);
	xa_for_each(&mirror->windows, index, window)
		mirror_window_free(window);
	xa_destroy(&mirror->windows);
	mtree_destroy(&mirror->advice);
	mmdrop(mirror->mm);
	mirror->mm = NULL;
}
EXPORT_SYMBOL_GPL(device_mirror_destroy);

/**
 * device_mirror_get_stats - what a mirror has done so far
 * @mirror: the mirror
 * @stats: filled in
 *
 * Context: any
 */
void device_mirror_get_stats(struct device_mirror *mirror, struct device_mirror_stats *stats)
{
	*stats = (struct device_mirror_stats){
		.faults = atomic64_read(&mirror->count.faults),
		.faults_failed = atomic64_read(&mirror->count.faults_failed),
		.retries = atomic64_read(&mirror->count.retries),
		.mapped = atomic64_read(&mirror->count.mapped),
		.mapped_pages = atomic64_read(&mirror->count.mapped_pages),
		.invalidations = atomic64_read(&mirror->count.invalidations),
		.shootdowns = atomic64_read(&mirror->count.shootdowns),
		.to_device = atomic64_read(&mirror->count.to_device),
	};
	if (mirror->memory) {
		stats->to_system = atomic64_read(&mirror->memory->to_system);
		stats->evicted = atomic64_read(&mirror->memory->evicted);
	}
}
EXPORT_SYMBOL_GPL(device_mirror_get_stats);
