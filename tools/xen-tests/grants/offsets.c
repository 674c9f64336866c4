// SPDX-License-Identifier: GPL-2.0-only
/*
 * The offsets of a file that MAP_GRANT_REF gives out: each map has its own, a map that has left
 * can be reached no more, offsets are used again, and a file without maps begins at 0.
 */
#include "gm_fault.h"
#include "observe.h"

#define SEED	0x0ff5e7ULL
#define REFS	64U
#define MOST	5U	/* grants of a map */
#define MAPS	150U	/* at the same time: more than a file keeps offsets of */
#define STEPS	6000U
#define STRIDE	7U	/* no divisor of MAPS */

FIXTURE(offsets) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	int fail;	/* of the test that asks for failures */
};

FIXTURE_SETUP(offsets)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, REFS, true, SEED);
	self->fail = -1;
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(offsets)
{
	if (self->fail >= 0) {
		gm_fail_slab(false);
		gm_fail_allocations(false);
		close(self->fail);
	}
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* The next number of a sequence that is the same each time. */
static unsigned int chance(uint32_t *state)
{
	*state = *state * 1664525U + 1013904223U;
	return *state >> 16;
}

/* A map of @count grants, from grant @first on; offset in pages. */
static int64_t map(FIXTURE_DATA(offsets) *self, unsigned int first, unsigned int count)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->gr.domid,
					  &self->grant->refs[first], count);

	return index < 0 ? index : index / (int64_t)GM_PAGE_SIZE;
}

static int unmap(FIXTURE_DATA(offsets) *self, int64_t page, unsigned int count)
{
	return gm_gntdev_unmap_ref(self->fd, page * GM_PAGE_SIZE, count);
}

/* Maps of all sizes come and go. What is at an offset is what was mapped there. */
TEST_F_TIMEOUT(offsets, each_map_has_its_own, GM_LONG_TEST_S)
{
	struct {
		int64_t page;
		unsigned int first, count;
	} maps[MAPS];
	unsigned int n = 0, most = 0, live = 0;
	uint32_t state = SEED;
	int64_t end = 0;

	for (unsigned int step = 0; step < STEPS; step++) {
		/* They grow and shrink by turns. */
		bool grow = chance(&state) % 8 < (step / (2 * MAPS) % 2 ? 3U : 5U);

		if (n && (n == MAPS || !grow)) {
			unsigned int i = chance(&state) % n;
			void *addr = gm_gntdev_mmap(self->fd, maps[i].page * GM_PAGE_SIZE,
						    maps[i].count, PROT_READ);

			ASSERT_NE(MAP_FAILED, addr) TH_LOG("step %u", step);
			ASSERT_EQ(-1, gm_check(addr, SEED, maps[i].first, maps[i].count))
				TH_LOG("step %u: another map's", step);
			ASSERT_EQ(0, munmap(addr, maps[i].count * GM_PAGE_SIZE));
			ASSERT_EQ(0, unmap(self, maps[i].page, maps[i].count));
			live -= maps[i].count;
			maps[i] = maps[--n];
			continue;
		}
		maps[n].count = 1 + chance(&state) % MOST;
		maps[n].first = chance(&state) % (REFS - MOST);
		maps[n].page = map(self, maps[n].first, maps[n].count);
		ASSERT_LE(0, maps[n].page) TH_LOG("step %u", step);
		for (unsigned int i = 0; i < n; i++) {
			ASSERT_TRUE(maps[n].page + maps[n].count <= maps[i].page ||
				    maps[i].page + maps[i].count <= maps[n].page)
				TH_LOG("step %u: two maps at offset %lld", step,
				       (long long)maps[n].page);
		}
		live += maps[n].count;
		most = live > most ? live : most;
		if (maps[n].page + maps[n].count > end)
			end = maps[n].page + maps[n].count;
		n++;
	}
	gm_note("at most %u pages at once, below offset %lld", most, (long long)end);
	/* What a file keeps back and gaps that do not fit: but no more with each step. */
	EXPECT_LE(end, 3 * (int64_t)most);
	while (n) {
		n--;
		EXPECT_EQ(0, unmap(self, maps[n].page, maps[n].count));
	}
	EXPECT_EQ(0, map(self, 0, MOST));
}

TEST_F_TIMEOUT(offsets, empty_file_begins_at_0, GM_TEST_S)
{
	ASSERT_EQ(0, map(self, 0, 1));
	ASSERT_EQ(1, map(self, 1, 1));
	ASSERT_EQ(2, map(self, 2, 2));
	EXPECT_EQ(0, unmap(self, 1, 1));
	EXPECT_EQ(0, unmap(self, 0, 1));
	EXPECT_EQ(0, unmap(self, 2, 2));
	/* Larger than any that was. */
	EXPECT_EQ(0, map(self, 0, 3));
}

/* No call takes what is left at its offset for a map. */
TEST_F_TIMEOUT(offsets, gone_map_is_gone, GM_TEST_S)
{
	ASSERT_EQ(0, map(self, 0, 1));
	ASSERT_EQ(1, map(self, 1, 2));
	ASSERT_EQ(0, unmap(self, 1, 2));

	for (int64_t page = 1; page < 3; page++) {
		EXPECT_EQ(MAP_FAILED, gm_gntdev_mmap(self->fd, page * GM_PAGE_SIZE, 1, PROT_READ));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-ENOENT, unmap(self, page, 1));
		EXPECT_NE(0, gm_gntdev_notify(self->fd, page * GM_PAGE_SIZE, 0, 0));
	}
	EXPECT_EQ(-ENOENT, unmap(self, 1, 2));
	EXPECT_EQ(1, map(self, 1, 2));
}

/*
 * UNMAP_GRANT_REF of each of many maps while there is no memory: all of them leave. (If one
 * stayed in the file's tree though it has ended, closing the file would end it again.)
 */
TEST_F_TIMEOUT(offsets, g14_removal_needs_no_memory, GM_TEST_S)
{
	struct gntdev_query query = { .size = sizeof(query) };
	bool extended = !ioctl(self->fd, IOCTL_GNTDEV_QUERY, &query);
	int kmsg = gm_kmsg_open();

	ASSERT_LE(0, kmsg);
	self->fail = gm_fail_slab_open();
	if (self->fail < 0)
		SKIP(return, "this kernel has no fault injection");
	debugfs_mount();
	ASSERT_EQ(0, gm_fail_allocations(true));
	ASSERT_EQ(0, gm_fail_slab(true));
	for (unsigned int i = 0; i < MAPS; i++)
		ASSERT_EQ(i, map(self, i % REFS, 1));
	for (unsigned int i = 0; i < MAPS; i++) {
		/* From all over the tree: each of its nodes becomes too small. */
		unsigned int page = i * STRIDE % MAPS;
		int err;

		ASSERT_EQ(1, pwrite(self->fail, "1", 1, 0));
		err = unmap(self, page, 1);
		ASSERT_EQ(1, pwrite(self->fail, "0", 1, 0));
		EXPECT_EQ(0, err) TH_LOG("%u: %s", page, strerror(-err));
		if (extended) {
			ASSERT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_QUERY, &query));
			ASSERT_EQ(MAPS - 1 - i, query.maps) TH_LOG("after %u", page);
		}
	}
	EXPECT_EQ(0, map(self, 0, 1));
	EXPECT_NO_COMPLAINT(kmsg);
	close(kmsg);
}

TEST_HARNESS_MAIN
