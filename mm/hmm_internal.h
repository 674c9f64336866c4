/* SPDX-License-Identifier: GPL-2.0-only */
/* What hmm.c (faults, entry points) and hmm_walk.c (page tables) share. */
#ifndef _MM_HMM_INTERNAL_H
#define _MM_HMM_INTERNAL_H

#include <linux/bitmap.h>
#include <linux/hmm.h>
#include <linux/pagewalk.h>
#include <linux/pgtable.h>

/* hmm_walk_ops end a walk with this when hmm_walk.todo says what to fault. */
#define HMM_WALK_FAULT	1

/**
 * struct hmm_todo - pages to fault, all below one PMD
 * @vma: theirs
 * @base: the address that bit 0 stands for, a multiple of PMD_SIZE
 * @nr: how many there are
 * @huge: one fault may bring all that the PMD can map
 * @fault: bit i is the page at @base + i * PAGE_SIZE. What a leaf entry above the PTEs
 *	maps, or a hugetlb page, has one bit
 * @write: of these, the ones to be faulted as writes
 */
struct hmm_todo {
	struct vm_area_struct	*vma;
	unsigned long		base;
	unsigned int		nr;
	bool			huge;
	DECLARE_BITMAP(fault, PTRS_PER_PTE);
	DECLARE_BITMAP(write, PTRS_PER_PTE);
};

/**
 * struct hmm_walk - one call's way through its range
 * @range: the caller's
 * @resume: pages below it have their outputs, all others still their requests
 * @default_req: what is asked of every page
 * @req_mask: what counts of an entry's own request
 * @todo: what to fault, from @resume on
 * @batch: so many faults in a round
 * @done: faults of the last round ...
 * @left: ... out of a list of this length ...
 * @listed: ... with this base
 */
struct hmm_walk {
	struct hmm_range	*range;
	unsigned long		resume;
	unsigned long		default_req;
	unsigned long		req_mask;
	struct hmm_todo		todo;
	unsigned int		batch;
	unsigned int		done;
	unsigned int		left;
	unsigned long		listed;
};

extern const struct mm_walk_ops hmm_walk_ops;

#endif /* _MM_HMM_INTERNAL_H */
