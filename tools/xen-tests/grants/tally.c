// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver counts for a file and for a domain, and what it says of a page that waits
 * (g14: stock says nothing). All of it is in debugfs.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <linux/io_uring.h>

#include "observe.h"

#define SEED		0x7aULL
#define PAGES		8U
#define SIZE		(PAGES * GM_PAGE_SIZE)
#define BUSY		5U		/* the page that is used */
#define NO_REF		0xfffffU	/* far behind the end of any grant table in the lab */

#define NO_FILE		"the driver has no such file in debugfs"

enum { MAPPED, UNMAPPED, COPIED, ERRORS, TALLIES };

FIXTURE(tally) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
};

FIXTURE_SETUP(tally)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	debugfs_mount();
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(tally)
{
	gntdev_no_fault();
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	granter_teardown(_metadata, &self->gr);
}

/* The youngest file of this process. */
static bool own_file(long n[TALLIES])
{
	FILE *f = fopen(GNTDEV_DEBUGFS "/files", "re");
	char line[256], comm[80], state[16];
	unsigned int number, youngest = 0;
	long got[TALLIES];
	int pid;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%d %79s %u %15s %ld %ld %ld %ld", &pid, comm, &number, state,
			   &got[0], &got[1], &got[2], &got[3]) != 8 ||
		    pid != getpid() || number < youngest)
			continue;
		youngest = number;
		memcpy(n, got, sizeof(got));
	}
	if (f)
		fclose(f);
	return youngest;
}

/* All 0 for a domain that nothing has been done for; false: there is no such file. */
static bool domain(unsigned int domid, long n[TALLIES])
{
	FILE *f = fopen(GNTDEV_DEBUGFS "/domains", "re");
	unsigned int which;
	long got[TALLIES];
	char line[256];

	memset(n, 0, sizeof(got));
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%u %ld %ld %ld %ld", &which, &got[0], &got[1], &got[2],
			   &got[3]) == 5 && which == domid)
			memcpy(n, got, sizeof(got));
	fclose(f);
	return true;
}

/* What is different, in the file of this process and in its guest's domain, from then on */
struct tallies {
	long file[TALLIES];
	long domain[TALLIES];
};

#define TALLIES_READ(t) do {						\
	ASSERT_TRUE(own_file((t)->file)) TH_LOG(NO_FILE);		\
	ASSERT_TRUE(domain(self->gr.domid, (t)->domain)) TH_LOG(NO_FILE); \
} while (0)

#define EXPECT_GREW(before, mapped, unmapped, copied, errors) do {	\
	const long __want[TALLIES] = { mapped, unmapped, copied, errors }; \
	struct tallies __now;						\
									\
	TALLIES_READ(&__now);						\
	for (int __i = 0; __i < TALLIES; __i++) {			\
		EXPECT_EQ(__want[__i], __now.file[__i] - (before)->file[__i]) \
			TH_LOG("file, column %d", __i);			\
		EXPECT_EQ(__want[__i], __now.domain[__i] - (before)->domain[__i]) \
			TH_LOG("domain, column %d", __i);		\
	}								\
} while (0)

/* PV: the user side alone; otherwise the kernel side alone: one operation a grant, either way. */
TEST_F_TIMEOUT(tally, g14_maps_are_counted_exactly, GM_TEST_S)
{
	struct tallies before;
	const int cycles = 7;

	TALLIES_READ(&before);
	for (int i = 0; i < cycles; i++) {
		int64_t index;
		void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, &index);

		ASSERT_NE(MAP_FAILED, addr);
		EXPECT_GREW(&before, (i + 1L) * PAGES, (long)i * PAGES, 0, 0);
		EXPECT_EQ(0, munmap(addr, SIZE));
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	}
	EXPECT_GREW(&before, cycles * (long)PAGES, cycles * (long)PAGES, 0, 0);
}

/* More segments than the driver has in a batch; one of them is refused. */
TEST_F_TIMEOUT(tally, g14_copies_are_counted_exactly, GM_TEST_S)
{
	enum { SEGMENTS = 300, WRONG = 11 };
	struct ioctl_gntdev_grant_copy_segment *segs = calloc(SEGMENTS, sizeof(*segs));
	struct ioctl_gntdev_grant_copy copy = { .count = SEGMENTS, .segments = segs };
	struct tallies before;
	char page[64] __attribute__((aligned(64)));

	ASSERT_NE(NULL, segs);
	for (int i = 0; i < SEGMENTS; i++) {
		segs[i].flags = GNTCOPY_source_gref;
		segs[i].len = sizeof(page);
		segs[i].dest.virt = page;
		segs[i].source.foreign.ref = i == WRONG ? NO_REF : self->grant->refs[i % PAGES];
		segs[i].source.foreign.domid = self->grant->domid;
	}
	TALLIES_READ(&before);
	ASSERT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy)) TH_LOG("%s", strerror(errno));
	EXPECT_NE(GNTST_okay, segs[WRONG].status);
	EXPECT_GREW(&before, 0, 0, SEGMENTS - 1, 1);
	free(segs);
}

/* Another file of the same process, and another process, have counts of their own. */
TEST_F_TIMEOUT(tally, g14_files_are_counted_apart, GM_TEST_S)
{
	struct tallies before, after;
	int64_t index;
	int other;
	void *addr;

	TALLIES_READ(&before);
	other = gm_gntdev_open();
	ASSERT_LE(0, other);
	TALLIES_READ(&after);
	for (int i = 0; i < TALLIES; i++)
		EXPECT_EQ(0, after.file[i]);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &index);
	ASSERT_NE(MAP_FAILED, addr);
	TALLIES_READ(&after);
	for (int i = 0; i < TALLIES; i++)
		EXPECT_EQ(0, after.file[i]);
	EXPECT_EQ(PAGES, after.domain[MAPPED] - before.domain[MAPPED]);
	close(other);
	TALLIES_READ(&after);
	EXPECT_EQ(PAGES, after.file[MAPPED] - before.file[MAPPED]);
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
}

/* Whoever makes domids up does not push real ones out of the driver's table. */
TEST_F_TIMEOUT(tally, g14_errors_make_no_domain_known, GM_TEST_S)
{
	struct ioctl_gntdev_grant_copy_segment seg = { .flags = GNTCOPY_source_gref, .len = 8 };
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };
	struct tallies before, after;
	long none[TALLIES] = {}, got[TALLIES];
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	const unsigned int tries = 600;
	char buf[8];

	ASSERT_NE(MAP_FAILED, addr);
	TALLIES_READ(&before);
	seg.dest.virt = buf;
	for (unsigned int i = 0; i < tries; i++) {
		seg.source.foreign.domid = 20000 + i;
		ASSERT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
	}
	ASSERT_TRUE(domain(20000 + tries - 1, got));
	EXPECT_EQ(0, memcmp(none, got, sizeof(got)));
	TALLIES_READ(&after);
	EXPECT_EQ(tries, after.file[ERRORS] - before.file[ERRORS]);
	EXPECT_EQ(0, memcmp(before.domain, after.domain, sizeof(after.domain)));
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* ---- pages that wait ---- */

struct deferred {
	unsigned int file, domid, ref, pages;
	int refs, mapcount, pinned;
	long age_ms;
	char comm[80], state[16];
};

/* The only line of this process; the number of such lines, or -1. */
static int own_deferred(struct deferred *d)
{
	FILE *f = fopen(GNTDEV_DEBUGFS "/deferred", "re");
	struct deferred got;
	char line[256];
	int pid, n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%d %79s %u %15s %u %u %u %d %d %d %ld", &pid, got.comm,
			   &got.file, got.state, &got.domid, &got.ref, &got.pages, &got.refs,
			   &got.mapcount, &got.pinned, &got.age_ms) != 11 || pid != getpid())
			continue;
		*d = got;
		n++;
	}
	fclose(f);
	return n;
}

/* A page in a pipe, and later a second one: the oldest is told, and its age is from then. */
TEST_F_TIMEOUT(tally, g14_oldest_page_is_named, GM_TEST_S)
{
	char page[GM_PAGE_SIZE];
	struct deferred first, d;
	int64_t index;
	int fds[2];
	void *addr;

	ASSERT_EQ(0, own_deferred(&d)) TH_LOG(NO_FILE);
	ASSERT_EQ(0, pipe(fds));
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &index);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(fds[1], addr, BUSY));
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(fds[1], addr, 1));
	/* The map is older than what it shall be told of. */
	gm_sleep_ms(400);
	EXPECT_EQ(0, munmap(page_at(addr, BUSY), GM_PAGE_SIZE));
	ASSERT_EQ(1, own_deferred(&first));
	EXPECT_STREQ("tally", first.comm);
	EXPECT_STREQ("open", first.state);
	EXPECT_EQ(self->gr.domid, first.domid);
	EXPECT_EQ(self->grant->refs[BUSY], first.ref);
	EXPECT_EQ(1, first.pages);
	EXPECT_EQ(2, first.refs);
	EXPECT_EQ(0, first.mapcount);
	EXPECT_EQ(0, first.pinned);
	EXPECT_LE(0, first.age_ms);
	EXPECT_GT(400, first.age_ms);

	gm_sleep_ms(300);
	EXPECT_EQ(0, munmap(page_at(addr, 1), GM_PAGE_SIZE));
	ASSERT_EQ(1, own_deferred(&d));
	EXPECT_EQ(2, d.pages);
	EXPECT_EQ(self->grant->refs[BUSY], d.ref);
	EXPECT_LE(first.age_ms + 300, d.age_ms);

	/* It goes; the other is the oldest now, and is younger. */
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], page, GM_PAGE_SIZE));
	EXPECT_TRUE(gm_wait(own_deferred(&first) == 1 && first.pages == 1 &&
			    first.ref == self->grant->refs[1], LATER_MS))
		TH_LOG("%u pages, ref %u", first.pages, first.ref);
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], page, GM_PAGE_SIZE));
	EXPECT_TRUE(gm_wait(own_deferred(&d) == 0, LATER_MS));
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	close(fds[0]);
	close(fds[1]);
}

/* io_uring pins the buffers that are registered with it. */
TEST_F_TIMEOUT(tally, g14_pinned_page_is_told_from_others, GM_TEST_S)
{
	struct io_uring_params params = {};
	struct iovec buf = { .iov_len = GM_PAGE_SIZE };
	struct deferred d;
	int64_t index;
	void *addr;
	int ring;

	ASSERT_EQ(0, own_deferred(&d)) TH_LOG(NO_FILE);
	ring = syscall(__NR_io_uring_setup, 1, &params);
	if (ring < 0)
		SKIP(return, "no io_uring: %s", strerror(errno));
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, &index);
	ASSERT_NE(MAP_FAILED, addr);
	buf.iov_base = page_at(addr, BUSY);
	ASSERT_EQ(0, syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buf, 1))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, munmap(addr, SIZE));
	ASSERT_EQ(1, own_deferred(&d));
	EXPECT_EQ(self->grant->refs[BUSY], d.ref);
	EXPECT_EQ(1, d.pinned);
	EXPECT_LT(2, d.refs);
	EXPECT_EQ(0, syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
	EXPECT_TRUE(gm_wait(own_deferred(&d) == 0, LATER_MS));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	close(ring);
}

TEST_HARNESS_MAIN
