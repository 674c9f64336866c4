// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large offsets, and memory: what a process makes the kernel hold is charged to it. And
 * handles: none is lost to a page table entry that the mm has zapped.
 *
 * In a PV domain IOCTL_GNTDEV_MAP_GRANT_REF maps nothing, so maps of half a million grants
 * are cheap. Elsewhere each of them would be mapped.
 */
#include <sys/wait.h>

#include "grants.h"
#include "cgroup.h"

#define SEED		0x117ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

/* The most grants of one map, see the module parameter "limit" */
#define MOST		65536U
#define TWO_GIB		(2LL << 30)

/* A cgroup for no more than some of the largest maps; what does not fit, below G7's 2 GiB. */
#define LIMIT		(8L << 20)
#define LIMIT_TEXT	"8M"
#define TOO_MANY	7
/* A grant takes as much at least. */
#define GRANT_BYTES	20

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
	if (!cgroup_make(_metadata, NULL))
		SKIP(return, "no cgroup2");
	EXPECT_EQ(0, cgroup_enter());

	/* memory.stat is brought up to date every two seconds. */
	gm_sleep_ms(3000);
	before = cgroup_value("memory.stat", "kernel");
	for (int i = 0; i < maps; i++) {
		index[i] = gm_gntdev_map_ref(self->fd, self->gr.domid, self->refs, MOST);
		EXPECT_LE(0, index[i]);
	}
	gm_sleep_ms(3000);
	per_grant = (cgroup_value("memory.stat", "kernel") - before) /
		    (maps * (long)MOST);
	gm_note("%ld bytes a grant are charged", per_grant);
	EXPECT_LE(GRANT_BYTES, per_grant);
	EXPECT_GE(32, per_grant);
	for (int i = 0; i < maps; i++)
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index[i], MOST));

	EXPECT_EQ(0, cgroup_leave());
	cgroup_remove(_metadata);
}

/*
 * Makes maps until there is no more memory for them, and says how many through @to. The exit
 * status is the errno.
 */
static void map_until_enomem(FIXTURE_DATA(limits) *self, int to)
{
	unsigned char n = 0;
	int64_t index;

	if (cgroup_enter())
		_exit(255);
	while (n < TOO_MANY) {
		index = gm_gntdev_map_ref(self->fd, self->gr.domid, self->refs, MOST);
		if (index < 0)
			_exit(-index);
		n++;
		if (write(to, &n, 1) != 1)
			_exit(255);
	}
	_exit(0);
}

/*
 * A process with a limit gets so many maps and no more: it is the one that has no memory then,
 * or that is killed for that. Nothing is left of it. On stock it gets them all.
 */
TEST_F_TIMEOUT(limits, g13_limit_of_a_cgroup_ends_mapping, GM_LONG_TEST_S)
{
	unsigned char n = 0;
	int fds[2], status;
	long left;
	pid_t pid;

	if (!gm_self_is_pv())
		SKIP(return, NOT_IN_PV);
	if (!cgroup_make(_metadata, LIMIT_TEXT))
		SKIP(return, "no cgroup2");
	EXPECT_EQ(0, pipe(fds));
	pid = fork();
	if (!pid) {
		/* A file of its own, which goes with it. */
		close(self->fd);
		self->fd = gm_gntdev_open();
		map_until_enomem(self, fds[1]);
	}
	EXPECT_LT(0, pid);
	close(fds[1]);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	while (read(fds[0], &n, 1) == 1)
		;
	close(fds[0]);
	EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL :
					  WEXITSTATUS(status) == ENOMEM)
		TH_LOG("status %#x", status);
	EXPECT_LT(0, n);
	EXPECT_GE(LIMIT, n * (long)MOST * GRANT_BYTES);
	gm_note("%u maps of %u grants, then %s", n, MOST,
		WIFSIGNALED(status) ? "killed" : strerror(WEXITSTATUS(status)));
	EXPECT_IN_USE(&self->gr, 0);
	/* All of it has been taken off again; some slack for what processors keep. */
	EXPECT_TRUE(gm_wait((left = cgroup_value("memory.stat", "kernel")) < LIMIT / 8,
			    LATER_MS))
		TH_LOG("%ld bytes left", left);
	cgroup_remove(_metadata);

	/* Who has no such limit is not concerned. */
	left = gm_gntdev_map_ref(self->fd, self->gr.domid, self->refs, MOST);
	EXPECT_LE(0, left);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, left, MOST));
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
 * "implicit unmap"; Debian's does not.) Stock does not say how many handles it holds, and
 * fails for that alone: what it does wrong shows in busy.c.
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
