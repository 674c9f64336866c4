// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mapping grants costs: one page among others that stay mapped, and a whole page
 * table's worth, step by step, beside what the hypercalls alone cost.
 *
 * A cycle is MAP_GRANT_REF, mmap, munmap, UNMAP_GRANT_REF. Nobody touches the pages. What the
 * kernel takes for four such system calls on any file is measured with a memfd.
 */
#include <sys/mman.h>

#include "bench_grants.h"

#define SAMPLES		21
#define MAX_MAP_COUNT	"/proc/sys/vm/max_map_count"
/*
 * Stock looks through a list at each map, so that making n of them costs n squared: give
 * up after so many ticks. What is not reached is not printed.
 */
#define PATIENCE	20000000000ULL

enum step {
	IOCTL,
	MMAP,
	MUNMAP,
	UNMAP,
	STEPS,
};

static const char *const step_names[] = { "ioctl", "mmap", "munmap", "unmap" };

FIXTURE(map) {
	struct bench_grants b;
	unsigned int samples;
};

FIXTURE_SETUP(map)
{
	bench_grants_setup(_metadata, &self->b);
	self->samples = self->b.bench.full ? SAMPLES : 3;
}

FIXTURE_TEARDOWN(map)
{
	bench_grants_teardown(&self->b);
}

/*
 * One cycle of @count pages; ticks of each step, less what measuring takes. Or the same system
 * calls on the memfd, whose pages are there, and which knows neither ioctl.
 */
static void cycle(META, struct bench_grants *b, bool of_file, unsigned int count,
		  uint64_t step[STEPS])
{
	struct ioctl_gntdev_map_grant_ref *op;
	struct ioctl_gntdev_unmap_grant_ref un = { .count = count };
	int flags = MAP_SHARED | (of_file ? MAP_POPULATE : 0);
	int fd = of_file ? b->memfd : b->gntdev;
	uint64_t t[STEPS + 1];
	void *addr;
	int ret[STEPS];

	op = calloc(1, sizeof(*op) + count * sizeof(op->refs[0]));
	ASSERT_NE(NULL, op);
	op->count = count;
	for (unsigned int i = 0; i < count; i++) {
		op->refs[i].domid = gm_self_domid();
		op->refs[i].ref = b->refs[i];
	}
	t[0] = ticks();
	ret[IOCTL] = ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, op);
	t[1] = ticks();
	addr = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, flags, fd, op->index);
	t[2] = ticks();
	ret[MUNMAP] = munmap(addr, count * PAGE);
	t[3] = ticks();
	un.index = op->index;
	ret[UNMAP] = ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &un);
	t[4] = ticks();
	if (of_file)
		ASSERT_EQ(ENOTTY, errno);
	free(op);
	ASSERT_EQ(of_file ? -1 : 0, ret[IOCTL]);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, ret[MUNMAP]);
	ASSERT_EQ(of_file ? -1 : 0, ret[UNMAP]);
	for (int i = 0; i < STEPS; i++)
		step[i] = t[i + 1] - t[i] - b->bench.overhead;
}

/* Cycles of @count pages; prints NAME and, if @steps, NAME.STEP. */
static void measure(META, struct bench_grants *b, bool of_file, const char *name,
		    unsigned int count, unsigned int n, bool steps)
{
	const char *unit = count > 1 ? "ticks/kpage" : "ticks";
	unsigned int scale = count > 1 ? count : 1000;
	uint64_t samples[STEPS + 1][SAMPLES], step[STEPS];
	char row[64];

	/* The first ones make what stays: page tables, the pool of pages, QEMU's code. */
	for (int i = 0; i < 3; i++)
		cycle(_metadata, b, of_file, count, step);
	for (unsigned int i = 0; i < n; i++) {
		cycle(_metadata, b, of_file, count, step);
		samples[STEPS][i] = 0;
		for (int s = 0; s < STEPS; s++) {
			samples[s][i] = per_kpage(step[s], scale);
			samples[STEPS][i] += step[s];
		}
		samples[STEPS][i] = per_kpage(samples[STEPS][i], scale);
	}
	bench_print(name, unit, samples[STEPS], n, "");
	for (int s = 0; steps && s < STEPS; s++) {
		snprintf(row, sizeof(row), "%s.%s", name, step_names[s]);
		bench_print(row, unit, samples[s], n, "");
	}
}

/* -- one page among others --------------------------------------------------------- */

enum others {
	MAPPED,		/* maps of the same file, each with its mapping */
	UNMAPPED,	/* maps alone */
	OF_FILE,	/* no maps at all: a cycle of the memfd among mappings of it */
};

static const char *const others_names[] = { "cycle", "cycle_unmapped", "cycle_file" };

/* One more that stays. */
static int add_live(struct bench_grants *b, unsigned int n, enum others others)
{
	int64_t index;
	void *addr;

	if (others == OF_FILE) {
		/* Neighbours that have the same page are not merged. */
		addr = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, b->memfd, 0);
		return addr == MAP_FAILED ? -errno : 0;
	}
	index = gm_gntdev_map_ref(b->gntdev, gm_self_domid(), &b->refs[n % REFS], 1);
	if (index < 0)
		return index;
	if (others == MAPPED &&
	    gm_gntdev_mmap(b->gntdev, index, 1, PROT_READ) == MAP_FAILED)
		return -errno;
	return 0;
}

static void cycles(META, struct bench_grants *b, unsigned int samples, enum others others)
{
	static const unsigned int levels[] = { 0, 100, 1000, 10000, 60000 };
	unsigned int nr_levels = b->bench.full ? 5 : 2, live = 0;
	uint64_t start = ticks();
	char row[64];

	for (unsigned int i = 0; i < nr_levels; i++) {
		for (; live < levels[i]; live++) {
			int err;

			if (ticks() - start > PATIENCE) {
				gm_note("with %u live maps: patience is at an end", live);
				return;
			}
			err = add_live(b, live, others);
			ASSERT_EQ(0, err) TH_LOG("live map %u: %s", live, strerror(-err));
		}
		snprintf(row, sizeof(row), "grants.%s.%u", others_names[others], live);
		measure(_metadata, b, others == OF_FILE, row, 1, samples, !live);
	}
}

/* As many VMAs as is asked for; the limit that was is put back. */
static void cycles_with(META, FIXTURE_DATA(map) *self, enum others others)
{
	FILE *f = fopen(MAX_MAP_COUNT, "r+e");
	char was[32];

	ASSERT_NE(NULL, f);
	ASSERT_NE(NULL, fgets(was, sizeof(was), f));
	rewind(f);
	ASSERT_LE(0, fputs("200000", f));
	ASSERT_EQ(0, fclose(f));
	cycles(_metadata, &self->b, self->samples, others);
	f = fopen(MAX_MAP_COUNT, "we");
	ASSERT_NE(NULL, f);
	EXPECT_LE(0, fputs(was, f));
	EXPECT_EQ(0, fclose(f));
}

TEST_F_TIMEOUT(map, cycle, GM_LONG_TEST_S)
{
	cycles_with(_metadata, self, MAPPED);
}

TEST_F_TIMEOUT(map, cycle_unmapped, GM_LONG_TEST_S)
{
	cycles_with(_metadata, self, UNMAPPED);
}

TEST_F_TIMEOUT(map, cycle_file, GM_LONG_TEST_S)
{
	self->b.memfd = memfd_create("bench", MFD_CLOEXEC);
	ASSERT_LE(0, self->b.memfd);
	ASSERT_EQ(PAGE, pwrite(self->b.memfd, self->b.pages, PAGE, 0));
	cycles_with(_metadata, self, OF_FILE);
	close(self->b.memfd);
}

/* -- a page table's worth ------------------------------------------------------------ */

TEST_F_TIMEOUT(map, map512, GM_LONG_TEST_S)
{
	measure(_metadata, &self->b, false, "grants.map512", TABLE, self->samples, true);
}

TEST_F_TIMEOUT(map, mmap_lock512, GM_LONG_TEST_S)
{
	uint64_t for_mmap[SAMPLES], for_munmap[SAMPLES];
	unsigned int n = self->samples;
	struct gnb_lock lock;

	ASSERT_EQ(0, ioctl(self->b.bench.fd, GNB_WATCH));
	/* The first one is not counted. */
	for (unsigned int i = 0; i <= n; i++) {
		int64_t index = gm_gntdev_map_ref(self->b.gntdev, gm_self_domid(),
						  self->b.refs, TABLE);
		void *addr;

		ASSERT_LE(0, index);
		ASSERT_EQ(0, ioctl(self->b.bench.fd, GNB_LOCK, &lock));
		addr = gm_gntdev_mmap(self->b.gntdev, index, TABLE, PROT_READ | PROT_WRITE);
		ASSERT_EQ(0, ioctl(self->b.bench.fd, GNB_LOCK, &lock));
		ASSERT_NE(MAP_FAILED, addr);
		ASSERT_EQ(1, lock.writes);
		for_mmap[i ? i - 1 : 0] = lock.write_ticks;
		ASSERT_EQ(0, munmap(addr, TABLE * PAGE));
		ASSERT_EQ(0, ioctl(self->b.bench.fd, GNB_LOCK, &lock));
		ASSERT_EQ(1, lock.writes);
		for_munmap[i ? i - 1 : 0] = lock.write_ticks + lock.read_ticks;
		ASSERT_EQ(0, gm_gntdev_unmap_ref(self->b.gntdev, index, TABLE));
	}
	bench_print("grants.mmap_lock512", "ticks", for_mmap, n, "");
	bench_print("grants.munmap_lock512", "ticks", for_munmap, n, "");
}

/* -- the hypercalls alone -------------------------------------------------------------- */

static void limit(META, FIXTURE_DATA(map) *self, const char *name, enum gnb_what what,
		  unsigned int count)
{
	const char *unit = count > 1 ? "ticks/kpage" : "ticks";
	unsigned int scale = count > 1 ? count : 1000, n = self->samples;
	uint64_t map[SAMPLES], unmap[SAMPLES], sum[SAMPLES];
	struct gnb_run run;
	char row[64];
	void *addr;
	int ret;

	addr = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, addr);
	for (unsigned int i = 0; i <= n; i++) {
		unsigned int at = i ? i - 1 : 0;

		ret = gnb_run(&self->b, what, addr, count, count, &run);
		ASSERT_EQ(0, ret) TH_LOG("%s: %s", name, strerror(-ret));
		ASSERT_EQ(2, run.calls);
		map[at] = per_kpage(run.ticks, scale);
		unmap[at] = per_kpage(run.undo, scale);
		sum[at] = per_kpage(run.ticks + run.undo, scale);
	}
	ASSERT_EQ(0, munmap(addr, count * PAGE));
	bench_print(name, unit, sum, n, "");
	snprintf(row, sizeof(row), "%s.map", name);
	bench_print(row, unit, map, n, "");
	snprintf(row, sizeof(row), "%s.unmap", name);
	bench_print(row, unit, unmap, n, "");
}

TEST_F_TIMEOUT(map, limit, GM_LONG_TEST_S)
{
	limit(_metadata, self, "grants.limit.map", GNB_PTES, TABLE);
	limit(_metadata, self, "grants.limit.one", GNB_PTES, 1);
	limit(_metadata, self, "grants.limit.linear", GNB_LINEAR, TABLE);
	limit(_metadata, self, "grants.limit.one_linear", GNB_LINEAR, 1);
}

BENCH_GRANTS_MAIN
