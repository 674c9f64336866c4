// SPDX-License-Identifier: GPL-2.0-only
/*
 * GRANT_COPY: the hypervisor copies between granted and local memory without a
 * mapping. Each segment has a status of its own.
 */
#include <stddef.h>
#include <sys/time.h>
#include <sys/wait.h>
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

/* ---- large copies ---- */

#define LARGE	16384U	/* segments of a page: 64 MiB */

/* Pins of pages that are not undone, in this whole domain; 0 without such counters. */
static long pinned(void)
{
	FILE *f = fopen("/proc/sys/vm/stat_refresh", "we");
	long acquired = 0, released = 0;
	char line[128];

	/* Each processor has some that it has not told yet. */
	if (f) {
		fputs("1", f);
		fclose(f);
	}
	f = fopen("/proc/vmstat", "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "nr_foll_pin_acquired %ld", &acquired);
		sscanf(line, "nr_foll_pin_released %ld", &released);
	}
	fclose(f);
	return acquired - released;
}

/* Memory that the child of a test sees, too. */
static void *shared(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
}

/* What no status is. */
#define UNTOUCHED 0x1234

/* @n segments of a page each, in turn from all granted pages, to a buffer as large. */
static void large_from_guest(FIXTURE_DATA(copy) *self, segment *seg, uint8_t *local,
			     unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		seg[i] = from_guest(self->grant, i % PAGES, 0,
				    local + i * GM_PAGE_SIZE, GM_PAGE_SIZE);
		seg[i].status = UNTOUCHED;
	}
}

TEST_F_TIMEOUT(copy, g16_64_mib_in_one_call, GM_TEST_S)
{
	segment *seg = calloc(LARGE, sizeof(*seg));
	uint8_t *local = mmap(NULL, LARGE * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long base = pinned();
	double start;

	ASSERT_NE(NULL, seg);
	ASSERT_NE(MAP_FAILED, local);
	large_from_guest(self, seg, local, LARGE);
	start = gm_now();
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, LARGE, seg));
	gm_note("64 MiB that were not there before: %.1f ms", (gm_now() - start) * 1000);
	start = gm_now();
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, LARGE, seg));
	gm_note("the same again: %.1f ms", (gm_now() - start) * 1000);
	for (unsigned int i = 0; i < LARGE; i++) {
		ASSERT_EQ(GNTST_okay, seg[i].status)
			TH_LOG("segment %u", i);
	}
	for (unsigned int i = 0; i < LARGE; i += PAGES) {
		ASSERT_EQ(-1, gm_check(local + i * GM_PAGE_SIZE, SEED_GUEST, 0, PAGES))
			TH_LOG("at segment %u", i);
	}

	/* And back: what comes last stays. */
	gm_fill(local + (LARGE - PAGES) * GM_PAGE_SIZE, SEED_LOCAL, 0, PAGES);
	for (unsigned int i = 0; i < LARGE; i++)
		seg[i] = to_guest(self->grant, i % PAGES, 0, local + i * GM_PAGE_SIZE,
				  GM_PAGE_SIZE);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, LARGE, seg));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_LOCAL, 0, PAGES));
	EXPECT_EQ(base, pinned());
	munmap(local, LARGE * GM_PAGE_SIZE);
	free(seg);
}

/* One bad reference, far from any end of a batch. */
TEST_F_TIMEOUT(copy, g16_one_fails_in_the_middle, GM_TEST_S)
{
	enum { N = 2048, BAD = 1357 };
	segment *seg = calloc(N, sizeof(*seg));
	uint8_t *local = mmap(NULL, N * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(NULL, seg);
	ASSERT_NE(MAP_FAILED, local);
	/* There before the copy, and not there. */
	for (unsigned int round = 0; round < 2; round++) {
		large_from_guest(self, seg, local, N);
		seg[BAD].source.foreign.ref = 0xfffff;
		memset(local + BAD * GM_PAGE_SIZE, 0xee, GM_PAGE_SIZE);
		ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, N, seg));
		for (unsigned int i = 0; i < N; i++) {
			uint8_t *page = local + i * GM_PAGE_SIZE;

			ASSERT_EQ(i == BAD ? GNTST_bad_gntref : GNTST_okay, seg[i].status)
				TH_LOG("segment %u", i);
			ASSERT_TRUE(i == BAD ? page[0] == 0xee :
					       gm_check(page, SEED_GUEST, i % PAGES, 1) == -1)
				TH_LOG("segment %u", i);
		}
		memset(local, 0, N * GM_PAGE_SIZE);
	}
	munmap(local, N * GM_PAGE_SIZE);
	free(seg);
}

/*
 * Enough segments to be at it for seconds, all to the same pages, in a child; the parent
 * goes on when the first has its status.
 */
#define LASTING 500000U

static pid_t copy_for_long(FIXTURE_DATA(copy) *self, segment *seg)
{
	pid_t pid;

	for (unsigned int i = 0; i < LASTING; i++) {
		seg[i] = from_guest(self->grant, i % PAGES, 0,
				    self->local + i % PAGES * GM_PAGE_SIZE,
				    GM_PAGE_SIZE);
		seg[i].status = UNTOUCHED;
	}
	pid = fork();
	if (!pid) {
		/* Our own: the parent's fork made them copy-on-write. */
		memset(self->local, 0, BYTES);
		_exit(xengnttab_grant_copy(self->xgt, LASTING, seg) ? errno : 0);
	}
	if (pid > 0 && !gm_wait(*(volatile int16_t *)&seg[0].status != UNTOUCHED, LATER_MS)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -1;
	}
	return pid;
}

/* Stock notices nothing, and copies to the end. */
TEST_F_TIMEOUT(copy, g16_killed_in_the_middle, GM_TEST_S)
{
	segment *seg = shared(LASTING * sizeof(*seg));
	long base = pinned();
	double start;
	int status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, seg);
	pid = copy_for_long(self, seg);
	ASSERT_LT(0, pid);
	start = gm_now();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	gm_note("gone %.1f ms after SIGKILL", (gm_now() - start) * 1000);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(UNTOUCHED, seg[LASTING - 1].status)
		TH_LOG("all was copied before it ended");
	EXPECT_EQ(base, pinned());
	EXPECT_IN_USE(&self->gr, 0);
	munmap(seg, LASTING * sizeof(*seg));
}

static volatile sig_atomic_t nr_signals;

static void count_signal(int sig)
{
	(void)sig;
	nr_signals++;
}

/* A signal that does not kill: the call goes on, and has done all when it returns. */
TEST_F_TIMEOUT(copy, g16_other_signals_do_not_end_it, GM_TEST_S)
{
	struct itimerval timer = {
		.it_interval.tv_usec = 1000,
		.it_value.tv_usec = 1000,
	}, off = {};
	struct sigaction act = { .sa_handler = count_signal };
	segment *seg = calloc(LARGE, sizeof(*seg));
	int before;

	ASSERT_NE(NULL, seg);
	for (unsigned int i = 0; i < LARGE; i++) {
		seg[i] = from_guest(self->grant, i % PAGES, 0,
				    self->local + i % PAGES * GM_PAGE_SIZE, GM_PAGE_SIZE);
		seg[i].status = UNTOUCHED;
	}
	ASSERT_EQ(0, sigaction(SIGALRM, &act, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	for (int i = 0; i < 5; i++) {
		before = nr_signals;
		ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, LARGE, seg))
			TH_LOG("%s", strerror(errno));
	}
	setitimer(ITIMER_REAL, &off, NULL);
	EXPECT_LT(before, nr_signals)
		TH_LOG("no signal came while it copied");
	for (unsigned int i = 0; i < LARGE; i++) {
		ASSERT_EQ(GNTST_okay, seg[i].status)
			TH_LOG("segment %u", i);
	}
	EXPECT_EQ(-1, gm_check(self->local, SEED_GUEST, 0, PAGES));
	free(seg);
}

/*
 * Local buffers in any order: next to each other in the middle of pages, backwards, the
 * same page again, far away.
 */
TEST_F_TIMEOUT(copy, g16_segments_share_pages, GM_TEST_S)
{
	enum { N = 700, LEN = 70 };
	unsigned int place[N];
	segment *seg = calloc(N, sizeof(*seg));
	long base = pinned();

	ASSERT_NE(NULL, seg);
	memset(self->local, 0xee, BYTES);
	for (unsigned int i = 0; i < N; i++) {
		/* 300 in a row, 200 backwards, 200 with a gap of some pages */
		if (i < 300)
			place[i] = i;
		else if (i < 500)
			place[i] = 799 - i;
		else
			place[i] = 500 + (i - 500) * 117 % 200;
		seg[i] = from_guest(self->grant, i % PAGES, i,
				    self->local + 33 + place[i] * LEN, LEN);
	}
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, N, seg));
	for (unsigned int i = 0; i < N; i++) {
		ASSERT_EQ(GNTST_okay, seg[i].status)
			TH_LOG("segment %u", i);
		ASSERT_EQ(0, memcmp(self->local + 33 + place[i] * LEN,
				    self->want + i % PAGES * GM_PAGE_SIZE + i, LEN))
			TH_LOG("segment %u", i);
	}
	EXPECT_EQ(0xee, self->local[32]);
	EXPECT_EQ(0xee, self->local[33 + N * LEN]);
	EXPECT_EQ(base, pinned());
	free(seg);
}

/* The local side is mapped from another grant: all of it, and as a part of a long run. */
TEST_F_TIMEOUT(copy, g16_local_buffer_is_a_mapped_grant, GM_TEST_S)
{
	struct gm_grant *other = granter_grant(_metadata, &self->gr, PAGES, true,
					       SEED_LOCAL);
	uint8_t *place = mmap(NULL, 3 * BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = gm_gntdev_open();
	segment seg[3 * PAGES];
	int64_t index;

	ASSERT_NE(MAP_FAILED, place);
	index = gm_gntdev_map_ref(fd, other->domid, other->refs, PAGES);
	ASSERT_LE(0, index);
	ASSERT_NE(MAP_FAILED, mmap(place + BYTES, BYTES, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, fd, index));
	large_from_guest(self, seg, place, 3 * PAGES);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, 3 * PAGES, seg));
	for (unsigned int i = 0; i < 3 * PAGES; i++) {
		EXPECT_EQ(GNTST_okay, seg[i].status)
			TH_LOG("segment %u", i);
	}
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(-1, gm_check(place + i * BYTES, SEED_GUEST, 0, PAGES));
	/* It is the other grant's page that was written. */
	EXPECT_EQ(0, gm_guest_check(self->gr.g, other, SEED_GUEST, 0, PAGES));
	EXPECT_EQ(0, munmap(place, 3 * BYTES));
	close(fd);
}

/* The buffer ends in the middle: an error, and nothing stays pinned. */
TEST_F_TIMEOUT(copy, g16_local_buffer_ends_in_the_middle, GM_TEST_S)
{
	enum { N = 1024, HOLE = 700 };
	segment *seg = calloc(N, sizeof(*seg));
	uint8_t *local = mmap(NULL, N * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long base = pinned();

	ASSERT_NE(NULL, seg);
	ASSERT_NE(MAP_FAILED, local);
	memset(local, 0xee, N * GM_PAGE_SIZE);
	ASSERT_EQ(0, munmap(local + HOLE * GM_PAGE_SIZE, GM_PAGE_SIZE));
	large_from_guest(self, seg, local, N);
	EXPECT_REFUSED(EFAULT, N, seg);
	EXPECT_EQ(base, pinned());
	/* Read-only in the middle: what may be read is not what may be written. */
	ASSERT_NE(MAP_FAILED, mmap(local + HOLE * GM_PAGE_SIZE, GM_PAGE_SIZE, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_REFUSED(EFAULT, N, seg);
	EXPECT_EQ(base, pinned());
	for (unsigned int i = 0; i < N; i++)
		seg[i] = to_guest(self->grant, i % PAGES, 0, local + i * GM_PAGE_SIZE, 64);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, N, seg));
	for (unsigned int i = 0; i < N; i++) {
		ASSERT_EQ(GNTST_okay, seg[i].status)
			TH_LOG("segment %u", i);
	}
	EXPECT_EQ(base, pinned());
	munmap(local, N * GM_PAGE_SIZE);
	free(seg);
}

/* Every seventh page of the buffer is not there, nor are all of a page table. */
TEST_F_TIMEOUT(copy, g16_some_pages_are_not_there, GM_TEST_S)
{
	enum { N = 2048, TABLE = 512 };
	segment *seg = calloc(N, sizeof(*seg));
	uint8_t *local = mmap(NULL, N * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(NULL, seg);
	ASSERT_NE(MAP_FAILED, local);
	for (unsigned int i = 0; i < N; i++)
		if (i % 7 != 3 && i / TABLE != 2)
			local[i * GM_PAGE_SIZE] = 0xee;
	large_from_guest(self, seg, local, N);
	ASSERT_EQ(0, xengnttab_grant_copy(self->xgt, N, seg));
	for (unsigned int i = 0; i < N; i++) {
		ASSERT_EQ(GNTST_okay, seg[i].status)
			TH_LOG("segment %u", i);
		ASSERT_EQ(-1, gm_check(local + i * GM_PAGE_SIZE, SEED_GUEST, i % PAGES, 1))
			TH_LOG("segment %u", i);
	}
	munmap(local, N * GM_PAGE_SIZE);
	free(seg);
}

/* Pages that a child shares until one of the two writes: the copy writes to its own. */
TEST_F_TIMEOUT(copy, g16_copy_on_write, GM_TEST_S)
{
	segment seg[PAGES];
	int fds[2], status;
	pid_t pid;
	char c;

	memset(self->local, 0xee, BYTES);
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	if (!pid) {
		/* Until the parent has copied. */
		close(fds[1]);
		while (read(fds[0], &c, 1) > 0)
			;
		for (unsigned int i = 0; i < BYTES; i++)
			if (self->local[i] != 0xee)
				_exit(1);
		_exit(0);
	}
	ASSERT_LT(0, pid);
	large_from_guest(self, seg, self->local, PAGES);
	EXPECT_EQ(0, xengnttab_grant_copy(self->xgt, PAGES, seg));
	EXPECT_EQ(-1, gm_check(self->local, SEED_GUEST, 0, PAGES));
	close(fds[1]);
	close(fds[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("the child sees what the parent copied");
}

TEST_HARNESS_MAIN
