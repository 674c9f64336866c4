// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unmapping: exactly the grants whose pages go are given back, at once, whichever
 * way they go; all others stay as they are.
 */

#include "grants.h"

#define SEED_GUEST	0x11ULL
#define SEED_MAPPER	0x22ULL

#define ASSERT_MAPPED(addr) \
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("mmap: %s", strerror(errno))

/* ---- a part of a mapping goes ---- */

FIXTURE(part) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	void *addr;
};

FIXTURE_VARIANT(part) {
	unsigned int pages;		/* mapped */
	unsigned int first, count;	/* of these, the part that goes */
};

FIXTURE_VARIANT_ADD(part, head) { .pages = 16, .first = 0, .count = 5 };
FIXTURE_VARIANT_ADD(part, middle) { .pages = 16, .first = 6, .count = 4 };
FIXTURE_VARIANT_ADD(part, tail) { .pages = 16, .first = 15, .count = 1 };
/* Enough for whole 2 MiB page tables, which the kernel likes to treat at once. */
FIXTURE_VARIANT_ADD(part, head_of_many) {
	.pages = 1536, .first = 0, .count = 700,
};
FIXTURE_VARIANT_ADD(part, middle_of_many) {
	.pages = 1536, .first = 700, .count = 100,
};
FIXTURE_VARIANT_ADD(part, tail_of_many) {
	.pages = 1536, .first = 800, .count = 736,
};

FIXTURE_SETUP(part)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, variant->pages, true,
				    SEED_GUEST);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->addr = gm_gntdev_map(self->fd, self->grant,
				   PROT_READ | PROT_WRITE, NULL);
	ASSERT_MAPPED(self->addr);
}

FIXTURE_TEARDOWN(part)
{
	EXPECT_EQ(0, munmap(self->addr, variant->pages * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 0);
	granter_teardown(_metadata, &self->gr);
	close(self->fd);
}

/* So many are in use, or there is no point in touching the rest. */
#define ASSERT_PART_GONE()						\
	ASSERT_TRUE(in_use_is(&self->gr, variant->pages - variant->count, \
			      AT_ONCE_MS))				\
		TH_LOG("grants in use: %d, not %u",			\
		       gm_grants_in_use(self->gr.domid) -		\
		       (int)self->gr.base.in_use,			\
		       variant->pages - variant->count)

/* The part has gone, and all the rest is there, can be read and written. */
#define EXPECT_REST() do {						\
	unsigned int __next = variant->first + variant->count;		\
	unsigned int __tail = variant->pages - __next;			\
									\
	EXPECT_IN_USE(&self->gr, variant->pages - variant->count);	\
	EXPECT_PATTERN(self->addr, SEED_GUEST, 0, variant->first);	\
	EXPECT_PATTERN(self->addr, SEED_GUEST, __next, __tail);		\
	gm_fill(self->addr, SEED_MAPPER, 0, variant->first);		\
	gm_fill(page_at(self->addr, __next), SEED_MAPPER, __next, __tail); \
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant,		\
				    SEED_MAPPER, 0, variant->first));	\
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant,		\
				    SEED_MAPPER, __next, __tail));	\
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_GUEST, \
				    variant->first, variant->count));	\
} while (0)

/*
 * Stock: auto-translated domains free nothing; a PV domain frees up to 2 MiB too
 * many on each side, because the split of a huge page that is not one is announced.
 */
TEST_F_TIMEOUT(part, g11_munmap, GM_TEST_S)
{
	void *at = page_at(self->addr, variant->first);

	ASSERT_EQ(0, munmap(at, variant->count * GM_PAGE_SIZE));
	EXPECT_EQ(SIGSEGV, gm_touch(at, false));
	ASSERT_PART_GONE();
	EXPECT_REST();
}

TEST_F_TIMEOUT(part, g12_map_fixed_over_it, GM_TEST_S)
{
	void *at = page_at(self->addr, variant->first);
	size_t size = variant->count * GM_PAGE_SIZE;

	ASSERT_EQ(at, mmap(at, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(at, 0x5a, size);
	ASSERT_PART_GONE();
	EXPECT_REST();
}

/* As with any shared mapping, the next access brings the pages back. */
TEST_F_TIMEOUT(part, g04_dontneed_keeps_the_mapping, GM_TEST_S)
{
	void *at = page_at(self->addr, variant->first);

	ASSERT_EQ(0, madvise(at, variant->count * GM_PAGE_SIZE, MADV_DONTNEED));
	EXPECT_IN_USE(&self->gr, variant->pages);
	EXPECT_EQ(0, gm_touch(at, false));
	EXPECT_PATTERN(self->addr, SEED_GUEST, 0, variant->pages);
	gm_fill(self->addr, SEED_MAPPER, 0, variant->pages);
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_MAPPER, 0,
				    variant->pages));
}

/* What happens to the neighbour of a mapping is no business of the mapping. */
TEST_F_TIMEOUT(part, another_mapping_in_the_hole, GM_TEST_S)
{
	void *at = page_at(self->addr, variant->first);
	size_t size = variant->count * GM_PAGE_SIZE;

	ASSERT_EQ(at, mmap(at, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	madvise(at, size, MADV_HUGEPAGE);
	for (int i = 0; i < 3; i++) {
		memset(at, 0x5a + i, size);
		EXPECT_EQ(0, mprotect(at, size, PROT_READ));
		EXPECT_EQ(0, mprotect(at, size, PROT_READ | PROT_WRITE));
		EXPECT_EQ(0x5a + i, *(char *)at);
		EXPECT_EQ(0, madvise(at, size, MADV_DONTNEED));
		EXPECT_EQ(0, *(char *)at);
	}
	EXPECT_EQ(0, munmap(at, size));
	EXPECT_REST();
}

/* ---- all of it goes ---- */

#define PAGES		16U

FIXTURE(whole) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	int64_t index;
	void *addr;
};

FIXTURE_SETUP(whole)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true,
				    SEED_GUEST);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->addr = gm_gntdev_map(self->fd, self->grant,
				   PROT_READ | PROT_WRITE, &self->index);
	ASSERT_MAPPED(self->addr);
}

FIXTURE_TEARDOWN(whole)
{
	if (self->fd >= 0)
		close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

TEST_F_TIMEOUT(whole, g11_page_by_page, GM_TEST_S)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int at = i * 5 % PAGES;

		EXPECT_EQ(-1, gm_check(page_at(self->addr, at), SEED_GUEST, at,
				       1));
		EXPECT_EQ(0, munmap(page_at(self->addr, at), GM_PAGE_SIZE));
		ASSERT_TRUE(in_use_is(&self->gr, PAGES - 1 - i, AT_ONCE_MS))
			TH_LOG("after munmap of %u pages %d are in use", i + 1,
			       gm_grants_in_use(self->gr.domid) -
			       (int)self->gr.base.in_use);
	}
}

TEST_F_TIMEOUT(whole, g06_mmap_again_after_munmap, GM_TEST_S)
{
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
		EXPECT_IN_USE(&self->gr, 0);
		self->addr = gm_gntdev_mmap(self->fd, self->index, PAGES,
					    PROT_READ);
		ASSERT_MAPPED(self->addr);
		EXPECT_IN_USE(&self->gr, PAGES);
		EXPECT_PATTERN(self->addr, SEED_GUEST, 0, PAGES);
	}
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
}

/* The part that went may come back, somewhere else. */
TEST_F_TIMEOUT(whole, g06_mmap_again_after_partial_munmap, GM_TEST_S)
{
	size_t size = 6 * GM_PAGE_SIZE;
	void *part;

	/* Reserved first, or it would come to lie in the hole. */
	part = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_MAPPED(part);
	EXPECT_EQ(0, munmap(page_at(self->addr, 4), size));
	part = mmap(part, size, PROT_READ, MAP_SHARED | MAP_FIXED, self->fd,
		    self->index + 4 * GM_PAGE_SIZE);
	ASSERT_MAPPED(part);
	EXPECT_EQ(-1, gm_check(part, SEED_GUEST, 4, 6));
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 6);
	EXPECT_EQ(-1, gm_check(part, SEED_GUEST, 4, 6));
	EXPECT_EQ(0, munmap(part, size));
	EXPECT_IN_USE(&self->gr, 0);
}

/* Grants that may only be read: the first mmap fails late, in the hypervisor. */
TEST_F_TIMEOUT(whole, g06_mmap_after_failed_mmap, GM_TEST_S)
{
	struct gm_grant *ro;
	int64_t index;
	void *addr;

	ro = granter_grant(_metadata, &self->gr, 4, false, SEED_MAPPER);
	index = gm_gntdev_map_ref(self->fd, ro->domid, ro->refs, 4);
	ASSERT_LE(0, index);
	EXPECT_EQ(MAP_FAILED, gm_gntdev_mmap(self->fd, index, 4,
					     PROT_READ | PROT_WRITE));
	addr = gm_gntdev_mmap(self->fd, index, 4, PROT_READ);
	ASSERT_MAPPED(addr);
	EXPECT_PATTERN(addr, SEED_MAPPER, 0, 4);
	EXPECT_EQ(0, munmap(addr, 4 * GM_PAGE_SIZE));
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
}

/* A refusal leaves what is given back as it is, and what is mapped too. */
TEST_F_TIMEOUT(whole, refused_mmap_changes_nothing, GM_TEST_S)
{
	EXPECT_EQ(0, munmap(page_at(self->addr, 3), 5 * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, PAGES - 5);
	EXPECT_EQ(MAP_FAILED, gm_gntdev_mmap(self->fd, self->index, PAGES,
					     PROT_READ | PROT_WRITE));
	EXPECT_IN_USE(&self->gr, PAGES - 5);
	EXPECT_PATTERN(self->addr, SEED_GUEST, 0, 3);
	EXPECT_PATTERN(self->addr, SEED_GUEST, 8, PAGES - 8);
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(whole, close_before_munmap, GM_TEST_S)
{
	close(self->fd);
	self->fd = -1;
	EXPECT_PATTERN(self->addr, SEED_GUEST, 0, PAGES);
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(whole, close_after_munmap_without_unmap_ioctl, GM_TEST_S)
{
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	close(self->fd);
	self->fd = -1;
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(whole, close_without_mmap, GM_TEST_S)
{
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	EXPECT_LE(0, gm_gntdev_map_ref(self->fd, self->grant->domid,
				       self->grant->refs, PAGES));
	close(self->fd);
	self->fd = -1;
	EXPECT_IN_USE(&self->gr, 0);
}

/*
 * Refused or not: the mapping lives on, and is free once it and the map are gone.
 */
TEST_F_TIMEOUT(whole, unmap_ioctl_while_mapped, GM_TEST_S)
{
	int ret = gm_gntdev_unmap_ref(self->fd, self->index, PAGES);

	EXPECT_PATTERN(self->addr, SEED_GUEST, 0, PAGES);
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
	if (ret)
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, self->index, PAGES));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(whole, one_munmap_over_two_maps, GM_TEST_S)
{
	size_t size = PAGES * GM_PAGE_SIZE;
	int64_t index;
	void *two;

	index = gm_gntdev_map_ref(self->fd, self->grant->domid,
				  self->grant->refs, PAGES);
	ASSERT_LE(0, index);
	/* Both in one reservation, one right behind the other. */
	two = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_MAPPED(two);
	EXPECT_EQ(0, munmap(self->addr, size));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, self->index, PAGES));
	ASSERT_EQ(two, mmap(two, size, PROT_READ, MAP_SHARED | MAP_FIXED,
			    self->fd, index));
	index = gm_gntdev_map_ref(self->fd, self->grant->domid,
				  self->grant->refs, PAGES);
	ASSERT_LE(0, index);
	ASSERT_EQ(two + size, mmap(two + size, size, PROT_READ,
				   MAP_SHARED | MAP_FIXED, self->fd, index));
	EXPECT_EQ(-1, gm_check(two, SEED_GUEST, 0, PAGES));
	EXPECT_EQ(-1, gm_check(two + size, SEED_GUEST, 0, PAGES));
	EXPECT_EQ(0, munmap(two, 2 * size));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(whole, offset_for_vaddr, GM_TEST_S)
{
	struct ioctl_gntdev_get_offset_for_vaddr op = {
		.vaddr = (uintptr_t)self->addr,
	};
	int64_t second;
	void *addr;

	ASSERT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op));
	EXPECT_EQ(self->index, (int64_t)op.offset);
	EXPECT_EQ(PAGES, op.count);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &second);
	ASSERT_MAPPED(addr);
	EXPECT_NE(self->index, second);
	op.vaddr = (uintptr_t)addr;
	ASSERT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op));
	EXPECT_EQ(second, (int64_t)op.offset);
	EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));
}

TEST_HARNESS_MAIN
