// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large offsets, and memory: what a process makes the kernel hold is charged to it. And
 * handles: none is lost to a page table entry that the mm has zapped.
 *
 * In a PV domain IOCTL_GNTDEV_MAP_GRANT_REF maps nothing, so maps of half a million grants
 * are cheap. Elsewhere each of them would be mapped.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "grants.h"

#define SEED		0x117ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

/* The most grants of one map, see the module parameter "limit" */
#define MOST		65536U
#define TWO_GIB		(2LL << 30)

#define CGROUP_ROOT	"/tmp/gm-limits-cgroup"
#define CGROUP		CGROUP_ROOT "/mapper"

#define NOT_IN_PV	"not a PV domain: each grant of a map is mapped at once"

FIXTURE(limits) {
	struct granter gr;
	struct gm_grant *grant;
	uint32_t *refs;
	int fd;
};

FIXTURE_SETUP(limits)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->refs = malloc(MOST * sizeof(*self->refs));
	ASSERT_NE(NULL, self->refs);
	for (unsigned int i = 0; i < MOST; i++)
		self->refs[i] = self->grant->refs[i % PAGES];
}

FIXTURE_TEARDOWN(limits)
{
	free(self->refs);
	close(self->fd);
	EXPECT_IN_USE(&self->gr, 0);
	granter_teardown(_metadata, &self->gr);
}

/* Stock has the offset in an int, and fails here. */
TEST_F_TIMEOUT(limits, g07_offset_beyond_2_gib, GM_LONG_TEST_S)
{
	int64_t index = -1, big;
	char *addr;

	if (!gm_self_is_pv())
		SKIP(return, NOT_IN_PV);
	for (int64_t at = 0; at < TWO_GIB; at = big + MOST * GM_PAGE_SIZE) {
		big = gm_gntdev_map_ref(self->fd, self->gr.domid, self->refs, MOST);
		ASSERT_EQ(at, big) TH_LOG("%s", big < 0 ? strerror(-big) : "");
	}
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, &index);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
	EXPECT_LE(TWO_GIB, index);
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE / 2));
	EXPECT_IN_USE(&self->gr, PAGES / 2);
	EXPECT_EQ(0, munmap(addr + SIZE / 2, SIZE / 2));
	EXPECT_IN_USE(&self->gr, 0);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	for (int64_t at = 0; at < TWO_GIB; at += MOST * GM_PAGE_SIZE)
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, at, MOST));
	gm_note("offset %#llx", (long long)index);
}

/* A grant is 24 bytes. Each processor keeps some charge to itself: hence the bounds. */
TEST_F_TIMEOUT(limits, g13_maps_are_charged_to_the_mapper, GM_LONG_TEST_S)
{
	const int maps = 8;
	long before, per_grant;
	int64_t index[8];

	if (!gm_self_is_pv())
		SKIP(return, NOT_IN_PV);
	ASSERT_EQ(0, mkdir(CGROUP_ROOT, 0755));
	ASSERT_EQ(0, mount("none", CGROUP_ROOT, "cgroup2", 0, NULL));
	EXPECT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.subtree_control", "+memory"));
	EXPECT_EQ(0, mkdir(CGROUP, 0755));
	EXPECT_EQ(0, gm_write_file(CGROUP "/cgroup.procs", "0"));

	/* memory.stat is brought up to date every two seconds. */
	gm_sleep_ms(3000);
	before = gm_read_value(CGROUP "/memory.stat", "kernel");
	for (int i = 0; i < maps; i++) {
		index[i] = gm_gntdev_map_ref(self->fd, self->gr.domid, self->refs, MOST);
		EXPECT_LE(0, index[i]);
	}
	gm_sleep_ms(3000);
	per_grant = (gm_read_value(CGROUP "/memory.stat", "kernel") - before) /
		    (maps * (long)MOST);
	gm_note("%ld bytes a grant are charged", per_grant);
	EXPECT_LE(20, per_grant);
	EXPECT_GE(32, per_grant);
	for (int i = 0; i < maps; i++)
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index[i], MOST));

	EXPECT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.procs", "0"));
	EXPECT_TRUE(gm_wait(!rmdir(CGROUP), LATER_MS)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, umount(CGROUP_ROOT));
	EXPECT_EQ(0, rmdir(CGROUP_ROOT));
}

/* Handles of Xen that the driver holds; -1: it does not say */
static int64_t handles(int fd)
{
	struct gntdev_query q = { .size = sizeof(q) };

	return ioctl(fd, IOCTL_GNTDEV_QUERY, &q) ? -1 : (int64_t)q.all_handles;
}

/*
 * Whatever takes the entries away, Xen has cleared them before the mm zaps: had the mm done it,
 * the unmap would be refused, and the grant in use for ever. (A Xen with debugging would say
 * "implicit unmap"; Debian's does not.)
 */
TEST_F_TIMEOUT(limits, g03_no_entry_is_zapped_behind_xens_back, GM_TEST_S)
{
	int64_t before = handles(self->fd);
	int status;
	char *addr;
	pid_t pid;

	if (!gm_self_is_pv())
		SKIP(return, "not a PV domain: page table entries are the mm's own");
	ASSERT_LE(0, before) TH_LOG("the driver does not say how many handles it holds");

	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(before + PAGES, handles(self->fd));
	EXPECT_EQ(0, madvise(addr, SIZE, MADV_DONTNEED));
	/* The kernel side holds on. */
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(before + PAGES, handles(self->fd));
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(before + 2 * PAGES, handles(self->fd));
	EXPECT_EQ(0, mprotect(addr, SIZE / 2, PROT_READ));
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(before, handles(self->fd));
	EXPECT_IN_USE(&self->gr, 0);

	/* And by the end of a process */
	pid = fork();
	if (!pid) {
		addr = gm_gntdev_map(gm_gntdev_open(), self->grant, PROT_READ, NULL);
		_exit(addr == MAP_FAILED || gm_check(addr, SEED, 0, PAGES) >= 0);
	}
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, handles(self->fd));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_HARNESS_MAIN
