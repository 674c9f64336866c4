// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many maps, large maps, and many processes that map and die.
 *
 * A grant may be mapped more than once, so that a few granted pages serve for many maps;
 * Xen counts the mappings of a grant in eight bits, hence REFS of them. GM_LONG=1 runs the
 * sizes that take long.
 */
#include <fcntl.h>

#include "grants.h"

#define SEED 0x5ca1eULL
#define REFS 1024U

static bool long_run(void)
{
	const char *value = getenv("GM_LONG");

	return value && atoi(value);
}

/* The old value of a number in /proc or /sys that is set; -1: not set. */
static long set_number(const char *path, long value)
{
	long old = -1;
	FILE *f = fopen(path, "r+e");

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &old) != 1)
		old = -1;
	rewind(f);
	if (fprintf(f, "%ld\n", value) < 0)
		old = -1;
	return fclose(f) ? -1 : old;
}

/* ---- many maps in one file ---- */

#define MAX_MAP_COUNT "/proc/sys/vm/max_map_count"

FIXTURE(live) {
	struct granter gr;
	struct gm_grant *grant;
	long max_map_count;
	int fd;
};

FIXTURE_VARIANT(live) {
	unsigned int maps;
	bool takes_long;
};

FIXTURE_VARIANT_ADD(live, 1) { .maps = 1 };
FIXTURE_VARIANT_ADD(live, 1000) { .maps = 1000 };
FIXTURE_VARIANT_ADD(live, 10000) { .maps = 10000, .takes_long = true };
FIXTURE_VARIANT_ADD(live, 60000) { .maps = 60000, .takes_long = true };

FIXTURE_SETUP(live)
{
	if (variant->takes_long && !long_run())
		SKIP(return, "GM_LONG=1 runs it");
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, REFS, true, SEED);
	self->max_map_count = set_number(MAX_MAP_COUNT, variant->maps + 65530);
	ASSERT_LE(0, self->max_map_count);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(live)
{
	if (!self->gr.g)
		return;
	close(self->fd);
	EXPECT_LE(0, set_number(MAX_MAP_COUNT, self->max_map_count));
	granter_teardown(_metadata, &self->gr);
}

/* Stock never reuses a gap that fits exactly: there, the second half fails. */
TEST_F_TIMEOUT(live, g08_each_works_and_gaps_are_reused, GM_LONG_TEST_S)
{
	unsigned int n = variant->maps, gap = n / 2;
	unsigned int used = n < REFS ? n : REFS;
	int64_t *index = calloc(n, sizeof(*index));
	void **addr = calloc(n, sizeof(*addr));
	double start = gm_now();
	int64_t again;

	ASSERT_NE(NULL, index);
	ASSERT_NE(NULL, addr);
	for (unsigned int i = 0; i < n; i++) {
		uint32_t *ref = &self->grant->refs[i % REFS];

		index[i] = gm_gntdev_map_ref(self->fd, self->gr.domid, ref, 1);
		ASSERT_LE(0, index[i]) TH_LOG("map %u: %s", i, strerror(-index[i]));
		addr[i] = gm_gntdev_mmap(self->fd, index[i], 1, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, addr[i]) TH_LOG("mmap %u: %s", i, strerror(errno));
	}
	gm_note("%u maps: %.1f us each", n, (gm_now() - start) * 1e6 / n);
	for (unsigned int i = 0; i < n; i++) {
		ASSERT_EQ(gm_pattern(SEED, i % REFS, 0), *(volatile uint64_t *)addr[i])
			TH_LOG("map %u", i);
	}
	EXPECT_IN_USE(&self->gr, (int)used);

	/* The lowest gap that fits is the only one there is. */
	ASSERT_EQ(0, munmap(addr[gap], GM_PAGE_SIZE));
	ASSERT_EQ(0, gm_gntdev_unmap_ref(self->fd, index[gap], 1));
	again = gm_gntdev_map_ref(self->fd, self->gr.domid,
				  &self->grant->refs[gap % REFS], 1);
	EXPECT_EQ(index[gap], again);
	addr[gap] = gm_gntdev_mmap(self->fd, again, 1, PROT_READ);
	ASSERT_NE(MAP_FAILED, addr[gap]);
	EXPECT_EQ(gm_pattern(SEED, gap % REFS, 0), *(volatile uint64_t *)addr[gap]);
	index[gap] = again;

	start = gm_now();
	for (unsigned int i = 0; i < n; i++) {
		ASSERT_EQ(0, munmap(addr[i], GM_PAGE_SIZE));
		ASSERT_EQ(0, gm_gntdev_unmap_ref(self->fd, index[i], 1));
	}
	gm_note("%u released: %.1f us each", n, (gm_now() - start) * 1e6 / n);
	EXPECT_IN_USE(&self->gr, 0);
	free(addr);
	free(index);
}

/* ---- half a GiB in one map ---- */

#define LIMIT "/sys/module/xen_gntdev/parameters/limit"
#define LARGE (512U << 20 >> 12)

FIXTURE(large) {
	struct granter gr;
	struct gm_grant *grant;
	long limit;
	int fd;
};

FIXTURE_SETUP(large)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, REFS, true, SEED);
	self->limit = set_number(LIMIT, LARGE);
	ASSERT_LE(0, self->limit);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(large)
{
	close(self->fd);
	EXPECT_LE(0, set_number(LIMIT, self->limit));
	granter_teardown(_metadata, &self->gr);
}

/* Two of Xen's maptrack entries a page, as stock takes in PV, are more than the lab's Xen has. */
TEST_F_TIMEOUT(large, maps_512_mib_at_once, GM_LONG_TEST_S)
{
	uint32_t *refs = calloc(LARGE + 1, sizeof(*refs));
	double start = gm_now();
	int64_t index;
	char *addr;

	ASSERT_NE(NULL, refs);
	for (unsigned int i = 0; i <= LARGE; i++)
		refs[i] = self->grant->refs[i % REFS];
	EXPECT_EQ(-EINVAL, gm_gntdev_map_ref(self->fd, self->gr.domid, refs, LARGE + 1));
	index = gm_gntdev_map_ref(self->fd, self->gr.domid, refs, LARGE);
	ASSERT_LE(0, index) TH_LOG("%s", strerror(-index));
	addr = gm_gntdev_mmap(self->fd, index, LARGE, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
	gm_note("mapped in %.2f s", gm_now() - start);
	for (unsigned int i = 0; i < LARGE; i += 997) {
		ASSERT_EQ(gm_pattern(SEED, i % REFS, 0),
			  *(volatile uint64_t *)page_at(addr, i))
			TH_LOG("page %u", i);
	}
	EXPECT_EQ(gm_pattern(SEED, REFS - 1, 0),
		  *(volatile uint64_t *)page_at(addr, LARGE - 1));
	EXPECT_IN_USE(&self->gr, (int)REFS);
	start = gm_now();
	EXPECT_EQ(0, munmap(addr, LARGE * GM_PAGE_SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, LARGE));
	gm_note("released in %.2f s", gm_now() - start);
	EXPECT_IN_USE(&self->gr, 0);
	free(refs);
}

/* ---- processes that map and die ---- */

#define PROCESSES 64
#define STORM_PAGES 32U
#define SLAB_SLACK_KB 4096
/* Xen never gives pages of maptrack back: what all could hold at once, two entries a page. */
#define MAPTRACK_SLACK ((int)(PROCESSES * STORM_PAGES * 2 / 256))

FIXTURE(storm) {
	struct granter gr;
	struct gm_grant *grant;
};

FIXTURE_SETUP(storm)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, STORM_PAGES, true, SEED);
}

FIXTURE_TEARDOWN(storm)
{
	granter_teardown(_metadata, &self->gr);
}

/* Maps, unmaps in parts, forks and execs until it is killed, or ends by itself. */
static void live_and_die(const struct gm_grant *grant, unsigned int seed)
{
	for (;;) {
		unsigned int first = rand_r(&seed) % STORM_PAGES;
		unsigned int count = 1 + rand_r(&seed) % (STORM_PAGES - first);
		struct gm_grant part = *grant;
		int fd = gm_gntdev_open();
		char *addr;

		part.refs += first;
		part.count = count;
		addr = fd < 0 ? MAP_FAILED :
				gm_gntdev_map(fd, &part, PROT_READ | PROT_WRITE, NULL);
		if (addr == MAP_FAILED)
			_exit(1);
		if (*(volatile uint64_t *)addr != gm_pattern(SEED, first, 0))
			_exit(2);
		switch (rand_r(&seed) % 6) {
		case 0: /* a part goes, the rest goes with the next map's process */
			munmap(addr + count / 2 * GM_PAGE_SIZE, GM_PAGE_SIZE);
			break;
		case 1:
			if (!fork())
				_exit(0);
			break;
		case 2:
			if (!fork()) {
				execl("/bin/true", "true", NULL);
				_exit(3);
			}
			break;
		case 3:
			execl("/bin/true", "true", NULL);
			_exit(3);
		case 4:
			_exit(0);
		}
		munmap(addr, count * GM_PAGE_SIZE);
		close(fd);
	}
}

static pid_t spawn(const struct gm_grant *grant, unsigned int seed)
{
	pid_t pid = fork();

	if (!pid) {
		signal(SIGCHLD, SIG_IGN);
		live_and_die(grant, seed);
	}
	return pid;
}

TEST_F_TIMEOUT(storm, processes_map_and_die, GM_LONG_TEST_S)
{
	double end = gm_now() + (long_run() ? 600 : 10);
	unsigned int seed = 20261127, lives = 0, wrong = 0;
	int maptrack = gm_maptrack_frames(gm_self_domid()), after;
	pid_t pids[PROCESSES] = { 0 };
	long slab = gm_meminfo("Slab");

	gm_note("seed %u", seed);
	/* On a slow machine longer, until there have been more than live at a time. */
	while (gm_now() < end || lives <= PROCESSES) {
		unsigned int i = rand_r(&seed) % PROCESSES;
		int status;

		if (pids[i]) {
			kill(pids[i], SIGKILL);
			ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
			wrong += WIFEXITED(status) && WEXITSTATUS(status);
		}
		pids[i] = spawn(self->grant, rand_r(&seed));
		ASSERT_LT(0, pids[i]);
		lives++;
		gm_sleep_ms(rand_r(&seed) % 20);
	}
	for (int i = 0; i < PROCESSES; i++)
		if (pids[i]) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
	EXPECT_EQ(0U, wrong) TH_LOG("%u could not map, or read something else", wrong);
	EXPECT_LT(PROCESSES, lives);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	after = gm_maptrack_frames(gm_self_domid());
	gm_note("%u processes; maptrack pages %d, then %d; slab %ld KiB, then %ld", lives,
		maptrack, after, slab, gm_meminfo("Slab"));
	EXPECT_LE(0, maptrack);
	EXPECT_LE(after, maptrack + MAPTRACK_SLACK);
	EXPECT_TRUE(gm_wait(gm_meminfo("Slab") < slab + SLAB_SLACK_KB, LATER_MS));
}

/* ---- ioctls at random, without privilege ---- */

#define ROUNDS 5000
#define ARENA (1UL << 20)

static int fuzz(int fd, const struct gm_grant *grant, unsigned int seed)
{
	uint64_t *arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ok = 0;

	if (arena == MAP_FAILED || setgid(NOBODY) || setuid(NOBODY))
		return -1;
	for (int n = 0; n < ROUNDS; n++) {
		const uint64_t pool[] = {
			0, 1, 2, 16, 4096, 65536, 65537, 1ULL << 31, ~0U, 1ULL << 63,
			INT64_MAX, INT64_MAX & ~4095ULL, ~0ULL, (uintptr_t)arena,
			(uintptr_t)arena + ARENA - 8, (uintptr_t)&arena[64], -4096ULL,
			(uint64_t)grant->refs[rand_r(&seed) % grant->count] << 32 |
				grant->domid,
		};
		static const unsigned int sizes[] = { 0, 8, 16, 24, 32, 40, 48, 64 };
		unsigned int words = sizeof(pool) / sizeof(pool[0]);

		for (int i = 0; i < 16; i++)
			arena[i] = pool[rand_r(&seed) % words];
		ok += ioctl(fd, _IOC(rand_r(&seed) % 4, 'G', rand_r(&seed) % 40,
				     sizes[rand_r(&seed) % 8]), arena) >= 0;
		/* The known ones, or hardly a call would get past the number. */
		ok += ioctl(fd, rand_r(&seed) % 2 ? IOCTL_GNTDEV_MAP_GRANT_REF :
						    IOCTL_GNTDEV_UNMAP_GRANT_REF,
			    arena) >= 0;
		ok += ioctl(fd, IOCTL_GNTDEV_MAP_REFS + rand_r(&seed) % 3, arena) >= 0;
		ok += ioctl(fd, rand_r(&seed) % 2 ? IOCTL_GNTDEV_SET_UNMAP_NOTIFY :
						    IOCTL_GNTDEV_GRANT_COPY, arena) >= 0;
	}
	return ok;
}

FIXTURE(fuzz) {
	struct granter gr;
	struct gm_grant *grant;
};

FIXTURE_SETUP(fuzz)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, 16, true, SEED);
}

FIXTURE_TEARDOWN(fuzz)
{
	granter_teardown(_metadata, &self->gr);
}

/* A fixed seed, so that a failure comes again. */
TEST_F_TIMEOUT(fuzz, unprivileged_ioctls_harm_nobody, GM_LONG_TEST_S)
{
	unsigned int seed = 5;
	int status, fd, fds[2];
	int ok = -1;
	void *addr;
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		fd = gm_gntdev_open();
		ok = fd < 0 ? -1 : fuzz(fd, self->grant, seed);
		_exit(write(fds[1], &ok, sizeof(ok)) != sizeof(ok));
	}
	close(fds[1]);
	EXPECT_EQ((ssize_t)sizeof(ok), read(fds[0], &ok, sizeof(ok)));
	close(fds[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_LT(0, ok);
	gm_note("seed %u: %d of %d calls succeeded", seed, ok, 4 * ROUNDS);
	EXPECT_IN_USE(&self->gr, 0);

	fd = gm_gntdev_open();
	addr = gm_gntdev_map(fd, self->grant, PROT_READ, NULL);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_PATTERN(addr, gm_guest_fill(self->gr.g, self->grant, 9) ? 0ULL : 9ULL, 0, 16);
	EXPECT_EQ(0, munmap(addr, 16 * GM_PAGE_SIZE));
	close(fd);
}

/* ---- what one user may hold ---- */

#define OTHERS		"64"

/* Maps until it may not any more, in two files; 0 if all of it was as it should be. */
static int hold_all(const struct gm_grant *grant)
{
	int fds[2] = { gm_gntdev_open(), gm_gntdev_open() };
	int64_t index[2];

	if (fds[0] < 0 || fds[1] < 0 || setgid(NOBODY) || setuid(NOBODY))
		return 1;
	/* 4 times 16 */
	for (int i = 0; i < 4; i++) {
		index[i % 2] = gm_gntdev_map_ref(fds[i % 2], grant->domid, grant->refs, 16);
		if (index[i % 2] < 0)
			return 2;
	}
	if (gm_gntdev_map_ref(fds[0], grant->domid, grant->refs, 1) != -EDQUOT)
		return 3;
	if (gm_gntdev_unmap_ref(fds[1], index[1], 16))
		return 4;
	if (gm_gntdev_map_ref(fds[0], grant->domid, grant->refs, 17) != -EDQUOT)
		return 5;
	return gm_gntdev_map_ref(fds[0], grant->domid, grant->refs, 16) < 0 ? 6 : 0;
}

/* Xen's handles are for the whole domain: who has no privilege may not take all of them. */
TEST_F_TIMEOUT(fuzz, unprivileged_user_cannot_take_all, GM_TEST_S)
{
	char before[16];
	int status;
	void *addr;
	pid_t pid;
	int fd;

	ASSERT_LT(0, gm_read_file(LIMIT_USER, before, sizeof(before)))
		TH_LOG("the driver has no such limit");
	ASSERT_EQ(0, gm_write_file(LIMIT_USER, OTHERS));
	/* Twice: what the first has held is given back when it ends. */
	for (int i = 0; i < 2; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(hold_all(self->grant));
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	}
	/* Root may hold more. */
	fd = gm_gntdev_open();
	for (int i = 0; i < 8; i++) {
		addr = gm_gntdev_map(fd, self->grant, PROT_READ, NULL);
		ASSERT_NE(MAP_FAILED, addr);
		EXPECT_EQ(0, munmap(addr, 16 * GM_PAGE_SIZE));
	}
	close(fd);
	EXPECT_EQ(0, gm_write_file(LIMIT_USER, before));
}

TEST_HARNESS_MAIN
