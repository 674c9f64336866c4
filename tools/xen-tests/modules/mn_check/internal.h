/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside mn_check.
 *
 * Locks, outermost first:
 *   the mm's mmap lock and reverse map locks (held by who invalidates)
 *   mn_sub.lock: a subscription's shadow and history; the "driver lock" of the
 *	notifier contract. No memory is allocated under it: reclaim may want it.
 *   mn_bench.lock: the table of subscriptions, the reports
 *
 * A subscription in the table may be used by anybody between mn_sub_get() and
 * mn_sub_put(). Who removes it takes it out of the table first, waits until nobody
 * uses it, and then alone has it.
 */
#ifndef MN_CHECK_INTERNAL_H
#define MN_CHECK_INTERNAL_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "mn_check.h"

#define MN_LIVE 0x6d6e4c697665UL
#define MN_DEAD 0x6d6e44656164UL

/* So many removed subscriptions are kept, to notice a callback that comes late. */
#define MN_QUARANTINE 64

/* A piece of a window that a reader or the checker handles at a time, in pages. */
#define MN_PIECE 512

struct mn_bench;
struct hmm_range;

struct mn_sub {
	struct mmu_interval_notifier notifier;
	unsigned long magic;
	struct mn_bench *bench;
	unsigned int slot;
	unsigned int flags;
	unsigned int users; /* under bench->lock */
	atomic_t running; /* callbacks */
	atomic_t holding;
	bool hold;
	unsigned long start; /* as subscribed, in bytes */
	unsigned long length;
	struct list_head quarantine;

	struct mutex lock; /* what follows */
	unsigned long first; /* address of the shadow's first page */
	unsigned long npages; /* 0: no shadow */
	unsigned long *shadow; /* as hmm_pfns without an order, 0: not valid */
	unsigned long nr_events;
	struct gm_mn_event events[GM_MN_HISTORY];
};

struct mn_bench {
	spinlock_t lock; /* slots, users, quarantine, reports */
	struct mm_struct *mm; /* set once */
	struct mn_sub *slots[GM_MN_SLOTS];
	struct list_head quarantine;
	unsigned int nr_quarantine;
	unsigned int nr_reports;
	struct gm_mn_report reports[GM_MN_REPORTS];

	wait_queue_head_t wait; /* for ->hold, ->block and users of a sub */
	bool block;
	struct gm_mn_tune tune;
	atomic_t nr_order;
	struct gm_mn_order order;
	atomic64_t stat[GM_MN_STATS];
};

static inline void mn_count(struct mn_bench *bench, unsigned int stat, long n)
{
	atomic64_add(n, &bench->stat[stat]);
}

static inline bool mn_planted(struct mn_bench *bench, u32 bug)
{
	return READ_ONCE(bench->tune.bugs) & bug;
}

/* sub.c: subscriptions */
int mn_sub_insert(struct mn_bench *bench, const struct gm_mn_insert *arg);
int mn_sub_remove(struct mn_bench *bench, unsigned int slot);
void mn_sub_remove_all(struct mn_bench *bench);
struct mn_sub *mn_sub_get(struct mn_bench *bench, unsigned int slot);
void mn_sub_put(struct mn_sub *sub);

/* sub.c: the pieces of a callback */
bool mn_callback_begin(struct mn_sub *sub, const struct mmu_notifier_range *range);
void mn_callback_end(struct mn_sub *sub);
void mn_note_order(struct mn_sub *sub, unsigned int what);
bool mn_sub_lock(struct mn_sub *sub, const struct mmu_notifier_range *range);
void mn_collide(struct mn_sub *sub, const struct mmu_notifier_range *range,
		unsigned long cur_seq);
bool mn_hold(struct mn_sub *sub, const struct mmu_notifier_range *range);

/* shadow.c */
void mn_drop(struct mn_sub *sub, unsigned int event, unsigned long start,
	     unsigned long end);
unsigned long mn_count_valid(struct mn_sub *sub);
int mn_run(struct mn_bench *bench, const struct gm_mn_run *arg);

/* compare.c: what the CPU uses, and what is wrong; under the subscription's lock */
void mn_check_piece(struct mn_sub *sub, unsigned long first, unsigned long n,
		    unsigned long *cpu);
void mn_check_order(struct mn_sub *sub, unsigned long i, unsigned long entry);
void mn_wrong(struct mn_sub *sub, u32 kind, unsigned long i, unsigned long shadow,
	      unsigned long cpu);

/* unlocked.c, or locked.c if this kernel has no hmm_range_fault_unlocked_timeout() */
bool mn_has_unlocked(void);
int mn_range_fault_unlocked(struct hmm_range *range, unsigned int timeout_ms);

/* refused.c */
int mn_refused_start(struct mn_sub *sub, struct gm_mn_refused *arg);

/* twopass.c, or onepass.c: NULL if this kernel has no two-pass callbacks */
const struct mmu_interval_notifier_ops *mn_two_pass_ops(void);

#endif /* MN_CHECK_INTERNAL_H */
