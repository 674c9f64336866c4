/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside hmm_check. */
#ifndef HMM_CHECK_INTERNAL_H
#define HMM_CHECK_INTERNAL_H

#include <linux/hmm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>

#include "hmm_check.h"

/**
 * struct hc_sub - a subscription of a bench
 * @notifier: the subscription
 * @bench: whose it is
 */
struct hc_sub {
	struct mmu_interval_notifier notifier;
	struct hc_bench *bench;
};

/**
 * struct hc_bench - a device that mirrors an address space
 * @all: a subscription to all of it
 * @bound: @all is inserted; set once, under @bind
 * @bind: see @bound
 * @lock: the "driver lock" of the notifier contract: pages are used under it only
 * @last_seq: of the last GM_HMM_TAKE with @keep that succeeded
 */
struct hc_bench {
	struct hc_sub all;
	bool bound;
	struct mutex bind; /* who binds */
	struct mutex lock; /* pages */
	unsigned long last_seq;
};

/* main.c */
int hc_subscribe(struct hc_sub *sub, struct hc_bench *bench, struct mm_struct *mm,
		 unsigned long start, unsigned long length);

/* take.c */
int hc_take(struct hc_bench *bench, struct gm_hmm_take *arg);
int hc_access(struct hc_bench *bench, struct gm_hmm_access *arg);
int hc_migrate(struct hc_bench *bench, const struct gm_hmm_migrate *arg);

/* unlocked.c, or locked_only.c where the kernel does not have it */
bool hc_has_unlocked(void);
int hc_unlocked(struct hmm_range *range, unsigned int timeout_ms);

#endif /* HMM_CHECK_INTERNAL_H */
