/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of hmm_bench share.
 */
#ifndef HMM_BENCH_INTERNAL_H
#define HMM_BENCH_INTERNAL_H

#include <linux/device.h>
#include <linux/hmm.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>

#include "hmm_bench.h"

/**
 * struct hmb_ctx - a call of hmb_run() that is under way
 * @notifier: subscription to the range
 * @lock: taken by the callback for set_seq, by who reads for read_retry
 * @range: what HMM is asked
 * @npages: length of the range
 * @run: what the caller asks for
 */
struct hmb_ctx {
	struct mmu_interval_notifier notifier;
	spinlock_t lock;
	struct hmm_range range;
	unsigned long npages;
	struct hmb_run *run;
};

/* measure.c */
int hmb_run(struct device *dev, struct hmb_run *run);
int hmb_by_hand(struct hmb_ctx *ctx);

/* ours.c, or stock.c where the kernel has no such thing: -EOPNOTSUPP */
int hmb_unlocked(struct hmb_ctx *ctx);
int hmb_dma(struct device *dev, struct hmb_ctx *ctx);

#endif /* HMM_BENCH_INTERNAL_H */
