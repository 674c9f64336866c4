// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grant copy: Xen copies between grants and local buffers, nothing is mapped.
 *
 * A segment has a grant on at least one side, so each hypercall operation has at
 * most one local page. The pages of a segment's local buffer are pinned in one run,
 * and a segment is never spread over two batches: when a batch has been done, the
 * status of each of its segments is final.
 *
 * A local page may itself be a mapped grant (a buffer inside a gntdev mapping). Xen
 * does not take such a page for one of ours; it is named by its own grant instead.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <xen/page.h>

#include "gntdev.h"

/* A segment is at most U16_MAX bytes long and may start anywhere in a page. */
#define SEGMENT_MAX_OPS (U16_MAX / PAGE_SIZE + 2)
#define COPY_MAX_OPS 256U

/* Xen asks to try again when a guest has paged the page out. */
#define EAGAIN_TRIES 255

/**
 * struct copy_op - one operation and what it takes to finish it
 * @page: pinned local page, or NULL (both sides are grants)
 * @segment: index of the segment in the caller's array
 * @written: @page is the destination
 */
struct copy_op {
	struct page *page;
	unsigned int segment;
	bool written;
};

/**
 * struct copy_batch - operations of one hypercall
 * @segments: the caller's array
 * @first: first segment in this batch
 * @n: operations in use
 * @size: operations there is room for
 * @ops: for the hypercall
 * @info: one for each of @ops
 */
struct copy_batch {
	struct gntdev_grant_copy_segment __user *segments;
	unsigned int first;
	unsigned int n;
	unsigned int size;
	struct gnttab_copy *ops;
	struct copy_op *info;
};

static void batch_unpin(struct copy_batch *batch)
{
	unsigned int i;

	for (i = 0; i < batch->n; i++)
		if (batch->info[i].page)
			unpin_user_pages_dirty_lock(&batch->info[i].page, 1,
						    batch->info[i].written);
	batch->n = 0;
}

/* Repeat what the guest was not ready for, one by one. */
static int batch_retry(struct copy_batch *batch)
{
	unsigned int i, tries;
	int err;

	for (i = 0; i < batch->n; i++) {
		for (tries = 1; batch->ops[i].status == GNTST_eagain; tries++) {
			if (fatal_signal_pending(current))
				return -EINTR;
			if (tries == EAGAIN_TRIES) {
				batch->ops[i].status = GNTST_bad_page;
				break;
			}
			msleep(tries);
			err = gntdev_hv_copy(&batch->ops[i], 1);
			if (err)
				return err;
		}
	}
	return 0;
}

/* Do the batch, and store the status of segments [batch->first, end). */
static int batch_do(struct copy_batch *batch, unsigned int end)
{
	unsigned int i = 0, segment;
	int err = 0;

	if (batch->n) {
		err = gntdev_hv_copy(batch->ops, batch->n);
		if (!err)
			err = batch_retry(batch);
	}

	for (segment = batch->first; segment < end && !err; segment++) {
		s16 status = GNTST_okay;

		for (; i < batch->n && batch->info[i].segment == segment; i++)
			if (status == GNTST_okay)
				status = batch->ops[i].status;
		if (put_user(status, &batch->segments[segment].status))
			err = -EFAULT;
	}

	batch_unpin(batch);
	batch->first = end;
	return err;
}

/*
 * The grant behind a page, if it is a mapped grant. The page flag alone does not say so:
 * it means other things for pages in the swap or page cache, which have a mapping.
 */
static struct xen_page_foreign *grant_of(struct page *page)
{
	if (PageCompound(page) || page->mapping || !PagePrivate(page))
		return NULL;
	return xen_page_foreign(page);
}

/* A page of ours is named by its frame, a mapped grant by its reference. */
static struct gnttab_copy_ptr local_side(struct page *page, u16 offset,
					 bool *foreign)
{
	struct xen_page_foreign *grant = grant_of(page);
	struct gnttab_copy_ptr ptr = { .offset = offset };

	*foreign = grant;
	if (grant) {
		ptr.u.ref = grant->gref;
		ptr.domid = grant->domid;
	} else {
		ptr.u.gmfn = pfn_to_gfn(page_to_pfn(page));
		ptr.domid = DOMID_SELF;
	}
	return ptr;
}

static struct gnttab_copy_ptr
grant_side(const struct gntdev_grant_copy_segment *seg, bool dest, u16 done)
{
	return (struct gnttab_copy_ptr){
		.u.ref = dest ? seg->dest.foreign.ref : seg->source.foreign.ref,
		.domid = dest ? seg->dest.foreign.domid :
				seg->source.foreign.domid,
		.offset = done + (dest ? seg->dest.foreign.offset :
					 seg->source.foreign.offset),
	};
}

/* Add the operation for the bytes [done, done + len) of a segment. */
static void add_op(struct copy_batch *batch, unsigned int segment,
		   const struct gntdev_grant_copy_segment *seg,
		   struct page *page, u16 offset, u16 done, u16 len)
{
	bool local_source = !(seg->flags & GNTCOPY_source_gref);
	bool local_dest = !(seg->flags & GNTCOPY_dest_gref);
	struct gnttab_copy *op = &batch->ops[batch->n];
	bool foreign;

	op->flags = seg->flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref);
	op->len = len;
	op->status = GNTST_general_error;

	if (local_source) {
		op->source = local_side(page, offset, &foreign);
		op->flags |= foreign ? GNTCOPY_source_gref : 0;
	} else {
		op->source = grant_side(seg, false, done);
	}
	if (local_dest) {
		op->dest = local_side(page, offset, &foreign);
		op->flags |= foreign ? GNTCOPY_dest_gref : 0;
	} else {
		op->dest = grant_side(seg, true, done);
	}

	batch->info[batch->n] = (struct copy_op){
		.page = page,
		.segment = segment,
		.written = local_dest,
	};
	batch->n++;
}

static int check_segment(const struct gntdev_grant_copy_segment *seg)
{
	if (!(seg->flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref)))
		return -EINVAL;
	if ((seg->flags & GNTCOPY_source_gref) &&
	    seg->source.foreign.offset + seg->len > PAGE_SIZE)
		return -EINVAL;
	if ((seg->flags & GNTCOPY_dest_gref) &&
	    seg->dest.foreign.offset + seg->len > PAGE_SIZE)
		return -EINVAL;
	return 0;
}

/* Pin the local buffer of a segment; returns the number of pages. */
static int pin_local(const struct gntdev_grant_copy_segment *seg,
		     unsigned long addr, struct page **pages)
{
	bool write = !(seg->flags & GNTCOPY_dest_gref);
	int pinned, n;

	n = DIV_ROUND_UP(offset_in_page(addr) + seg->len, PAGE_SIZE);
	pinned = pin_user_pages_fast(addr & PAGE_MASK, n, write ? FOLL_WRITE : 0,
				     pages);
	if (pinned == n)
		return n;
	if (pinned > 0)
		unpin_user_pages(pages, pinned);
	return pinned < 0 ? pinned : -EFAULT;
}

/* Add a segment's operations; there is room for all of them. */
static int add_segment(struct copy_batch *batch, unsigned int segment,
		       const struct gntdev_grant_copy_segment *seg)
{
	struct page *pages[SEGMENT_MAX_OPS];
	u16 offset, len, done = 0;
	unsigned long addr;
	int i, n;

	if (!seg->len)
		return 0;
	if ((seg->flags & GNTCOPY_source_gref) &&
	    (seg->flags & GNTCOPY_dest_gref)) {
		add_op(batch, segment, seg, NULL, 0, 0, seg->len);
		return 0;
	}

	if (seg->flags & GNTCOPY_source_gref)
		addr = (unsigned long)seg->dest.virt;
	else
		addr = (unsigned long)seg->source.virt;
	n = pin_local(seg, addr, pages);
	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		offset = offset_in_page(addr + done);
		len = min_t(unsigned long, seg->len - done, PAGE_SIZE - offset);
		add_op(batch, segment, seg, pages[i], offset, done, len);
		done += len;
	}
	return 0;
}

static int copy_segments(struct copy_batch *batch, unsigned int count)
{
	struct gntdev_grant_copy_segment seg;
	unsigned int i;
	int err;

	for (i = 0; i < count; i++) {
		if (copy_from_user(&seg, &batch->segments[i], sizeof(seg)))
			return -EFAULT;
		err = check_segment(&seg);
		if (err)
			return err;

		if (batch->size - batch->n < SEGMENT_MAX_OPS) {
			err = batch_do(batch, i);
			if (err)
				return err;
		}
		err = add_segment(batch, i, &seg);
		if (err)
			return err;

		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return batch_do(batch, count);
}

/**
 * gntdev_ioctl_copy() - IOCTL_GNTDEV_GRANT_COPY
 * @arg: struct ioctl_gntdev_grant_copy
 *
 * Context: sleeps; holds no lock, and may wait for a guest to page memory in.
 * Return: 0, and the status of every segment is stored; or, with all of them
 *         undefined, -EINVAL: a segment with no grant, or beyond a grant's page;
 *         -EFAULT; -ENOMEM; -EINTR when killed.
 */
long gntdev_ioctl_copy(void __user *arg)
{
	struct ioctl_gntdev_grant_copy copy;
	struct copy_batch batch = {};
	int err = -ENOMEM;

	if (copy_from_user(&copy, arg, sizeof(copy)))
		return -EFAULT;

	batch.segments = copy.segments;
	batch.size = clamp_t(u64, 2ULL * copy.count, SEGMENT_MAX_OPS,
			     COPY_MAX_OPS);
	batch.ops = kvmalloc_array(batch.size, sizeof(*batch.ops), GFP_KERNEL);
	batch.info = kvmalloc_array(batch.size, sizeof(*batch.info), GFP_KERNEL);
	if (batch.ops && batch.info) {
		err = copy_segments(&batch, copy.count);
		batch_unpin(&batch);
	}
	kvfree(batch.info);
	kvfree(batch.ops);
	return err;
}
