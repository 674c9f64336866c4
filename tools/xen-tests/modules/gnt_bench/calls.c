// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hypercalls, each batch between two readings of the TSC: a time or, in a lab with
 * ICOUNT=1, the number of instructions, Xen's included. Operations are filled in before.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>
#include <asm/xen/hypercall.h>
#include <xen/grant_table.h>
#include <xen/page.h>

#include "internal.h"

#define GNB_PTE_FLAGS (GNTMAP_host_map | GNTMAP_application_map | GNTMAP_contains_pte | \
		       (1 << _GNTMAP_guest_avail0))

/**
 * struct gnb_ctx - a call of gnb_run() that is under way
 * @run: what the caller asks for
 * @refs: its grants
 * @where: where each is mapped: address of the PTE or in the linear map
 * @flags: GNTMAP_* of all
 */
struct gnb_ctx {
	struct gnb_run *run;
	u32 *refs;
	u64 *where;
	u32 flags;
};

/* One hypercall after the other; returns what they took, or 0 when one failed. */
static u64 gnb_call(struct gnb_run *run, unsigned int cmd, void *ops, size_t size)
{
	unsigned int i, n;
	int err = 0;
	u64 t;

	t = rdtsc_ordered();
	for (i = 0; i < run->count && !err; i += n) {
		n = min(run->count - i, run->batch);
		err = HYPERVISOR_grant_table_op(cmd, ops + i * size, n);
		run->calls++;
	}
	t = rdtsc_ordered() - t;
	return err ? 0 : t;
}

static int gnb_unmap(struct gnb_ctx *ctx, const struct gnttab_map_grant_ref *maps)
{
	struct gnttab_unmap_grant_ref *ops;
	unsigned int i, n = 0;
	int err = 0;

	ops = kvcalloc(ctx->run->count, sizeof(*ops), GFP_KERNEL | __GFP_NOFAIL);
	for (i = 0; i < ctx->run->count; i++) {
		if (maps[i].status != GNTST_okay) {
			err = -EIO;
			continue;
		}
		gnttab_set_unmap_op(&ops[n], ctx->where[i], ctx->flags, maps[i].handle);
		ops[n++].status = GNTST_general_error;
	}
	ctx->run->count = n;
	ctx->run->undo = gnb_call(ctx->run, GNTTABOP_unmap_grant_ref, ops, sizeof(*ops));
	for (i = 0; i < n; i++)
		if (ops[i].status != GNTST_okay)
			err = -EIO;
	kvfree(ops);
	return err;
}

static int gnb_map(struct gnb_ctx *ctx)
{
	struct gnttab_map_grant_ref *ops;
	unsigned int i;
	int err;

	ops = kvcalloc(ctx->run->count, sizeof(*ops), GFP_KERNEL);
	if (!ops)
		return -ENOMEM;
	for (i = 0; i < ctx->run->count; i++) {
		gnttab_set_map_op(&ops[i], ctx->where[i], ctx->flags, ctx->refs[i],
				  ctx->run->domid);
		ops[i].status = GNTST_general_error;
	}
	ctx->run->ticks = gnb_call(ctx->run, GNTTABOP_map_grant_ref, ops, sizeof(*ops));
	err = gnb_unmap(ctx, ops);
	kvfree(ops);
	return err;
}

static int gnb_take_pte(pte_t *pte, unsigned long addr, void *data)
{
	struct gnb_ctx *ctx = data;

	if (!pte_none(ptep_get(pte)))
		return -EEXIST;
	ctx->where[(addr - ctx->run->addr) >> PAGE_SHIFT] = arbitrary_virt_to_machine(pte).maddr;
	return 0;
}

/* Nobody else sees these entries: they come and go under the mmap lock. */
static int gnb_ptes(struct gnb_ctx *ctx)
{
	unsigned long start = ctx->run->addr, size = (unsigned long)ctx->run->count << PAGE_SHIFT;
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int err = -EFAULT;

	ctx->flags = GNB_PTE_FLAGS;
	mmap_write_lock(mm);
	vma = vma_lookup(mm, start);
	if (vma && vma_is_anonymous(vma) && size <= vma->vm_end - start) {
		vma_start_write(vma);
		err = apply_to_page_range(mm, start, size, gnb_take_pte, ctx);
		if (!err)
			err = gnb_map(ctx);
	}
	mmap_write_unlock(mm);
	return err;
}

/* Pages without a frame of their own, as gntdev uses them. */
static int gnb_linear(struct gnb_ctx *ctx)
{
	unsigned int i, count = ctx->run->count;
	struct page **pages;
	int err;

	pages = kvcalloc(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	err = gnttab_alloc_pages(count, pages);
	if (!err) {
		ctx->flags = GNTMAP_host_map;
		for (i = 0; i < count; i++)
			ctx->where[i] = (unsigned long)page_address(pages[i]);
		err = gnb_map(ctx);
		/* What Xen may still have mapped is lost rather than used again. */
		if (!err)
			gnttab_free_pages(count, pages);
	}
	kvfree(pages);
	return err;
}

/* One page or none of it, from a grant or to it */
static struct gnttab_copy copy_op(const struct gnb_ctx *ctx, unsigned int i, struct page *page,
				  bool to_grant, u16 len)
{
	struct gnttab_copy op = {
		.len = len,
		.flags = to_grant ? GNTCOPY_dest_gref : GNTCOPY_source_gref,
		.status = GNTST_general_error,
	};
	struct gnttab_copy_ptr *grant = to_grant ? &op.dest : &op.source;
	struct gnttab_copy_ptr *local = to_grant ? &op.source : &op.dest;

	grant->u.ref = ctx->refs[i];
	grant->domid = ctx->run->domid;
	local->u.gmfn = pfn_to_gfn(page_to_pfn(page));
	local->domid = DOMID_SELF;
	return op;
}

static int gnb_copy(struct gnb_ctx *ctx, bool to_grants, u16 len)
{
	unsigned int i, count = ctx->run->count;
	struct gnttab_copy *ops;
	struct page **pages;
	int pinned, err = -ENOMEM;

	ops = kvcalloc(count, sizeof(*ops), GFP_KERNEL);
	pages = kvcalloc(count, sizeof(*pages), GFP_KERNEL);
	if (!ops || !pages)
		goto free;
	pinned = pin_user_pages_fast(ctx->run->addr, count, FOLL_WRITE, pages);
	err = pinned < 0 ? pinned : -EFAULT;
	if (pinned != count)
		goto unpin;

	for (i = 0; i < count; i++)
		ops[i] = copy_op(ctx, i, pages[i], to_grants, len);
	ctx->run->ticks = gnb_call(ctx->run, GNTTABOP_copy, ops, sizeof(*ops));
	err = 0;
	for (i = 0; i < count; i++)
		if (ops[i].status != GNTST_okay)
			err = -EIO;
unpin:
	if (pinned > 0)
		unpin_user_pages_dirty_lock(pages, pinned, true);
free:
	kvfree(pages);
	kvfree(ops);
	return err;
}

static int gnb_do(struct gnb_ctx *ctx)
{
	u64 t;

	switch (ctx->run->what) {
	case GNB_NOTHING:
		t = rdtsc_ordered();
		ctx->run->ticks = rdtsc_ordered() - t;
		return 0;
	case GNB_PTES:
		return gnb_ptes(ctx);
	case GNB_LINEAR:
		return gnb_linear(ctx);
	case GNB_COPY:
		return gnb_copy(ctx, false, PAGE_SIZE);
	case GNB_COPY_TO:
		return gnb_copy(ctx, true, PAGE_SIZE);
	case GNB_PROBE:
		return gnb_copy(ctx, false, 0);
	}
	return -EINVAL;
}

int gnb_run(struct gnb_run *run)
{
	struct gnb_ctx ctx = { .run = run };
	u32 count = run->count;
	int err = -ENOMEM;

	run->ticks = 0;
	run->undo = 0;
	run->calls = 0;
	if (!count || count > GNB_COUNT_MAX || !run->batch || !PAGE_ALIGNED(run->addr) ||
	    run->addr >= TASK_SIZE)
		return -EINVAL;
	ctx.refs = kvcalloc(count, sizeof(*ctx.refs), GFP_KERNEL);
	ctx.where = kvcalloc(count, sizeof(*ctx.where), GFP_KERNEL);
	if (ctx.refs && ctx.where)
		err = -EFAULT;
	if (err == -EFAULT && !copy_from_user(ctx.refs, (void __user *)run->refs,
					      count * sizeof(*ctx.refs)))
		err = gnb_do(&ctx);
	run->count = count;
	kvfree(ctx.where);
	kvfree(ctx.refs);
	return err;
}
