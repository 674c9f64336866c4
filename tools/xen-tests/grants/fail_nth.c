// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way of a mapping fails once: the first, then the second, and so
 * on until the whole chain of calls succeeds. Each failure is an errno, and leaves nothing
 * behind. Needs a kernel with fault injection (failslab, fail_page_alloc).
 */
#include <sys/mount.h>
#include <xen/grant_table.h>

#include "grants.h"

#define PAGES		40U
#define SEED		0x99ULL
/* More allocations than any chain here makes. */
#define MAX_NTH		400

#define DEBUGFS		"/sys/kernel/debug"
#define FAIL_NTH	"/proc/thread-self/fail-nth"

FIXTURE(fail_nth) {
	struct granter gr;
	struct gm_grant *grant;
	int nth;		/* FAIL_NTH */
};

static int put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 ? -1 : (int)write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return ret;
}

FIXTURE_SETUP(fail_nth)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (self->nth < 0)
		SKIP(return, "this kernel has no fault injection");
	if (access(DEBUGFS "/failslab", F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	/* Allocations that may sleep are the ones that are meant. */
	ASSERT_LT(0, put(DEBUGFS "/failslab/ignore-gfp-wait", "N"));
	ASSERT_LT(0, put(DEBUGFS "/fail_page_alloc/ignore-gfp-wait", "N"));
	ASSERT_LT(0, put(DEBUGFS "/fail_page_alloc/min-order", "0"));
}

FIXTURE_TEARDOWN(fail_nth)
{
	if (self->nth >= 0)
		close(self->nth);
	granter_teardown(_metadata, &self->gr);
}

static void arm(int fd, int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(fd, text, len, 0) != len)
		exit(KSFT_FAIL);
}

/* Ends the injection; was there one? */
static bool fired(int fd)
{
	char text[16] = "";
	bool left;

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		exit(KSFT_FAIL);
	left = atoi(text) > 0;
	arm(fd, 0);
	return !left;
}

/* Map, use, copy, unmap; 0 or the errno of what failed first. Leaves no mapping. */
static int chain(struct gm_grant *grant)
{
	struct ioctl_gntdev_grant_copy_segment seg = {
		.flags = GNTCOPY_source_gref, .len = 64,
	};
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };
	char local[64];
	int64_t index = 0;
	int fd, err = 0;
	void *addr;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, grant, PROT_READ | PROT_WRITE, &index);
	if (addr == MAP_FAILED)
		err = errno;
	seg.source.foreign.ref = grant->refs[0];
	seg.source.foreign.domid = grant->domid;
	seg.dest.virt = local;
	if (!err && ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &copy))
		err = errno;
	if (addr != MAP_FAILED && munmap(addr, PAGES * GM_PAGE_SIZE))
		err = errno;
	close(fd);
	return err;
}

TEST_F_TIMEOUT(fail_nth, map_copy_unmap, GM_LONG_TEST_S)
{
	int n, err = -1, failures = 0;
	bool injected = true;

	ASSERT_EQ(0, chain(self->grant));
	for (n = 1; n < MAX_NTH && injected; n++) {
		arm(self->nth, n);
		err = chain(self->grant);
		injected = fired(self->nth);
		EXPECT_TRUE(!err || err == ENOMEM)
			TH_LOG("allocation %d failed: %s", n, strerror(err));
		failures += !!err;
		EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
		EXPECT_EQ(0, chain(self->grant));
	}
	EXPECT_FALSE(injected);
	EXPECT_EQ(0, err);
	EXPECT_LT(5, failures);
	gm_note("%d allocations failed in turn, %d of them were reported", n - 2, failures);
}

TEST_HARNESS_MAIN
