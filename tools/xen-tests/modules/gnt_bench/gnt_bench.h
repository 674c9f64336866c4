/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device of module gnt_bench, /dev/gnt_bench, as programs see it: grant table
 * hypercalls for a run of grants, in batches as large as is asked for, and nothing else
 * between two readings of the TSC. No driver can be faster than that.
 */
#ifndef GNT_BENCH_H
#define GNT_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GNB_DEVICE	"/dev/gnt_bench"
/* Grants of a call: a limit on memory. */
#define GNB_COUNT_MAX	65536

enum gnb_what {
	GNB_NOTHING,	/* what every sample has too much */
	GNB_PTES,	/* map by user PTEs (a user side), and unmap */
	GNB_LINEAR,	/* map to pages of the linear map (a kernel side), and unmap */
	GNB_COPY,	/* copy of each whole page to the memory at @addr */
	GNB_COPY_TO,	/* the other way round */
	GNB_PROBE,	/* copy of no byte of each: what it costs to ask for a ref */
};

/*
 * In: @count grants of domain @domid; @batch operations a hypercall; @addr: memory of the
 * caller, as many pages. GNB_PTES: no page may be there, and none is when this returns.
 * Out: ticks of the TSC, undo: those of unmapping; calls: hypercalls for both.
 * An operation that fails is EIO.
 */
struct gnb_run {
	__u64 refs;	/* __u32[count] */
	__u64 addr;
	__u32 count;
	__u32 batch;
	__u32 what;
	__u32 domid;
	__u64 ticks;
	__u64 undo;
	__u64 calls;
};

/*
 * Ticks for which the process that watches (GNB_WATCH, until the device is closed) has
 * held its mmap lock since it last asked, and how often it took it.
 */
struct gnb_lock {
	__u64 write_ticks;
	__u64 read_ticks;
	__u32 writes;
	__u32 reads;
};

#define GNB_RUN		_IOWR('g', 0x70, struct gnb_run)
/* EBUSY: somebody does. It makes every use of the lock slower. */
#define GNB_WATCH	_IO('g', 0x71)
#define GNB_LOCK	_IOR('g', 0x72, struct gnb_lock)

#endif /* GNT_BENCH_H */
