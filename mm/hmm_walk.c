// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of the HMM core: reads page table entries, writes outputs, lists what is
 * missing. hmm.c explains how it is used.
 *
 * Every callback ends in one of four functions, whatever the level of the table: there is
 * a leaf entry (hmm_leaf, or hmm_walk_ptes for PTEs), something is missing that a fault may
 * bring (hmm_missing), or nothing will (hmm_impossible).
 *
 * PTEs are read under the lock of their table: it keeps the page behind an entry from
 * being freed while its folio or its owner is looked at. Leaf entries of higher tables
 * are read once and not looked behind, without a lock.
 */
#include <linux/hugetlb.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hmm_internal.h"
#include "internal.h"

enum hmm_need {
	HMM_NEED_NOTHING,
	HMM_NEED_READ,
	HMM_NEED_WRITE,
};

/* What is to be done for a page with request @req where the page table gives @flags? */
static __always_inline enum hmm_need
hmm_need(const struct hmm_walk *walk, unsigned long req, unsigned long flags)
{
	req = (req & walk->req_mask) | walk->default_req;
	if (!(req & HMM_PFN_REQ_FAULT))
		return HMM_NEED_NOTHING;
	if ((req & HMM_PFN_REQ_WRITE) && !(flags & HMM_PFN_WRITE))
		return HMM_NEED_WRITE;
	return flags & HMM_PFN_VALID ? HMM_NEED_NOTHING : HMM_NEED_READ;
}

/* Can anything be needed at all, or is this a mere snapshot? */
static __always_inline bool hmm_may_need(const struct hmm_walk *walk)
{
	return (walk->default_req | walk->req_mask) & HMM_PFN_REQ_FAULT;
}

static __always_inline unsigned long *hmm_entry(const struct hmm_walk *walk,
						unsigned long addr)
{
	return walk->range->hmm_pfns + ((addr - walk->range->start) >> PAGE_SHIFT);
}

/*
 * The first of @nr entries that needs something where the page table gives @flags for
 * all of them; @nr if none does.
 */
static unsigned long hmm_first_need(const struct hmm_walk *walk,
				    const unsigned long *pfns, unsigned long nr,
				    unsigned long flags)
{
	unsigned long i;

	if (!hmm_may_need(walk))
		return nr;
	/* One answer for all of them, if the entries do not matter or cannot add to it. */
	if (!walk->req_mask)
		return hmm_need(walk, 0, flags) ? 0 : nr;
	for (i = 0; i < nr; i++)
		if (hmm_need(walk, pfns[i], flags))
			break;
	return i;
}

/* The output for @nr pages; @step is 1 if each has the frame after the last one's. */
static __always_inline void hmm_fill(unsigned long *pfns, unsigned long nr,
				     unsigned long out, unsigned long step)
{
	unsigned long i;

	/* Most of the work for what is mapped by few entries. */
#pragma GCC unroll 8
	for (i = 0; i < nr; i++)
		pfns[i] = (pfns[i] & HMM_PFN_INOUT_FLAGS) | (out + i * step);
}

static __always_inline unsigned long hmm_order_flags(unsigned int order)
{
	return (unsigned long)order << HMM_PFN_ORDER_SHIFT;
}

static void hmm_todo_begin(struct hmm_walk *walk, struct vm_area_struct *vma,
			   unsigned long addr)
{
	struct hmm_todo *todo = &walk->todo;

	todo->vma = vma;
	todo->base = addr & PMD_MASK;
	todo->nr = 0;
	todo->huge = false;
	bitmap_zero(todo->fault, PTRS_PER_PTE);
	bitmap_zero(todo->write, PTRS_PER_PTE);
	walk->resume = addr;
}

static void hmm_todo_add(struct hmm_walk *walk, unsigned long addr, enum hmm_need need)
{
	struct hmm_todo *todo = &walk->todo;
	unsigned int i = (addr - todo->base) >> PAGE_SHIFT;

	__set_bit(i, todo->fault);
	if (need == HMM_NEED_WRITE)
		__set_bit(i, todo->write);
	todo->nr++;
}

static int hmm_list_one(struct hmm_walk *walk, struct vm_area_struct *vma,
			unsigned long addr, enum hmm_need need)
{
	hmm_todo_begin(walk, vma, addr);
	hmm_todo_add(walk, addr, need);
	return HMM_WALK_FAULT;
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
	todo->huge = thp_vma_allowable_order(vma, vma->vm_flags,
					     TVA_IN_PF | TVA_ENFORCE_SYSFS, PMD_ORDER);
	for (; addr < end; addr += PAGE_SIZE, pfns++) {
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
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long nr = (end - addr) >> PAGE_SHIFT;
	unsigned long ok = hmm_first_need(walk, pfns, nr, 0);

	hmm_fill(pfns, ok, 0, 0);
	if (ok == nr)
		return 0;
	return hmm_list_missing(walk, vma, addr + (ok << PAGE_SHIFT), end);
}

/* Nothing in [addr, end) that a device could be given, and no fault changes that. */
static int hmm_impossible(struct hmm_walk *walk, unsigned long addr, unsigned long end)
{
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long nr = (end - addr) >> PAGE_SHIFT;
	unsigned long ok = hmm_first_need(walk, pfns, nr, 0);

	hmm_fill(pfns, ok, HMM_PFN_ERROR, 0);
	if (ok == nr)
		return 0;
	walk->resume = addr + (ok << PAGE_SHIFT);
	return -EFAULT;
}

/* One leaf entry gives [addr, end) frames from @pfn on, with @flags. */
static int hmm_leaf(struct hmm_walk *walk, struct vm_area_struct *vma,
		    unsigned long addr, unsigned long end, unsigned long pfn,
		    unsigned long flags)
{
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long nr = (end - addr) >> PAGE_SHIFT;
	unsigned long ok = hmm_first_need(walk, pfns, nr, flags);

	hmm_fill(pfns, ok, pfn | flags, 1);
	if (ok == nr)
		return 0;

	return hmm_list_one(walk, vma, addr + (ok << PAGE_SHIFT),
			    hmm_need(walk, pfns[ok], flags));
}

/* As hmm_missing(), where one fault brings all of it: a page of hugetlb. */
static int hmm_missing_huge(struct hmm_walk *walk, struct vm_area_struct *vma,
			    unsigned long addr, unsigned long end)
{
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long nr = (end - addr) >> PAGE_SHIFT;
	unsigned long ok = hmm_first_need(walk, pfns, nr, 0);

	hmm_fill(pfns, ok, 0, 0);
	if (ok == nr)
		return 0;
	return hmm_list_one(walk, vma, addr + (ok << PAGE_SHIFT), hmm_need(walk, pfns[ok], 0));
}

static int hmm_walk_hole(unsigned long addr, unsigned long end,
			 __always_unused int depth, struct mm_walk *mm_walk)
{
	struct hmm_walk *walk = mm_walk->private;

	/* Between VMAs */
	if (!mm_walk->vma)
		return hmm_impossible(walk, addr, end);
	if (is_vm_hugetlb_page(mm_walk->vma))
		return hmm_missing_huge(walk, mm_walk->vma, addr, end);
	return hmm_missing(walk, mm_walk->vma, addr, end);
}

/*
 * -- PTEs
 */

/*
 * How many of @max entries from @ptep on map what follows @pte in the same way, but for
 * accessed and dirty bits? Frames that follow each other prove that nothing is missing; the
 * folio only says how far to look.
 */
static __always_inline unsigned long hmm_pte_run(pte_t *ptep, pte_t pte, unsigned long max)
{
	const typeof(pte_val(pte)) same =
		~(pte_val(pte_mkyoung(pte_mkdirty(pte))) ^
		  pte_val(pte_mkold(pte_clear_soft_dirty(pte_mkclean(pte)))));
	const typeof(pte_val(pte)) step = pte_val(pte_advance_pfn(pte, 1)) - pte_val(pte);
	typeof(pte_val(pte)) expected = pte_val(pte);
	unsigned long n;

	for (n = 1; n < max; n++) {
		expected += step;
		if ((pte_val(ptep_get(ptep + n)) ^ expected) & same)
			break;
	}
	return n;
}

/*
 * Output for @nr pages of a large folio from @addr on: the largest blocks that are aligned
 * in both address spaces.
 */
static void hmm_fill_blocks(unsigned long *pfns, unsigned long nr, unsigned long addr,
			    unsigned long pfn, unsigned long flags)
{
	unsigned long skew = (addr >> PAGE_SHIFT) ^ pfn;
	unsigned int order, most = skew ? __ffs(skew) : BITS_PER_LONG - 1;
	unsigned long n;

	for (; nr; nr -= n, pfns += n, pfn += n) {
		order = min_t(unsigned int, most, __fls(nr));
		if (pfn)
			order = min_t(unsigned int, order, __ffs(pfn));
		n = 1UL << order;
		hmm_fill(pfns, n, pfn | flags | hmm_order_flags(order), 1);
	}
}

/* What a PTE says, in the flags of an output; the frame with it if HMM_PFN_VALID. */
static unsigned long hmm_swap_pte(const struct hmm_walk *walk, pte_t pte)
{
	unsigned long out;
	swp_entry_t entry;

	if (pte_none(pte))
		return 0;
	entry = pte_to_swp_entry(pte);
	if (is_device_private_entry(entry) &&
	    pfn_swap_entry_to_page(entry)->pgmap->owner == walk->range->dev_private_owner) {
		out = swp_offset_pfn(entry) | HMM_PFN_VALID;
		if (is_writable_device_private_entry(entry))
			out |= HMM_PFN_WRITE;
		return out;
	}
	if (is_hwpoison_entry(entry) || is_poisoned_swp_entry(entry))
		return HMM_PFN_ERROR;
	/*
	 * Swapped out, migrating, held by a device for itself or as its private memory, a
	 * marker for userfaultfd: whatever it is, the fault handler knows what to do.
	 */
	return 0;
}

/* A present PTE that is not simply a page of ours. */
static unsigned long hmm_special_pte(struct vm_area_struct *vma, unsigned long addr,
				     pte_t pte)
{
	unsigned long flags = HMM_PFN_VALID | (pte_write(pte) ? HMM_PFN_WRITE : 0);
	struct page *page = vm_normal_page(vma, addr, pte);

	/*
	 * The page, and not what the PTE says: in a Xen PV domain that is no frame of ours
	 * if the page is another domain's, granted to us.
	 */
	if (page)
		return page_to_pfn(page) | flags;
	if (pte_devmap(pte) || is_zero_pfn(pte_pfn(pte)))
		return pte_pfn(pte) | flags;
	return HMM_PFN_ERROR;
}

/* The output for the page at @addr, and how many of @max pages have one of that kind. */
static __always_inline unsigned long
hmm_read_ptes(const struct hmm_walk *walk, struct vm_area_struct *vma,
	      unsigned long addr, pte_t *ptep, unsigned long max, unsigned long *nr)
{
	pte_t pte = ptep_get(ptep);
	struct folio *folio;
	unsigned long pfn;
	struct page *page;

	*nr = 1;
	if (unlikely(!pte_present(pte)))
		return hmm_swap_pte(walk, pte);
	if (unlikely(pte_protnone(pte)))
		return 0;
	if (!IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL) || unlikely(pte_special(pte)))
		return hmm_special_pte(vma, addr, pte);
	pfn = pte_pfn(pte);
	if (unlikely(pfn > highest_memmap_pfn))
		return hmm_special_pte(vma, addr, pte);

	page = pfn_to_page(pfn);
	if (PageCompound(page)) {
		folio = page_folio(page);
		max = min(max, folio_pfn(folio) + folio_nr_pages(folio) - pfn);
		*nr = hmm_pte_run(ptep, pte, max);
	}
	return pfn | HMM_PFN_VALID | (pte_write(pte) ? HMM_PFN_WRITE : 0);
}

/*
 * The page table gives @nr pages from @addr on frames from @out on, or the same @out. Lists
 * those that are not as asked. Returns how many there are before the first one, or @nr.
 */
static __always_inline unsigned long
hmm_list_unfit(struct hmm_walk *walk, struct vm_area_struct *vma, unsigned long addr,
	       unsigned long nr, unsigned long out, bool *listing)
{
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long i, fit = nr;
	enum hmm_need need;

	for (i = 0; i < nr; i++) {
		need = hmm_need(walk, pfns[i], out);
		if (likely(!need))
			continue;
		if (!*listing)
			hmm_todo_begin(walk, vma, addr + (i << PAGE_SHIFT));
		*listing = true;
		hmm_todo_add(walk, addr + (i << PAGE_SHIFT), need);
		fit = min(fit, i);
	}
	return fit;
}

/*
 * Reads the entries of one page table, which is locked. Fills in outputs until the first
 * entry that needs a fault; from there on it only lists what else does. @snapshot is a
 * constant: nothing can be needed.
 */
static __always_inline int
hmm_walk_ptes(struct hmm_walk *walk, struct vm_area_struct *vma, pte_t *ptep,
	      unsigned long addr, unsigned long end, bool snapshot)
{
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long out, nr, fit;
	bool listing = false;

	for (; addr < end; addr += nr << PAGE_SHIFT, ptep += nr, pfns += nr) {
		out = hmm_read_ptes(walk, vma, addr, ptep, (end - addr) >> PAGE_SHIFT, &nr);
		fit = nr;
		if (!snapshot) {
			if (unlikely(out & HMM_PFN_ERROR) && hmm_need(walk, *pfns, 0)) {
				/* What is listed comes first; then this is met again. */
				if (listing)
					return HMM_WALK_FAULT;
				walk->resume = addr;
				return -EFAULT;
			}
			if (listing) {
				hmm_list_unfit(walk, vma, addr, nr, out, &listing);
				continue;
			}
			fit = hmm_list_unfit(walk, vma, addr, nr, out, &listing);
		}
		if (likely(nr == 1 && fit))
			*pfns = (*pfns & HMM_PFN_INOUT_FLAGS) | out;
		else
			hmm_fill_blocks(pfns, fit, addr, out & ~HMM_PFN_FLAGS,
					out & HMM_PFN_FLAGS);
	}
	return listing ? HMM_WALK_FAULT : 0;
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
	if (hmm_may_need(walk))
		ret = hmm_walk_ptes(walk, mm_walk->vma, ptep, addr, end, false);
	else
		ret = hmm_walk_ptes(walk, mm_walk->vma, ptep, addr, end, true);
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
	return hmm_missing_huge(walk, vma, addr, end);
}
#else
#define hmm_walk_hugetlb NULL
#endif

/* Is this a VMA that is looked into? If not, its pages are done with. */
static int hmm_walk_test(unsigned long addr, unsigned long end, struct mm_walk *mm_walk)
{
	const vm_flags_t vm_flags = mm_walk->vma->vm_flags;

	/* There is no architecture that allows writing without reading. */
	if ((vm_flags & VM_READ) && !(vm_flags & (VM_IO | VM_PFNMAP)))
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
