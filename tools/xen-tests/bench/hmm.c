// SPDX-License-Identifier: GPL-2.0-only
/*
 * What HMM costs, for each way in which memory can be there or not: instructions a page.
 *
 * A figure is of a whole range, so that it has in it what comes up once a page table, and
 * once a call. Each sample begins with memory in the same state. How many pages were
 * there in the end is checked, so that a figure is of what its name says.
 */
#include "bench.h"
#include "hmm_bench/hmm_bench.h"

#define MIB	(1UL << 20)
#define HUGE	(2 * MIB)
#define SAMPLES	2
#define SINGLES	200

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define THP_2M	THP "hugepages-2048kB/enabled"
#define THP_64K	THP "hugepages-64kB/enabled"
#define HUGETLB	"/proc/sys/vm/nr_hugepages"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB	(21 << MAP_HUGE_SHIFT)
#endif

FIXTURE(hmm) {
	struct bench bench;
	char *start;
	size_t size;
	unsigned int samples;
	size_t piece;	/* in which entries have to say that memory is mapped */
};

static int hmm_run(int fd, void *start, size_t length, enum hmb_what what,
		   unsigned int flags, struct hmb_run *run)
{
	*run = (struct hmb_run){
		.start = (uintptr_t)start,
		.length = length,
		.what = what,
		.flags = flags,
	};
	return ioctl(fd, HMB_RUN, run) < 0 ? -errno : 0;
}

static bool write_to(const char *path, const char *value)
{
	FILE *f = fopen(path, "we");
	bool ok;

	if (!f)
		return false;
	ok = fputs(value, f) >= 0;
	return !fclose(f) && ok;
}

/* Which sizes anonymous memory comes in; false: this kernel has no such choice. */
static bool sizes(bool huge, bool medium)
{
	return write_to(THP_2M, huge ? "always" : "never") &&
	       (write_to(THP_64K, medium ? "always" : "never"));
}

FIXTURE_SETUP(hmm)
{
	struct hmb_run run;
	struct hmb_info info;

	self->bench.full = bench_is_full();
	self->bench.fd = open(HMB_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->bench.fd) TH_LOG("no device %s", HMB_DEVICE);
	ASSERT_EQ(0, ioctl(self->bench.fd, HMB_INFO, &info));
	self->bench.tsc_khz = info.tsc_khz;
	self->size = self->bench.full ? 256 * MIB : 8 * MIB;
	self->samples = self->bench.full ? SAMPLES : 1;
	self->start = MAP_FAILED;
	/* The first one brings what is measured into the cache of QEMU. */
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, hmm_run(self->bench.fd, (void *)PAGE, PAGE, HMB_NOTHING, 0, &run));
	self->bench.overhead = run.ticks;
}

FIXTURE_TEARDOWN(hmm)
{
	if (self->start != MAP_FAILED)
		munmap(self->start, self->size);
	write_to(THP_2M, "inherit");
	write_to(THP_64K, "never");
	write_to(HUGETLB, "0");
	close(self->bench.fd);
}

/* -- memory ---------------------------------------------------------------------- */

enum memory {
	ANON,		/* 4 KiB */
	ANON_64K,	/* large folios, mapped by single entries */
	ANON_2M,	/* leaves of the PMD */
	SHMEM,
	HUGETLB_2M,
};

enum state {
	ABSENT,
	PRESENT,
	SPARSE,		/* every eighth page is absent */
};

/* A place for @size bytes that begins at a huge page. */
static char *reserve(size_t size)
{
	char *p = mmap(NULL, size + HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	if (p == MAP_FAILED)
		return p;
	if (start != p)
		munmap(p, start - p);
	munmap(start + size, p + HUGE - start);
	return start;
}

static char *map_memory(enum memory kind, size_t size)
{
	char *place = reserve(size);
	int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	if (place == MAP_FAILED)
		return place;
	if (kind == SHMEM)
		flags = MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
	if (kind == HUGETLB_2M)
		flags |= MAP_HUGETLB | MAP_HUGE_2MB;
	return mmap(place, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

static bool make_sparse(char *start, size_t size)
{
	for (size_t at = 0; at < size; at += 8 * PAGE)
		if (madvise(start + at, PAGE, MADV_DONTNEED))
			return false;
	return true;
}

/* New memory of that kind, in that state, at self->start. */
static bool prepare(FIXTURE_DATA(hmm) *self, enum memory kind, enum state state)
{
	if (self->start != MAP_FAILED && munmap(self->start, self->size))
		return false;
	self->start = map_memory(kind, self->size);
	if (self->start == MAP_FAILED)
		return false;
	if (state == ABSENT)
		return true;
	if (madvise(self->start, self->size, MADV_POPULATE_WRITE))
		return false;
	return state == PRESENT || make_sparse(self->start, self->size);
}

/* -- figures of a range ---------------------------------------------------------- */

struct row {
	const char *name;
	enum memory memory;
	enum state state;
	enum hmb_what what;
	unsigned int flags;
};

/* Ticks for 1000 pages: enough digits, for what costs a few instructions a page. */
static uint64_t per_kpage(uint64_t ticks, size_t size)
{
	return ticks * 1000 / (size / PAGE);
}

/* What this kernel does not have is left out. */
static void measure(struct __test_metadata *_metadata, FIXTURE_DATA(hmm) *self,
		   const struct row *row)
{
	uint64_t samples[SAMPLES], pages = self->size / PAGE;
	struct hmb_run run;
	int ret;

	for (unsigned int i = 0; i < self->samples; i++) {
		ASSERT_TRUE(prepare(self, row->memory, row->state))
			TH_LOG("%s: no memory: %s", row->name, strerror(errno));
		ret = hmm_run(self->bench.fd, self->start, self->size, row->what,
			      row->flags, &run);
		if (ret == -EOPNOTSUPP)
			return;
		ASSERT_EQ(0, ret) TH_LOG("%s: %s", row->name, strerror(-ret));
		ASSERT_EQ(1, run.tries) TH_LOG("%s: a collision", row->name);
		ASSERT_EQ(pages, run.valid);
		if (self->piece && row->what != HMB_PIN)
			ASSERT_EQ(self->size / self->piece, run.blocks);
		if (row->flags & HMB_WRITE)
			ASSERT_EQ(pages, run.writable);
		samples[i] = per_kpage(run.ticks, self->size);
	}
	if (run.what != HMB_PIN)
		gm_note("%s: %llu blocks", row->name, (unsigned long long)run.blocks);
	bench_print(row->name, "ticks/kpage", samples, self->samples, "");
}

static void measure_all(struct __test_metadata *_metadata, FIXTURE_DATA(hmm) *self,
			const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		measure(_metadata, self, &rows[i]);
}

#define MEASURE(rows) \
	measure_all(_metadata, self, rows, sizeof(rows) / sizeof(rows[0]))

TEST_F_TIMEOUT(hmm, snapshot, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.snapshot.4k", ANON, PRESENT, HMB_FAULT, 0 },
		{ "hmm.snapshot.shmem", SHMEM, PRESENT, HMB_FAULT, 0 },
	};

	MEASURE(rows);
}

TEST_F_TIMEOUT(hmm, present, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.present.read", ANON, PRESENT, HMB_FAULT, HMB_READ },
		{ "hmm.present.write", ANON, PRESENT, HMB_FAULT, HMB_WRITE },
		{ "hmm.present.each", ANON, PRESENT, HMB_FAULT, HMB_WRITE | HMB_EACH },
		{ "hmm.present.pin", ANON, PRESENT, HMB_PIN, HMB_WRITE },
	};

	MEASURE(rows);
}

TEST_F_TIMEOUT(hmm, snapshot_64k, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.snapshot.64k", ANON_64K, PRESENT, HMB_FAULT, 0 },
		{ "hmm.present.64k", ANON_64K, PRESENT, HMB_FAULT, HMB_WRITE },
	};

	if (!sizes(false, true))
		SKIP(return, "no folios of 64 KiB in this kernel");
	MEASURE(rows);
}

TEST_F_TIMEOUT(hmm, snapshot_2m, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.snapshot.2m", ANON_2M, PRESENT, HMB_FAULT, 0 },
		{ "hmm.present.2m", ANON_2M, PRESENT, HMB_FAULT, HMB_WRITE },
	};

	if (!sizes(true, false))
		SKIP(return, "no huge pages in this kernel");
	self->piece = HUGE;
	MEASURE(rows);
}

TEST_F_TIMEOUT(hmm, fault, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.fault.write", ANON, ABSENT, HMB_FAULT, HMB_WRITE },
		{ "hmm.fault.read", ANON, ABSENT, HMB_FAULT, HMB_READ },
		{ "hmm.fault.sparse", ANON, SPARSE, HMB_FAULT, HMB_WRITE },
		{ "hmm.fault.sparse_read", ANON, SPARSE, HMB_FAULT, HMB_READ },
		{ "hmm.fault.shmem", SHMEM, ABSENT, HMB_FAULT, HMB_WRITE },
		{ "hmm.pin.write", ANON, ABSENT, HMB_PIN, HMB_WRITE },
		{ "hmm.pin.read", ANON, ABSENT, HMB_PIN, 0 },
		{ "hmm.pin.sparse", ANON, SPARSE, HMB_PIN, HMB_WRITE },
	};

	MEASURE(rows);
}

TEST_F_TIMEOUT(hmm, fault_64k, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.fault.64k", ANON_64K, ABSENT, HMB_FAULT, HMB_WRITE },
		{ "hmm.pin.64k", ANON_64K, ABSENT, HMB_PIN, HMB_WRITE },
	};

	if (!sizes(false, true))
		SKIP(return, "no folios of 64 KiB in this kernel");
	MEASURE(rows);
}

TEST_F_TIMEOUT(hmm, fault_2m, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.fault.2m", ANON_2M, ABSENT, HMB_FAULT, HMB_WRITE },
		{ "hmm.pin.2m", ANON_2M, ABSENT, HMB_PIN, HMB_WRITE },
	};

	if (!sizes(true, false))
		SKIP(return, "no huge pages in this kernel");
	self->piece = HUGE;
	MEASURE(rows);
}

/* The whole loop of a driver. */
TEST_F_TIMEOUT(hmm, loop, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.loop.by_hand", ANON, ABSENT, HMB_BY_HAND, HMB_WRITE },
		{ "hmm.loop.unlocked", ANON, ABSENT, HMB_UNLOCKED, HMB_WRITE },
	};

	MEASURE(rows);
}

TEST_F_TIMEOUT(hmm, hugetlb, GM_LONG_TEST_S)
{
	static const struct row rows[] = {
		{ "hmm.snapshot.hugetlb", HUGETLB_2M, PRESENT, HMB_FAULT, 0 },
		{ "hmm.fault.hugetlb", HUGETLB_2M, ABSENT, HMB_FAULT, HMB_WRITE },
	};
	char pages[16];

	snprintf(pages, sizeof(pages), "%zu", self->size / HUGE);
	ASSERT_TRUE(write_to(HUGETLB, pages));
	self->piece = HUGE;
	MEASURE(rows);
}

/* -- one page: the latency of a device's fault ------------------------------------- */

/* Between pages that are there: page tables are no part of the figure. */
static void measure_single(struct __test_metadata *_metadata, FIXTURE_DATA(hmm) *self,
			   const char *name, enum state state, enum hmb_what what,
			   unsigned int flags)
{
	unsigned int n = self->bench.full ? SINGLES : SINGLES / 10;
	uint64_t samples[SINGLES];
	struct hmb_run run;
	int ret;

	self->size = 2 * SINGLES * PAGE;
	ASSERT_TRUE(prepare(self, ANON, PRESENT));
	for (unsigned int i = 0; i < n; i++) {
		char *page = self->start + (2 * i + 1) * PAGE;

		if (state == ABSENT)
			ASSERT_EQ(0, madvise(page, PAGE, MADV_DONTNEED));
		ret = hmm_run(self->bench.fd, page, PAGE, what, flags, &run);
		if (ret == -EOPNOTSUPP)
			return;
		ASSERT_EQ(0, ret) TH_LOG("%s: %s", name, strerror(-ret));
		ASSERT_EQ(1, run.valid);
		samples[i] = run.ticks;
	}
	bench_print_cost(&self->bench, name, samples, n);
}

TEST_F_TIMEOUT(hmm, one_page, GM_LONG_TEST_S)
{
#define SINGLE(...) measure_single(_metadata, self, __VA_ARGS__)
	SINGLE("hmm.one.snapshot", PRESENT, HMB_FAULT, 0);
	SINGLE("hmm.one.present", PRESENT, HMB_BY_HAND, HMB_WRITE);
	SINGLE("hmm.one.present_unlocked", PRESENT, HMB_UNLOCKED, HMB_WRITE);
	SINGLE("hmm.one.fault", ABSENT, HMB_FAULT, HMB_WRITE);
	SINGLE("hmm.one.by_hand", ABSENT, HMB_BY_HAND, HMB_WRITE);
	SINGLE("hmm.one.unlocked", ABSENT, HMB_UNLOCKED, HMB_WRITE);
	SINGLE("hmm.one.pin", ABSENT, HMB_PIN, HMB_WRITE);
}

/* -- DMA addresses of one huge page ---------------------------------------------- */

static void measure_dma(struct __test_metadata *_metadata, FIXTURE_DATA(hmm) *self,
			const char *what_for, enum hmb_what what, uint64_t mappings)
{
	unsigned int n = self->samples;
	uint64_t map[SAMPLES], unmap[SAMPLES];
	char name[64];
	struct hmb_run run;
	int ret;

	self->size = HUGE;
	for (unsigned int i = 0; i < n; i++) {
		ASSERT_TRUE(prepare(self, ANON_2M, PRESENT));
		ret = hmm_run(self->bench.fd, self->start, HUGE, what, HMB_WRITE, &run);
		if (ret == -EOPNOTSUPP)
			return;
		ASSERT_EQ(0, ret) TH_LOG("%s: %s", what_for, strerror(-ret));
		ASSERT_EQ(HUGE / PAGE, run.valid);
		ASSERT_EQ(1, run.blocks);
		EXPECT_EQ(mappings, run.mappings);
		map[i] = run.ticks;
		unmap[i] = run.undo;
	}
	snprintf(name, sizeof(name), "hmm.dma.%s", what_for);
	bench_print_cost(&self->bench, name, map, n);
	snprintf(name, sizeof(name), "hmm.dma_undo.%s", what_for);
	bench_print_cost(&self->bench, name, unmap, n);
}

TEST_F_TIMEOUT(hmm, dma, GM_LONG_TEST_S)
{
	if (!sizes(true, false))
		SKIP(return, "no huge pages in this kernel");
	measure_dma(_metadata, self, "page", HMB_DMA_PAGE, HUGE / PAGE);
	measure_dma(_metadata, self, "pfn", HMB_DMA_PFN, HUGE / PAGE);
	measure_dma(_metadata, self, "block", HMB_DMA_BLOCK, 1);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, "hmm_bench", HMB_DEVICE);
}
