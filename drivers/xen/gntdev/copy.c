// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grant copy: Xen copies between grants and local buffers, nothing is mapped.
 *
 * A segment has a grant on at least one side, so it lies in one page there, and in two of
 * ours at the most. Segments are done in batches: read, copied, and their status stored.
 * When a batch is over, the status of each of its segments is final, and no more than a
 * batch is ever pinned or allocated, however long the call is.
 *
 * Finding the local pages can cost as much as copying, if it is done one by one. Most
 * callers fill one buffer, segment by segment: segments whose local pages follow one
 * another (or are the same) are a *run*. There are two ways to copy it.
 *
 *   pinned     The pages are pinned, by one call for a run, and one hypercall does all of
 *              the batch. Always possible.
 *   in place   PV, anonymous memory: the page table entry has the very frame number that
 *              Xen wants to know, while pinning translates it back and forth five times.
 *              What may be read or written through an entry may be copied while its page
 *              table is locked, and needs no reference: nobody can take the page away
 *              before he has changed the entry, for which he wants the lock. An entry that
 *              is not there, or not yet writable and dirty, ends it: the rest is pinned.
 *
 * A local page may itself be a mapped grant (a buffer inside a gntdev mapping). Xen
 * does not take such a page for one of ours; it is named by its own grant instead.
 *
 * A signal that kills ends the call with the batch that is under way. Other signals do not:
 * a call makes progress by itself, and a repeated one would copy everything again.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <xen/page.h>

#include "gntdev.h"

/*
 * Segments of a batch. What a hypercall costs in itself is less than 1 percent of that;
 * the memory that it takes is 36 KiB.
 */
#define COPY_BATCH 256U

/* Local pages of a segment, and operations: it is not longer than a page. */
#define SEGMENT_OPS 2

/* An operation between two grants. */
#define NO_PAGE U16_MAX

/*
 * Pages that are copied in place while a page table is locked: some tens of microseconds.
 * A run of fewer than COPY_FEW is not worth a hypercall of its own.
 */
#define COPY_LOCKED 128U
#define COPY_FEW 8

/* Xen asks to try again when a guest has paged the page out. */
#define EAGAIN_TRIES 255

#define GNTCOPY_grefs (GNTCOPY_source_gref | GNTCOPY_dest_gref)

/**
 * struct copy_run - local pages that follow one another
 * @start: address of the first, in the caller's memory
 * @first: its index in the batch
 * @count: pages
 * @op: first operation; the last is that before the next run's first
 * @write: they are a destination
 */
struct copy_run {
	unsigned long start;
	u16 first;
	u16 count;
	u16 op;
	bool write;
};

/**
 * struct copy_batch - segments that are done together
 * @file: that they are copied for
 * @nr: segments
 * @nr_ops: operations
 * @nr_pages: local pages
 * @nr_runs: runs
 * @args: segments, as the caller gave them; there is room for as many in all arrays
 * @runs: no more than one a segment
 * @pages: SEGMENT_OPS for each segment, valid while pinned
 * @ops: likewise, in the order of the segments
 * @page_of: index of each operation's local page, or NO_PAGE
 * @ops_of: number of operations of each segment
 */
struct copy_batch {
	struct gntdev_file *file;
	unsigned int nr;
	unsigned int nr_ops;
	unsigned int nr_pages;
	unsigned int nr_runs;
	struct gntdev_grant_copy_segment *args;
	struct copy_run *runs;
	struct page **pages;
	struct gnttab_copy *ops;
	u16 *page_of;
	u8 *ops_of;
};

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

/* The run that has @start as its last page or goes on there, or a new one. */
static struct copy_run *run_for(struct copy_batch *batch, unsigned long start,
				bool write)
{
	struct copy_run *run = NULL;
	unsigned long end;

	if (batch->nr_runs) {
		run = &batch->runs[batch->nr_runs - 1];
		end = run->start + run->count * PAGE_SIZE;
		if (run->write == write &&
		    (start == end || start == end - PAGE_SIZE))
			return run;
	}
	run = &batch->runs[batch->nr_runs++];
	*run = (struct copy_run){
		.start = start,
		.first = batch->nr_pages,
		.op = batch->nr_ops,
		.write = write,
	};
	return run;
}

/* Add one operation; the frame of a local side is filled in later. */
static void add_op(struct copy_batch *batch,
		   const struct gntdev_grant_copy_segment *seg, u16 done,
		   u16 len, u16 page, u16 local_offset)
{
	struct gnttab_copy *op = &batch->ops[batch->nr_ops];

	op->source.domid = DOMID_SELF;
	op->source.offset = local_offset;
	if (seg->flags & GNTCOPY_source_gref) {
		op->source.u.ref = seg->source.foreign.ref;
		op->source.domid = seg->source.foreign.domid;
		op->source.offset = seg->source.foreign.offset + done;
	}
	op->dest.domid = DOMID_SELF;
	op->dest.offset = local_offset;
	if (seg->flags & GNTCOPY_dest_gref) {
		op->dest.u.ref = seg->dest.foreign.ref;
		op->dest.domid = seg->dest.foreign.domid;
		op->dest.offset = seg->dest.foreign.offset + done;
	}
	op->len = len;
	op->flags = seg->flags & GNTCOPY_grefs;
	op->status = GNTST_general_error;
	batch->page_of[batch->nr_ops++] = page;
}

/* Add the operations of a segment, and its local pages to a run. */
static void add_segment(struct copy_batch *batch,
			const struct gntdev_grant_copy_segment *seg)
{
	bool write = seg->flags & GNTCOPY_source_gref;
	unsigned long addr = (unsigned long)(write ? seg->dest.virt :
						     seg->source.virt);
	u16 offset = offset_in_page(addr), len;
	struct copy_run *run;
	unsigned int page;

	if (!seg->len)
		return;
	if ((seg->flags & GNTCOPY_grefs) == GNTCOPY_grefs) {
		add_op(batch, seg, 0, seg->len, NO_PAGE, 0);
		return;
	}

	run = run_for(batch, addr & PAGE_MASK, write);
	page = ((addr & PAGE_MASK) - run->start) >> PAGE_SHIFT;
	len = min_t(unsigned int, seg->len, PAGE_SIZE - offset);
	add_op(batch, seg, 0, len, run->first + page, offset);
	if (len < seg->len)
		add_op(batch, seg, len, seg->len - len, run->first + ++page, 0);
	run->count = page + 1;
	batch->nr_pages = run->first + run->count;
}

static int batch_read(struct copy_batch *batch,
		      const struct gntdev_grant_copy_segment __user *from,
		      unsigned int nr)
{
	unsigned int i, before;
	int err;

	batch->nr = nr;
	batch->nr_ops = 0;
	batch->nr_pages = 0;
	batch->nr_runs = 0;
	if (copy_from_user(batch->args, from, nr * sizeof(*from)))
		return -EFAULT;
	for (i = 0; i < nr; i++) {
		err = check_segment(&batch->args[i]);
		if (err)
			return err;
		before = batch->nr_ops;
		add_segment(batch, &batch->args[i]);
		batch->ops_of[i] = batch->nr_ops - before;
	}
	return 0;
}

/* The status of a segment is that of its first operation that failed. */
static int batch_store(const struct copy_batch *batch,
		       struct gntdev_grant_copy_segment __user *to)
{
	const struct gnttab_copy *op = batch->ops;
	unsigned int i, j;

	if (!user_write_access_begin(to, batch->nr * sizeof(*to)))
		return -EFAULT;
	for (i = 0; i < batch->nr; i++) {
		s16 status = GNTST_okay;

		if (likely(batch->ops_of[i] == 1)) {
			status = op++->status;
		} else {
			for (j = batch->ops_of[i]; j; j--, op++)
				if (status == GNTST_okay)
					status = op->status;
		}
		unsafe_put_user(status, &to[i].status, fault);
	}
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

/* The side of an operation that is not a grant, if there is one. */
static struct gnttab_copy_ptr *local_side(struct gnttab_copy *op)
{
	return op->flags & GNTCOPY_source_gref ? &op->dest : &op->source;
}

/* -- pinned -------------------------------------------------------------------- */

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
			if (fatal_signal_pending(current))
				return -EINTR;
			return n ?: -EFAULT;
		}
	}
	return 0;
}

/* The pages of runs in one direction are next to each other in @pages, too. */
static void unpin_runs(struct page **pages, const struct copy_run *runs,
		       unsigned int nr)
{
	unsigned int i, end;

	for (i = 0; i < nr; i = end) {
		unsigned int n = runs[i].count;

		for (end = i + 1; end < nr && runs[end].write == runs[i].write; end++)
			n += runs[end].count;
		unpin_user_pages_dirty_lock(pages + runs[i].first, n,
					    runs[i].write);
	}
}

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
static void set_page_of(struct gnttab_copy *op, struct page *page)
{
	struct xen_page_foreign *grant = grant_of(page);
	struct gnttab_copy_ptr *ptr = local_side(op);

	if (grant) {
		ptr->u.ref = grant->gref;
		ptr->domid = grant->domid;
		op->flags = GNTCOPY_grefs;
	} else {
		ptr->u.gmfn = pfn_to_gfn(page_to_pfn(page));
	}
}

/* Repeat what the guest was not ready for. */
static int retry(struct gntdev_file *file, struct gnttab_copy *op)
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
		err = gntdev_hv_copy(file, op, 1);
		if (err)
			return err;
	}
	return 0;
}

/* The operations [op, end), whose local pages are those of @runs. */
static int copy_pinned(struct copy_batch *batch, const struct copy_run *runs,
		       unsigned int nr_runs, unsigned int op, unsigned int end)
{
	struct gnttab_copy *ops = batch->ops;
	unsigned int i, pinned;
	int err = 0;

	if (op == end)
		return 0;
	for (pinned = 0; pinned < nr_runs; pinned++) {
		err = pin_run(batch->pages + runs[pinned].first, &runs[pinned]);
		if (err)
			goto unpin;
	}
	for (i = op; i < end; i++)
		if (batch->page_of[i] != NO_PAGE)
			set_page_of(&ops[i], batch->pages[batch->page_of[i]]);

	err = gntdev_hv_copy(batch->file, ops + op, end - op);
	for (i = op; i < end && !err; i++)
		if (unlikely(ops[i].status == GNTST_eagain))
			err = retry(batch->file, &ops[i]);
unpin:
	unpin_runs(batch->pages, runs, pinned);
	return err;
}

/* -- in place ------------------------------------------------------------------ */

#ifdef CONFIG_XEN_PV
/**
 * struct in_place - pages of a run that are in one page table
 * @batch: batch
 * @run: run
 * @last: address of the last page
 * @op: first operation that has no frame yet
 * @op_end: end of the run's operations
 * @done: first operation that has not been done
 * @err: of the hypercall
 */
struct in_place {
	struct copy_batch *batch;
	const struct copy_run *run;
	unsigned long last;
	unsigned int op;
	unsigned int op_end;
	unsigned int done;
	int err;
};

/* The page table is locked. Entries that are empty are left out by who calls this. */
static int copy_entry(pte_t *ptep, unsigned long addr, void *data)
{
	struct in_place *p = data;
	u16 page = p->run->first + ((addr - p->run->start) >> PAGE_SHIFT);
	u16 *page_of = p->batch->page_of;
	pte_t pte = ptep_get(ptep);
	pteval_t want = _PAGE_PRESENT | _PAGE_USER;
	unsigned int op = p->op;

	/* Dirty, or what is written would be lost when the page is swapped out. */
	if (p->run->write)
		want |= _PAGE_RW | _PAGE_DIRTY;
	if ((pte_flags(pte) & (want | _PAGE_SPECIAL)) != want)
		return -EAGAIN;
	/* One that was left out */
	if (op < p->op_end && page_of[op] < page)
		return -EAGAIN;

	for (; op < p->op_end && (page_of[op] == page || page_of[op] == NO_PAGE); op++)
		if (page_of[op] == page)
			local_side(&p->batch->ops[op])->u.gmfn =
				(pte.pte & PTE_PFN_MASK) >> PAGE_SHIFT;
	p->op = op;
	if (addr == p->last) {
		p->err = gntdev_hv_copy(p->batch->file, p->batch->ops + p->done,
					op - p->done);
		if (p->err)
			return p->err;
		p->done = op;
	}
	return 0;
}

/* User memory that page tables of the usual kind describe */
static bool may_be_in_place(struct mm_struct *mm, unsigned long start,
			    unsigned long size)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);

	return vma && vma_is_anonymous(vma) && vma->vm_end - start >= size;
}

/* Returns the first operation that has not been done, or an error. */
static int copy_locked(struct copy_batch *batch, const struct copy_run *run,
		       unsigned int op_end)
{
	unsigned long start = run->start, end, piece;
	struct mm_struct *mm = current->mm;
	struct in_place p = {
		.batch = batch,
		.run = run,
		.op = run->op,
		.op_end = op_end,
		.done = run->op,
	};

	end = start + run->count * PAGE_SIZE;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	if (!may_be_in_place(mm, start, end - start))
		end = start;
	for (; start < end; start = piece) {
		piece = min3(end, start + COPY_LOCKED * PAGE_SIZE,
			     ALIGN(start + 1, PMD_SIZE));
		p.last = piece - PAGE_SIZE;
		if (apply_to_existing_page_range(mm, start, piece - start,
						 copy_entry, &p) ||
		    p.done != p.op)
			break;
	}
	mmap_read_unlock(mm);
	return p.err ?: p.done;
}

/*
 * Copy what can be copied in place of a run with operations up to @op_end, and take it out
 * of the run.
 */
static int copy_in_place(struct copy_batch *batch, struct copy_run *run,
			 unsigned int op_end)
{
	int done = copy_locked(batch, run, op_end);
	unsigned int op, page;
	int err;

	if (done < 0)
		return done;
	for (op = run->op; op < done; op++) {
		struct copy_run one = { .count = 1, .write = run->write };

		if (likely(batch->ops[op].status != GNTST_eagain))
			continue;
		/* This one may take a while, and so needs a page that stays. */
		one.first = batch->page_of[op];
		one.start = run->start + (one.first - run->first) * PAGE_SIZE;
		err = copy_pinned(batch, &one, one.first != NO_PAGE, op, op + 1);
		if (err)
			return err;
	}
	page = done < op_end ? batch->page_of[done] - run->first : run->count;
	run->start += page * PAGE_SIZE;
	run->first += page;
	run->count -= page;
	run->op = done;
	return 0;
}
#else
static int copy_in_place(struct copy_batch *batch, struct copy_run *run,
			 unsigned int op_end)
{
	return 0;
}
#endif

/* -- the call ------------------------------------------------------------------ */

static int batch_copy(struct copy_batch *batch)
{
	unsigned int i, op = 0, first = 0, op_end;
	int err;

	for (i = 0; i < batch->nr_runs; i++) {
		struct copy_run *run = &batch->runs[i];

		if (!gntdev_pv() || run->count < COPY_FEW)
			continue;
		/* What comes before it, at once; what remains of it, with what follows. */
		err = copy_pinned(batch, batch->runs + first, i - first, op, run->op);
		if (err)
			return err;
		op_end = i + 1 < batch->nr_runs ? run[1].op : batch->nr_ops;
		err = copy_in_place(batch, run, op_end);
		if (err)
			return err;
		first = i;
		op = run->op;
	}
	return copy_pinned(batch, batch->runs + first, batch->nr_runs - first, op,
			   batch->nr_ops);
}

/* One allocation: the arrays of @n segments, those with the largest members first. */
static void *batch_alloc(struct copy_batch *batch, size_t n)
{
	size_t n_ops = n * SEGMENT_OPS, size;
	void *mem;

	size = n * (sizeof(*batch->args) + sizeof(*batch->runs) +
		    sizeof(*batch->ops_of));
	size += n_ops * (sizeof(*batch->ops) + sizeof(*batch->pages) +
			 sizeof(*batch->page_of));
	mem = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!mem)
		return NULL;
	batch->args = mem;
	batch->ops = (void *)(batch->args + n);
	batch->runs = (void *)(batch->ops + n_ops);
	batch->pages = (void *)(batch->runs + n);
	batch->page_of = (void *)(batch->pages + n_ops);
	batch->ops_of = (void *)(batch->page_of + n_ops);
	return mem;
}

static int do_batch(struct copy_batch *batch,
		    struct gntdev_grant_copy_segment __user *segments,
		    unsigned int nr)
{
	int err;

	if (fatal_signal_pending(current))
		return -EINTR;
	err = batch_read(batch, segments, nr);
	if (!err)
		err = batch_copy(batch);
	return err ?: batch_store(batch, segments);
}

/**
 * gntdev_ioctl_copy() - IOCTL_GNTDEV_GRANT_COPY
 * @file: open file
 * @arg: struct ioctl_gntdev_grant_copy
 *
 * Segments are copied in order, COPY_BATCH of them at a time. After an error those before
 * the batch in which it was found have been copied, and their status is stored; nothing
 * can be said of the others.
 *
 * Context: sleeps; holds no lock that outlives a hypercall, and none while it waits for a
 *          guest to page memory in.
 * Return: 0, and the status of every segment is stored; or -EINVAL: a segment with no
 *         grant, or beyond a grant's page; -EFAULT; -ENOMEM; -EINTR when killed.
 */
long gntdev_ioctl_copy(struct gntdev_file *file, void __user *arg)
{
	struct ioctl_gntdev_grant_copy copy;
	struct copy_batch batch = { .file = file };
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
		err = do_batch(&batch, copy.segments + i, n);
		cond_resched();
	}
	kvfree(mem);
	return err;
}
