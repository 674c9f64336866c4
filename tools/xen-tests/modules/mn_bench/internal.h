/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of mn_bench share.
 */
#ifndef MN_BENCH_INTERNAL_H
#define MN_BENCH_INTERNAL_H

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "mn_bench.h"

/* Of one file; more than any program has at a time. */
#define MNB_GROUPS	16

struct mnb_sub {
	struct mmu_interval_notifier notifier;
	struct mnb_group *group;
	/* Taken by the callback for set_seq, by a reader for read_retry. */
	spinlock_t lock;
};

/* By how much a sleep may be longer than asked for. */
#define MNB_SLACK_US	5

/**
 * struct mnb_group - subscriptions that were made together
 * @delay: of the callback, in ns
 * @calls: callbacks that have begun, of MNB_SLEEP
 * @called: woken by each of these
 * @count: length of @subs
 * @subs: in the order of their addresses
 */
struct mnb_group {
	u64 delay;
	atomic_t calls;
	wait_queue_head_t called;
	unsigned int count;
	struct mnb_sub subs[] __counted_by(count);
};

/**
 * struct mnb_file - an open file
 * @mm: of the process that opened it, the only one that may use it
 * @lock: protects @groups; held for read by everything that measures
 * @groups: by their numbers
 */
struct mnb_file {
	struct mm_struct *mm;
	struct rw_semaphore lock;
	struct mnb_group *groups[MNB_GROUPS];
};

/* A shootdown that a device is busy with. */
struct mnb_shootdown {
	struct hrtimer timer;
	struct completion done;
};

/* measure.c: a kernel function that is not exported */
extern int (*mnb_invalidate_start)(struct mmu_notifier_range *range);
extern void (*mnb_invalidate_end)(struct mmu_notifier_range *range);

int mnb_repeat(struct mnb_file *file, unsigned int cmd,
	       struct mnb_repeat *repeat);

/* subscribe.c */
bool mnb_minimal(struct mmu_interval_notifier *notifier,
		 const struct mmu_notifier_range *range, unsigned long seq);
int mnb_subscribe(struct mnb_file *file, const struct mnb_subscribe *arg);
struct mnb_group *mnb_take(struct mnb_file *file, unsigned long number);
void mnb_remove(struct mnb_group *group, unsigned int count);
int mnb_unsubscribe(struct mnb_file *file, unsigned long number);
void mnb_unsubscribe_all(struct mnb_file *file);
void mnb_shootdown_begin(struct mnb_shootdown *shootdown, u64 ns);
void mnb_shootdown_wait(struct mnb_shootdown *shootdown);

/* two_pass.c, or one_pass.c where the kernel has no second pass: NULL */
const struct mmu_interval_notifier_ops *mnb_two_pass_ops(void);

#endif /* MN_BENCH_INTERNAL_H */
