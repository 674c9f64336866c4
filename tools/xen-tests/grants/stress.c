// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same again and again, and two at a time: nothing grows, nothing is lost.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <xengnttab.h>

#include "grants.h"

#define SEED		0x88ULL

/* ---- cycles ---- */

/* Until caches and pools of the kernel have their size. */
#define WARM_UP(cycles)	((cycles) / 20)
/* What the kernel's slab may differ by for other reasons: a leaked map is 1 KiB. */
#define SLAB_SLACK_KB	2048

FIXTURE(cycles) {
	struct granter gr;
	xengnttab_handle *xgt;
};

FIXTURE_VARIANT(cycles) {
	unsigned int pages;
	int cycles;
};

FIXTURE_VARIANT_ADD(cycles, 1_page) { .pages = 1, .cycles = 10000 };
FIXTURE_VARIANT_ADD(cycles, 512_pages) { .pages = 512, .cycles = 200 };

FIXTURE_SETUP(cycles)
{
	granter_setup(_metadata, &self->gr);
	self->xgt = xengnttab_open(NULL, 0);
	ASSERT_NE(NULL, self->xgt);
}

FIXTURE_TEARDOWN(cycles)
{
	xengnttab_close(self->xgt);
	granter_teardown(_metadata, &self->gr);
}

/* The number of cycles that worked. */
static int cycle(xengnttab_handle *xgt, struct gm_grant *grant, int cycles)
{
	for (int i = 0; i < cycles; i++) {
		uint64_t *addr;

		addr = xengnttab_map_domain_grant_refs(xgt, grant->count,
						       grant->domid, grant->refs,
						       PROT_READ | PROT_WRITE);
		if (!addr)
			return i;
		if (*addr != gm_pattern(SEED, 0, 0) ||
		    xengnttab_unmap(xgt, addr, grant->count))
			return i;
	}
	return cycles;
}

TEST_F_TIMEOUT(cycles, nothing_grows, GM_LONG_TEST_S)
{
	int warm_up = WARM_UP(variant->cycles);
	int self_domid = gm_self_domid();
	struct gm_gnttab table, after;
	struct gm_grant *grant;
	int maptrack;
	double start;
	long slab;

	grant = granter_grant(_metadata, &self->gr, variant->pages, true, SEED);
	ASSERT_EQ(warm_up, cycle(self->xgt, grant, warm_up));
	ASSERT_EQ(0, gm_gnttab_read(self->gr.domid, &table));
	maptrack = gm_maptrack_frames(self_domid);
	ASSERT_LE(0, maptrack) TH_LOG("debug key g: %s", strerror(-maptrack));
	slab = gm_meminfo("Slab");

	start = gm_now();
	ASSERT_EQ(variant->cycles, cycle(self->xgt, grant, variant->cycles));
	gm_note("%.0f cycles of map and unmap per second, %u page(s) each",
		variant->cycles / (gm_now() - start), variant->pages);

	EXPECT_TRUE(gm_wait(gm_meminfo("Slab") < slab + SLAB_SLACK_KB, LATER_MS))
		TH_LOG("slab grew from %ld to %ld KiB", slab, gm_meminfo("Slab"));
	EXPECT_EQ(maptrack, gm_maptrack_frames(self_domid));
	ASSERT_EQ(0, gm_gnttab_read(self->gr.domid, &after));
	EXPECT_EQ(table.frames, after.frames);
	EXPECT_EQ(table.granted, after.granted);
	EXPECT_EQ(table.in_use, after.in_use);
	gm_note("slab %ld -> %ld KiB, maptrack %d pages, grant table %u pages",
		slab, gm_meminfo("Slab"), maptrack, after.frames);
}

/* ---- threads ---- */

#define PAGES		8U
#define ROUNDS		1500

FIXTURE(threads) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	void *arena;		/* address space in which nobody else maps */
	_Atomic int64_t index;	/* of the map that is there just now, or -1 */
	atomic_bool stop;
	unsigned long good, other, wrong;
};

FIXTURE_SETUP(threads)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->arena = mmap(NULL, PAGES * GM_PAGE_SIZE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->arena);
	self->index = -1;
}

FIXTURE_TEARDOWN(threads)
{
	munmap(self->arena, PAGES * GM_PAGE_SIZE);
	close(self->fd);
	EXPECT_IN_USE(&self->gr, 0);
	granter_teardown(_metadata, &self->gr);
}

/* Unmaps by mapping nothing over it, so that the arena stays ours. */
static void unmap_part(void *arena, unsigned int first, unsigned int count)
{
	mmap(page_at(arena, first), count * GM_PAGE_SIZE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* Takes away what the mapper makes: parts of the mapping, or the map. */
static void *disturb(void *arg)
{
	FIXTURE_DATA(threads) *self = arg;

	for (unsigned int i = 0; !self->stop; i++) {
		int64_t index = self->index;

		switch (i % 3) {
		case 0:
			unmap_part(self->arena, i % PAGES, 1);
			break;
		case 1:
			if (index >= 0)
				gm_gntdev_unmap_ref(self->fd, index, PAGES);
			break;
		case 2:
			unmap_part(self->arena, 0, PAGES);
			break;
		}
	}
	return NULL;
}

static void map_and_unmap(FIXTURE_DATA(threads) *self)
{
	int64_t index;
	void *addr;

	index = gm_gntdev_map_ref(self->fd, self->grant->domid,
				  self->grant->refs, PAGES);
	if (index < 0) {
		self->wrong++;
		return;
	}
	self->index = index;
	addr = mmap(self->arena, PAGES * GM_PAGE_SIZE, PROT_READ,
		    MAP_SHARED | MAP_FIXED, self->fd, index);
	if (addr == MAP_FAILED)
		self->other++;
	else
		self->good++;
	unmap_part(self->arena, 0, PAGES);
	self->index = -1;
	gm_gntdev_unmap_ref(self->fd, index, PAGES);
}

TEST_F_TIMEOUT(threads, map_against_unmap, GM_LONG_TEST_S)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, disturb, self));
	for (int i = 0; i < ROUNDS; i++)
		map_and_unmap(self);
	self->stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, self->wrong);
	EXPECT_NE(0, self->good);
	gm_note("%lu mapped, %lu lost the race", self->good, self->other);
	EXPECT_IN_USE(&self->gr, 0);
}

/* Two threads, a file and an mm together, each with maps of its own. */
static void *map_verify_unmap(void *arg)
{
	FIXTURE_DATA(threads) *self = arg;
	unsigned long wrong = 0;

	for (int i = 0; i < ROUNDS / 3; i++) {
		int64_t index;
		void *addr;

		addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &index);
		if (addr == MAP_FAILED) {
			wrong++;
			continue;
		}
		wrong += gm_check(addr, SEED, 0, PAGES) >= 0;
		wrong += !!munmap(addr, 3 * GM_PAGE_SIZE);
		wrong += gm_check(page_at(addr, 3), SEED, 3, PAGES - 3) >= 0;
		wrong += !!munmap(page_at(addr, 3), (PAGES - 3) * GM_PAGE_SIZE);
		wrong += !!gm_gntdev_unmap_ref(self->fd, index, PAGES);
	}
	return (void *)wrong;
}

TEST_F_TIMEOUT(threads, two_mappers, GM_LONG_TEST_S)
{
	pthread_t thread;
	void *wrong;

	ASSERT_EQ(0, pthread_create(&thread, NULL, map_verify_unmap, self));
	EXPECT_EQ(NULL, map_verify_unmap(self));
	ASSERT_EQ(0, pthread_join(thread, &wrong));
	EXPECT_EQ(NULL, wrong);
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_HARNESS_MAIN
