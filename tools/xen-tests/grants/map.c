// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping: what is granted can be read and written, byte for byte, in both
 * directions, in every size and way that the interface has.
 */
#include <xengnttab.h>

#include "grants.h"

#define SEED_GUEST	0x11ULL
#define SEED_MAPPER	0x22ULL
#define PAGES		16U

/* ---- the same in several sizes ---- */

FIXTURE(map) {
	struct granter gr;
	xengnttab_handle *xgt;
};

FIXTURE_VARIANT(map) {
	unsigned int pages;
};

FIXTURE_VARIANT_ADD(map, 1_page) { .pages = 1 };
FIXTURE_VARIANT_ADD(map, 2_pages) { .pages = 2 };
FIXTURE_VARIANT_ADD(map, 512_pages) { .pages = 512 };
FIXTURE_VARIANT_ADD(map, 1024_pages) { .pages = 1024 };

FIXTURE_SETUP(map)
{
	granter_setup(_metadata, &self->gr);
	self->xgt = xengnttab_open(NULL, 0);
	ASSERT_NE(NULL, self->xgt);
}

FIXTURE_TEARDOWN(map)
{
	granter_teardown(_metadata, &self->gr);
	xengnttab_close(self->xgt);
}

static void *map_all(xengnttab_handle *xgt, struct gm_grant *grant, int prot)
{
	return xengnttab_map_domain_grant_refs(xgt, grant->count, grant->domid,
					       grant->refs, prot);
}

TEST_F_TIMEOUT(map, read_write, GM_TEST_S)
{
	unsigned int n = variant->pages;
	struct gm_grant *grant;
	void *addr;

	grant = granter_grant(_metadata, &self->gr, n, true, SEED_GUEST);
	addr = map_all(self->xgt, grant, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, addr) TH_LOG("map: %s", strerror(errno));
	EXPECT_IN_USE(&self->gr, n);
	EXPECT_PATTERN(addr, SEED_GUEST, 0, n);
	gm_fill(addr, SEED_MAPPER, 0, n);
	EXPECT_EQ(0, gm_guest_check(self->gr.g, grant, SEED_MAPPER, 0, n));
	EXPECT_EQ(0, xengnttab_unmap(self->xgt, addr, n));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(map, read_only, GM_TEST_S)
{
	unsigned int n = variant->pages;
	struct gm_grant *grant;
	void *addr;

	grant = granter_grant(_metadata, &self->gr, n, false, SEED_GUEST);
	addr = map_all(self->xgt, grant, PROT_READ);
	ASSERT_NE(NULL, addr) TH_LOG("map: %s", strerror(errno));
	EXPECT_IN_USE(&self->gr, n);
	EXPECT_PATTERN(addr, SEED_GUEST, 0, n);
	EXPECT_EQ(0, xengnttab_unmap(self->xgt, addr, n));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(map, writes_of_the_guest_are_seen, GM_TEST_S)
{
	unsigned int n = variant->pages;
	struct gm_grant *grant;
	void *addr;

	grant = granter_grant(_metadata, &self->gr, n, false, SEED_GUEST);
	addr = map_all(self->xgt, grant, PROT_READ);
	ASSERT_NE(NULL, addr) TH_LOG("map: %s", strerror(errno));
	EXPECT_PATTERN(addr, SEED_GUEST, 0, n);
	EXPECT_EQ(0, gm_guest_fill(self->gr.g, grant, SEED_MAPPER));
	EXPECT_PATTERN(addr, SEED_MAPPER, 0, n);
	EXPECT_EQ(0, xengnttab_unmap(self->xgt, addr, n));
}

/* ---- ways of mapping ---- */

FIXTURE(ways) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
};

FIXTURE_SETUP(ways)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true,
				    SEED_GUEST);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd) TH_LOG("gntdev: %s", strerror(errno));
}

FIXTURE_TEARDOWN(ways)
{
	granter_teardown(_metadata, &self->gr);
	close(self->fd);
}

#define ASSERT_MAPPED(addr) \
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("mmap: %s", strerror(errno))

TEST_F_TIMEOUT(ways, read_only_map_of_writable_grant, GM_TEST_S)
{
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_MAPPED(addr);
	EXPECT_PATTERN(addr, SEED_GUEST, 0, PAGES);
	EXPECT_EQ(SIGSEGV, gm_touch(addr, true));
	EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
}

TEST_F_TIMEOUT(ways, writable_map_of_read_only_grant_is_refused, GM_TEST_S)
{
	struct gm_grant *ro;
	void *addr;

	ro = granter_grant(_metadata, &self->gr, 2, false, SEED_GUEST);
	addr = gm_gntdev_map(self->fd, ro, PROT_READ | PROT_WRITE, NULL);
	EXPECT_EQ(MAP_FAILED, addr);
	EXPECT_TRUE(errno == EINVAL || errno == EACCES || errno == EPERM)
		TH_LOG("errno %d (%s)", errno, strerror(errno));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(ways, private_read_only_map, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->grant->domid,
					  self->grant->refs, PAGES);
	void *addr;

	ASSERT_LE(0, index);
	addr = mmap(NULL, PAGES * GM_PAGE_SIZE, PROT_READ, MAP_PRIVATE,
		    self->fd, index);
	ASSERT_MAPPED(addr);
	EXPECT_PATTERN(addr, SEED_GUEST, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
}

TEST_F_TIMEOUT(ways, two_maps_of_one_grant, GM_TEST_S)
{
	void *one = gm_gntdev_map(self->fd, self->grant,
				  PROT_READ | PROT_WRITE, NULL);
	void *two = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_MAPPED(one);
	ASSERT_MAPPED(two);
	EXPECT_IN_USE(&self->gr, PAGES);
	gm_fill(one, SEED_MAPPER, 0, PAGES);
	EXPECT_PATTERN(two, SEED_MAPPER, 0, PAGES);
	EXPECT_EQ(0, munmap(one, PAGES * GM_PAGE_SIZE));
	EXPECT_PATTERN(two, SEED_MAPPER, 0, PAGES);
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, munmap(two, PAGES * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(ways, two_maps_in_two_files, GM_TEST_S)
{
	int fd = gm_gntdev_open();
	void *one, *two;

	ASSERT_LE(0, fd);
	one = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	two = gm_gntdev_map(fd, self->grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_MAPPED(one);
	ASSERT_MAPPED(two);
	gm_fill(two, SEED_MAPPER, 0, PAGES);
	EXPECT_EQ(0, munmap(two, PAGES * GM_PAGE_SIZE));
	close(fd);
	EXPECT_PATTERN(one, SEED_MAPPER, 0, PAGES);
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, munmap(one, PAGES * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(ways, refs_in_any_order, GM_TEST_S)
{
	uint32_t refs[PAGES];
	int64_t index;
	void *addr;

	for (unsigned int i = 0; i < PAGES; i++)
		refs[i] = self->grant->refs[PAGES - 1 - i];
	index = gm_gntdev_map_ref(self->fd, self->grant->domid, refs, PAGES);
	ASSERT_LE(0, index);
	addr = gm_gntdev_mmap(self->fd, index, PAGES, PROT_READ);
	ASSERT_MAPPED(addr);
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_EQ(-1, gm_check(page_at(addr, i), SEED_GUEST,
				       PAGES - 1 - i, 1));
	EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
}

TEST_F_TIMEOUT(ways, one_ref_twice_in_a_map, GM_TEST_S)
{
	uint32_t refs[2] = { self->grant->refs[3], self->grant->refs[3] };
	int64_t index;
	void *addr;

	index = gm_gntdev_map_ref(self->fd, self->grant->domid, refs, 2);
	ASSERT_LE(0, index);
	addr = gm_gntdev_mmap(self->fd, index, 2, PROT_READ | PROT_WRITE);
	ASSERT_MAPPED(addr);
	EXPECT_IN_USE(&self->gr, 1);
	gm_fill(addr, SEED_MAPPER, 3, 1);
	EXPECT_EQ(-1, gm_check(page_at(addr, 1), SEED_MAPPER, 3, 1));
	EXPECT_EQ(0, munmap(addr, GM_PAGE_SIZE));
	EXPECT_EQ(-1, gm_check(page_at(addr, 1), SEED_MAPPER, 3, 1));
	EXPECT_IN_USE(&self->gr, 1);
	EXPECT_EQ(0, munmap(page_at(addr, 1), GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, 0);
}

/* Maps of one page each, which go in another order than they came. */
TEST_F_TIMEOUT(ways, many_maps_in_one_file, GM_TEST_S)
{
	int64_t index[PAGES];
	void *addr[PAGES];

	for (unsigned int i = 0; i < PAGES; i++) {
		struct gm_grant one = *self->grant;

		one.refs += i;
		one.count = 1;
		addr[i] = gm_gntdev_map(self->fd, &one, PROT_READ, &index[i]);
		ASSERT_MAPPED(addr[i]);
	}
	EXPECT_IN_USE(&self->gr, PAGES);
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int at = i * 7 % PAGES;

		EXPECT_EQ(-1, gm_check(addr[at], SEED_GUEST, at, 1));
		EXPECT_EQ(0, munmap(addr[at], GM_PAGE_SIZE));
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index[at], 1));
		EXPECT_IN_USE(&self->gr, PAGES - 1 - i);
	}
}

/* Stock maps whole maps only. */
TEST_F_TIMEOUT(ways, g12_mmap_of_a_part, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->grant->domid,
					  self->grant->refs, PAGES);
	void *low, *high;

	ASSERT_LE(0, index);
	high = gm_gntdev_mmap(self->fd, index + 8 * GM_PAGE_SIZE, 8, PROT_READ);
	ASSERT_MAPPED(high);
	EXPECT_EQ(-1, gm_check(high, SEED_GUEST, 8, 8));
	low = gm_gntdev_mmap(self->fd, index + 2 * GM_PAGE_SIZE, 3, PROT_READ);
	ASSERT_MAPPED(low);
	EXPECT_EQ(-1, gm_check(low, SEED_GUEST, 2, 3));
	EXPECT_EQ(0, munmap(high, 8 * GM_PAGE_SIZE));
	EXPECT_EQ(-1, gm_check(low, SEED_GUEST, 2, 3));
	EXPECT_EQ(0, munmap(low, 3 * GM_PAGE_SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
}

TEST_F_TIMEOUT(ways, second_mmap_at_a_time_is_refused, GM_TEST_S)
{
	int64_t index;
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &index);

	ASSERT_MAPPED(addr);
	EXPECT_EQ(MAP_FAILED, gm_gntdev_mmap(self->fd, index, PAGES, PROT_READ));
	EXPECT_TRUE(errno == EBUSY || errno == EINVAL)
		TH_LOG("errno %d (%s)", errno, strerror(errno));
	EXPECT_PATTERN(addr, SEED_GUEST, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
}

TEST_HARNESS_MAIN
