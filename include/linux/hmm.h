/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Heterogeneous memory management: what a device needs to know of a process's page
 * table, and a way to have pages faulted in for it. Documentation/hmm.md is the guide
 * for driver writers, with the one correct loop.
 *
 * Source rules: what users of Linux 6.12 call is here with the same meaning, but for the
 * list in hmm.md; names and flags that Linux 7 added are here under its names. The values
 * of the flags may change from one kernel to the next: use the names and the functions
 * below, and HMM_PFN_FLAGS to tell flags from the frame number. There is no user ABI in
 * this file.
 *
 * An address range is written [start, end), in bytes.
 */
#ifndef LINUX_HMM_H
#define LINUX_HMM_H

#include <linux/mm.h>

struct mmu_interval_notifier;

/**
 * enum hmm_pfn_flags - flags of an entry of struct hmm_range.hmm_pfns
 * @HMM_PFN_VALID: out: the device may read the page that the entry names. It is device
 *	private memory only if the range's dev_private_owner owns it
 * @HMM_PFN_WRITE: out, with HMM_PFN_VALID: it may write it, too
 * @HMM_PFN_ERROR: out: nothing there that a device could be given (no VMA, none that may
 *	be read, no struct page, poisoned memory)
 * @HMM_PFN_DMA_MAPPED: sticky: the entry has a DMA address (linux/hmm-dma.h)
 * @HMM_PFN_P2PDMA: sticky, with HMM_PFN_DMA_MAPPED: memory of a PCI device, reached
 *	through the host bridge
 * @HMM_PFN_P2PDMA_BUS: sticky, with HMM_PFN_DMA_MAPPED: memory of a PCI device, reached
 *	by its bus address
 * @HMM_PFN_ORDER_SHIFT: where hmm_pfn_to_map_order() finds the order
 * @HMM_PFN_REQ_FAULT: in: the entry must be HMM_PFN_VALID on output, or the call fails
 * @HMM_PFN_REQ_WRITE: in, with HMM_PFN_REQ_FAULT: it must be HMM_PFN_WRITE, or the call
 *	fails
 * @HMM_PFN_INOUT_FLAGS: the sticky flags: an entry has them on output if it had them
 *	on input
 * @HMM_PFN_FLAGS: all that is not the frame number
 *
 * No flag on output: nothing is mapped there now, and a fault may change that. No flag
 * on input: report what is there.
 */
enum hmm_pfn_flags {
	HMM_PFN_VALID = 1UL << (BITS_PER_LONG - 1),
	HMM_PFN_WRITE = 1UL << (BITS_PER_LONG - 2),
	HMM_PFN_ERROR = 1UL << (BITS_PER_LONG - 3),
	HMM_PFN_DMA_MAPPED = 1UL << (BITS_PER_LONG - 4),
	HMM_PFN_P2PDMA = 1UL << (BITS_PER_LONG - 5),
	HMM_PFN_P2PDMA_BUS = 1UL << (BITS_PER_LONG - 6),
	HMM_PFN_ORDER_SHIFT = BITS_PER_LONG - 11,

	HMM_PFN_REQ_FAULT = HMM_PFN_VALID,
	HMM_PFN_REQ_WRITE = HMM_PFN_WRITE,

	HMM_PFN_INOUT_FLAGS = HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS,
	HMM_PFN_FLAGS = ~((1UL << HMM_PFN_ORDER_SHIFT) - 1),
};

/**
 * hmm_pfn_to_page - the page that an entry names
 * @hmm_pfn: an entry with HMM_PFN_VALID
 *
 * Context: between mmu_interval_read_retry() saying no and the release of the lock that
 *	the invalidate callback takes; there is no reference on the page.
 * Return: the page
 */
static inline struct page *hmm_pfn_to_page(unsigned long hmm_pfn)
{
	return pfn_to_page(hmm_pfn & ~HMM_PFN_FLAGS);
}

/**
 * hmm_pfn_to_phys - the physical address of the page that an entry names
 * @hmm_pfn: an entry with HMM_PFN_VALID
 *
 * Not a DMA address: see linux/hmm-dma.h. Context as for hmm_pfn_to_page().
 *
 * Return: the address, in bytes
 */
static inline phys_addr_t hmm_pfn_to_phys(unsigned long hmm_pfn)
{
	return PFN_PHYS(hmm_pfn & ~HMM_PFN_FLAGS);
}

/**
 * hmm_pfn_to_map_order - how much the CPU's page table maps in one piece here
 * @hmm_pfn: an entry with HMM_PFN_VALID
 *
 * With order o the entry is one of 1 << o, beginning at the aligned virtual address,
 * whose frame numbers follow each other and whose flags are the same. The block of a
 * leaf entry of a higher table (PMD, PUD, hugetlb) may reach beyond both ends of the
 * range. One of a folio that is mapped by single PTEs lies within the range, and begins
 * at an aligned frame.
 *
 * Context as for hmm_pfn_to_page().
 *
 * Return: the order, 0 for a single page
 */
static inline unsigned int hmm_pfn_to_map_order(unsigned long hmm_pfn)
{
	return (hmm_pfn >> HMM_PFN_ORDER_SHIFT) & 0x1F;
}

/**
 * struct hmm_range - what to look at, and where to put what is found
 * @notifier: a subscription that includes [@start, @end)
 * @notifier_seq: what mmu_interval_read_begin() said of it; hmm_range_fault_unlocked_timeout()
 *	sets it
 * @start: first address, a multiple of PAGE_SIZE
 * @end: end of the range, a multiple of PAGE_SIZE above @start
 * @hmm_pfns: an entry for each page of the range: on input a request, on output what
 *	is there
 * @default_flags: HMM_PFN_REQ_FAULT, HMM_PFN_REQ_WRITE: asked of all pages
 * @pfn_flags_mask: of the flags of single entries, those that count on input; 0 if
 *	@hmm_pfns need not be filled in
 * @dev_private_owner: device private memory of this owner (dev_pagemap.owner) is reported
 *	as it is; that of any other is migrated to system memory by a fault
 */
struct hmm_range {
	struct mmu_interval_notifier *notifier;
	unsigned long		notifier_seq;
	unsigned long		start;
	unsigned long		end;
	unsigned long		*hmm_pfns;
	unsigned long		default_flags;
	unsigned long		pfn_flags_mask;
	void			*dev_private_owner;
};

#ifdef CONFIG_HMM_MIRROR
int hmm_range_fault(struct hmm_range *range);
int hmm_range_fault_unlocked_timeout(struct hmm_range *range, unsigned int timeout_ms);
#else
/* Whoever calls these is told by the compiler, not by the linker. */
int hmm_range_fault(struct hmm_range *range)
	__compiletime_error("hmm_range_fault() needs CONFIG_HMM_MIRROR");
int hmm_range_fault_unlocked_timeout(struct hmm_range *range, unsigned int timeout_ms)
	__compiletime_error("hmm_range_fault_unlocked_timeout() needs CONFIG_HMM_MIRROR");
#endif

/* A time limit in ms for those who have no better idea. */
#define HMM_RANGE_DEFAULT_TIMEOUT 1000

#endif /* LINUX_HMM_H */
