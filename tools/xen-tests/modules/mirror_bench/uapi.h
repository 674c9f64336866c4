/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device of module mirror_bench, /dev/mirror_bench, as programs see it: an open file is a
 * context, which mirrors its opener's memory; its faults are served when the program says so.
 */
#ifndef MIRROR_BENCH_UAPI_H
#define MIRROR_BENCH_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MRB_DEVICE	"/dev/mirror_bench"
#define MRB_CONTEXTS	16
#define MRB_CHUNK	(2UL << 20)

/* All contexts' faults are served under one lock of the module: what is not to be. */
#define MRB_ONE_LOCK	0x1

/* In: a fault in each chunk of [start, start + length). Out: what that met. */
struct mrb_fault {
	__u64 start;
	__u64 length;
	__u32 flags;
	__u32 pad;
	__u64 faults;		/* served */
	__u64 entered;		/* pages entered for the device */
	__u64 contended;	/* times that a lock of any kind was somebody else's */
};

#define MRB_FAULT	_IOWR('m', 0x70, struct mrb_fault)

#endif /* MIRROR_BENCH_UAPI_H */
