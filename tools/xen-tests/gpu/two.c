// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two GPUs that mirror the same memory: one invalidation, and both let go at the same time.
 */
#include "regs.h"

#define SIZE (4 * MIB)
#define ROUNDS 5
#define SHOOTDOWN_NS 1000000U

FIXTURE(two)
{
	int fd[2];
	volatile uint32_t *regs[2];
	char *mem;
};

FIXTURE_SETUP(two)
{
	if (!gpu_load(GPU_1))
		SKIP(return, "one GPU in this lab");
	self->fd[0] = gpu_open_path(_metadata, GPU_0);
	self->fd[1] = gpu_open_path(_metadata, GPU_1);
	self->regs[0] = regs_map(_metadata, GPU_0);
	self->regs[1] = regs_map(_metadata, GPU_1);
	self->mem = anon_aligned(_metadata, SIZE, false);
}

FIXTURE_TEARDOWN(two)
{
	int i;

	for (i = 0; self->mem && i < 2; i++) {
		self->regs[i][XGPU_LAT_SHOOTDOWN / 4] = 0;
		regs_unmap(self->regs[i]);
		EXPECT_NOTHING_STALE(self->fd[i]);
		close(self->fd[i]);
	}
	if (self->mem)
		munmap(self->mem, SIZE);
	if (self->mem)
		regs_param("peer", 0);
}

TEST_F(two, see_what_the_other_writes)
{
	uint64_t sum;

	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd[0], self->mem, SIZE, 1));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd[1], self->mem + MIB, MIB, 2));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd[0], self->mem, SIZE, &sum));
	EXPECT_EQ(cpu_sum(self->mem, SIZE), sum);
	/* Also when it is in the video memory of one of them */
	gpu_range(self->fd[0], XGPU_IOCTL_PREFETCH, self->mem, PMD_SIZE, XGPU_PREFETCH_VRAM, NULL);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd[0], self->mem, 8, 3));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd[1], self->mem, SIZE, &sum));
	EXPECT_EQ(cpu_sum(self->mem, SIZE), sum);
	ASSERT_EQ(0, munmap(self->mem, MIB));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd[0], self->mem, 8, 3));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd[1], self->mem, 8, 3));
}

/*
 * What is in the video memory of one, the other works on there: nothing moves, and it is one
 * entry of its table. Not in a PV domain, where it comes back first. Something else lies at the
 * beginning of the video memory, so that the right place in it has to be found.
 */
TEST_F(two, work_in_the_same_video_memory)
{
	char *first = self->mem + PMD_SIZE;
	uint64_t sum[2], runs, before;

	ASSERT_EQ(0, regs_param("peer", 1));
	fill_words(first, PMD_SIZE, 5);
	before = cpu_sum(first, PMD_SIZE);
	EXPECT_EQ(0, gpu_range(self->fd[0], XGPU_IOCTL_PREFETCH, first, PMD_SIZE,
			       XGPU_PREFETCH_VRAM, NULL));
	EXPECT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd[0]).vram_used);
	EXPECT_EQ(0, gpu_range(self->fd[0], XGPU_IOCTL_PREFETCH, self->mem, PMD_SIZE,
			       XGPU_PREFETCH_VRAM, NULL));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd[0], self->mem, PMD_SIZE, 3));
	EXPECT_EQ(2 * PMD_SIZE, gpu_query(_metadata, self->fd[0]).vram_used);
	runs = gpu_query(_metadata, self->fd[1]).mapped_runs;
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd[1], self->mem + MIB, MIB / 2, 7));
	if (!gm_self_is_pv()) {
		EXPECT_EQ(2 * PMD_SIZE, gpu_query(_metadata, self->fd[0]).vram_used);
		EXPECT_EQ(runs + 1, gpu_query(_metadata, self->fd[1]).mapped_runs);
	} else {
		EXPECT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd[0]).vram_used);
	}
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd[0], self->mem, PMD_SIZE, &sum[0]));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd[1], self->mem, PMD_SIZE, &sum[1]));
	EXPECT_EQ(sum[0], sum[1]);

	/* The CPU takes it from both, and finds what both have written. */
	EXPECT_EQ(cpu_sum(self->mem, PMD_SIZE), sum[0]);
	EXPECT_EQ(3, *(uint64_t *)(self->mem + MIB - 8));
	EXPECT_EQ(7, *(uint64_t *)(self->mem + MIB));
	EXPECT_EQ(7, *(uint64_t *)(self->mem + MIB + MIB / 2 - 8));
	EXPECT_EQ(3, *(uint64_t *)(self->mem + MIB + MIB / 2));
	EXPECT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd[0]).vram_used);
	*(uint64_t *)self->mem = 11;
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd[1], self->mem, 8, &sum[1]));
	EXPECT_EQ(cpu_sum(self->mem, 8), sum[1]);

	/* Nobody has written beside it. */
	EXPECT_EQ(before, cpu_sum(first, PMD_SIZE));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd[0]).vram_used);
}

/* The shortest of some rounds: how long it takes to take memory from @nr of the GPUs. */
static int64_t time_of_loss(GPU_META, int fd[2], char *mem, int nr)
{
	int64_t best = INT64_MAX, began, took;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < nr; i++)
			EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(fd[i], mem, 64 * KIB, 1));
		began = now_ns();
		EXPECT_EQ(0, madvise(mem, 64 * KIB, MADV_DONTNEED));
		took = now_ns() - began;
		best = took < best ? took : best;
	}
	return best;
}

/*
 * With 1 ms for a shootdown, both together take as long as one, not as long as two. That both
 * passes are in order is a unit test (device_mirror); this is the figure.
 */
TEST_F(two, are_shot_down_at_the_same_time)
{
	int64_t none, one, both;

	none = time_of_loss(_metadata, self->fd, self->mem, 1);
	self->regs[0][XGPU_LAT_SHOOTDOWN / 4] = SHOOTDOWN_NS;
	self->regs[1][XGPU_LAT_SHOOTDOWN / 4] = SHOOTDOWN_NS;
	one = time_of_loss(_metadata, self->fd, self->mem, 1);
	both = time_of_loss(_metadata, self->fd, self->mem, 2);
	gm_note("MADV_DONTNEED of 64 KiB: %ld us; with 1000 us a shootdown: one GPU %ld us, two %ld us",
		none / 1000, one / 1000, both / 1000);
	EXPECT_LE(SHOOTDOWN_NS, one);
	EXPECT_LE(SHOOTDOWN_NS, both);
}

TEST_HARNESS_MAIN
