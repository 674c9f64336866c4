// SPDX-License-Identifier: GPL-2.0-only
/*
 * GRANT_COPY: the hypervisor copies between granted and local memory without a
 * mapping. Each segment has a status of its own.
 */
#include <stddef.h>
#include <xengnttab.h>
#include <xen/grant_table.h>

#include "grants.h"

#define SEED_GUEST	0x41ULL
#define SEED_LOCAL	0x42ULL
#define PAGES		16U
#define BYTES		(PAGES * GM_PAGE_SIZE)

typedef xengnttab_grant_copy_segment_t segment;

FIXTURE(copy) {
	struct granter gr;
	struct gm_grant *grant;
	xengnttab_handle *xgt;
	uint8_t *local;		/* one page more than is granted */
	uint8_t *want;		/* the guest's pages, as they have to be */
};

FIXTURE_SETUP(copy)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true,
				    SEED_GUEST);
	self->xgt = xengnttab_open(NULL, 0);
	ASSERT_NE(NULL, self->xgt);
	self->local = mmap(NULL, BYTES + GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->local);
	self->want = malloc(BYTES);
	ASSERT_NE(NULL, self->want);
	gm_fill(self->want, SEED_GUEST, 0, PAGES);
}

FIXTURE_TEARDOWN(copy)
{
	/* Nothing was mapped, and nothing stays in use. */
	EXPECT_IN_USE(&self->gr, 0);
	xengnttab_close(self->xgt);
	free(self->want);
	granter_teardown(_metadata, &self->gr);
}

/* From granted page @page, byte @offset, to @dst. */
static segment from_guest(const struct gm_grant *grant, unsigned int page,
			  unsigned int offset, void *dst, unsigned int len)
{
	segment s = { .flags = GNTCOPY_source_gref, .len = len };

	s.source.foreign.ref = grant->refs[page];
	s.source.foreign.domid = grant->domid;
	s.source.foreign.offset = offset;
	s.dest.virt = dst;
	return s;
}

static segment to_guest(const struct gm_grant *grant, unsigned int page,
			unsigned int offset, void *src, unsigned int len)
{
	segment s = { .flags = GNTCOPY_dest_gref, .len = len };

	s.dest.foreign.ref = grant->refs[page];
	s.dest.foreign.domid = grant->domid;
	s.dest.foreign.offset = offset;
	s.source.virt = src;
	return s;
}

/* What the guest's pages hold, by the way that does not go through copy. */
static bool guest_holds(struct gm_grant *grant, const void *want)
{
	int fd = gm_gntdev_open();
	void *addr = gm_gntdev_map(fd, grant, PROT_READ, NULL);
	bool same = false;

	if (addr != MAP_FAILED) {
		same = !memcmp(addr, want, BYTES);
		munmap(addr, BYTES);
	}
	close(fd);
	return same;
}

TEST_F_TIMEOUT(copy, from_guest_64_kib, GM_TEST_S)
{
	segment seg[PAGES];

	for (unsigned int i = 0; i < PAGES; i++)
		seg[i] = from_guest(self->grant, i, 0,
				    self->local + i * GM_PAGE_SIZE,
				    GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, PAGES, seg));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_EQ(GNTST_okay, seg[i].status);
	EXPECT_EQ(-1, gm_check(self->local, SEED_GUEST, 0, PAGES));
}

TEST_F_TIMEOUT(copy, to_guest_64_kib, GM_TEST_S)
{
	segment seg[PAGES];

	gm_fill(self->local, SEED_LOCAL, 0, PAGES);
	for (unsigned int i = 0; i < PAGES; i++)
		seg[i] = to_guest(self->grant, i, 0,
				  self->local + i * GM_PAGE_SIZE, GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, PAGES, seg));
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_EQ(GNTST_okay, seg[i].status);
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_LOCAL, 0,
				    PAGES));
}

TEST_F_TIMEOUT(copy, from_guest_unaligned, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 5, 123, self->local + 77, 1001);

	memset(self->local, 0xee, 2 * GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(GNTST_okay, seg.status);
	EXPECT_EQ(0, memcmp(self->local + 77,
			    self->want + 5 * GM_PAGE_SIZE + 123, 1001));
	EXPECT_EQ(0xee, self->local[76]);
	EXPECT_EQ(0xee, self->local[77 + 1001]);
}

TEST_F_TIMEOUT(copy, to_guest_unaligned, GM_TEST_S)
{
	segment seg = to_guest(self->grant, 5, 123, self->local + 77, 1001);

	memset(self->local, 0xee, 2 * GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(GNTST_okay, seg.status);
	memset(self->want + 5 * GM_PAGE_SIZE + 123, 0xee, 1001);
	EXPECT_TRUE(guest_holds(self->grant, self->want));
}

/* One segment, a local buffer that lies in two pages, both directions. */
TEST_F_TIMEOUT(copy, local_buffer_over_a_page_boundary, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 3, 0, self->local + 4000,
				 GM_PAGE_SIZE);

	memset(self->local, 0xee, 3 * GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(GNTST_okay, seg.status);
	EXPECT_EQ(0, memcmp(self->local + 4000, self->want + 3 * GM_PAGE_SIZE,
			    GM_PAGE_SIZE));
	EXPECT_EQ(0xee, self->local[3999]);
	EXPECT_EQ(0xee, self->local[4000 + GM_PAGE_SIZE]);

	memset(self->local, 0xdd, 3 * GM_PAGE_SIZE);
	seg = to_guest(self->grant, 3, 0, self->local + 4095, GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(GNTST_okay, seg.status);
	memset(self->want + 3 * GM_PAGE_SIZE, 0xdd, GM_PAGE_SIZE);
	EXPECT_TRUE(guest_holds(self->grant, self->want));
}

/* Pages of this process that nobody has touched yet are made for the copy. */
TEST_F_TIMEOUT(copy, untouched_local_buffer, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 9, 0, self->local, GM_PAGE_SIZE);

	ASSERT_EQ(0, madvise(self->local, BYTES, MADV_DONTNEED));
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(-1, gm_check(self->local, SEED_GUEST, 9, 1));
}

TEST_F_TIMEOUT(copy, between_two_grants, GM_TEST_S)
{
	segment seg = {
		.flags = GNTCOPY_source_gref | GNTCOPY_dest_gref,
		.len = 1000,
	};

	seg.source.foreign.ref = self->grant->refs[1];
	seg.source.foreign.domid = self->grant->domid;
	seg.source.foreign.offset = 100;
	seg.dest.foreign.ref = self->grant->refs[2];
	seg.dest.foreign.domid = self->grant->domid;
	seg.dest.foreign.offset = 2000;
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(GNTST_okay, seg.status);
	memcpy(self->want + 2 * GM_PAGE_SIZE + 2000,
	       self->want + GM_PAGE_SIZE + 100, 1000);
	EXPECT_TRUE(guest_holds(self->grant, self->want));
}

TEST_F_TIMEOUT(copy, empty_segment, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 0, 0, self->local, 0);

	self->local[0] = 0xee;
	EXPECT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(GNTST_okay, seg.status);
	EXPECT_EQ(0xee, self->local[0]);
}

/* More than any batch, each of them small, every fifth a bad one. */
TEST_F_TIMEOUT(copy, many_segments_some_bad, GM_TEST_S)
{
	enum { N = 1000, LEN = 60 };
	segment *seg = calloc(N, sizeof(*seg));

	ASSERT_NE(NULL, seg);
	memset(self->local, 0xee, BYTES);
	for (unsigned int i = 0; i < N; i++) {
		seg[i] = from_guest(self->grant, i % PAGES, i,
				    self->local + i * 64, LEN);
		if (i % 5 == 2)
			seg[i].source.foreign.ref = 0xfffff;
	}
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, N, seg));
	for (unsigned int i = 0; i < N; i++) {
		const uint8_t *page = self->want + i % PAGES * GM_PAGE_SIZE;
		uint8_t *dst = self->local + i * 64;

		if (i % 5 == 2) {
			EXPECT_EQ(GNTST_bad_gntref, seg[i].status);
			EXPECT_EQ(0xee, dst[0]);
		} else {
			EXPECT_EQ(GNTST_okay, seg[i].status);
			EXPECT_EQ(0, memcmp(dst, page + i, LEN));
		}
		EXPECT_EQ(0xee, dst[LEN]);
	}
	free(seg);
}

TEST_F_TIMEOUT(copy, bad_ref_in_the_middle, GM_TEST_S)
{
	segment seg[5];

	for (unsigned int i = 0; i < 5; i++)
		seg[i] = from_guest(self->grant, i, 0,
				    self->local + i * GM_PAGE_SIZE,
				    GM_PAGE_SIZE);
	seg[2].source.foreign.ref = 0xfffff;
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 5, seg));
	for (unsigned int i = 0; i < 5; i++)
		EXPECT_EQ(i == 2 ? GNTST_bad_gntref : GNTST_okay, seg[i].status);
	EXPECT_EQ(-1, gm_check(self->local, SEED_GUEST, 0, 2));
	EXPECT_EQ(-1, gm_check(self->local + 3 * GM_PAGE_SIZE, SEED_GUEST, 3, 2));
	EXPECT_EQ(0, self->local[2 * GM_PAGE_SIZE]);
}

TEST_F_TIMEOUT(copy, wrong_domid, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 0, 0, self->local, GM_PAGE_SIZE);

	seg.source.foreign.domid = 0x7000;
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_EQ(GNTST_bad_domain, seg.status);
}

TEST_F_TIMEOUT(copy, into_a_read_only_grant, GM_TEST_S)
{
	struct gm_grant *ro;
	segment seg;

	ro = granter_grant(_metadata, &self->gr, 1, false, SEED_GUEST);
	seg = to_guest(ro, 0, 0, self->local, GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 1, &seg));
	EXPECT_GT(0, seg.status);
	EXPECT_EQ(0, gm_guest_check(self->gr.g, ro, SEED_GUEST, 0, 1));
}

/* ---- refused as a whole ---- */

#define EXPECT_REFUSED(err, n, segs) do {				\
	EXPECT_EQ(-1, xengnttab_grant_copy(self->xgt, n, segs));	\
	EXPECT_EQ(err, errno) TH_LOG("%s", strerror(errno));		\
} while (0)

TEST_F_TIMEOUT(copy, both_local, GM_TEST_S)
{
	segment seg = { .len = 16 };

	seg.source.virt = self->local;
	seg.dest.virt = self->local + GM_PAGE_SIZE;
	EXPECT_REFUSED(EINVAL, 1, &seg);
}

TEST_F_TIMEOUT(copy, over_the_end_of_a_foreign_page, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 0, 4000, self->local, 97);

	EXPECT_REFUSED(EINVAL, 1, &seg);
	seg = to_guest(self->grant, 0, 1, self->local, GM_PAGE_SIZE);
	EXPECT_REFUSED(EINVAL, 1, &seg);
	seg = from_guest(self->grant, 0, 65535, self->local, 65535);
	EXPECT_REFUSED(EINVAL, 1, &seg);
}

TEST_F_TIMEOUT(copy, local_buffer_not_there, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 0, 0, NULL, GM_PAGE_SIZE);

	EXPECT_REFUSED(EFAULT, 1, &seg);
	ASSERT_EQ(0, munmap(self->local + GM_PAGE_SIZE, GM_PAGE_SIZE));
	seg = from_guest(self->grant, 0, 0, self->local + 2048, GM_PAGE_SIZE);
	EXPECT_REFUSED(EFAULT, 1, &seg);
	seg = to_guest(self->grant, 0, 0, self->local + 2048, GM_PAGE_SIZE);
	EXPECT_REFUSED(EFAULT, 1, &seg);
}

TEST_F_TIMEOUT(copy, local_buffer_read_only, GM_TEST_S)
{
	segment seg = from_guest(self->grant, 0, 0, self->local, GM_PAGE_SIZE);

	ASSERT_EQ(0, mprotect(self->local, GM_PAGE_SIZE, PROT_READ));
	EXPECT_REFUSED(EFAULT, 1, &seg);
	EXPECT_EQ(0, self->local[0]);
}

TEST_F_TIMEOUT(copy, segments_not_there, GM_TEST_S)
{
	segment *gone = mmap(NULL, 2 * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	segment *last = (void *)((char *)gone + GM_PAGE_SIZE -
				 sizeof(segment));

	ASSERT_NE(MAP_FAILED, gone);
	EXPECT_REFUSED(EFAULT, 1, NULL);
	ASSERT_EQ(0, munmap((char *)gone + GM_PAGE_SIZE, GM_PAGE_SIZE));
	*last = from_guest(self->grant, 0, 0, self->local, 64);
	EXPECT_REFUSED(EFAULT, 2, last);
}

TEST_HARNESS_MAIN
