// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the KUnit suites of the HMM core share; see hmm_test.h.
 */
#include <kunit/device.h>
#include <linux/anon_inodes.h>
#include <linux/dma-mapping.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hmm_test.h"

/*
 * -- set-up and cleaning up
 */

static bool ht_invalidated(struct mmu_interval_notifier *notifier,
			   const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	struct ht_ctx *ctx = container_of(notifier, struct ht_ctx, notifier);

	atomic_inc(&ctx->calls);
	mmu_interval_set_seq(notifier, cur_seq);
	return true;
}

static const struct mmu_interval_notifier_ops ht_notifier_ops = {
	.invalidate = ht_invalidated,
};

static bool ht_subscribe_bytes(struct ht_ctx *ctx, unsigned long start, unsigned long length)
{
	int err;

	err = mmu_interval_notifier_insert(&ctx->notifier, ctx->mm, start, length,
					   &ht_notifier_ops);
	KUNIT_EXPECT_EQ(ctx->test, err, 0);
	ctx->subscribed = !err;
	return !err;
}

void ht_unsubscribe(struct ht_ctx *ctx)
{
	if (ctx->subscribed)
		mmu_interval_notifier_remove(&ctx->notifier);
	ctx->subscribed = false;
}

/* To these pages, and no others. */
bool ht_subscribe(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	ht_unsubscribe(ctx);
	return ht_subscribe_bytes(ctx, ht_addr(ctx, first), nr * PAGE_SIZE);
}

int ht_test_init(struct kunit *test)
{
	struct ht_ctx *ctx = kunit_kzalloc(test, sizeof(*ctx), GFP_KERNEL);

	if (!ctx)
		return -ENOMEM;
	ctx->test = test;
	ctx->base = HT_BASE;
	ctx->pfns = kvcalloc(2 * HT_PAGES, sizeof(*ctx->pfns), GFP_KERNEL);
	ctx->mm = mm_alloc();
	test->priv = ctx;
	if (!ctx->pfns || !ctx->mm)
		return -ENOMEM;
	ctx->asked = ctx->pfns + HT_PAGES;

	/* This thread ends before the address space does. */
	mm_update_next_owner(ctx->mm);
	ctx->mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(ctx->mm, &current->signal->rlim[RLIMIT_STACK]);
	mmgrab(ctx->mm);
	return ht_subscribe_bytes(ctx, 0, ULONG_MAX & PAGE_MASK) ? 0 : -ENOMEM;
}

/*
 * Where the entry of an address is; the tables are made. No lock: nobody else changes them
 * meanwhile, and one who looks sees the old entry or the new one.
 */
static pte_t *ht_ptep(struct ht_ctx *ctx, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(ctx->mm, addr);
	p4d_t *p4d = p4d_alloc(ctx->mm, pgd, addr);
	pud_t *pud = p4d ? pud_alloc(ctx->mm, p4d, addr) : NULL;
	pmd_t *pmd = pud ? pmd_alloc(ctx->mm, pud, addr) : NULL;

	if (!pmd || pte_alloc(ctx->mm, pmd))
		return NULL;
	return pte_offset_kernel(pmd, addr);
}

static void ht_unplant(struct ht_ctx *ctx, const struct ht_planted *planted)
{
	pte_t *ptep = ht_ptep(ctx, planted->addr);

	if (ptep && pte_same(ptep_get(ptep), planted->pte))
		set_pte_at(ctx->mm, planted->addr, ptep, planted->old);
}

/* The last user of the address space goes, as when a process exits. */
void ht_exit_mm(struct ht_ctx *ctx)
{
	while (ctx->nr_planted)
		ht_unplant(ctx, &ctx->planted[--ctx->nr_planted]);
	if (!ctx->exited)
		mmput(ctx->mm);
	ctx->exited = true;
}

void ht_test_exit(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned int i;

	if (!ctx)
		return;
	if (ctx->mm) {
		ht_exit_mm(ctx);
		ht_unsubscribe(ctx);
		mmu_notifier_synchronize();
		/* Not mm_count: this CPU may still use the page table lazily. */
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&ctx->mm->mm_users), 0,
				    "mm is still used at the end");
		mmdrop(ctx->mm);
	}
	for (i = 0; i < ctx->nr_own; i++) {
		KUNIT_EXPECT_EQ_MSG(test, page_count(ctx->own[i]), 1,
				    "page %u is pinned at the end", i);
		__free_pages(ctx->own[i], ctx->own_order[i]);
	}
	kvfree(ctx->pfns);
}

/*
 * -- what is mapped
 */

void ht_mmap(struct ht_ctx *ctx, struct file *file, unsigned long first, unsigned long nr,
	     unsigned long prot, unsigned long flags)
{
	unsigned long addr = ht_addr(ctx, first), got;

	kthread_use_mm(ctx->mm);
	got = vm_mmap(file, addr, nr * PAGE_SIZE, prot, MAP_FIXED | flags, 0);
	kthread_unuse_mm(ctx->mm);
	KUNIT_ASSERT_EQ(ctx->test, got, addr);
}

/* Anonymous memory, absent */
void ht_map(struct ht_ctx *ctx, unsigned long first, unsigned long nr, unsigned long prot)
{
	ht_mmap(ctx, NULL, first, nr, prot, MAP_PRIVATE | MAP_ANONYMOUS);
}

void ht_madvise(struct ht_ctx *ctx, unsigned long first, unsigned long nr, int what)
{
	/* A kernel without huge pages has none to keep away, and refuses the advice. */
	if (what == MADV_NOHUGEPAGE && !IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return;
	KUNIT_EXPECT_EQ(ctx->test,
			do_madvise(ctx->mm, ht_addr(ctx, first), nr * PAGE_SIZE, what), 0);
}

static vm_fault_t ht_file_fault(struct vm_fault *vmf)
{
	struct ht_ctx *ctx = vmf->vma->vm_private_data;
	vm_fault_t ret;

	ctx->faults++;
	ctx->fault_flags = vmf->flags;
	ret = ctx->in_fault ? ctx->in_fault(ctx, vmf) : 0;
	if (ret)
		return ret;
	if (!ctx->page)
		return VM_FAULT_SIGBUS;
	return vmf_insert_page(vmf->vma, vmf->address, ctx->page);
}

static struct page *ht_find_special_page(struct vm_area_struct *vma, unsigned long addr)
{
	struct ht_ctx *ctx = vma->vm_private_data;

	return ctx->special;
}

static const struct vm_operations_struct ht_vm_ops = {
	.fault = ht_file_fault,
};

static const struct vm_operations_struct ht_special_vm_ops = {
	.fault = ht_file_fault,
	.find_special_page = ht_find_special_page,
};

static int ht_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ht_ctx *ctx = file->private_data;

	vm_flags_set(vma, ctx->vm_flags);
	vma->vm_ops = ctx->special ? &ht_special_vm_ops : &ht_vm_ops;
	vma->vm_private_data = ctx;
	return 0;
}

static const struct file_operations ht_fops = {
	.mmap = ht_file_mmap,
};

/* A shared mapping of a device file with ht_ctx.vm_flags, absent */
void ht_map_file(struct ht_ctx *ctx, unsigned long first, unsigned long nr, unsigned long prot)
{
	struct file *file = anon_inode_getfile("hmm-test", &ht_fops, ctx, O_RDWR);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(ctx->test, file);
	ht_mmap(ctx, file, first, nr, prot, MAP_SHARED);
	fput(file);
}

/* A page, or a large folio, of the test's own */
struct page *ht_alloc(struct ht_ctx *ctx, unsigned int order)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO | (order ? __GFP_COMP : 0), order);

	KUNIT_ASSERT_NOT_NULL(ctx->test, page);
	KUNIT_ASSERT_LT(ctx->test, ctx->nr_own, HT_OWN_PAGES);
	ctx->own[ctx->nr_own] = page;
	ctx->own_order[ctx->nr_own++] = order;
	return page;
}

/* @page is mapped at page @at, in a VMA of ht_map_file() with VM_MIXEDMAP. */
void ht_insert(struct ht_ctx *ctx, unsigned long at, struct page *page)
{
	unsigned long addr = ht_addr(ctx, at);
	int err = -ENOENT;
	struct vm_area_struct *vma;

	mmap_write_lock(ctx->mm);
	vma = vma_lookup(ctx->mm, addr);
	if (vma)
		err = vm_insert_page(vma, addr, page);
	mmap_write_unlock(ctx->mm);
	KUNIT_EXPECT_EQ(ctx->test, err, 0);
	ht_tag_page(ctx, at, page);
}

/*
 * -- what the CPU does and sees
 */

/* What page @page holds after ht_fill() */
u64 ht_tag(const struct ht_ctx *ctx, unsigned long page)
{
	return ht_addr(ctx, page) ^ 0xc0ffee0000000000ULL;
}

void ht_tag_page(struct ht_ctx *ctx, unsigned long at, struct page *page)
{
	u64 *word = kmap_local_page(page);

	*word = ht_tag(ctx, at);
	kunmap_local(word);
}

/* The CPU writes. */
void ht_fill(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	unsigned long page;

	for (page = first; page < first + nr; page++) {
		u64 tag = ht_tag(ctx, page);
		int got = access_remote_vm(ctx->mm, ht_addr(ctx, page), &tag,
					   sizeof(tag), FOLL_WRITE);

		KUNIT_EXPECT_EQ_MSG(ctx->test, got, (int)sizeof(tag), "page %lu", page);
	}
}

/* The CPU reads. */
void ht_read(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	unsigned long page;

	for (page = first; page < first + nr; page++) {
		u64 tag;
		int got = access_remote_vm(ctx->mm, ht_addr(ctx, page), &tag, sizeof(tag), 0);

		KUNIT_EXPECT_EQ_MSG(ctx->test, got, (int)sizeof(tag), "page %lu", page);
	}
}

/* The PMD for a page; NULL if there is none. Nobody changes the tables meanwhile. */
pmd_t *ht_pmdp(struct ht_ctx *ctx, unsigned long page)
{
	unsigned long addr = ht_addr(ctx, page);
	pgd_t *pgd = pgd_offset(ctx->mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none_or_clear_bad(pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none_or_clear_bad(p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud) || pud_leaf(*pud))
		return NULL;
	return pmd_offset(pud, addr);
}

/* All zero if there is none. */
pte_t ht_pte(struct ht_ctx *ctx, unsigned long page)
{
	pmd_t *pmd = ht_pmdp(ctx, page);

	if (!pmd || pmd_none(*pmd) || pmd_leaf(*pmd))
		return __pte(0);
	return ptep_get(pte_offset_kernel(pmd, ht_addr(ctx, page)));
}

/* Frame of a present page, whatever maps it */
unsigned long ht_pfn(struct ht_ctx *ctx, unsigned long page)
{
	pmd_t *pmd = ht_pmdp(ctx, page);

	if (pmd && pmd_leaf(*pmd))
		return pmd_pfn(*pmd) + (page & (HT_PMD_PAGES - 1));
	return pte_pfn(ht_pte(ctx, page));
}

/*
 * -- entries by hand
 */

void ht_set_pte(struct ht_ctx *ctx, unsigned long page, pte_t pte)
{
	unsigned long addr = ht_addr(ctx, page);
	pte_t *ptep = ht_ptep(ctx, addr);

	KUNIT_ASSERT_NOT_NULL(ctx->test, ptep);
	set_pte_at(ctx->mm, addr, ptep, pte);
}

/* Until the end of the test, unless a fault replaces it */
void ht_plant(struct ht_ctx *ctx, unsigned long page, pte_t pte)
{
	struct ht_planted *planted = &ctx->planted[ctx->nr_planted];

	KUNIT_ASSERT_LT(ctx->test, ctx->nr_planted, HT_PLANTED);
	planted->addr = ht_addr(ctx, page);
	planted->old = ht_pte(ctx, page);
	planted->pte = pte;
	ctx->nr_planted++;
	ht_set_pte(ctx, page, pte);
}

void ht_plant_swap(struct ht_ctx *ctx, unsigned long page, swp_entry_t entry)
{
	ht_plant(ctx, page, swp_entry_to_pte(entry));
}

void ht_wrprotect(struct ht_ctx *ctx, unsigned long page)
{
	ht_set_pte(ctx, page, pte_wrprotect(ht_pte(ctx, page)));
}

void ht_invalidate(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, ctx->mm, ht_addr(ctx, first),
				ht_addr(ctx, first + nr));
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
}

/*
 * -- the core is called
 */

/* A snapshot of these pages is to be taken, and the entries hold rubbish. */
void ht_range(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	unsigned long i;

	KUNIT_ASSERT_LE(ctx->test, nr, HT_PAGES);
	ctx->range = (struct hmm_range){
		.notifier = &ctx->notifier,
		.notifier_seq = ctx->range.notifier_seq,
		.start = ht_addr(ctx, first),
		.end = ht_addr(ctx, first + nr),
		.hmm_pfns = ctx->pfns,
	};
	for (i = 0; i < nr; i++)
		ctx->pfns[i] = HT_JUNK;
}

/* The requests of single entries count. */
void ht_ask(struct ht_ctx *ctx, unsigned long nr, const unsigned long *requests)
{
	memcpy(ctx->pfns, requests, nr * sizeof(*requests));
	ctx->range.pfn_flags_mask = HT_RW;
}

static size_t ht_bytes(struct ht_ctx *ctx)
{
	return ((ctx->range.end - ctx->range.start) >> PAGE_SHIFT) * sizeof(*ctx->pfns);
}

int ht_call(struct ht_ctx *ctx)
{
	int ret;

	memcpy(ctx->asked, ctx->pfns, ht_bytes(ctx));
	if (!ctx->keep_seq)
		ctx->range.notifier_seq = mmu_interval_read_begin(&ctx->notifier);
	mmap_read_lock(ctx->mm);
	ret = hmm_range_fault(&ctx->range);
	mmap_read_unlock(ctx->mm);
	return ret;
}

/* As drivers do: again, until it has not collided. */
int ht_call_again(struct ht_ctx *ctx)
{
	unsigned int tries;
	int ret;

	for (tries = 0; tries < 100; tries++) {
		ret = ht_call(ctx);
		if (ret != -EBUSY &&
		    (ret || !mmu_interval_read_retry(&ctx->notifier, ctx->range.notifier_seq)))
			break;
		ctx->busy++;
		memcpy(ctx->pfns, ctx->asked, ht_bytes(ctx));
	}
	return ret;
}

void ht_snapshot(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	ht_range(ctx, first, nr);
	KUNIT_EXPECT_EQ(ctx->test, ht_call(ctx), 0);
}

/* The same @flags are asked of all. */
int ht_fault(struct ht_ctx *ctx, unsigned long first, unsigned long nr, unsigned long flags)
{
	ht_range(ctx, first, nr);
	ctx->range.default_flags = flags;
	return ht_call_again(ctx);
}

/*
 * -- expectations
 */

/* Entries [i, i + nr) are @value; @line is the test's. */
void ht_expect_at(struct ht_ctx *ctx, unsigned int line, unsigned long i, unsigned long nr,
		  unsigned long value)
{
	unsigned long end = i + nr;

	for (; i < end; i++)
		KUNIT_EXPECT_EQ_MSG(ctx->test, ctx->pfns[i], value, "entry %lu, line %u", i,
				    line);
}

/*
 * Entry @i is valid, has these flags besides and no others, and names the page that holds
 * what the CPU has written there.
 */
void ht_expect_page(struct ht_ctx *ctx, unsigned long i, unsigned long flags)
{
	unsigned long addr = ctx->range.start + i * PAGE_SIZE;
	unsigned long page = (addr - ctx->base) >> PAGE_SHIFT;
	unsigned long entry = ctx->pfns[i];
	u64 *word, value;

	KUNIT_EXPECT_EQ_MSG(ctx->test, entry & HMM_PFN_FLAGS, HMM_PFN_VALID | flags,
			    "entry %lu", i);
	if (!(entry & HMM_PFN_VALID))
		return;
	if (!page_is_ram(entry & ~HMM_PFN_FLAGS)) {
		KUNIT_FAIL(ctx->test, "entry %lu: %#lx is no memory", i, entry);
		return;
	}
	word = kmap_local_page(hmm_pfn_to_page(entry));
	value = *word;
	kunmap_local(word);
	KUNIT_EXPECT_EQ_MSG(ctx->test, value, ht_tag(ctx, page), "entry %lu: another page", i);
}

void ht_expect_pages(struct ht_ctx *ctx, unsigned long i, unsigned long nr, unsigned long flags)
{
	unsigned long end = i + nr;

	for (; i < end; i++)
		ht_expect_page(ctx, i, flags);
}

/* The call has not touched these. */
void ht_expect_inputs(struct ht_ctx *ctx, unsigned long i, unsigned long nr)
{
	unsigned long end = i + nr;

	for (; i < end; i++)
		ht_expect(ctx, i, ctx->asked[i]);
}

/*
 * -- a device that does DMA
 */

/* On arm64 a device is coherent with the CPU's caches only if the firmware says so. */
#ifdef CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE
void ht_set_coherent(struct device *dev, bool coherent)
{
	dev->dma_coherent = coherent;
}
#else
void ht_set_coherent(struct device *dev, bool coherent)
{
}
#endif

/* A coherent device that reaches addresses of so many bits; @name is no other's just now. */
struct device *ht_dma_device(struct kunit *test, const char *name, unsigned int bits)
{
	struct device *dev = kunit_device_register(test, name);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	ht_set_coherent(dev, true);
	if (dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(bits))) {
		KUNIT_ASSERT_LT(test, bits, 64);
		kunit_skip(test, "no memory here that addresses of %u bits reach", bits);
	}
	return dev;
}
