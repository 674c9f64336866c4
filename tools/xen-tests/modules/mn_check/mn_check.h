/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * What the suite "notifier" and the module mn_check say to each other.
 *
 * An open file of the device is a *bench*: up to GM_MN_SLOTS interval subscriptions,
 * all of one mm, which is that of the first caller who inserts one. Subscriptions
 * with a shadow copy page table entries: GM_MN_RUN fills the shadows as a driver
 * fills a device's page table, or compares them with what the CPU uses. The file may
 * be shared with other processes, and the subscriptions outlive the process whose mm
 * they are of, until they are removed or the last user closes the file.
 */
#ifndef GM_MN_CHECK_H
#define GM_MN_CHECK_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GM_MN_DEVICE "/dev/gm-mn-check"

#define GM_MN_SLOTS 64
/* Longest shadow: four huge pages. */
#define GM_MN_MAX_PAGES 2048

/* ---- subscriptions ---- */

/* Keep a shadow of the pages that the window touches; without: count only. */
#define GM_MN_SHADOW 0x01
/* invalidate_start and invalidate_finish, on kernels that have them. */
#define GM_MN_TWO_PASS 0x02
/* The caller has a signal pending (SIGUSR1) while it inserts. */
#define GM_MN_SIGNAL 0x04

/*
 * GM_MN_INSERT: subscribe to [start, start + length) of the caller's mm; bytes, of
 * any alignment. EBUSY: the slot is taken. EXDEV: the bench is of another mm.
 * EOPNOTSUPP: no two-pass callbacks in this kernel.
 */
struct gm_mn_insert {
	__u32 slot;
	__u32 flags;
	__u64 start;
	__u64 length;
};

/* GM_MN_HOLD: whether callbacks of the subscription wait at their end. */
struct gm_mn_hold {
	__u32 slot;
	__u32 on;
};

/* GM_MN_INFO: what a subscription has seen. */
struct gm_mn_info {
	__u32 slot;
	__u32 holding; /* callbacks that wait now */
	__u64 callbacks; /* those that were not refused */
	__u64 valid; /* valid entries of the shadow now */
};

/* GM_MN_READ_BEGIN: mmu_interval_read_begin(), and nothing else. */
struct gm_mn_read {
	__u32 slot;
	__u32 sleeps; /* out: how often the caller went to sleep in it */
};

/* ---- readers and the checker ---- */

enum {
	GM_MN_READER, /* fills shadows; takes and faults pages */
	GM_MN_CHECKER, /* compares shadows with the CPU's entries */
};

/*
 * GM_MN_RUN: do that for @ms milliseconds, over all subscriptions with a shadow.
 * ESRCH: the mm has no users any more. EINTR: a signal came.
 */
struct gm_mn_run {
	__u32 role;
	__u32 ms;
};

/* Planted bugs, for GM_MN_TUNE. */
#define GM_MN_PLANT_SKIP_SET_SEQ 0x01 /* the callback sets no sequence */
#define GM_MN_PLANT_IGNORE_RETRY 0x02 /* the reader stores what is stale */
#define GM_MN_PLANT_FREE_EARLY 0x04 /* freed first, removed then */
#define GM_MN_PLANT_FORGET_EVENT 0x08 /* one kind of event drops nothing */
#define GM_MN_PLANT_ASSUME_WRITE 0x10 /* the shadow may always write */
#define GM_MN_PLANT_OFF_BY_ONE 0x20 /* the last page is not dropped */
#define GM_MN_PLANT_WRONG_PFN 0x40 /* the shadow names the next page */
#define GM_MN_PLANT_WRONG_ORDER 0x80 /* blocks are twice as large as they are */
#define GM_MN_PLANT_NO_FAULT 0x100 /* the reader does not pass its requests on */

/*
 * GM_MN_TUNE: @window_us is slept wherever a planted bug, or a race of the core, has
 * its window: between the reader's look at the page table and its look at the
 * sequence, and between the freeing and the removal of GM_MN_PLANT_FREE_EARLY.
 */
struct gm_mn_tune {
	__u32 bugs;
	__u32 window_us;
	__u32 forget; /* enum mmu_notifier_event */
	__u32 pad;
};

enum {
	GM_MN_INSERTS,
	GM_MN_REMOVES,
	GM_MN_READS, /* passes of a reader over a piece of a window */
	GM_MN_WAITS, /* mmu_interval_read_begin() slept */
	GM_MN_RETRIES, /* mmu_interval_read_retry() said so */
	GM_MN_BUSY, /* hmm_range_fault() said so */
	GM_MN_STORED, /* valid entries stored */
	GM_MN_DROPPED, /* valid entries dropped by callbacks */
	GM_MN_COMPARED, /* valid entries compared with the CPU's */
	GM_MN_MISMATCHES, /* what was wrong, of whatever GM_MN_WRONG_* */
	GM_MN_BLOCKS, /* blocks that an order tells of compared with the CPU's entries */
	GM_MN_ANSWERED, /* requests of readers that were found fulfilled */
	GM_MN_WORDS, /* words read and written through the pfn and through the CPU */
	GM_MN_UNLOCKED, /* reads with hmm_range_fault_unlocked_timeout() */
	GM_MN_NONBLOCK, /* callbacks that must not sleep */
	GM_MN_REFUSED, /* of these, refused */
	GM_MN_FINISHES, /* second passes */
	GM_MN_UNFINISHED, /* second passes asked for, not come yet */
	GM_MN_AFTER_FREE, /* callbacks on what had been freed or removed */
	GM_MN_EVENTS, /* callbacks of each event, from here on */
	GM_MN_STATS = GM_MN_EVENTS + 8,
};

/* GM_MN_GET_STATS */
struct gm_mn_stats {
	__u64 stat[GM_MN_STATS];
};

/* What is wrong. */
enum {
	GM_MN_WRONG_ENTRY, /* not the CPU's page, or writable where the CPU's is not */
	GM_MN_WRONG_ORDER, /* the CPU does not map a block of that order there */
	GM_MN_WRONG_ANSWER, /* not as asked for, and no error */
	GM_MN_WRONG_READ, /* the page has not what the CPU wrote */
	GM_MN_WRONG_WRITE, /* the CPU does not read what was written to the page */
};

/* GM_MN_GET_REPORT: one of the first mismatches; ENOENT: there is none. */
#define GM_MN_REPORTS 4
#define GM_MN_HISTORY 6

struct gm_mn_event {
	__u32 event;
	__u32 flags;
	__u64 start;
	__u64 end;
	__u64 seq;
};

struct gm_mn_report {
	__u32 nr; /* in: which */
	__u32 slot;
	__u32 kind; /* GM_MN_WRONG_* */
	__u32 pad;
	__u64 addr;
	__u64 shadow; /* HMM_PFN_* and page frame number */
	__u64 cpu;
	__u64 sub_start;
	__u64 sub_length;
	__u64 nr_events;
	struct gm_mn_event history[GM_MN_HISTORY]; /* the last ones, oldest first */
};

/* ---- order of callbacks ---- */

enum {
	GM_MN_CALLED, /* invalidate or invalidate_start was called */
	GM_MN_RETURNED, /* it, or invalidate_finish, has returned */
	GM_MN_SECOND, /* invalidate_finish was called */
};

/* GM_MN_GET_ORDER: the first callbacks since the last GM_MN_TUNE. */
#define GM_MN_ORDER 32

struct gm_mn_order {
	__u32 nr;
	struct {
		__u16 what;
		__u16 slot;
	} step[GM_MN_ORDER];
};

/* ---- the mm ---- */

/*
 * GM_MN_REFUSED_START: an invalidation of @slot's window that must not sleep, refused
 * by a plain notifier; then a reader of the window, for which is waited @ms.
 */
struct gm_mn_refused {
	__u32 slot;
	__u32 ms;
	__s32 error; /* out: what the start returned */
	__u32 stuck; /* out: the reader did not return (until mended) */
};

#define GM_MN_INSERT _IOW('m', 1, struct gm_mn_insert)
#define GM_MN_REMOVE _IO('m', 2) /* argument: slot; ENOENT */
#define GM_MN_HOLD _IOW('m', 3, struct gm_mn_hold)
#define GM_MN_INFO _IOWR('m', 4, struct gm_mn_info)
#define GM_MN_READ_BEGIN _IOWR('m', 5, struct gm_mn_read)
#define GM_MN_RUN _IOW('m', 6, struct gm_mn_run)
#define GM_MN_TUNE _IOW('m', 7, struct gm_mn_tune)
#define GM_MN_GET_STATS _IOR('m', 8, struct gm_mn_stats)
#define GM_MN_GET_REPORT _IOWR('m', 9, struct gm_mn_report)
#define GM_MN_GET_ORDER _IOR('m', 10, struct gm_mn_order)
/* Returns the references to the bench's mm other than the bench's own. */
#define GM_MN_MM_REFS _IO('m', 11)
/* Waits, deaf to all signals, until GM_MN_UNBLOCK, for a minute at most. */
#define GM_MN_BLOCK _IO('m', 12)
#define GM_MN_UNBLOCK _IO('m', 13)
#define GM_MN_REFUSED_START _IOWR('m', 14, struct gm_mn_refused)
/* Returns 1 if this kernel has two-pass callbacks, otherwise 0. */
#define GM_MN_HAS_TWO_PASS _IO('m', 15)
/* The same for hmm_range_fault_unlocked_timeout(). */
#define GM_MN_HAS_UNLOCKED _IO('m', 16)

#endif /* GM_MN_CHECK_H */
