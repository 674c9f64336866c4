// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of the HMM core, from the top of the page table down to where PTEs begin
 * (hmm_pte.c): writes outputs, lists what is missing. hmm.c explains how it is used.
 *
 * Every callback ends in one of four functions, whatever the level of the table: there is
 * a leaf entry (hmm_leaf), there are PTEs (hmm_walk_ptes), something is missing that a fault
 * may bring (hmm_missing), or nothing will (hmm_impossible).
 *
 * Leaf entries are read once, without a lock, and nobody looks at the pages behind them.
 */
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hmm_internal.h"

/*
 * The page table gives [addr, end) the output @out, or with @step 1 frames from there on.
 * Fills it in up to the first page that needs something. Returns its address, or @end.
 */
static unsigned long hmm_fill_fit(const struct hmm_walk *walk, unsigned long addr,
				  unsigned long end, unsigned long out,
				  unsigned long step)
{
	unsigned long i = 0, nr = (end - addr) >> PAGE_SHIFT;
	unsigned long *pfns = hmm_entry(walk, addr);

	if (!walk->req_mask)
		i = hmm_need(walk, 0, out) ? 0 : nr;
	else
		while (i < nr && !hmm_need(walk, pfns[i], out))
			i++;
	hmm_fill(pfns, i, out, step);
	return addr + (i << PAGE_SHIFT);
}

void hmm_todo_begin(struct hmm_walk *walk, struct vm_area_struct *vma,
		    unsigned long addr)
{
	struct hmm_todo *todo = &walk->todo;

	todo->vma = vma;
	todo->start = addr;
	todo->end = addr;
	todo->nr = 0;
	todo->huge = false;
	todo->sparse = false;
	walk->resume = addr;
}

/* From "all of them" to bitmaps. */
static void hmm_todo_spread(struct hmm_todo *todo)
{
	unsigned int first = (todo->start - hmm_todo_base(todo)) >> PAGE_SHIFT;

	bitmap_zero(todo->fault, PTRS_PER_PTE);
	bitmap_zero(todo->fault_write, PTRS_PER_PTE);
	bitmap_set(todo->fault, first, todo->nr);
	if (todo->write)
		bitmap_set(todo->fault_write, first, todo->nr);
	todo->sparse = true;
}

/* Adds the page at @addr, which is above all that are listed. */
void hmm_todo_add(struct hmm_walk *walk, unsigned long addr, enum hmm_need need)
{
	struct hmm_todo *todo = &walk->todo;
	bool write = need == HMM_NEED_WRITE;
	unsigned int i;

	if (!todo->nr)
		todo->write = write;
	if (!todo->sparse && (addr != todo->end || write != todo->write))
		hmm_todo_spread(todo);
	if (todo->sparse) {
		i = (addr - hmm_todo_base(todo)) >> PAGE_SHIFT;
		__set_bit(i, todo->fault);
		if (write)
			__set_bit(i, todo->fault_write);
	}
	todo->end = addr + PAGE_SIZE;
	todo->nr++;
}

/* Nothing is mapped in [addr, end): what is needed below the PMD of the first page? */
static int hmm_list_missing(struct hmm_walk *walk, struct vm_area_struct *vma,
			    unsigned long addr, unsigned long end)
{
	unsigned long *pfns = hmm_entry(walk, addr);
	struct hmm_todo *todo = &walk->todo;
	enum hmm_need need;

	end = pmd_addr_end(addr, end);
	hmm_todo_begin(walk, vma, addr);
	todo->huge = end - addr > PAGE_SIZE &&
		     thp_vma_allowable_order(vma, vma->vm_flags,
					     TVA_IN_PF | TVA_ENFORCE_SYSFS, PMD_ORDER);
	if (!walk->req_mask) {
		todo->write = hmm_need(walk, 0, 0) == HMM_NEED_WRITE;
		todo->nr = (end - addr) >> PAGE_SHIFT;
		todo->end = end;
		return HMM_WALK_FAULT;
	}
	for (; addr < end && !hmm_todo_is_full(walk); addr += PAGE_SIZE, pfns++) {
		need = hmm_need(walk, *pfns, 0);
		if (need)
			hmm_todo_add(walk, addr, need);
	}
	return HMM_WALK_FAULT;
}

/* No entry for [addr, end), at whatever level; or entries that are as good as none. */
static int hmm_missing(struct hmm_walk *walk, struct vm_area_struct *vma,
		       unsigned long addr, unsigned long end)
{
	addr = hmm_fill_fit(walk, addr, end, 0, 0);
	return addr == end ? 0 : hmm_list_missing(walk, vma, addr, end);
}

/* Nothing in [addr, end) that a device could be given, and no fault changes that. */
static int hmm_impossible(struct hmm_walk *walk, unsigned long addr, unsigned long end)
{
	addr = hmm_fill_fit(walk, addr, end, HMM_PFN_ERROR, 0);
	if (addr == end)
		return 0;
	walk->resume = addr;
	return -EFAULT;
}

/* One leaf entry gives [addr, end) the frames from @pfn on, with @flags; or 0: nothing yet. */
static int hmm_leaf(struct hmm_walk *walk, struct vm_area_struct *vma,
		    unsigned long addr, unsigned long end, unsigned long pfn,
		    unsigned long flags)
{
	addr = hmm_fill_fit(walk, addr, end, pfn | flags, flags ? 1 : 0);
	if (addr == end)
		return 0;

	/* One fault for all that it maps. */
	hmm_todo_begin(walk, vma, addr);
	hmm_todo_add(walk, addr, hmm_need(walk, *hmm_entry(walk, addr), flags));
	return HMM_WALK_FAULT;
}

static int hmm_walk_hole(unsigned long addr, unsigned long end,
			 __always_unused int depth, struct mm_walk *mm_walk)
{
	struct hmm_walk *walk = mm_walk->private;

	/* Between VMAs */
	if (!mm_walk->vma)
		return hmm_impossible(walk, addr, end);
	if (is_vm_hugetlb_page(mm_walk->vma))
		return hmm_leaf(walk, mm_walk->vma, addr, end, 0, 0);
	return hmm_missing(walk, mm_walk->vma, addr, end);
}

static int hmm_walk_pte_table(pmd_t *pmdp, unsigned long addr, unsigned long end,
			      struct mm_walk *mm_walk)
{
	struct hmm_walk *walk = mm_walk->private;
	spinlock_t *ptl;	/* of the table that holds *ptep */
	pte_t *ptep;
	int ret;

	ptep = pte_offset_map_lock(mm_walk->mm, pmdp, addr, &ptl);
	if (!ptep) {
		mm_walk->action = ACTION_AGAIN;
		return 0;
	}
	ret = hmm_walk_ptes(walk, mm_walk->vma, ptep, addr, end);
	pte_unmap_unlock(ptep, ptl);
	return ret;
}

/*
 * -- leaf entries of the tables above
 */

static int hmm_walk_huge_pmd(struct hmm_walk *walk, struct vm_area_struct *vma,
			     unsigned long addr, unsigned long end, pmd_t pmd)
{
	unsigned long flags;

	if (pmd_protnone(pmd))
		return hmm_missing(walk, vma, addr, end);
	if (pmd_special(pmd))
		return hmm_impossible(walk, addr, end);
	flags = HMM_PFN_VALID | (pmd_write(pmd) ? HMM_PFN_WRITE : 0) |
		hmm_order_flags(PMD_SHIFT - PAGE_SHIFT);
	return hmm_leaf(walk, vma, addr, end,
			pmd_pfn(pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT), flags);
}

static int hmm_walk_pmd(pmd_t *pmdp, unsigned long addr, unsigned long end,
			struct mm_walk *mm_walk)
{
	struct hmm_walk *walk = mm_walk->private;
	/* Read once, no lock: a huge PMD that is split or zapped is an invalidation. */
	pmd_t pmd = pmdp_get_lockless(pmdp);

	if (pmd_none(pmd))
		return hmm_missing(walk, mm_walk->vma, addr, end);
	if (!pmd_present(pmd)) {
		if (thp_migration_supported() && is_pmd_migration_entry(pmd))
			return hmm_missing(walk, mm_walk->vma, addr, end);
		return hmm_impossible(walk, addr, end);
	}
	if (pmd_trans_huge(pmd) || pmd_devmap(pmd))
		return hmm_walk_huge_pmd(walk, mm_walk->vma, addr, end, pmd);
	if (unlikely(pmd_bad(pmd)))
		return hmm_impossible(walk, addr, end);
	return hmm_walk_pte_table(pmdp, addr, end, mm_walk);
}

#if defined(CONFIG_ARCH_HAS_PTE_DEVMAP) && \
	defined(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)
static int hmm_walk_pud(pud_t *pudp, unsigned long addr, unsigned long end,
			struct mm_walk *mm_walk)
{
	struct hmm_walk *walk = mm_walk->private;
	pud_t pud = pudp_get(pudp);
	unsigned long flags;

	if (likely(!pud_trans_huge(pud) && !pud_devmap(pud)))
		return 0;

	/* A leaf, which is not to be split for our sake. */
	mm_walk->action = ACTION_CONTINUE;
	if (pud_special(pud))
		return hmm_impossible(walk, addr, end);
	flags = HMM_PFN_VALID | (pud_write(pud) ? HMM_PFN_WRITE : 0) |
		hmm_order_flags(PUD_SHIFT - PAGE_SHIFT);
	return hmm_leaf(walk, mm_walk->vma, addr, end,
			pud_pfn(pud) + ((addr & ~PUD_MASK) >> PAGE_SHIFT), flags);
}
#else
#define hmm_walk_pud	NULL
#endif

#ifdef CONFIG_HUGETLB_PAGE
static int hmm_walk_hugetlb(pte_t *ptep, unsigned long hmask, unsigned long addr,
			    unsigned long end, struct mm_walk *mm_walk)
{
	struct hmm_walk *walk = mm_walk->private;
	struct vm_area_struct *vma = mm_walk->vma;
	struct hstate *h = hstate_vma(vma);
	unsigned long flags;
	spinlock_t *ptl;	/* of the table that holds *ptep */
	pte_t pte;

	ptl = huge_pte_lock(h, mm_walk->mm, ptep);
	pte = huge_ptep_get(mm_walk->mm, addr & hmask, ptep);
	spin_unlock(ptl);

	if (pte_present(pte) && !pte_protnone(pte)) {
		flags = HMM_PFN_VALID | (huge_pte_write(pte) ? HMM_PFN_WRITE : 0) |
			hmm_order_flags(huge_page_order(h));
		return hmm_leaf(walk, vma, addr, end,
				pte_pfn(pte) + ((addr & ~hmask) >> PAGE_SHIFT), flags);
	}
	if (!pte_present(pte) && hmm_swap_pte(walk, pte) & HMM_PFN_ERROR)
		return hmm_impossible(walk, addr, end);
	return hmm_leaf(walk, vma, addr, end, 0, 0);
}
#else
#define hmm_walk_hugetlb NULL
#endif

/* Is this a VMA that is looked into? If not, its pages are done with. */
static int hmm_walk_test(unsigned long addr, unsigned long end, struct mm_walk *mm_walk)
{
	if (hmm_looks_into(mm_walk->vma->vm_flags))
		return 0;
	return hmm_impossible(mm_walk->private, addr, end) ?: 1;
}

const struct mm_walk_ops hmm_walk_ops = {
	.pud_entry	= hmm_walk_pud,
	.pmd_entry	= hmm_walk_pmd,
	.pte_hole	= hmm_walk_hole,
	.hugetlb_entry	= hmm_walk_hugetlb,
	.test_walk	= hmm_walk_test,
	.walk_lock	= PGWALK_RDLOCK,
};
