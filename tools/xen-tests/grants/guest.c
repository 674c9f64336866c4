// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that does not play along: paused, or granting and ending access while it is
 * mapped. What the mapper sees is an errno or the page, and nothing stays behind.
 */
#include "grants.h"

#define SEED 0xbadULL
#define PAGES 64U
#define ROUNDS 40

FIXTURE(guest) {
	struct granter gr;
	int fd;
};

FIXTURE_SETUP(guest)
{
	granter_setup(_metadata, &self->gr);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(guest)
{
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* The guest's processors are needed for nothing: Xen alone answers. */
TEST_F_TIMEOUT(guest, paused_is_mapped_copied_and_unmapped, GM_TEST_S)
{
	struct gm_grant *grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	static char page[GM_PAGE_SIZE] __attribute__((aligned(4096)));
	struct ioctl_gntdev_grant_copy_segment seg = {
		.source.foreign = { .ref = grant->refs[5], .domid = grant->domid },
		.dest.virt = page,
		.len = GM_PAGE_SIZE,
		.flags = GNTCOPY_source_gref,
	};
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };
	void *addr;

	ASSERT_EQ(0, gm_xl(NULL, 0, "pause %u", self->gr.domid));
	addr = gm_gntdev_map(self->fd, grant, PROT_READ | PROT_WRITE, NULL);
	EXPECT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
	if (addr != MAP_FAILED) {
		EXPECT_PATTERN(addr, SEED, 0, PAGES);
		gm_fill(addr, SEED + 1, 0, PAGES);
		EXPECT_IN_USE(&self->gr, (int)PAGES);
	}
	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
	EXPECT_EQ(0, seg.status);
	EXPECT_EQ(-1, gm_check(page, SEED + 1, 5, 1));
	if (addr != MAP_FAILED)
		EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 0);
	ASSERT_EQ(0, gm_xl(NULL, 0, "unpause %u", self->gr.domid));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, grant, SEED + 1, 0, PAGES));
}

/*
 * The same references come and go, while this side maps what it last heard of: a map works
 * or is EINVAL (the entry is not granted just now), and never anything else.
 */
TEST_F_TIMEOUT(guest, grants_and_ends_access_in_a_loop, GM_TEST_S)
{
	unsigned int mapped = 0, refused = 0;
	struct gm_grant stale = { 0 };

	for (int n = 0; n < ROUNDS; n++) {
		struct gm_grant now = { 0 };

		ASSERT_EQ(0, gm_guest_grant(self->gr.g, &now, PAGES, true, SEED + n));
		if (!stale.count) {
			stale = now;
			stale.refs = malloc(PAGES * sizeof(*stale.refs));
			ASSERT_NE(NULL, stale.refs);
			memcpy(stale.refs, now.refs, PAGES * sizeof(*stale.refs));
		}
		for (int i = 0; i < 20; i++) {
			void *addr = gm_gntdev_map(self->fd, &stale, PROT_READ, NULL);

			/*
			 * The guest's end of access runs meanwhile. Not from the first map on: one
			 * that is certain of its grants has to work.
			 */
			if (!i)
				ASSERT_EQ(0, gm_guest_start(self->gr.g, "revoke %d", now.id));
			if (addr == MAP_FAILED) {
				ASSERT_EQ(EINVAL, errno) TH_LOG("%s", strerror(errno));
				refused++;
				continue;
			}
			EXPECT_EQ(0, gm_touch(addr, false));
			ASSERT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
			mapped++;
		}
		ASSERT_EQ(0, gm_guest_finish(self->gr.g, NULL, 0, GM_TIMEOUT_MS));
		free(now.refs);
	}
	gm_note("%u maps, %u refused", mapped, refused);
	EXPECT_LT(0U, mapped);
	/* The guest's kernel ends what was in use just then some time later. */
	EXPECT_TRUE(gm_wait(gm_grants_granted(self->gr.domid) ==
			    (int)self->gr.base.granted, LATER_MS));
	EXPECT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, &stale, PROT_READ, NULL));
	EXPECT_EQ(EINVAL, errno) TH_LOG("%s", strerror(errno));
	free(stale.refs);
}

TEST_HARNESS_MAIN
