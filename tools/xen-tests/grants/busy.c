// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that somebody else uses when their mapping goes: data on their way through
 * a pipe by reference (vmsplice), as in-flight I/O does it. Such a page stays mapped
 * until its user lets go; its neighbours are none the wiser.
 */
#include <sys/wait.h>

#include "grants.h"

#define SEED		0x77ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

/* Long enough for a driver that polls to have polled. */
#define STAYS_MS	600

FIXTURE(busy) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	void *addr;
	int pipe[2];
	uint8_t page[GM_PAGE_SIZE];
};

FIXTURE_SETUP(busy)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->addr = gm_gntdev_map(self->fd, self->grant,
				   PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
	ASSERT_EQ(0, pipe(self->pipe));
}

FIXTURE_TEARDOWN(busy)
{
	if (self->pipe[0] >= 0)
		close(self->pipe[0]);
	if (self->pipe[1] >= 0)
		close(self->pipe[1]);
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, SIZE));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

#define ASSERT_BUSY(n)							\
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE,				\
		  make_busy(self->pipe[1], self->addr, n))		\
		TH_LOG("vmsplice: %s", strerror(errno))

/* Takes the next page out of the pipe: it is page @n, whole and right. */
#define EXPECT_DRAIN(n) do {						\
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE,				\
		  read(self->pipe[0], self->page, GM_PAGE_SIZE));	\
	EXPECT_EQ(-1, gm_check(self->page, SEED, n, 1));		\
} while (0)

TEST_F_TIMEOUT(busy, g02_neighbours_are_free_at_once, GM_TEST_S)
{
	ASSERT_BUSY(5);
	UNMAP_ALL();
	EXPECT_IN_USE(&self->gr, 1);
	gm_sleep_ms(STAYS_MS);
	EXPECT_IN_USE(&self->gr, 1);
	EXPECT_DRAIN(5);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
}

TEST_F_TIMEOUT(busy, g02_each_page_goes_when_its_user_lets_go, GM_TEST_S)
{
	static const unsigned int order[] = { 3, 9, 0, 15 };
	int left = 4;

	for (int i = 0; i < 4; i++)
		ASSERT_BUSY(order[i]);
	UNMAP_ALL();
	for (int i = 0; i < 4; i++) {
		EXPECT_IN_USE_SOON(&self->gr, left, LATER_MS);
		EXPECT_DRAIN(order[i]);
		left--;
	}
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
}

/*
 * The callback returns, and the mm zaps the PTEs: by then the user side must be gone, also of
 * a page that is busy. Xen counts one mapping for each side. Stock returns with both of them
 * there, and the mm zaps PTEs that Xen still has a handle for; what is not there, Xen does not
 * unmap later: one mapping of each page is left for ever, even when the process has ended.
 */
TEST_F_TIMEOUT(busy, g03_user_side_is_gone_when_munmap_returns, GM_TEST_S)
{
	uint32_t busy = self->grant->refs[5], other = self->grant->refs[6];
	int mappings;

	if (!gm_self_is_pv())
		SKIP(return, "not a PV domain: page table entries are the mm's own");
	mappings = gm_grant_mappings(self->gr.domid, busy);
	if (mappings == -EOPNOTSUPP)
		SKIP(return, "only dom0 is told");
	EXPECT_LE(1, mappings);
	ASSERT_BUSY(5);
	EXPECT_EQ(2, gm_grant_mappings(self->gr.domid, busy));
	UNMAP_ALL();
	EXPECT_EQ(1, gm_grant_mappings(self->gr.domid, busy));
	EXPECT_EQ(0, gm_grant_mappings(self->gr.domid, other));
	EXPECT_DRAIN(5);
	EXPECT_TRUE(gm_wait(gm_grant_mappings(self->gr.domid, busy) == 0, LATER_MS))
		TH_LOG("still mapped %d times", gm_grant_mappings(self->gr.domid, busy));
}

/* The first range still waits when the second is unmapped; both must be freed. */
TEST_F_TIMEOUT(busy, g01_two_ranges_of_a_map, GM_TEST_S)
{
	ASSERT_BUSY(2);
	ASSERT_BUSY(12);
	EXPECT_EQ(0, munmap(self->addr, SIZE / 2));
	gm_sleep_ms(20);
	EXPECT_EQ(0, munmap(page_at(self->addr, PAGES / 2), SIZE / 2));
	self->addr = NULL;
	gm_sleep_ms(STAYS_MS);
	EXPECT_DRAIN(2);
	EXPECT_DRAIN(12);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
}

TEST_F_TIMEOUT(busy, g01_many_ranges_of_a_map, GM_TEST_S)
{
	for (unsigned int i = 0; i < PAGES; i++)
		ASSERT_BUSY(i);
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int at = i * 5 % PAGES;

		EXPECT_EQ(0, munmap(page_at(self->addr, at), GM_PAGE_SIZE));
	}
	self->addr = NULL;
	EXPECT_IN_USE(&self->gr, PAGES);
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_DRAIN(i);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
}

/* The guest may write on: what is read from the pipe is what is in the page now. */
TEST_F_TIMEOUT(busy, page_is_still_shared, GM_TEST_S)
{
	ASSERT_BUSY(5);
	UNMAP_ALL();
	EXPECT_EQ(0, gm_guest_fill(self->gr.g, self->grant, SEED + 1));
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE,
		  read(self->pipe[0], self->page, GM_PAGE_SIZE));
	EXPECT_EQ(-1, gm_check(self->page, SEED + 1, 5, 1));
}

TEST_F_TIMEOUT(busy, file_is_closed_first, GM_TEST_S)
{
	ASSERT_BUSY(5);
	UNMAP_ALL();
	close(self->fd);
	gm_sleep_ms(STAYS_MS);
	EXPECT_DRAIN(5);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	self->fd = gm_gntdev_open();
}

TEST_F_TIMEOUT(busy, mapper_is_killed_first, GM_TEST_S)
{
	int status;
	pid_t pid;

	UNMAP_ALL();
	pid = fork();
	if (!pid) {
		void *addr = gm_gntdev_map(gm_gntdev_open(), self->grant,
					   PROT_READ, NULL);

		if (addr != MAP_FAILED &&
		    make_busy(self->pipe[1], addr, 5) == (ssize_t)GM_PAGE_SIZE)
			raise(SIGKILL);
		_exit(1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	gm_sleep_ms(STAYS_MS);
	EXPECT_DRAIN(5);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
}

/* The guest revokes while a page is busy: it gets it back when it no longer is. */
TEST_F_TIMEOUT(busy, guest_revokes_first, GM_TEST_S)
{
	ASSERT_BUSY(5);
	UNMAP_ALL();
	EXPECT_EQ(0, gm_guest_revoke(self->gr.g, self->grant));
	gm_sleep_ms(STAYS_MS);
	EXPECT_EQ((int)self->gr.base.in_use + 1,
		  gm_grants_in_use(self->gr.domid));
	EXPECT_DRAIN(5);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	EXPECT_TRUE(gm_wait(gm_grants_granted(self->gr.domid) ==
			    (int)self->gr.base.granted, LATER_MS));
}

TEST_F_TIMEOUT(busy, mapped_again_while_busy, GM_TEST_S)
{
	void *addr;

	ASSERT_BUSY(5);
	UNMAP_ALL();
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_DRAIN(5);
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
}

TEST_HARNESS_MAIN
