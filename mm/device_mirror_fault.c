// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device wants a page: faults, prefetch, and advice about where memory is best.
 *
 * A fault looks at the chunk around the address. The page itself must be had; pages around
 * it (64 KiB, so far as the VMA reaches) are faulted in with it if that costs nobody an
 * error; and whatever else of the chunk the CPU has mapped is mapped for the device at the
 * same time, because to find and enter it is far cheaper than another fault of the device.
 * So a huge page is one fault, one run, and one DMA mapping.
 *
 * What hmm_range_fault() finds goes into a buffer of the fault's own. Only what survives
 * mmu_interval_read_retry() gets into the chunk, under the window's lock; so any number of
 * faults may work on a chunk at once, and one that waits (for a userfaultfd handler, a disk)
 * delays no other.
 */
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "device_mirror.h"
#include "hmm_internal.h"

/*
 * struct mirror_fault - one look at a chunk
 * @mirror: whose
 * @window: with a reference
 * @range: first what is asked for, then what hmm_range_fault() has found
 * @addr: the page that must be had
 * @flags: DEVICE_MIRROR_WRITE, _ONLY_DEVICE, _READ_ONLY
 * @far: another device's memory that this one does not reach
 * @pfns: entries of @range
 */
struct mirror_fault {
	struct device_mirror *mirror;
	struct mirror_window *window;
	struct hmm_range range;
	unsigned long addr;
	unsigned int flags;
	struct device_memory *far;
	unsigned long pfns[MIRROR_CHUNK_PAGES];
};

static unsigned long mirror_request(const struct mirror_fault *fault)
{
	return HMM_PFN_REQ_FAULT | (fault->flags & DEVICE_MIRROR_WRITE ? HMM_PFN_REQ_WRITE : 0);
}

static unsigned int mirror_index(unsigned long addr)
{
	return (addr & (MIRROR_CHUNK_SIZE - 1)) >> PAGE_SHIFT;
}

/*
 * -- writing entries; all under the window's lock, after read_retry has said no
 */

/* How many pages from @i on lie in device memory one after the other, as an order */
static unsigned int mirror_local_order(const struct mirror_fault *fault,
				       const struct mirror_chunk *chunk, unsigned int i, u64 offset)
{
	unsigned int align = i ? __ffs(i) : MIRROR_CHUNK_SHIFT - PAGE_SHIFT;
	unsigned int order = 0, nr = 1;

	if (offset)
		align = min_t(unsigned int, align, __ffs64(offset) - PAGE_SHIFT);
	while (nr < 1U << align && i + nr < MIRROR_CHUNK_PAGES && !chunk->unit[i + nr] &&
	       fault->pfns[i + nr] == fault->pfns[i] + nr)
		nr++;
	order = min_t(unsigned int, align, ilog2(nr));
	return order;
}

/* A run in the memory of another device. -EXDEV: this one does not reach it. */
static int mirror_make_peer_run(struct mirror_fault *fault, struct mirror_chunk *chunk,
				unsigned int i, struct device_memory *peer,
				struct device_mirror_run *run)
{
	struct page *page = hmm_pfn_to_page(fault->pfns[i]);
	u64 offset = memory_offset(peer, page);

	if (peer == fault->far)
		return -EXDEV;
	run->order = mirror_local_order(fault, chunk, i, offset);
	run->address = memory_peer_map(peer, fault->mirror->dev, offset, &run->order);
	if (run->address == DMA_MAPPING_ERROR) {
		fault->far = peer;
		return -EXDEV;
	}
	chunk->map.pfn_list[i] = fault->pfns[i] & ~HMM_PFN_INOUT_FLAGS;
	chunk->map.dma_list[i] = run->address;
	memory_touch(peer, offset);
	return 0;
}

/*
 * A run from page @i on. Returns 0, or why the device cannot have the page: -EIO if it does not
 * reach it, -EXDEV if that is because it is in another's memory, -EREMOTE if it is not where the
 * fault needs it.
 */
static int mirror_make_run(struct mirror_fault *fault, struct mirror_chunk *chunk, unsigned int i,
			   struct device_mirror_run *run)
{
	struct device_mirror *mirror = fault->mirror;
	unsigned long entry = fault->pfns[i];
	struct page *page = hmm_pfn_to_page(entry);
	struct device_memory *peer;

	run->write = entry & HMM_PFN_WRITE && !(fault->flags & DEVICE_MIRROR_READ_ONLY);
	run->device_memory = mirror->memory && memory_owns(mirror->memory, page);
	if (run->device_memory) {
		run->address = memory_offset(mirror->memory, page);
		run->order = mirror_local_order(fault, chunk, i, run->address);
		memory_touch(mirror->memory, run->address);
		return 0;
	}
	if (fault->flags & DEVICE_MIRROR_ONLY_DEVICE)
		return -EREMOTE;
	peer = memory_of_peer(page);
	if (peer)
		return mirror_make_peer_run(fault, chunk, i, peer, run);

	chunk->map.pfn_list[i] = entry & ~HMM_PFN_INOUT_FLAGS;
	run->address = hmm_dma_map_block(mirror->dev, &chunk->map, i, NULL, &run->order);
	return run->address == DMA_MAPPING_ERROR ? -EIO : 0;
}

static void mirror_enter_run(struct mirror_fault *fault, struct mirror_chunk *chunk,
			     unsigned int i, const struct device_mirror_run *run)
{
	struct page *page = hmm_pfn_to_page(fault->pfns[i]);
	struct device_mirror *mirror = fault->mirror;
	unsigned int nr = 1U << run->order;

	chunk->unit[i] = MIRROR_UNIT_HEAD | run->order | (run->write ? MIRROR_UNIT_WRITE : 0) |
			 (run->device_memory ? MIRROR_UNIT_LOCAL : 0) |
			 (memory_of_peer(page) && !run->device_memory ? MIRROR_UNIT_PEER : 0);
	memset(chunk->unit + i + 1, MIRROR_UNIT_TAIL, nr - 1);
	chunk->nr_mapped += nr;
	mirror->ops->map(mirror, run);
	atomic64_inc(&mirror->count.mapped);
	atomic64_add(nr, &mirror->count.mapped_pages);
}

/* All of the run at @head may be written now? Then the device may, too. */
static void mirror_make_writable(struct mirror_fault *fault, struct mirror_chunk *chunk,
				 unsigned int head)
{
	struct device_mirror *mirror = fault->mirror;
	u8 unit = chunk->unit[head];
	unsigned int i, nr = mirror_unit_pages(unit);
	struct device_mirror_run run = {
		.addr = fault->range.start + head * PAGE_SIZE,
		.order = FIELD_GET(MIRROR_UNIT_ORDER, unit),
		.write = true,
		.device_memory = unit & MIRROR_UNIT_LOCAL,
	};

	for (i = head; i < head + nr; i++)
		if (!(fault->pfns[i] & HMM_PFN_WRITE))
			return;
	if (run.device_memory)
		run.address = memory_offset(mirror->memory, hmm_pfn_to_page(fault->pfns[head]));
	else
		run.address = chunk->map.dma_list[head];
	chunk->unit[head] |= MIRROR_UNIT_WRITE;
	mirror->ops->map(mirror, &run);
}

/*
 * Everything that has been found. Returns an error only for the page that must be had; a
 * neighbour that cannot be reached waits for a fault of its own.
 */
static int mirror_enter(struct mirror_fault *fault, struct mirror_chunk *chunk)
{
	unsigned int wanted = mirror_index(fault->addr), i, nr;
	int ret = 0, err;

	for (i = 0; i < MIRROR_CHUNK_PAGES; i += nr) {
		struct device_mirror_run run = { .addr = fault->range.start + i * PAGE_SIZE };

		nr = 1;
		if (chunk->unit[i]) {
			nr = mirror_unit_pages(chunk->unit[i]);
			if (!(chunk->unit[i] & MIRROR_UNIT_WRITE) &&
			    !(fault->flags & DEVICE_MIRROR_READ_ONLY))
				mirror_make_writable(fault, chunk, i);
			continue;
		}
		if (!(fault->pfns[i] & HMM_PFN_VALID))
			continue;
		err = mirror_make_run(fault, chunk, i, &run);
		if (err) {
			if (i == wanted)
				ret = err;
			continue;
		}
		nr = 1U << run.order;
		mirror_enter_run(fault, chunk, i, &run);
	}
	return ret;
}

/* Does the device have the wanted page, as it wants it? */
static bool mirror_has(const struct mirror_fault *fault, const struct mirror_chunk *chunk)
{
	unsigned int i = mirror_index(fault->addr);

	if (!chunk->unit[i])
		return false;
	return !(fault->flags & DEVICE_MIRROR_WRITE) ||
	       chunk->unit[mirror_unit_head(chunk, i)] & MIRROR_UNIT_WRITE;
}

/*
 * -- one fault
 */

/* Sees to it that the fault's chunk is there; which it may no longer be without the lock. */
static int mirror_make_chunk(struct mirror_fault *fault)
{
	struct mirror_chunk **slot = mirror_chunk_slot(fault->window, fault->addr);
	struct mirror_chunk *new;

	if (READ_ONCE(*slot))
		return 0;
	new = mirror_chunk_alloc(fault->mirror);
	if (IS_ERR(new))
		return PTR_ERR(new);
	spin_lock(&fault->window->lock);
	if (!*slot) {
		WRITE_ONCE(*slot, new);
		new = NULL;
	}
	spin_unlock(&fault->window->lock);
	mirror_chunk_free(fault->mirror, new);
	return 0;
}

/* What to ask for: @start to @end must be had, or at least the page; the rest if it is there. */
static void mirror_ask(struct mirror_fault *fault, unsigned long start, unsigned long end)
{
	unsigned long request = mirror_request(fault);
	unsigned int i, first = mirror_index(start);
	unsigned int nr = (end - start) >> PAGE_SHIFT;

	fault->range.default_flags = 0;
	fault->range.pfn_flags_mask = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	memset(fault->pfns, 0, sizeof(fault->pfns));
	for (i = first; i < first + nr; i++)
		fault->pfns[i] = request;
}

/*
 * The part of [*start, *end) that is in the VMA of the fault's address; -EFAULT: there is none, and
 * nothing shall be made for it; -EINTR. Only advice, as the VMA may change at once: if so, the
 * request fails, and the page is asked for alone.
 */
static int mirror_clip_to_vma(struct mm_struct *mm, unsigned long addr, unsigned long *start,
			      unsigned long *end)
{
	struct vm_area_struct *vma;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma) {
		*start = max(*start, vma->vm_start);
		*end = min(*end, vma->vm_end);
	}
	mmap_read_unlock(mm);
	return vma ? 0 : -EFAULT;
}

/* Reads the CPU's page table: pages of [start, end) are faulted in, if that can be. */
static int mirror_read(struct mirror_fault *fault, unsigned long start, unsigned long end)
{
	int ret;

	mirror_ask(fault, start, end);
	ret = hmm_range_fault_unlocked_timeout(&fault->range, 0);
	if ((ret == -EFAULT || ret == -EPERM || ret == -ENOMEM) && end - start > PAGE_SIZE) {
		/* A neighbour's fault is none of ours. */
		mirror_ask(fault, fault->addr, fault->addr + PAGE_SIZE);
		ret = hmm_range_fault_unlocked_timeout(&fault->range, 0);
	}
	return ret;
}

/*
 * A run of several pages, only some of which may be written: the device gets it anew, in
 * smaller runs. It has to let go first, and for that there is a way that everybody
 * respects: say that the CPU's entries change.
 */
static void mirror_split(struct mirror_fault *fault, unsigned long start, unsigned long end)
{
	struct mm_struct *mm = fault->mirror->mm;
	struct mmu_notifier_range range;

	if (!mmget_not_zero(mm))
		return;
	/* Killed: the fault is not tried again, and the run stays as it is. */
	if (!mmap_read_lock_killable(mm)) {
		mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, start, end);
		mmu_notifier_invalidate_range_start(&range);
		mmu_notifier_invalidate_range_end(&range);
		mmap_read_unlock(mm);
	}
	mmput_async(mm);
}

/*
 * The wanted page is in the memory of another device, out of reach: it comes back to the
 * system's, as it would for the CPU.
 */
static int mirror_fetch(struct mirror_fault *fault)
{
	void *owner = fault->range.dev_private_owner;
	int ret;

	mirror_ask(fault, fault->addr, fault->addr + PAGE_SIZE);
	fault->range.dev_private_owner = NULL;
	ret = hmm_range_fault_unlocked_timeout(&fault->range, 0);
	fault->range.dev_private_owner = owner;
	return ret ?: -EAGAIN;
}

/* Is the wanted page mapped elsewhere than in the device's memory, which alone will do? */
static bool mirror_is_misplaced(const struct mirror_fault *fault, const struct mirror_chunk *chunk)
{
	unsigned int i = mirror_index(fault->addr);

	return fault->flags & DEVICE_MIRROR_ONLY_DEVICE && chunk->unit[i] &&
	       !(chunk->unit[mirror_unit_head(chunk, i)] & MIRROR_UNIT_LOCAL);
}

/* One try: 0, -EAGAIN, or why not. */
static int mirror_try(struct mirror_fault *fault, unsigned long start, unsigned long end)
{
	struct mirror_chunk *chunk;
	unsigned int head = 0, nr = 0;
	int ret;

	ret = mirror_read(fault, start, end);
	if (!ret)
		ret = mirror_make_chunk(fault);
	if (ret)
		return ret;

	spin_lock(&fault->window->lock);
	chunk = *mirror_chunk_slot(fault->window, fault->addr);
	if (!chunk ||
	    mmu_interval_read_retry(&fault->window->notifier, fault->range.notifier_seq)) {
		atomic64_inc(&fault->mirror->count.retries);
		ret = -EAGAIN;
	} else {
		ret = mirror_enter(fault, chunk);
		if (!ret && mirror_is_misplaced(fault, chunk))
			ret = -EREMOTE;
		if (!ret && !mirror_has(fault, chunk)) {
			ret = -EAGAIN;
			head = mirror_unit_head(chunk, mirror_index(fault->addr));
			nr = mirror_unit_pages(chunk->unit[head]);
		}
	}
	spin_unlock(&fault->window->lock);

	if (nr)
		mirror_split(fault, fault->range.start + head * PAGE_SIZE,
			     fault->range.start + (head + nr) * PAGE_SIZE);
	return ret == -EXDEV ? mirror_fetch(fault) : ret;
}

static int mirror_fault_window(struct mirror_fault *fault, unsigned long start, unsigned long end)
{
	struct device_mirror *mirror = fault->mirror;
	unsigned long base = ALIGN_DOWN(fault->addr, MIRROR_CHUNK_SIZE);
	int ret;

	fault->range = (struct hmm_range){
		.notifier = &fault->window->notifier,
		.start = base,
		.end = base + MIRROR_CHUNK_SIZE,
		.hmm_pfns = fault->pfns,
		.dev_private_owner = memory_owner(mirror->memory),
	};
	ret = mirror->ops->prepare(mirror, base, base + MIRROR_CHUNK_SIZE);
	if (ret)
		return ret;
	do {
		ret = READ_ONCE(mirror->dead) ? -ENODEV : mirror_try(fault, start, end);
		if (ret == -EAGAIN && fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	} while (ret == -EAGAIN);
	return ret;
}

/* Pages of [start, end), which is in one chunk and has @addr in it, for the device. */
static int mirror_fault_chunk(struct device_mirror *mirror, unsigned long addr,
			      unsigned long start, unsigned long end, unsigned int flags)
{
	struct mem_cgroup *memcg, *before;
	struct mirror_fault *fault;
	int ret;

	fault = kmalloc(sizeof(*fault), GFP_KERNEL);
	if (!fault)
		return -ENOMEM;
	fault->mirror = mirror;
	fault->addr = addr;
	fault->flags = flags;
	fault->far = NULL;

	/* What is kept for the process is its own, whoever serves its fault. */
	memcg = get_mem_cgroup_from_mm(mirror->mm);
	before = set_active_memcg(memcg);
	fault->window = mirror_window_get(mirror, addr);
	ret = PTR_ERR_OR_ZERO(fault->window);
	if (!ret) {
		ret = mirror_fault_window(fault, start, end);
		mirror_window_put(fault->window);
	}
	set_active_memcg(before);
	mem_cgroup_put(memcg);
	kfree(fault);
	return ret;
}

/* Is the page in the device's memory already? What is true at one moment. */
static bool mirror_is_local(struct device_mirror *mirror, unsigned long addr)
{
	struct mirror_window *window = mirror_window_get(mirror, addr);
	unsigned long entry = 0;
	struct hmm_range range = {
		.start = addr,
		.end = addr + PAGE_SIZE,
		.hmm_pfns = &entry,
		.dev_private_owner = memory_owner(mirror->memory),
	};
	bool local = false;

	if (IS_ERR(window))
		return false;
	range.notifier = &window->notifier;
	if (!hmm_range_fault_unlocked_timeout(&range, 0) && entry & HMM_PFN_VALID)
		local = memory_owns(mirror->memory, hmm_pfn_to_page(entry));
	mirror_window_put(window);
	return local;
}

/*
 * Moves pages of [start, end), in one chunk, into the device's memory, if that can be. Those
 * that cannot stay where they are, and the device uses them there: so there is no error, but
 * for a process that is gone (-ESRCH) and a caller who is to go (-EINTR).
 */
static int mirror_move(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
	struct mm_struct *mm = mirror->mm;
	struct vm_area_struct *vma;
	unsigned long addr, last;
	int ret = 0;
	long moved;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	/* Before the mmap lock: others of this process need not wait for room. */
	ret = memory_make_room(mirror->memory, (end - start) >> PAGE_SHIFT);
	if (ret) {
		ret = ret == -EINTR ? ret : 0;
		goto out;
	}
	ret = mmap_read_lock_killable(mm);
	if (ret)
		goto out;
	for (addr = start; addr < end; addr = last) {
		vma = find_vma(mm, addr);
		if (!vma || vma->vm_start >= end)
			break;
		addr = max(addr, vma->vm_start);
		last = min(end, vma->vm_end);
		moved = memory_migrate(mirror, vma, addr, last);
		if (moved > 0)
			atomic64_add(moved, &mirror->count.to_device);
	}
	mmap_read_unlock(mm);
out:
	mmput_async(mm);
	return ret;
}

/*
 * How much around @addr to fault in, and is it to be moved first? The bounds are those of
 * the VMA at most. Returns 0 or an errno; -EFAULT: there is no VMA.
 */
static int mirror_plan(struct device_mirror *mirror, unsigned long addr, unsigned long *start,
		       unsigned long *end, bool *move)
{
	enum device_mirror_advice advice = mirror_advice(mirror, addr);
	unsigned long around = MIRROR_AROUND_SIZE;

	if (advice == DEVICE_MIRROR_ADVICE_READ_MOSTLY || advice == DEVICE_MIRROR_ADVICE_DEVICE)
		around = MIRROR_CHUNK_SIZE;
	*start = ALIGN_DOWN(addr, around);
	*end = *start + around;
	*move = mirror->memory && advice == DEVICE_MIRROR_ADVICE_DEVICE;
	return mirror_clip_to_vma(mirror->mm, addr, start, end);
}

/**
 * device_mirror_fault - the device has faulted
 * @mirror: the mirror
 * @addr: virtual address, any in the page
 * @flags: DEVICE_MIRROR_WRITE if it wants to write. DEVICE_MIRROR_READ_ONLY: what gets mapped
 *	now is read only, even if the process may write (a later fault may add that).
 *	DEVICE_MIRROR_ONLY_DEVICE: the page has to be in the device's memory, and
 *	is moved there first; nothing that is elsewhere gets mapped
 *
 * After 0 the device's table has an entry, or had: an invalidation may have taken it again.
 * Either way let the device try once more.
 *
 * Any number may be called at the same time. One whose page does not come (userfaultfd,
 * a dead disk) waits, until a fatal signal if the caller is a user's task.
 *
 * Context: may sleep; not under the mmap lock, nor under a lock that ops take
 * Return: 0, or why the device cannot have the page: as hmm_range_fault() (-EFAULT: nothing
 *	there that it could use; -EPERM: not to be written; -ENOMEM; -EINTR), and
 *
 *	-ESRCH: the process has exited.
 *	-ENODEV: after device_mirror_kill().
 *	-EIO: the device does not reach the page by DMA.
 *	-EREMOTE: DEVICE_MIRROR_ONLY_DEVICE, and it is not in the device's memory: there is
 *	none, or no room, it cannot move, or the CPU was faster.
 *	-EINVAL: flags that contradict each other.
 *	Or what ops->prepare() has returned.
 */
int device_mirror_fault(struct device_mirror *mirror, unsigned long addr, unsigned int flags)
{
	unsigned long start, end;
	bool move = false;
	int ret = 0;

	atomic64_inc(&mirror->count.faults);
	addr &= PAGE_MASK;
	if (flags & DEVICE_MIRROR_WRITE && flags & DEVICE_MIRROR_READ_ONLY)
		ret = -EINVAL;
	else if (READ_ONCE(mirror->dead))
		ret = -ENODEV;
	else if (addr >= TASK_SIZE_MAX)
		ret = -EFAULT;
	else if (!mmget_not_zero(mirror->mm))
		ret = -ESRCH;
	if (!ret) {
		ret = mirror_plan(mirror, addr, &start, &end, &move);
		mmput_async(mirror->mm);
	}
	move |= flags & DEVICE_MIRROR_ONLY_DEVICE && mirror->memory;
	if (!ret && move && !mirror_is_local(mirror, addr))
		ret = mirror_move(mirror, start, end);
	if (!ret)
		ret = mirror_fault_chunk(mirror, addr, start, end, flags);
	if (ret)
		atomic64_inc(&mirror->count.faults_failed);
	return ret;
}
EXPORT_SYMBOL_GPL(device_mirror_fault);

/*
 * -- prefetch
 */

/*
 * The next piece of [*start, end) that is in one VMA, and in one chunk if a device can have it: 1.
 * There is none: 0. The mmap lock, which somebody may hold for long, was not to be had before a
 * fatal signal: -EINTR.
 */
static int mirror_next_piece(struct device_mirror *mirror, unsigned long *start,
			     unsigned long end, unsigned long *last, vm_flags_t *vm_flags)
{
	struct vm_area_struct *vma;

	if (*start >= end || !mmget_not_zero(mirror->mm))
		return 0;
	if (mmap_read_lock_killable(mirror->mm)) {
		mmput_async(mirror->mm);
		return -EINTR;
	}
	vma = find_vma(mirror->mm, *start);
	if (vma && vma->vm_start < end) {
		*start = max(*start, vma->vm_start);
		*vm_flags = vma->vm_flags;
		*last = min(end, vma->vm_end);
		if (hmm_looks_into(*vm_flags))
			*last = min(*last, ALIGN(*start + 1, MIRROR_CHUNK_SIZE));
	} else {
		vma = NULL;
	}
	mmap_read_unlock(mirror->mm);
	mmput_async(mirror->mm);
	return !!vma;
}

/**
 * device_mirror_prefetch - map memory before the device wants it
 * @mirror: the mirror
 * @start: first byte
 * @end: end of the range
 * @flags: DEVICE_MIRROR_WRITE: where the process may write, let the device write, too;
 *	DEVICE_MIRROR_TO_DEVICE: move the memory into the device's, as far as it has room and
 *	the memory can move (what is in another device's that this one reaches stays there);
 *	DEVICE_MIRROR_READ_ONLY: as for device_mirror_fault()
 *
 * Holes are passed over, and so is memory that a device cannot have. Pages that do not exist
 * yet are made.
 *
 * Context: may sleep, for long; not under the mmap lock, nor under a lock that ops take
 * Return: how many bytes of the range are in VMAs whose memory the device now has (or had:
 *	as for device_mirror_fault()); fewer than there are if there was a signal, or no memory,
 *	before the end. If that was before anything was done: -EINTR, -ENOMEM, -ENODEV.
 *	-EINVAL for a range or flags that make no sense
 */
long device_mirror_prefetch(struct device_mirror *mirror, unsigned long start,
			    unsigned long end, unsigned int flags)
{
	unsigned long last = 0;
	unsigned int one;
	vm_flags_t vm_flags;
	long done = 0;
	int ret;

	if (start >= end || end > TASK_SIZE_MAX || flags & DEVICE_MIRROR_ONLY_DEVICE ||
	    (flags & DEVICE_MIRROR_WRITE && flags & DEVICE_MIRROR_READ_ONLY))
		return -EINVAL;
	start &= PAGE_MASK;
	end = PAGE_ALIGN(end);

	for (; (ret = mirror_next_piece(mirror, &start, end, &last, &vm_flags)) > 0; start = last) {
		if (signal_pending(current))
			return done ?: -EINTR;
		/* Nothing is made ready for what is refused in the end. */
		if (!hmm_looks_into(vm_flags))
			continue;
		one = vm_flags & VM_WRITE ? flags : flags & ~DEVICE_MIRROR_WRITE;
		ret = 0;
		if (flags & DEVICE_MIRROR_TO_DEVICE && mirror->memory &&
		    mirror_advice(mirror, start) != DEVICE_MIRROR_ADVICE_SYSTEM)
			ret = mirror_move(mirror, start, last);
		if (!ret)
			ret = mirror_fault_chunk(mirror, start, start, last, one);
		if (!ret)
			done += last - start;
		else if (ret == -ENODEV || ret == -ENOMEM || ret == -EINTR)
			return done ?: ret;
	}
	return done ?: ret;
}
EXPORT_SYMBOL_GPL(device_mirror_prefetch);

/*
 * -- advice
 *
 * A maple tree from addresses to values. Advice goes with the mapping that it was given for;
 * if it cannot be taken out at that moment, because there is no memory, all is
 * forgotten instead.
 */

enum device_mirror_advice mirror_advice(struct device_mirror *mirror, unsigned long addr)
{
	void *entry;

	if (mtree_empty(&mirror->advice) || READ_ONCE(mirror->advice_lost))
		return DEVICE_MIRROR_ADVICE_NONE;
	entry = mtree_load(&mirror->advice, addr);
	return entry ? xa_to_value(entry) : DEVICE_MIRROR_ADVICE_NONE;
}

void mirror_advice_unmapped(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
	if (mtree_empty(&mirror->advice))
		return;
	if (mtree_store_range(&mirror->advice, start, end - 1, NULL, GFP_ATOMIC))
		WRITE_ONCE(mirror->advice_lost, true);
}

/* Advice for [start, end) shall hear of munmap() there, also if the device never touches it. */
static int mirror_watch(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
	struct mirror_window *window;
	unsigned long last;
	vm_flags_t vm_flags;
	int ret;

	for (; (ret = mirror_next_piece(mirror, &start, end, &last, &vm_flags)) > 0; start = last) {
		if (fatal_signal_pending(current))
			return -EINTR;
		window = mirror_window_get(mirror, start);
		if (IS_ERR(window))
			return PTR_ERR(window);
		mirror_window_put(window);
		cond_resched();
		last = min(end, ALIGN(start + 1, MIRROR_WINDOW_SIZE));
	}
	return ret;
}

/**
 * device_mirror_advise - say where memory is best
 * @mirror: the mirror
 * @start: first byte
 * @end: end of the range
 * @advice: in place of earlier advice for the range
 *
 * Holds for later faults, until the memory is unmapped (or moved by mremap()). Moves nothing
 * now: for that there is device_mirror_prefetch(). It is advice: it may be forgotten when
 * memory is short.
 *
 * Context: may sleep; not under the mmap lock
 * Return: 0; -EINVAL for a range or an advice that makes no sense; -ENOMEM; -EINTR for a
 *	fatal signal
 */
int device_mirror_advise(struct device_mirror *mirror, unsigned long start, unsigned long end,
			 enum device_mirror_advice advice)
{
	void *entry = advice ? xa_mk_value(advice) : NULL;
	int ret;

	if (start >= end || end > TASK_SIZE_MAX || advice > DEVICE_MIRROR_ADVICE_READ_MOSTLY)
		return -EINVAL;
	start &= PAGE_MASK;
	end = PAGE_ALIGN(end);
	if (xchg(&mirror->advice_lost, false))
		mtree_destroy(&mirror->advice);
	ret = mtree_store_range(&mirror->advice, start, end - 1, entry, GFP_KERNEL_ACCOUNT);
	if (!ret && entry)
		ret = mirror_watch(mirror, start, end);
	return ret;
}
EXPORT_SYMBOL_GPL(device_mirror_advise);
