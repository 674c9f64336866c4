// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a process in video memory: moved there when asked for, back when the CPU wants
 * it or there is no room; the process sees nothing of it but the time it takes.
 */
#include "gpu.h"

FIXTURE(vram)
{
	int fd;
	size_t size;
	char *mem;
};

FIXTURE_SETUP(vram)
{
	/* The second GPU, where there is one, has little video memory. */
	self->fd = gpu_open_path(_metadata, gpu_load(GPU_1) ? GPU_1 : GPU_0);
	if (!gpu_query(_metadata, self->fd).vram_size)
		SKIP(return, "memory cannot be moved to this GPU (the kernel log says why)");
	self->size = 4 * MIB;
	self->mem = anon_aligned(_metadata, self->size, false);
	fill_words(self->mem, self->size, 1);
}

FIXTURE_TEARDOWN(vram)
{
	if (self->mem) {
		EXPECT_NOTHING_STALE(self->fd);
		EXPECT_EQ(0, munmap(self->mem, self->size));
		EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	}
	close(self->fd);
}

static int to_vram(int fd, void *p, size_t size)
{
	return gpu_range(fd, XGPU_IOCTL_PREFETCH, p, size,
			 XGPU_PREFETCH_VRAM | XGPU_PREFETCH_WRITE, NULL);
}

TEST_F(vram, memory_moves_there_and_back)
{
	uint64_t sum, expected = cpu_sum(self->mem, self->size);
	struct xgpu_query query;

	ASSERT_EQ(0, to_vram(self->fd, self->mem, self->size));
	query = gpu_query(_metadata, self->fd);
	EXPECT_EQ(self->size, query.vram_used);
	EXPECT_EQ(self->size / GM_PAGE_SIZE, query.to_vram);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem, self->size, &sum));
	EXPECT_EQ(expected, sum);
	EXPECT_EQ(self->size, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + MIB, MIB, 5));

	/* The CPU reads: it comes back, 2 MiB at a time. */
	EXPECT_EQ(5, *(uint64_t *)(self->mem + MIB));
	EXPECT_EQ(self->size - PMD_SIZE, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(5, *(uint64_t *)(self->mem + 2 * MIB - 8));
	fill_words(self->mem, self->size, 1);
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(expected, cpu_sum(self->mem, self->size));
}

TEST_F(vram, huge_pages_move_in_one_piece)
{
	char *huge = anon_aligned(_metadata, PMD_SIZE, true);
	struct xgpu_query before, after;
	uint64_t sum, expected;

	fill_words(huge, PMD_SIZE, 2);
	expected = cpu_sum(huge, PMD_SIZE);
	before = gpu_query(_metadata, self->fd);
	ASSERT_EQ(0, to_vram(self->fd, huge, PMD_SIZE));
	after = gpu_query(_metadata, self->fd);
	EXPECT_EQ(before.to_vram + 512, after.to_vram);
	EXPECT_EQ(before.mapped_runs + 1, after.mapped_runs);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, huge, PMD_SIZE, &sum));
	EXPECT_EQ(expected, sum);
	EXPECT_EQ(expected, cpu_sum(huge, PMD_SIZE));
	EXPECT_EQ(0, munmap(huge, PMD_SIZE));
}

/* Memory that nobody has written yet is zero there, too, whatever was there before. */
TEST_F(vram, fresh_memory_is_zero)
{
	char *fresh;
	uint64_t sum = 1;
	size_t i;

	ASSERT_EQ(0, to_vram(self->fd, self->mem, self->size));
	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, self->size, 0x5ec3e7));
	ASSERT_EQ(0, munmap(self->mem, self->size));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	fresh = anon_aligned(_metadata, self->size, false);
	ASSERT_EQ(0, to_vram(self->fd, fresh, self->size));
	EXPECT_EQ(self->size, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, fresh, self->size, &sum));
	EXPECT_EQ(0, sum);
	for (i = 0; i < self->size; i += GM_PAGE_SIZE)
		ASSERT_EQ(0, fresh[i]);
	self->mem = fresh;
}

/*
 * Pages with contents and pages that do not exist yet, by turns: 512 copies and clearings,
 * which is more than the driver's own ring takes at once.
 */
TEST_F(vram, touched_and_untouched_pages_move_together)
{
	char *mem = anon_aligned(_metadata, PMD_SIZE, false);
	uint64_t sum, expected, zero = 0;
	size_t i;

	for (i = 0; i < PMD_SIZE; i += 2 * GM_PAGE_SIZE)
		fill_words(mem + i, GM_PAGE_SIZE, i + 1);
	ASSERT_EQ(0, to_vram(self->fd, mem, PMD_SIZE));
	EXPECT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, mem, PMD_SIZE, &sum));
	expected = cpu_sum(mem, PMD_SIZE);
	EXPECT_EQ(expected, sum);
	for (i = 0; i < PMD_SIZE; i += 2 * GM_PAGE_SIZE) {
		EXPECT_EQ((i + 1) * 0x9e3779b97f4a7c15ULL, *(uint64_t *)(mem + i));
		zero |= *(uint64_t *)(mem + i + GM_PAGE_SIZE);
	}
	EXPECT_EQ(0, zero);
	EXPECT_EQ(0, munmap(mem, PMD_SIZE));
}

/* Three times as much as there is room for: all of it is worked on, and all is right. */
TEST_F(vram, more_memory_than_video_memory)
{
	size_t size = 3 * gpu_query(_metadata, self->fd).vram_size, at;
	struct xgpu_query before, after;
	uint64_t sum, expected;
	char *mem;

	if (size > 192 * MIB)
		SKIP(return, "%zu MiB of video memory: too much for the memory of this lab",
		     size / 3 / MIB);
	mem = anon_aligned(_metadata, size, false);
	ASSERT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_ADVISE, mem, size, XGPU_ADVICE_GPU, NULL));
	before = gpu_query(_metadata, self->fd);
	for (at = 0; at < size; at += PMD_SIZE)
		ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, mem + at, PMD_SIZE, at + 1));
	after = gpu_query(_metadata, self->fd);
	EXPECT_EQ(size / GM_PAGE_SIZE, after.to_vram - before.to_vram);
	EXPECT_EQ(size / 3 * 2 / GM_PAGE_SIZE, after.evicted - before.evicted);
	for (at = 0; at < size; at += PMD_SIZE)
		ASSERT_EQ(at + 1, *(uint64_t *)(mem + at + PMD_SIZE - 8));
	expected = cpu_sum(mem, size);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, mem, size, &sum));
	EXPECT_EQ(expected, sum);
	EXPECT_EQ(0, munmap(mem, size));
}

/* A child has what was in video memory when it was made, not what comes later. */
TEST_F(vram, fork_with_memory_there)
{
	int go[2], status;
	uint64_t first = *(uint64_t *)self->mem;
	char c;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, to_vram(self->fd, self->mem, self->size));
	pid = fork();
	if (!pid) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(2);
		_exit(*(uint64_t *)self->mem != first);
	}
	ASSERT_LT(0, pid);
	close(go[0]);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, self->size, 2));
	EXPECT_EQ(1, write(go[1], "g", 1));
	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(2, *(uint64_t *)self->mem);
}

TEST_F(vram, advice_goes_with_the_mapping)
{
	uint64_t sum;

	ASSERT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_ADVISE, self->mem, self->size,
			       XGPU_ADVICE_GPU, NULL));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem, 8, &sum));
	EXPECT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd).vram_used);
	ASSERT_EQ(0, munmap(self->mem, self->size));
	ASSERT_EQ(self->mem, mmap(self->mem, self->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, 8, 1));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_ADVISE, self->mem, self->size,
			       XGPU_ADVICE_SYSTEM, NULL));
	EXPECT_EQ(0, to_vram(self->fd, self->mem, self->size));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
}

/* Pages that KSM has merged stay: its daemon reads them, which no CPU can in video memory. */
TEST_F_TIMEOUT(vram, merged_pages_stay, GM_TEST_S)
{
	const char *shared = "/sys/kernel/mm/ksm/pages_sharing";
	size_t i, pages = MIB / GM_PAGE_SIZE;
	char text[32] = "", scan[32] = "";
	uint64_t sum;

	ASSERT_LT(0, gm_read_file("/sys/kernel/mm/ksm/pages_to_scan", scan, sizeof(scan)));
	for (i = 0; i < pages; i++)
		memset(self->mem + i * GM_PAGE_SIZE, 0x77, GM_PAGE_SIZE);
	ASSERT_EQ(0, madvise(self->mem, MIB, MADV_MERGEABLE));
	ASSERT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/pages_to_scan", "10000"));
	ASSERT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/run", "1"));
	EXPECT_TRUE(gm_wait(gm_read_file(shared, text, sizeof(text)) > 0 &&
			    strtoul(text, NULL, 10) >= pages - 2, GM_TIMEOUT_MS));
	EXPECT_EQ(0, to_vram(self->fd, self->mem, MIB));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem, MIB, &sum));
	EXPECT_EQ(cpu_sum(self->mem, MIB), sum);
	EXPECT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/run", "2"));
	EXPECT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/run", "0"));
	EXPECT_EQ(0, gm_write_file("/sys/kernel/mm/ksm/pages_to_scan", scan));
}

/* Memory of files stays where it is; the GPU uses it there. */
TEST_F(vram, file_mappings_stay)
{
	int file = memfd_create("gpu", 0);
	char *shared;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, MIB));
	shared = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, shared);
	EXPECT_EQ(0, to_vram(self->fd, shared, MIB));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, shared, MIB, 3));
	EXPECT_EQ(3, *(uint64_t *)(shared + MIB - 8));
	munmap(shared, MIB);
	close(file);
}

TEST_HARNESS_MAIN
