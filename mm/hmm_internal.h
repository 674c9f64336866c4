/* SPDX-License-Identifier: GPL-2.0-only */
/* What hmm.c (faults, entry points), hmm_walk.c (page tables) and hmm_pte.c (PTEs) share. */
#ifndef _MM_HMM_INTERNAL_H
#define _MM_HMM_INTERNAL_H

#include <linux/bitmap.h>
#include <linux/hmm.h>
#include <linux/pagewalk.h>
#include <linux/pgtable.h>

/* hmm_walk_ops end a walk with this when hmm_walk.todo says what to fault. */
#define HMM_WALK_FAULT	1

/* A round of faults may be so many times as long as the last one. */
#define HMM_BATCH_STEP	8

/**
 * struct hmm_todo - pages to fault, all below one PMD
 * @vma: theirs
 * @start: the first
 * @end: behind the last
 * @nr: how many there are. Of what a leaf entry above the PTEs maps, and of a hugetlb
 *	page, only the first in the range
 * @write: they are to be faulted as writes
 * @huge: one fault may bring all that the PMD can map
 * @sparse: not all between @start and @end, or not all in the same way: the bitmaps say
 *	it, instead of @write
 * @fault: bit i is the page at i * PAGE_SIZE above the PMD's first address
 * @fault_write: of these, the ones to be faulted as writes
 */
struct hmm_todo {
	struct vm_area_struct	*vma;
	unsigned long		start;
	unsigned long		end;
	unsigned int		nr;
	bool			write;
	bool			huge;
	bool			sparse;
	DECLARE_BITMAP(fault, PTRS_PER_PTE);
	DECLARE_BITMAP(fault_write, PTRS_PER_PTE);
};

/* The address that bit 0 of the bitmaps stands for. */
static inline unsigned long hmm_todo_base(const struct hmm_todo *todo)
{
	return todo->start & PMD_MASK;
}

/**
 * struct hmm_walk - one call's way through its range
 * @range: the caller's
 * @resume: pages below it have their outputs, all others still their requests
 * @default_req: what is asked of every page
 * @req_mask: what counts of an entry's own request
 * @todo: what to fault, from @resume on
 * @batch: so many faults in a round
 * @expected: what should be missing first after the last round; 0 if that is not known
 */
struct hmm_walk {
	struct hmm_range	*range;
	unsigned long		resume;
	unsigned long		default_req;
	unsigned long		req_mask;
	struct hmm_todo		todo;
	unsigned int		batch;
	unsigned long		expected;
};

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

/* Is there anything to be had in a VMA? */
static inline bool hmm_looks_into(vm_flags_t vm_flags)
{
	/* There is no architecture that allows writing without reading. */
	return (vm_flags & VM_READ) && !(vm_flags & (VM_IO | VM_PFNMAP));
}

/* More than the next round can fault? One more, so that it knows what to expect next. */
static inline bool hmm_todo_is_full(const struct hmm_walk *walk)
{
	return walk->todo.nr > HMM_BATCH_STEP * walk->batch;
}

void hmm_todo_begin(struct hmm_walk *walk, struct vm_area_struct *vma,
		    unsigned long addr);
void hmm_todo_add(struct hmm_walk *walk, unsigned long addr, enum hmm_need need);

unsigned long hmm_swap_pte(const struct hmm_walk *walk, pte_t pte);
int hmm_walk_ptes(struct hmm_walk *walk, struct vm_area_struct *vma, pte_t *ptep,
		  unsigned long addr, unsigned long end);

extern const struct mm_walk_ops hmm_walk_ops;

#endif /* _MM_HMM_INTERNAL_H */
