/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * What programs and the module mirror_example say to each other.
 *
 * An open file is a device that mirrors one range of its opener's memory. What it can do
 * is add up words, and write one word all over.
 */
#ifndef GM_MIRROR_EXAMPLE_H
#define GM_MIRROR_EXAMPLE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GM_MIRROR_DEVICE "/dev/gm-mirror-example"

/* 2 MiB */
#define GM_MIRROR_MAX_PAGES 512

/* The memory that the device is to work on: the caller's. EBUSY: there is some already. */
struct gm_mirror_bind {
	__u64 start; /* a multiple of the page size */
	__u64 pages; /* 1 to GM_MIRROR_MAX_PAGES */
};

/* Work on pages [first, first + count) of that. EFAULT, EPERM, ...: as hmm_range_fault() */
struct gm_mirror_work {
	__u64 first;
	__u64 count;
	__u64 value; /* SUM: out, the sum of all words; FILL: in, the word */
};

/* What the device's page table has, and what it took to keep it so */
struct gm_mirror_stats {
	__u64 entries;
	__u64 faults;
	__u64 retries;
	__u64 invalidations; /* that found an entry */
};

#define GM_MIRROR_BIND _IOW('M', 1, struct gm_mirror_bind)
#define GM_MIRROR_SUM _IOWR('M', 2, struct gm_mirror_work)
#define GM_MIRROR_FILL _IOW('M', 3, struct gm_mirror_work)
#define GM_MIRROR_STATS _IOR('M', 4, struct gm_mirror_stats)

#endif /* GM_MIRROR_EXAMPLE_H */
