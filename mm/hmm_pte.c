// SPDX-License-Identifier: GPL-2.0-only
/*
 * PTEs, for the walk of the HMM core.
 *
 * They are read under the lock of their table, which keeps the page behind an entry from
 * being freed while its folio or its owner is looked at.
 *
 * Most entries look like the one before but for their frame. So what has been found out
 * about an entry is kept (struct hmm_pte_kind), and the next one is first compared with it;
 * that takes a few instructions, where the questions to ask of an unknown entry take fifty.
 */
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hmm_internal.h"
#include "internal.h"

/* arm64 has no such name; it keeps a physical address where that would be. */
#ifdef PFN_PTE_SHIFT
#define HMM_PTE_SHIFT PFN_PTE_SHIFT
#else
#define HMM_PTE_SHIFT PAGE_SHIFT
#endif

/*
 * Entries that differ in a flag above the frame, too, look as if their frames were far
 * apart: by 2^39 at least, where the lowest such flag is bit 51 (arm64). Frames above this
 * are looked at one by one.
 */
#define HMM_PTE_NEAR BIT_ULL(38)

/**
 * struct hmm_pte_kind - an entry that has been looked at, and what others are like it
 * @val: the entry
 * @keep: bits that are compared: not those that the CPU sets when it uses the page
 * @same: of the difference from @val, bits that must be 0
 * @pfn: its frame; that of another entry is as far from it as the entries are apart
 * @max: frames above are nothing that this could tell about
 * @flags: of the output
 */
struct hmm_pte_kind {
	u64		val;
	u64		keep;
	u64		same;
	unsigned long	pfn;
	unsigned long	max;
	unsigned long	flags;
};

static __always_inline bool hmm_pte_is_alike(const struct hmm_pte_kind *kind, pte_t pte,
					     unsigned long *pfn)
{
	u64 diff = (pte_val(pte) & kind->keep) - kind->val;

	*pfn = kind->pfn + ((s64)diff >> HMM_PTE_SHIFT);
	return likely(!(diff & kind->same) && *pfn <= kind->max);
}

/* An entry that maps a page of ours, or the zero page. False if it is none of these. */
static noinline bool hmm_pte_learn(struct hmm_pte_kind *kind,
				   const struct vm_area_struct *vma, pte_t pte,
				   unsigned long *pfn)
{
	if (!IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL) || !pte_present(pte) || pte_protnone(pte))
		return false;
	*pfn = pte_pfn(pte);
	if (!pte_special(pte)) {
		if (*pfn > highest_memmap_pfn)
			return false;
		kind->keep = ~(pte_val(pte_mkyoung(pte_mkdirty(pte))) ^
			       pte_val(pte_mkold(pte_clear_soft_dirty(pte_mkclean(pte)))));
		kind->same = BIT_ULL(HMM_PTE_SHIFT) - 1;
		kind->max = min_t(u64, highest_memmap_pfn, HMM_PTE_NEAR);
	} else {
		if (!is_zero_pfn(*pfn) || (vma->vm_ops && vma->vm_ops->find_special_page))
			return false;
		kind->keep = U64_MAX;
		kind->same = U64_MAX;
		kind->max = *pfn;
	}
	kind->val = pte_val(pte) & kind->keep;
	kind->pfn = *pfn;
	kind->flags = HMM_PFN_VALID | (pte_write(pte) ? HMM_PFN_WRITE : 0);
	return true;
}

/* What a PTE says, in the flags of an output; the frame with it if HMM_PFN_VALID. */
unsigned long hmm_swap_pte(const struct hmm_walk *walk, pte_t pte)
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

/* What a PTE says that hmm_pte_learn() has learnt nothing from. */
static noinline unsigned long hmm_odd_pte(const struct hmm_walk *walk,
					  struct vm_area_struct *vma,
					  unsigned long addr, pte_t pte)
{
	if (!pte_present(pte))
		return hmm_swap_pte(walk, pte);
	if (pte_protnone(pte))
		return 0;
	return hmm_special_pte(vma, addr, pte);
}

/*
 * How many entries from @ptep on, whose value is @pte, map what follows @pfn in its folio?
 * Each is looked at; the folio only says how far to look.
 */
static __always_inline unsigned long hmm_pte_run(const struct hmm_pte_kind *kind,
						 pte_t *ptep, pte_t pte, unsigned long pfn,
						 struct page *page, unsigned long max)
{
	const u64 step = BIT_ULL(HMM_PTE_SHIFT);
	struct folio *folio = page_folio(page);
	u64 expected = pte_val(pte) & kind->keep;
	unsigned long n;

	max = min(max, folio_pfn(folio) + folio_nr_pages(folio) - pfn);
#pragma GCC unroll 4
	for (n = 1; n < max; n++) {
		expected += step;
		if ((pte_val(ptep_get(ptep + n)) & kind->keep) != expected)
			break;
	}
	return n;
}

/*
 * Output for @nr pages of a large folio from @addr on: the largest blocks that are aligned
 * in both address spaces.
 */
static noinline void hmm_fill_blocks(unsigned long *pfns, unsigned long nr,
				     unsigned long addr, unsigned long pfn,
				     unsigned long flags)
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

/* The same; as a rule it is all of a folio, and one block. */
static __always_inline void hmm_fill_run(unsigned long *pfns, unsigned long nr,
					 unsigned long addr, unsigned long pfn,
					 unsigned long flags)
{
	if (likely(is_power_of_2(nr) && !((addr >> PAGE_SHIFT | pfn) & (nr - 1))))
		hmm_fill(pfns, nr, pfn | flags | hmm_order_flags(__fls(nr)), 1);
	else
		hmm_fill_blocks(pfns, nr, addr, pfn, flags);
}

/*
 * The page table gives the @nr pages from @addr on what @out says of the first. Lists those
 * that are not as asked. Returns how many there are before the first that is listed, and
 * -EFAULT if what is asked for is impossible.
 */
static noinline long hmm_list_unfit(struct hmm_walk *walk, struct vm_area_struct *vma,
				    unsigned long addr, unsigned long nr,
				    unsigned long out, bool *listing)
{
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long i, fit = *listing ? 0 : nr;
	enum hmm_need need;

	for (i = 0; i < nr; i++, addr += PAGE_SIZE) {
		need = hmm_need(walk, pfns[i], out);
		if (!need)
			continue;
		if (out & HMM_PFN_ERROR)
			return -EFAULT;
		if (!*listing) {
			hmm_todo_begin(walk, vma, addr);
			*listing = true;
			fit = i;
		}
		hmm_todo_add(walk, addr, need);
	}
	return fit;
}

/*
 * Reads the entries of one page table, which is locked. Fills in outputs until the first
 * entry that needs a fault; from there on it only lists what else does. @snapshot is a
 * constant: nothing can be needed.
 */
static __always_inline int
__hmm_walk_ptes(struct hmm_walk *walk, struct vm_area_struct *vma, pte_t *ptep,
		unsigned long addr, unsigned long end, bool snapshot)
{
	const unsigned long req_mask = walk->req_mask, req = walk->default_req;
	struct hmm_pte_kind kind = { .pfn = 1 };	/* nothing is like it */
	unsigned long *pfns = hmm_entry(walk, addr);
	unsigned long n, pfn, out, unmet;
	bool listing = false;
	struct page *page;
	long fit;
	pte_t pte;

	for (; addr < end; addr += n << PAGE_SHIFT, ptep += n, pfns += n) {
		n = 1;
		pte = ptep_get(ptep);
		if (hmm_pte_is_alike(&kind, pte, &pfn) || hmm_pte_learn(&kind, vma, pte, &pfn)) {
			out = pfn | kind.flags;
			page = pfn_to_page(pfn);
			if (unlikely(PageCompound(page)))
				n = hmm_pte_run(&kind, ptep, pte, pfn, page,
						(end - addr) >> PAGE_SHIFT);
		} else {
			out = hmm_odd_pte(walk, vma, addr, pte);
		}

		fit = n;
		unmet = ((*pfns & req_mask) | req) & ~out;
		if (!snapshot && unlikely(unmet || (n > 1 && req_mask))) {
			fit = hmm_list_unfit(walk, vma, addr, n, out, &listing);
			if (unlikely(fit < 0))
				break;
			if (hmm_todo_is_full(walk) && listing)
				break;
		} else if (!snapshot && unlikely(listing)) {
			continue;
		}

		if (likely(n == 1)) {
			if (likely(fit))
				*pfns = (*pfns & HMM_PFN_INOUT_FLAGS) | out;
		} else {
			hmm_fill_run(pfns, fit, addr, pfn, kind.flags);
		}
	}
	if (snapshot)
		return 0;
	/* What is listed comes first; then the error will be met again. */
	if (listing)
		return HMM_WALK_FAULT;
	if (addr == end)
		return 0;
	walk->resume = addr;
	return -EFAULT;
}

/**
 * hmm_walk_ptes - the entries of one page table
 * @walk: the walk
 * @vma: what they belong to
 * @ptep: the first of them
 * @addr: its address
 * @end: where they end
 *
 * Context: under the lock of the table
 * Return: 0; HMM_WALK_FAULT with @walk->todo filled in; -EFAULT
 */
int hmm_walk_ptes(struct hmm_walk *walk, struct vm_area_struct *vma, pte_t *ptep,
		  unsigned long addr, unsigned long end)
{
	if (hmm_may_need(walk))
		return __hmm_walk_ptes(walk, vma, ptep, addr, end, false);
	return __hmm_walk_ptes(walk, vma, ptep, addr, end, true);
}
