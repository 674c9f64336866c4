// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mapped grants hold, and what unmapping waits for: kernel memory for each page,
 * Xen's handles, hypercalls, and a munmap() while somebody else uses one of the pages.
 */
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "bench_grants.h"

#define MAPS	128
#define BUSY	16U

FIXTURE(hold) {
	struct bench_grants b;
};

FIXTURE_SETUP(hold)
{
	bench_grants_setup(_metadata, &self->b);
}

FIXTURE_TEARDOWN(hold)
{
	bench_grants_teardown(&self->b);
}

/* -- kernel memory ------------------------------------------------------------------- */

/* A line of /proc/meminfo, in KiB. */
static long meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	size_t len = strlen(name);
	char line[128];
	long kib = -1;

	if (!f)
		return -1;
	while (kib < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			kib = atol(line + len + 1);
	fclose(f);
	return kib;
}

static void tell(const char *path, const char *what)
{
	FILE *f = fopen(path, "we");

	if (f) {
		fputs(what, f);
		fclose(f);
	}
}

/* What is freed some time later has been freed, and is on no list of a processor. */
static void settle(void)
{
	gm_sleep_ms(1000);
	tell("/proc/sys/vm/drop_caches", "3");
	tell("/proc/sys/vm/compact_memory", "1");
	tell("/proc/sys/vm/stat_refresh", "1");
}

static void map_many(META, FIXTURE_DATA(hold) *self, int64_t *index, void **addr)
{
	for (int i = 0; i < MAPS; i++) {
		index[i] = gm_gntdev_map_ref(self->b.gntdev, gm_self_domid(),
					     self->b.refs + i % 8 * TABLE, TABLE);
		ASSERT_LE(0, index[i]);
		addr[i] = gm_gntdev_mmap(self->b.gntdev, index[i], TABLE,
					 PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, addr[i]);
	}
}

static void unmap_many(META, FIXTURE_DATA(hold) *self, int64_t *index, void **addr)
{
	for (int i = 0; i < MAPS; i++) {
		ASSERT_EQ(0, munmap(addr[i], TABLE * PAGE));
		ASSERT_EQ(0, gm_gntdev_unmap_ref(self->b.gntdev, index[i], TABLE));
	}
}

/*
 * What free memory there is less, page tables apart, which any mapping has. Not in it: the
 * pool of pages without a frame with its struct pages, which grows to the most that was
 * ever mapped: the first rounds make it. Good to a few bytes; Slab is exact, but has not
 * all of it.
 */
TEST_F_TIMEOUT(hold, memory, GM_LONG_TEST_S)
{
	long slab, vmalloc, mem_free, tables;
	int64_t index[MAPS];
	void *addr[MAPS];

	for (int i = 0; i < 2; i++) {
		map_many(_metadata, self, index, addr);
		unmap_many(_metadata, self, index, addr);
	}
	settle();
	slab = meminfo("Slab");
	vmalloc = meminfo("VmallocUsed");
	mem_free = meminfo("MemFree");
	tables = meminfo("PageTables");
	ASSERT_LE(0, slab);
	ASSERT_LE(0, vmalloc);

	map_many(_metadata, self, index, addr);
	settle();
	slab = meminfo("Slab") - slab;
	vmalloc = meminfo("VmallocUsed") - vmalloc;
	mem_free -= meminfo("MemFree");
	tables = meminfo("PageTables") - tables;
	gm_note("%u pages: Slab %ld KiB, VmallocUsed %ld KiB; PageTables %ld KiB, MemFree less by %ld KiB",
		MAPS * TABLE, slab, vmalloc, tables, mem_free);
	/* Less was freed meanwhile than is held. */
	if (mem_free > tables)
		bench_print_one("grants.memory", "bytes",
				(mem_free - tables) * 1024 / (MAPS * TABLE));
	bench_print_one("grants.memory.slab", "bytes", (slab + vmalloc) * 1024 / (MAPS * TABLE));
	unmap_many(_metadata, self, index, addr);
}

/* -- a busy page ---------------------------------------------------------------------- */

TEST_F_TIMEOUT(hold, busy_munmap, GM_LONG_TEST_S)
{
	struct iovec iov = { .iov_len = PAGE };
	char *addr, page[PAGE];
	int64_t index;
	uint64_t t;
	int fds[2];

	if (!strcmp(getenv("GM_KERNEL") ?: "", "stock"))
		SKIP(return, "the stock driver spoils the process's page accounting with this");
	index = gm_gntdev_map_ref(self->b.gntdev, gm_self_domid(), self->b.refs, BUSY);
	ASSERT_LE(0, index);
	addr = gm_gntdev_mmap(self->b.gntdev, index, BUSY, PROT_READ | PROT_WRITE);
	ASSERT_NE((void *)MAP_FAILED, addr);
	ASSERT_EQ(0, pipe(fds));
	iov.iov_base = addr + BUSY / 2 * PAGE;
	ASSERT_EQ((ssize_t)PAGE, vmsplice(fds[1], &iov, 1, 0)) TH_LOG("%s", strerror(errno));
	t = ticks();
	ASSERT_EQ(0, munmap(addr, BUSY * PAGE));
	t = ticks() - t;
	bench_print_one("grants.busy.munmap", "ticks", t);
	ASSERT_EQ((ssize_t)PAGE, read(fds[0], page, PAGE));
	EXPECT_EQ(-1, gm_check(page, REFS, BUSY / 2, 1));
	close(fds[0]);
	close(fds[1]);
	ASSERT_EQ(0, gm_gntdev_unmap_ref(self->b.gntdev, index, BUSY));
}

BENCH_GRANTS_MAIN
