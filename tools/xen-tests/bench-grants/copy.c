// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a copy of 16 MiB costs, a page, by one GRANT_COPY with a segment a page, beside
 * what the hypercalls alone cost.
 */
#include "bench_grants.h"

#include <xen/grant_table.h>

#define SAMPLES	5
#define BATCH	512

FIXTURE(copy) {
	struct bench_grants b;
	unsigned int samples;
	unsigned int pages;
	char *local;
};

FIXTURE_SETUP(copy)
{
	bench_grants_setup(_metadata, &self->b);
	self->samples = self->b.bench.full ? SAMPLES : 1;
	self->pages = REFS;
	self->local = mmap(NULL, self->pages * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->local);
}

FIXTURE_TEARDOWN(copy)
{
	munmap(self->local, self->pages * PAGE);
	bench_grants_teardown(&self->b);
}

static void measure(META, FIXTURE_DATA(copy) *self, const char *name, bool to_grants,
		    bool scattered)
{
	/* The headers of Xen and of the kernel have another name for a segment. */
	struct ioctl_gntdev_grant_copy op = { .count = self->pages };
	__typeof__(op.segments) seg = calloc(self->pages, sizeof(*seg));
	uint64_t samples[SAMPLES], t;
	int ret;

	ASSERT_NE(NULL, seg);
	op.segments = seg;
	for (unsigned int i = 0; i < self->pages; i++) {
		/* Scattered: 241 and the number of pages have no common factor. */
		void *local = self->local + (scattered ? i * 241 % self->pages : i) * PAGE;

		seg[i].len = PAGE;
		if (to_grants) {
			seg[i].flags = GNTCOPY_dest_gref;
			seg[i].source.virt = local;
			seg[i].dest.foreign.ref = self->b.refs[i];
			seg[i].dest.foreign.domid = gm_self_domid();
		} else {
			seg[i].flags = GNTCOPY_source_gref;
			seg[i].dest.virt = local;
			seg[i].source.foreign.ref = self->b.refs[i];
			seg[i].source.foreign.domid = gm_self_domid();
		}
	}
	/* The first one is not counted. */
	for (unsigned int i = 0; i <= self->samples; i++) {
		t = ticks();
		ret = ioctl(self->b.gntdev, IOCTL_GNTDEV_GRANT_COPY, &op);
		t = ticks() - t;
		ASSERT_EQ(0, ret) TH_LOG("%s: %s", name, strerror(errno));
		samples[i ? i - 1 : 0] = per_kpage(t, self->pages);
	}
	for (unsigned int i = 0; i < self->pages; i++)
		ASSERT_EQ(GNTST_okay, seg[i].status);
	bench_print(name, "ticks/kpage", samples, self->samples, "");
	free(seg);
}

TEST_F_TIMEOUT(copy, copy_16m, GM_LONG_TEST_S)
{
	measure(_metadata, self, "grants.copy.16m", false, false);
	EXPECT_EQ(-1, gm_check(self->local, REFS, 0, self->pages));
	measure(_metadata, self, "grants.copy.16m_to", true, false);
	measure(_metadata, self, "grants.copy.16m_scattered", false, true);
}

static void limit(META, FIXTURE_DATA(copy) *self, const char *name, enum gnb_what what,
		  unsigned int batch)
{
	uint64_t samples[SAMPLES];
	struct gnb_run run;
	int ret;

	for (unsigned int i = 0; i <= self->samples; i++) {
		ret = gnb_run(&self->b, what, self->local, self->pages, batch, &run);
		ASSERT_EQ(0, ret) TH_LOG("%s: %s", name, strerror(-ret));
		samples[i ? i - 1 : 0] = per_kpage(run.ticks, self->pages);
	}
	bench_print(name, "ticks/kpage", samples, self->samples, "");
}

TEST_F_TIMEOUT(copy, limit, GM_LONG_TEST_S)
{
	limit(_metadata, self, "grants.limit.copy", GNB_COPY, BATCH);
	limit(_metadata, self, "grants.limit.copy_to", GNB_COPY_TO, BATCH);
	limit(_metadata, self, "grants.limit.copy_all", GNB_COPY, self->pages);
	limit(_metadata, self, "grants.limit.copy_16", GNB_COPY, 16);
	limit(_metadata, self, "grants.limit.probe", GNB_PROBE, BATCH);
}

BENCH_GRANTS_MAIN
