// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mapped grants hold, and what unmapping waits for: kernel memory for each page,
 * Xen's handles, hypercalls, and a munmap() while somebody else uses one of the pages.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

#define CGROUP_ROOT	"/tmp/gm-bench-cgroup"
#define CGROUP		CGROUP_ROOT "/mapper"

/* What the kernel has allocated for the processes of CGROUP, page tables apart, in bytes. */
static long charged(void)
{
	return gm_read_value(CGROUP "/memory.stat", "kernel") -
	       gm_read_value(CGROUP "/memory.stat", "pagetables");
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
 * Ours is charged to the mapper's memory cgroup, all of it: that is the figure, good to some
 * bytes a page (each processor keeps 64 pages' worth of charge to itself). Stock is not
 * charged, and has all but nothing outside of the slab allocator: Slab is the figure. Not in
 * either: the pool of pages without a frame with its struct pages, which grows to the most
 * that was ever mapped. The first rounds make it.
 */
TEST_F_TIMEOUT(hold, memory, GM_LONG_TEST_S)
{
	int64_t index[MAPS];
	void *addr[MAPS];
	long slab, kernel;

	for (int i = 0; i < 2; i++) {
		map_many(_metadata, self, index, addr);
		unmap_many(_metadata, self, index, addr);
	}
	ASSERT_EQ(0, mkdir(CGROUP_ROOT, 0755));
	ASSERT_EQ(0, mount("none", CGROUP_ROOT, "cgroup2", 0, NULL));
	EXPECT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.subtree_control", "+memory"));
	EXPECT_EQ(0, mkdir(CGROUP, 0755));
	EXPECT_EQ(0, gm_write_file(CGROUP "/cgroup.procs", "0"));

	gm_sleep_ms(3000);
	slab = gm_meminfo("Slab");
	kernel = charged();
	map_many(_metadata, self, index, addr);
	/* memory.stat is brought up to date every two seconds. */
	gm_sleep_ms(3000);
	slab = (gm_meminfo("Slab") - slab) * 1024;
	kernel = charged() - kernel;
	gm_note("%u pages: Slab %ld KiB, charged %ld KiB", MAPS * TABLE, slab / 1024,
		kernel / 1024);
	bench_print_one("grants.memory", "bytes",
			(kernel > slab ? kernel : slab) / (MAPS * TABLE));
	bench_print_one("grants.memory.charged", "bytes", kernel / (MAPS * TABLE));
	unmap_many(_metadata, self, index, addr);

	EXPECT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.procs", "0"));
	EXPECT_TRUE(gm_wait(!rmdir(CGROUP), 10000));
	EXPECT_EQ(0, umount(CGROUP_ROOT));
	EXPECT_EQ(0, rmdir(CGROUP_ROOT));
}

/* -- a busy page ---------------------------------------------------------------------- */

TEST_F_TIMEOUT(hold, busy_munmap, GM_LONG_TEST_S)
{
	struct iovec iov = { .iov_len = PAGE };
	char *addr, page[PAGE];
	int64_t index;
	uint64_t t;
	int fds[2];

	if (gm_kernel_is("stock"))
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
