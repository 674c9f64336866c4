// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries of a grant table that are no grants of a whole page: transitive ones, parts of
 * pages, and what is no grant at all. Only a copy can make use of some of them; nobody can
 * map any. A guest that writes them has not got Linux's help, which knows none.
 *
 * Three domains take part in a transitive grant: the suite's granter owns a page and has
 * granted it to the evil guest, whose table has version 2; an entry there passes it on to us.
 */
#include "evil.h"

#define SEED		0x7a45ULL	/* the owner's page */
#define SEED2		0x54a7ULL	/* the middleman's page */

FIXTURE(transitive) {
	struct evil evil;		/* the middleman */
	struct granter owner;
	int owner_active;
	struct gm_grant given;		/* by the owner to the middleman */
	struct gm_grant *passed;	/* by the middleman to us */
	int fd;
	uint8_t page[GM_PAGE_SIZE];
};

FIXTURE_SETUP(transitive)
{
#ifndef __x86_64__
	SKIP(return, "there are no PV guests, and others do not know where their table is");
#endif
	evil_setup(_metadata, &self->evil, 2);
	granter_setup(_metadata, &self->owner);
	self->owner_active = gm_active_entries(self->owner.domid);
	ASSERT_EQ(0, gm_guest_grant_to(self->owner.g, &self->given, self->evil.gr.domid, 1,
				       true, SEED));
	self->passed = granter_grant(_metadata, &self->evil.gr, 1, true, SEED2);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	memset(self->page, 0xee, sizeof(self->page));
}

FIXTURE_TEARDOWN(transitive)
{
	/* A revocation clears the flags; what else there is in the entry is of no account then. */
	EXPECT_EQ(0, gm_guest_revoke(self->owner.g, &self->given));
	EXPECT_TRUE(gm_wait(gm_active_entries(self->owner.domid) == self->owner_active,
			    LATER_MS));
	close(self->fd);
	granter_teardown(_metadata, &self->owner);
	evil_teardown(_metadata, &self->evil);
}

#define SET(word, value)							\
	evil_write(_metadata, &self->evil, self->passed, word, value)

/* The entry passes on the grant @ref of domain @domid; its flags are written last. */
#define PASS_ON(domid, ref, flags) do {						\
	SET(WORD_FLAGS, 0);							\
	SET(WORD_TRANS_DOMID, domid);						\
	SET(WORD_GREF_LOW, (ref) & 0xffff);					\
	SET(WORD_GREF_HIGH, (ref) >> 16);					\
	SET(WORD_FLAGS, GTF_transitive | (flags));				\
} while (0)

#define COPY(status)								\
	copy_from(self->fd, self->evil.gr.domid, self->passed->refs[0], self->page, status)

/* Neither a mapping nor a trace of one */
#define EXPECT_NO_MAP(prot) do {						\
	EXPECT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, self->passed, prot, NULL)); \
	EXPECT_EQ(EINVAL, errno) TH_LOG("%s", strerror(errno));			\
	EXPECT_ACTIVE(&self->evil, 0);						\
} while (0)

static bool is_all(const uint8_t *page, uint8_t value)
{
	for (size_t i = 0; i < GM_PAGE_SIZE; i++)
		if (page[i] != value)
			return false;
	return true;
}

#define EXPECT_NO_COPY() do {							\
	int16_t __status = 0;							\
										\
	EXPECT_EQ(0, COPY(&__status)) TH_LOG("%s", strerror(errno));		\
	EXPECT_GT(0, __status);							\
	EXPECT_TRUE(is_all(self->page, 0xee));					\
	EXPECT_ACTIVE(&self->evil, 0);						\
} while (0)

/* Unless Xen has been told to refuse all of these (gnttab=no-transitive), which no lab does. */
TEST_F_TIMEOUT(transitive, is_copied_from, GM_TEST_S)
{
	int16_t status = 0;

	PASS_ON(self->owner.domid, self->given.refs[0], 0);
	EXPECT_EQ(0, COPY(&status)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(GNTST_okay, status);
	EXPECT_EQ(-1, gm_check(self->page, SEED, 0, 1));
	EXPECT_ACTIVE(&self->evil, 0);
}

TEST_F_TIMEOUT(transitive, is_copied_to, GM_TEST_S)
{
	struct ioctl_gntdev_grant_copy_segment seg = {
		.source.virt = self->page,
		.len = GM_PAGE_SIZE,
		.flags = GNTCOPY_dest_gref,
	};
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };

	PASS_ON(self->owner.domid, self->given.refs[0], 0);
	gm_fill(self->page, SEED2, 0, 1);
	seg.dest.foreign.ref = self->passed->refs[0];
	seg.dest.foreign.domid = self->evil.gr.domid;
	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(GNTST_okay, seg.status);
	EXPECT_EQ(0, gm_guest_check(self->owner.g, &self->given, SEED2, 0, 1));
	EXPECT_ACTIVE(&self->evil, 0);
}

TEST_F_TIMEOUT(transitive, is_not_mapped, GM_TEST_S)
{
	PASS_ON(self->owner.domid, self->given.refs[0], 0);
	EXPECT_NO_MAP(PROT_READ);
	EXPECT_NO_MAP(PROT_READ | PROT_WRITE);
}

TEST_F_TIMEOUT(transitive, is_not_copied_when_its_owner_has_revoked, GM_TEST_S)
{
	struct gm_grant gone = { .refs = &(uint32_t){ self->given.refs[0] } };

	ASSERT_EQ(0, gm_guest_revoke(self->owner.g, &self->given));
	PASS_ON(self->owner.domid, gone.refs[0], 0);
	EXPECT_NO_COPY();
}

TEST_F_TIMEOUT(transitive, of_nobody_or_of_itself_is_not_copied, GM_TEST_S)
{
	PASS_ON(NO_DOMID, self->given.refs[0], 0);
	EXPECT_NO_COPY();
	PASS_ON(self->owner.domid, 0xffffffffU, 0);
	EXPECT_NO_COPY();
	PASS_ON(self->evil.gr.domid, self->passed->refs[0], 0);
	EXPECT_NO_COPY();
}

/* ---- other things that may be in an entry ---- */

TEST_F_TIMEOUT(transitive, part_of_a_page_is_copied_but_not_mapped, GM_TEST_S)
{
	struct ioctl_gntdev_grant_copy_segment seg = {
		.source.foreign = {
			.ref = self->passed->refs[0], .domid = self->evil.gr.domid,
			.offset = 512,
		},
		.dest.virt = self->page + 512,
		.len = 1024,
		.flags = GNTCOPY_source_gref,
	};
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };
	uint8_t all[GM_PAGE_SIZE];

	SET(WORD_FLAGS, 0);
	SET(2, 512);
	SET(3, 1024);
	SET(WORD_FLAGS, GTF_permit_access | GTF_sub_page);
	EXPECT_NO_MAP(PROT_READ);
	EXPECT_NO_COPY();

	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
	EXPECT_EQ(GNTST_okay, seg.status);
	gm_fill(all, SEED2, 0, 1);
	EXPECT_EQ(0, memcmp(all + 512, self->page + 512, 1024));
	seg.len = 1025;
	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
	EXPECT_GT(0, seg.status);
}

TEST_F_TIMEOUT(transitive, what_is_no_grant_is_neither_mapped_nor_copied, GM_TEST_S)
{
	static const unsigned int flags[] = {
		GTF_invalid, GTF_accept_transfer, GTF_accept_transfer | GTF_transfer_completed,
		GTF_invalid | GTF_reading | GTF_writing, 0xfffc,
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		SET(WORD_FLAGS, flags[i]);
		EXPECT_NO_MAP(PROT_READ);
		EXPECT_NO_COPY();
	}
}

int main(int argc, char **argv)
{
	return evil_main(argc, argv);
}
