/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * What the suite "hmm" and the module hmm_check say to each other.
 *
 * An open file of the device is a device that mirrors one address space: that of the
 * caller of GM_HMM_BIND, whoever makes the requests after that. It keeps no page table:
 * each request looks at the CPU's.
 */
#ifndef GM_HMM_CHECK_H
#define GM_HMM_CHECK_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GM_HMM_DEVICE "/dev/gm-hmm-check"

#define GM_HMM_MAX_PAGES 4096

/* Flags of an entry: as a request, and as what was found */
#define GM_HMM_VALID 0x1 /* request: must be readable */
#define GM_HMM_WRITE 0x2 /* request: must be writable */
#define GM_HMM_ERROR 0x4
#define GM_HMM_SAME 0x8 /* found, with pin: the page that get_user_pages() gives */

struct gm_hmm_entry {
	__u32 flags;
	__u32 order;
	__u64 pfn;
};

/* How to ask the kernel */
enum {
	GM_HMM_ONCE, /* hmm_range_fault(), once */
	GM_HMM_LOOP, /* ... as drivers do it by hand, until it has not collided */
	GM_HMM_UNLOCKED, /* hmm_range_fault_unlocked_timeout(); EOPNOTSUPP: not here */
};

/*
 * GM_HMM_TAKE: what is mapped in @pages pages from @start on. @entries is the address
 * of that many struct gm_hmm_entry, requests first (of which the flags in @mask count),
 * then what was found. After an error it is not written.
 */
struct gm_hmm_take {
	__u64 start;
	__u64 pages;
	__u64 entries;
	__u32 how;
	__u32 timeout_ms; /* GM_HMM_UNLOCKED: 0 is none */
	__u32 request; /* of all pages */
	__u32 mask;
	__u32 retries; /* out */
	__u32 keep; /* GM_HMM_STALE will ask about it: collide with everything */
	__u32 pin; /* compare with the caller's pages, see GM_HMM_SAME */
	__u32 reserved;
};

/*
 * GM_HMM_ACCESS: reads or writes the 64-bit word at @addr (aligned), not there but in
 * the page frame that the kernel reports for it.
 */
struct gm_hmm_access {
	__u64 addr;
	__u64 value;
	__u32 write;
	__u32 how; /* GM_HMM_LOOP, GM_HMM_UNLOCKED */
	__u32 timeout_ms;
	__u32 retries; /* out */
};

/* GM_HMM_MIGRATE: would the kernel migrate these pages to a device? An errno if not. */
struct gm_hmm_migrate {
	__u64 start;
	__u64 pages;
};

#define GM_HMM_BIND _IO('h', 1) /* EBUSY: bound already */
#define GM_HMM_TAKE _IOWR('h', 2, struct gm_hmm_take)
#define GM_HMM_ACCESS _IOWR('h', 3, struct gm_hmm_access)
#define GM_HMM_MIGRATE _IOW('h', 4, struct gm_hmm_migrate)
/* Has there been a collision since the last GM_HMM_TAKE with keep? */
#define GM_HMM_STALE _IO('h', 5)
/* The number of users of the address space; 0: its processes are gone */
#define GM_HMM_USERS _IO('h', 6)
/* Returns 1 if this kernel has the call without the mmap lock, otherwise 0. */
#define GM_HMM_HAS_UNLOCKED _IO('h', 7)

#endif /* GM_HMM_CHECK_H */
