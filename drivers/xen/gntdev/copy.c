// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grant copy: Xen copies between grants and local buffers, nothing is mapped.
 *
 * A segment has a grant on at least one side, so it lies in one page there, and in two of
 * ours at the most. Segments are done in batches: read, local pages pinned, one hypercall,
 * status stored, pages unpinned. When a batch is over, the status of each of its segments is
 * final, and no more than a batch is ever pinned or allocated, however long the call is.
 *
 * Pinning costs as much as copying, if pages are pinned one by one. Most callers fill one
 * buffer, segment by segment: segments whose local pages follow one another (or are the
 * same) are a *run*, pinned by one call.
 *
 * A local page may itself be a mapped grant (a buffer inside a gntdev mapping). Xen
 * does not take such a page for one of ours; it is named by its own grant instead.
 *
 * A signal that kills ends the call with the batch that is under way. Other signals do not:
 * a call makes progress by itself, and a repeated one would copy everything again.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/xen/hypercall.h>
#include <xen/page.h>

#include "gntdev.h"

/*
 * Segments of a batch. What a hypercall costs in itself is 1 percent of that; the memory
 * that it takes is 33 KiB.
 */
#define COPY_BATCH 256U

/* Local pages of a segment, and operations: it is not longer than a page. */
#define SEGMENT_PAGES 2

/* Xen asks to try again when a guest has paged the page out. */
#define EAGAIN_TRIES 255

#define GNTCOPY_grefs (GNTCOPY_source_gref | GNTCOPY_dest_gref)

/**
 * struct copy_segment - one segment of a batch
 * @arg: as the caller gave it
 * @page: index of its first local page in the batch
 * @ops: operations for it
 */
struct copy_segment {
	struct gntdev_grant_copy_segment arg;
	u16 page;
	u16 ops;
};

/**
 * struct copy_run - local pages that follow one another
 * @start: address of the first, in the caller's memory
 * @first: its index in the batch
 * @count: pages
 * @write: they are a destination
 */
struct copy_run {
	unsigned long start;
	u16 first;
	u16 count;
	bool write;
};

/**
 * struct copy_batch - segments that are done by one hypercall
 * @nr: segments
 * @nr_ops: operations
 * @nr_pages: local pages
 * @nr_runs: runs
 * @nr_pinned: of the runs, those that are pinned
 * @segments: as many as there is room for, like all that follow
 * @runs: no more than one a segment
 * @pages: SEGMENT_PAGES for each segment
 * @ops: likewise
 */
struct copy_batch {
	unsigned int nr;
	unsigned int nr_ops;
	unsigned int nr_pages;
	unsigned int nr_runs;
	unsigned int nr_pinned;
	struct copy_segment *segments;
	struct copy_run *runs;
	struct page **pages;
	struct gnttab_copy *ops;
};

static int copy_ops(struct gnttab_copy *ops, unsigned int n)
{
	return HYPERVISOR_grant_table_op(GNTTABOP_copy, ops, n);
}

/* -- segments ------------------------------------------------------------------ */

static int check_segment(const struct gntdev_grant_copy_segment *seg)
{
	if (!(seg->flags & GNTCOPY_grefs))
		return -EINVAL;
	if ((seg->flags & GNTCOPY_source_gref) &&
	    seg->source.foreign.offset + seg->len > PAGE_SIZE)
		return -EINVAL;
	if ((seg->flags & GNTCOPY_dest_gref) &&
	    seg->dest.foreign.offset + seg->len > PAGE_SIZE)
		return -EINVAL;
	return 0;
}

/* Only meaningful for a segment with one grant. */
static bool local_is_dest(const struct gntdev_grant_copy_segment *seg)
{
	return seg->flags & GNTCOPY_source_gref;
}

static unsigned long local_addr(const struct gntdev_grant_copy_segment *seg)
{
	return (unsigned long)(local_is_dest(seg) ? seg->dest.virt :
						    seg->source.virt);
}

/* Add the local pages of a segment: to the run before, if they go on from there. */
static void segment_pages(struct copy_batch *batch, struct copy_segment *seg)
{
	unsigned long addr = local_addr(&seg->arg), start = addr & PAGE_MASK;
	bool write = local_is_dest(&seg->arg);
	struct copy_run *run = NULL;
	unsigned long end = 0;

	seg->ops = DIV_ROUND_UP(offset_in_page(addr) + seg->arg.len, PAGE_SIZE);
	if (batch->nr_runs) {
		run = &batch->runs[batch->nr_runs - 1];
		end = run->start + run->count * PAGE_SIZE;
	}
	if (!run || run->write != write ||
	    (start != end && start != end - PAGE_SIZE)) {
		run = &batch->runs[batch->nr_runs++];
		*run = (struct copy_run){
			.start = start,
			.first = batch->nr_pages,
			.write = write,
		};
		end = start;
	}
	seg->page = run->first + ((start - run->start) >> PAGE_SHIFT);
	run->count += seg->ops - ((end - start) >> PAGE_SHIFT);
	batch->nr_pages = run->first + run->count;
}

/* Read segments, and find out which local pages they need. */
static int batch_read(struct copy_batch *batch,
		      const struct gntdev_grant_copy_segment __user *from,
		      unsigned int nr)
{
	unsigned int i;
	int err;

	batch->nr = nr;
	batch->nr_ops = 0;
	batch->nr_pages = 0;
	batch->nr_runs = 0;
	for (i = 0; i < nr; i++) {
		struct copy_segment *seg = &batch->segments[i];

		if (copy_from_user(&seg->arg, from + i, sizeof(seg->arg)))
			return -EFAULT;
		err = check_segment(&seg->arg);
		if (err)
			return err;
		seg->ops = 0;
		seg->page = 0;
		if (!seg->arg.len)
			continue;
		if ((seg->arg.flags & GNTCOPY_grefs) == GNTCOPY_grefs)
			seg->ops = 1;
		else
			segment_pages(batch, seg);
		batch->nr_ops += seg->ops;
	}
	return 0;
}

/* -- local pages --------------------------------------------------------------- */

static void batch_unpin(struct copy_batch *batch)
{
	unsigned int i;

	for (i = 0; i < batch->nr_pinned; i++) {
		const struct copy_run *run = &batch->runs[i];

		unpin_user_pages_dirty_lock(batch->pages + run->first,
					    run->count, run->write);
	}
	batch->nr_pinned = 0;
}

/* All of a run, or nothing. */
static int pin_run(struct page **pages, const struct copy_run *run)
{
	unsigned int done;
	int n;

	for (done = 0; done < run->count; done += n) {
		n = pin_user_pages_fast(run->start + done * PAGE_SIZE,
					run->count - done,
					run->write ? FOLL_WRITE : 0,
					pages + done);
		if (n <= 0) {
			unpin_user_pages(pages, done);
			return n ?: -EFAULT;
		}
	}
	return 0;
}

static int batch_pin(struct copy_batch *batch)
{
	unsigned int i;
	int err;

	for (i = 0; i < batch->nr_runs; i++) {
		const struct copy_run *run = &batch->runs[i];

		err = pin_run(batch->pages + run->first, run);
		if (err)
			return fatal_signal_pending(current) ? -EINTR : err;
		batch->nr_pinned++;
	}
	return 0;
}

/* -- operations ---------------------------------------------------------------- */

/*
 * The grant behind a page, if it is a mapped grant. The page flag alone does not say so:
 * it means other things for pages in the swap or page cache, which have a mapping.
 */
static struct xen_page_foreign *grant_of(struct page *page)
{
	if (!PagePrivate(page) || PageCompound(page) || page->mapping)
		return NULL;
	return xen_page_foreign(page);
}

/* A page of ours is named by its frame, a mapped grant by its reference. */
static bool set_local(struct gnttab_copy_ptr *ptr, struct page *page, u16 offset)
{
	struct xen_page_foreign *grant = grant_of(page);

	ptr->offset = offset;
	if (grant) {
		ptr->u.ref = grant->gref;
		ptr->domid = grant->domid;
	} else {
		ptr->u.gmfn = pfn_to_gfn(page_to_pfn(page));
		ptr->domid = DOMID_SELF;
	}
	return grant;
}

/* One side, as the caller gave it; says whether it is a grant. */
static u16 set_side(struct gnttab_copy_ptr *ptr, bool gref, u32 ref, u16 domid,
		    u16 offset, struct page **page, u16 local_offset, u16 flag)
{
	if (!gref)
		return set_local(ptr, *page, local_offset) ? flag : 0;
	ptr->u.ref = ref;
	ptr->domid = domid;
	ptr->offset = offset;
	return flag;
}

/* The operations of a segment, whose local pages are @pages. */
static void fill_ops(struct gnttab_copy *op, const struct copy_segment *seg,
		     struct page **pages)
{
	const struct gntdev_grant_copy_segment *arg = &seg->arg;
	u16 offset = offset_in_page(local_addr(arg)), done = 0;
	unsigned int i;

	for (i = 0; i < seg->ops; i++, op++) {
		op->len = seg->ops == 1 ? arg->len :
					  min(arg->len - done, (int)PAGE_SIZE - offset);
		op->flags = set_side(&op->source, arg->flags & GNTCOPY_source_gref,
				     arg->source.foreign.ref,
				     arg->source.foreign.domid,
				     arg->source.foreign.offset + done, pages + i,
				     offset, GNTCOPY_source_gref) |
			    set_side(&op->dest, arg->flags & GNTCOPY_dest_gref,
				     arg->dest.foreign.ref,
				     arg->dest.foreign.domid,
				     arg->dest.foreign.offset + done, pages + i,
				     offset, GNTCOPY_dest_gref);
		op->status = GNTST_general_error;
		done += op->len;
		offset = 0;
	}
}

/* Repeat what the guest was not ready for. */
static int retry(struct gnttab_copy *op)
{
	unsigned int tries;
	int err;

	for (tries = 1; op->status == GNTST_eagain; tries++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (tries == EAGAIN_TRIES) {
			op->status = GNTST_bad_page;
			break;
		}
		msleep(tries);
		err = copy_ops(op, 1);
		if (err)
			return err;
	}
	return 0;
}

static int batch_copy(struct copy_batch *batch)
{
	unsigned int i, n = 0;
	int err;

	if (!batch->nr_ops)
		return 0;
	for (i = 0; i < batch->nr; i++) {
		struct copy_segment *seg = &batch->segments[i];

		fill_ops(batch->ops + n, seg, batch->pages + seg->page);
		n += seg->ops;
	}

	err = copy_ops(batch->ops, n);
	for (i = 0; i < n && !err; i++)
		if (unlikely(batch->ops[i].status == GNTST_eagain))
			err = retry(&batch->ops[i]);
	return err;
}

/* The status of a segment is that of its first operation that failed. */
static int batch_store(struct copy_batch *batch,
		       struct gntdev_grant_copy_segment __user *to)
{
	const struct gnttab_copy *op = batch->ops;
	unsigned int i, j;

	if (!user_write_access_begin(to, batch->nr * sizeof(*to)))
		return -EFAULT;
	for (i = 0; i < batch->nr; i++) {
		s16 status = GNTST_okay;

		for (j = batch->segments[i].ops; j; j--, op++)
			if (status == GNTST_okay)
				status = op->status;
		unsafe_put_user(status, &to[i].status, fault);
	}
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

/* -- the call ------------------------------------------------------------------ */

static int do_batch(struct copy_batch *batch,
		    struct gntdev_grant_copy_segment __user *segments,
		    unsigned int nr)
{
	int err;

	err = batch_read(batch, segments, nr);
	if (!err)
		err = batch_pin(batch);
	if (!err)
		err = batch_copy(batch);
	if (!err)
		err = batch_store(batch, segments);
	batch_unpin(batch);
	return err;
}

/* One allocation: the arrays of @n segments, those with the largest members first. */
static void *batch_alloc(struct copy_batch *batch, size_t n)
{
	size_t pages = n * SEGMENT_PAGES;
	void *mem;

	mem = kvmalloc(n * (sizeof(*batch->segments) + sizeof(*batch->runs)) +
		       pages * (sizeof(*batch->ops) + sizeof(*batch->pages)),
		       GFP_KERNEL_ACCOUNT);
	if (!mem)
		return NULL;
	batch->segments = mem;
	batch->ops = (void *)(batch->segments + n);
	batch->runs = (void *)(batch->ops + pages);
	batch->pages = (void *)(batch->runs + n);
	return mem;
}

/**
 * gntdev_ioctl_copy() - IOCTL_GNTDEV_GRANT_COPY
 * @arg: struct ioctl_gntdev_grant_copy
 *
 * Segments are copied in order, COPY_BATCH of them at a time. After an error those before
 * the batch in which it was found have been copied, and their status is stored; nothing
 * can be said of the others.
 *
 * Context: sleeps; holds no lock, and may wait for a guest to page memory in.
 * Return: 0, and the status of every segment is stored; or -EINVAL: a segment with no
 *         grant, or beyond a grant's page; -EFAULT; -ENOMEM; -EINTR when killed.
 */
long gntdev_ioctl_copy(void __user *arg)
{
	struct ioctl_gntdev_grant_copy copy;
	struct copy_batch batch = {};
	unsigned int i, n;
	void *mem;
	int err = 0;

	if (copy_from_user(&copy, arg, sizeof(copy)))
		return -EFAULT;
	if (!copy.count)
		return 0;

	mem = batch_alloc(&batch, min(copy.count, COPY_BATCH));
	if (!mem)
		return -ENOMEM;
	for (i = 0; i < copy.count && !err; i += n) {
		n = min(copy.count - i, COPY_BATCH);
		err = fatal_signal_pending(current) ?
			      -EINTR :
			      do_batch(&batch, copy.segments + i, n);
		cond_resched();
	}
	kvfree(mem);
	return err;
}
