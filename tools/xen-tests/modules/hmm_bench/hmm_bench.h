/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device of module hmm_bench, /dev/hmm_bench, as programs see it: an ioctl does one
 * thing to a range of the caller's memory, once, and says what it took.
 */
#ifndef HMM_BENCH_H
#define HMM_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define HMB_DEVICE	"/dev/hmm_bench"
/* Pages of a range: a limit on memory. */
#define HMB_PAGES_MAX	(1UL << 20)

enum hmb_what {
	HMB_NOTHING,	/* what every sample has too much */
	HMB_FAULT,	/* hmm_range_fault(), and nothing around it */
	HMB_BY_HAND,	/* the loop around it that drivers of Linux 6.12 write */
	HMB_UNLOCKED,	/* hmm_range_fault_unlocked_timeout(), and the retry */
	HMB_PIN,	/* pin_user_pages() */
	HMB_DMA_PAGE,	/* dma_map_page() of each page that is there */
	HMB_DMA_PFN,	/* hmm_dma_map_pfn() of each page that is there */
	HMB_DMA_BLOCK,	/* hmm_dma_map_block() of each block that is there */
};

/* What is asked of the pages; without: a snapshot. */
#define HMB_READ	0x1
#define HMB_WRITE	0x2
/* By the entry of each page, and not by default for all. */
#define HMB_EACH	0x4

/*
 * In: what to do, to [start, start + length) in bytes. Out: ticks of the TSC, and what
 * there was at the end, in pages. HMB_DMA_*: after a snapshot or fault that is not
 * counted; undo: of taking the addresses back. HMB_PIN: undo: unpin_user_pages().
 */
struct hmb_run {
	__u64 start;
	__u64 length;
	__u32 what;
	__u32 flags;
	__u64 ticks;
	__u64 undo;
	__u64 valid;
	__u64 writable;
	__u64 blocks;	/* pieces by the order of the entries */
	__u64 mappings;	/* DMA addresses that were made */
	__u32 tries;
	__u32 pad;
};

struct hmb_info {
	__u32 tsc_khz;	/* ticks in a ms */
	__u32 pad;
};

/* EOPNOTSUPP: not in this kernel. */
#define HMB_RUN		_IOWR('h', 0x70, struct hmb_run)
#define HMB_INFO	_IOR('h', 0x71, struct hmb_info)

#endif /* HMM_BENCH_H */
