/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What gm-store-front (in a guest) and gm-store-back (in dom0) say to each other.
 *
 * One page of the guest is shared for good: a ring of requests and answers, of Xen's own
 * kind, and a byte for each end that says whether it is alive. The guest's data are in
 * other pages, which are granted for one request at a time.
 *
 * In xenstore, in the guest's home: data/gm-store/ring-ref, and data/gm-store/port, which
 * is written last.
 */
#ifndef GM_STORE_H
#define GM_STORE_H

#include <stdint.h>

/* Barriers that ring.h wants; it calls them xen_mb() and so on. */
#define mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#include <xen/io/ring.h>

#define STORE_NODE "data/gm-store"
#define STORE_PAGE_SIZE 4096U
#define STORE_WORDS (STORE_PAGE_SIZE / sizeof(uint64_t))

/* Pages of one request */
#define STORE_MAX_PAGES 16U

/* Pages of the store: 64 MiB */
#define STORE_SIZE 16384U

enum {
	STORE_PUT, /* the guest's pages into the store */
	STORE_GET, /* and back */
};

struct store_request {
	uint32_t id; /* comes back in the answer */
	uint16_t op;
	uint16_t count; /* pages, 1 to STORE_MAX_PAGES */
	uint32_t first; /* page of the store */
	uint32_t refs[STORE_MAX_PAGES];
};

struct store_answer {
	uint32_t id;
	int32_t error; /* 0 or a positive errno */
};

DEFINE_RING_TYPES(store, struct store_request, struct store_answer);

#define STORE_RING_BYTES 2048

struct store_shared {
	union {
		store_sring_t ring;
		uint8_t ring_bytes[STORE_RING_BYTES];
	};
	/* 1: there; the kernel makes it 0 when its owner ends, however that is */
	uint8_t front_alive;
	uint8_t back_alive;
};

/* What the guest keeps, so that both sides can tell: word @i of page @page */
static inline uint64_t store_word(uint64_t seed, uint64_t page, unsigned int i)
{
	return (seed << 32) + page * STORE_WORDS + i;
}

#endif /* GM_STORE_H */
