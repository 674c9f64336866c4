/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of suite bench-grants share: grants of this domain to itself, the
 * cheapest to be had in a PV domain, and the clock. Rows are printed as in suite bench.
 */
#ifndef BENCH_GRANTS_H
#define BENCH_GRANTS_H

#include <stdint.h>
#include <x86intrin.h>
#include <xen/sys/gntalloc.h>

#include "../bench/bench.h"
#include "gnt_bench/gnt_bench.h"

#define META struct __test_metadata *_metadata

/* One PTE table: what one map of the figures is. */
#define TABLE	512U
/* Granted pages; Xen counts the mappings of each in 8 bits. */
#define REFS	4096U
#define MIB	(1UL << 20)

struct bench_grants {
	struct bench bench;
	int gntdev;
	int gntalloc;
	int memfd;	/* of the test that has one */
	char *pages;	/* what is granted */
	uint32_t refs[REFS];
};

static inline uint64_t ticks(void)
{
	uint64_t t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
}

/* What this domain grants to itself, filled with a pattern. */
static inline int bench_grant(struct bench_grants *b)
{
	struct ioctl_gntalloc_alloc_gref *op;
	uint64_t index;
	int err;

	b->gntalloc = open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC);
	op = calloc(1, sizeof(*op) + REFS * sizeof(op->gref_ids[0]));
	if (b->gntalloc < 0 || !op) {
		free(op);
		return -errno;
	}
	op->domid = gm_self_domid();
	op->flags = GNTALLOC_FLAG_WRITABLE;
	op->count = REFS;
	err = ioctl(b->gntalloc, IOCTL_GNTALLOC_ALLOC_GREF, op) ? -errno : 0;
	memcpy(b->refs, op->gref_ids, sizeof(b->refs));
	index = op->index;
	free(op);
	if (err)
		return err;
	b->pages = mmap(NULL, REFS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			b->gntalloc, index);
	if (b->pages == MAP_FAILED)
		return -errno;
	gm_fill(b->pages, REFS, 0, REFS);
	return 0;
}

static inline int gnb_run(struct bench_grants *b, enum gnb_what what, void *addr,
			  unsigned int count, unsigned int batch, struct gnb_run *run)
{
	*run = (struct gnb_run){
		.refs = (uintptr_t)b->refs,
		.addr = (uintptr_t)addr,
		.count = count,
		.batch = batch,
		.what = what,
		.domid = gm_self_domid(),
	};
	return ioctl(b->bench.fd, GNB_RUN, run) ? -errno : 0;
}

static inline void bench_grants_setup(META, struct bench_grants *b)
{
	uint64_t samples[101];

	b->bench.full = bench_is_full();
	b->bench.fd = open(GNB_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, b->bench.fd) TH_LOG("no device %s", GNB_DEVICE);
	b->gntdev = gm_gntdev_open();
	ASSERT_LE(0, b->gntdev);
	ASSERT_EQ(0, bench_grant(b));
	for (int i = 0; i < 101; i++) {
		samples[i] = ticks();
		samples[i] = ticks() - samples[i];
	}
	qsort(samples, 101, sizeof(samples[0]), bench_compare);
	b->bench.overhead = samples[50];
}

static inline void bench_grants_teardown(struct bench_grants *b)
{
	close(b->gntdev);
	munmap(b->pages, REFS * PAGE);
	close(b->gntalloc);
	close(b->bench.fd);
}

/* Ticks for 1000 pages: enough digits, for what costs a few instructions a page. */
static inline uint64_t per_kpage(uint64_t ticks, uint64_t pages)
{
	return ticks * 1000 / pages;
}

#define BENCH_GRANTS_MAIN                                                      \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		return bench_main(argc, argv, "gnt_bench", GNB_DEVICE);        \
	}

#endif /* BENCH_GRANTS_H */
