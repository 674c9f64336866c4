/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device of module mn_bench, /dev/mn_bench, as programs see it.
 *
 * A file of it belongs to the address space that opened it. Subscriptions are made
 * in groups and live until they are removed or the file is closed. What an ioctl
 * measures it returns as samples, one 64-bit number of TSC ticks for each
 * repetition; a pointer of 0 says that nobody wants them.
 *
 * Addresses and lengths are in bytes, times in ns.
 */
#ifndef MN_BENCH_H
#define MN_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MNB_DEVICE	"/dev/mn_bench"
/* Repetitions of one call, and subscriptions of one group: a limit on memory. */
#define MNB_COUNT_MAX	1000000

/* What a subscription does when it is invalidated. */
enum mnb_kind {
	MNB_MINIMAL,	/* lock, set_seq, unlock */
	MNB_SLEEP,	/* the same, then sleeps for .delay */
	MNB_DEVICE_1,	/* the same, then waits for a device that takes .delay */
	MNB_DEVICE_2,	/* the same, and waits in the second pass */
};

/* @count subscriptions of @length, one every @stride, the first at @start */
struct mnb_subscribe {
	__u64 start;
	__u64 length;
	__u64 stride;
	__u64 delay;
	__u32 count;
	__u32 kind;
};

struct mnb_repeat {
	__u64 start;
	__u64 length;
	__u64 limit;	/* stop when this much has passed; 0: never */
	__u64 pause;	/* between repetitions, if not 0 */
	__u64 samples[3];	/* pointers to room for @count numbers each */
	__u32 count;	/* in: repetitions; out: those done */
	__u32 group;
};

struct mnb_info {
	__u32 tsc_khz;	/* ticks in a ms */
	__u32 sub_size;	/* bytes of struct mmu_interval_notifier */
	__u32 range_size;	/* bytes of struct mmu_notifier_range */
	__u32 mm_size;	/* bytes allocated for an mm with subscribers; 0: none yet */
};

/* Returns the group's number. -EOPNOTSUPP: this kernel has no such kind. */
#define MNB_SUBSCRIBE	_IOW('m', 0x70, struct mnb_subscribe)
/* Removes the group of that number. */
#define MNB_UNSUBSCRIBE	_IO('m', 0x71)
#define MNB_INFO	_IOR('m', 0x72, struct mnb_info)
/* Nothing, between two readings of the TSC: what every sample has too much. */
#define MNB_NOTHING	_IOWR('m', 0x73, struct mnb_repeat)
/* Start and end of an invalidation of the range, with nothing in between. */
#define MNB_INVALIDATE	_IOWR('m', 0x74, struct mnb_repeat)
/* One mmu_interval_read_begin() on the group's first subscription. */
#define MNB_READ	_IOWR('m', 0x75, struct mnb_repeat)
/*
 * Waits until the group's first subscription, MNB_SLEEP, is in its callback; then a
 * read, as often as it has to be repeated. [0]: from the first read_begin until
 * read_retry is content, [1]: how many tries (not ticks).
 */
#define MNB_READ_COLLIDING	_IOWR('m', 0x76, struct mnb_repeat)
/*
 * A subscription of its own comes and goes. [0]: insert, [1]: insert and the first
 * read_begin, which is when it is of use (left out when nobody wants it), [2]: remove.
 */
#define MNB_COME_AND_GO	_IOWR('m', 0x77, struct mnb_repeat)
/* Removes the group: MNB_UNSUBSCRIBE, one sample for each subscription. */
#define MNB_REMOVE	_IOWR('m', 0x78, struct mnb_repeat)

#endif /* MN_BENCH_H */
