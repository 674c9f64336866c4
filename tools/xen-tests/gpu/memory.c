// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process's memory that changes while the GPU has it: unmapped, protected, forked, thrown
 * away, made of huge pages; one thing after the other here, all at once in storm.c.
 */
#include <signal.h>
#include <sys/wait.h>

#include "gpu.h"

FIXTURE(memory)
{
	int fd;
	char *mem;
};

#define SIZE (4 * MIB)

FIXTURE_SETUP(memory)
{
	self->fd = gpu_open(_metadata);
	self->mem = anon_aligned(_metadata, SIZE, false);
}

FIXTURE_TEARDOWN(memory)
{
	EXPECT_NOTHING_STALE(self->fd);
	close(self->fd);
	munmap(self->mem, SIZE);
}

TEST_F(memory, unmapped_memory_is_gone)
{
	uint64_t sum;

	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 1));
	ASSERT_EQ(0, munmap(self->mem + MIB, MIB));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_sum(self->fd, self->mem + MIB, 8, &sum));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, self->mem + 2 * MIB - 8, 8, 2));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, MIB, 2));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + 2 * MIB, MIB, 2));

	/* Something else in its place is something else for the GPU, too. */
	ASSERT_NE(MAP_FAILED, mmap(self->mem + MIB, MIB, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem + MIB, MIB, &sum));
	EXPECT_EQ(0, sum);
}

TEST_F(memory, thrown_away_memory_is_zero)
{
	uint64_t sum = 1;

	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 1));
	ASSERT_EQ(0, madvise(self->mem + MIB, MIB, MADV_DONTNEED));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem + MIB, MIB, &sum));
	EXPECT_EQ(0, sum);
	EXPECT_EQ(0, self->mem[MIB]);
	EXPECT_EQ(1, *(uint64_t *)(self->mem + 2 * MIB));
}

/* After fork() parent and child share pages until one writes: the GPU is one who may. */
TEST_F(memory, fork_does_not_share_what_the_gpu_writes)
{
	int go[2], status;
	char c;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 1));
	pid = fork();
	if (!pid) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(2);
		_exit(*(uint64_t *)self->mem != 1 || *(uint64_t *)(self->mem + SIZE - 8) != 1);
	}
	ASSERT_LT(0, pid);
	close(go[0]);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 2));
	EXPECT_EQ(1, write(go[1], "g", 1));
	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("the child saw what the GPU wrote for its parent");
	EXPECT_EQ(2, *(uint64_t *)self->mem);
}

/*
 * When the child is gone, pages are the parent's alone again, but read-only still: a write makes
 * them writable where they are, with no invalidation. The GPU, which has read them, gets to
 * write through the entries that it has.
 */
TEST_F(memory, permission_to_write_is_added)
{
	struct xgpu_query before, after;
	uint64_t sum = 0;
	int status;
	pid_t pid;

	fill_words(self->mem, SIZE, 4);
	pid = fork();
	if (!pid)
		_exit(0);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem, MIB, &sum));
	EXPECT_EQ(cpu_sum(self->mem, MIB), sum);
	before = gpu_query(_metadata, self->fd);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, MIB, 5));
	after = gpu_query(_metadata, self->fd);
	EXPECT_EQ(5, *(uint64_t *)(self->mem + MIB - 8));
	gm_note("1 MiB read, then written: %llu fault(s), %llu invalidation(s)",
		after.faults - before.faults, after.invalidations - before.invalidations);
}

struct writer {
	int fd;
	char *mem;
	atomic_bool stop;
	atomic_uint done;
	unsigned int failed;
};

/* The GPU writes the same pages again and again. */
static void *keep_writing(void *arg)
{
	struct writer *writer = arg;
	struct xgpu_work work[XGPU_SUBMIT_MAX];
	struct xgpu_wait wait;
	unsigned int i;

	for (i = 0; i < XGPU_SUBMIT_MAX; i++)
		work[i] = (struct xgpu_work){
			.op = XGPU_WORK_FILL,
			.dst = P(writer->mem + i % 16 * GM_PAGE_SIZE),
			.len = 64,
			.value = i,
		};
	while (!writer->stop) {
		int64_t fence = gpu_submit_all(writer->fd, work, XGPU_SUBMIT_MAX);

		if (gpu_wait(writer->fd, fence, &wait) || wait.status)
			writer->failed++;
		writer->done++;
	}
	return NULL;
}

/*
 * The GPU is in the middle of it, and asks for the page again as soon as it has forgotten it: it
 * must not find the old entry any more. When the memory is gone, no translation of it is left.
 */
TEST_F(memory, thrown_away_while_the_gpu_writes)
{
	struct writer writer = { .fd = self->fd, .mem = self->mem };
	unsigned int round, stale = 0;
	struct xgpu_query query;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_writing, &writer));
	for (round = 0; round < 100; round++) {
		unsigned int done = writer.done;

		/* It has all of them again, and is in the middle of the next round. */
		ASSERT_TRUE(gm_wait(writer.done > done + 1, GM_TIMEOUT_MS));
		EXPECT_EQ(0, madvise(self->mem, 16 * GM_PAGE_SIZE, MADV_DONTNEED));
		query = gpu_query(_metadata, self->fd);
		stale += query.stale_cached;
	}
	writer.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, stale);
	EXPECT_EQ(0, writer.failed);
	query = gpu_query(_metadata, self->fd);
	gm_note("%llu invalidations, %llu retries", query.invalidations, query.retries);
	EXPECT_LT(0, query.invalidations);
}

TEST_F(memory, moved_by_mremap)
{
	char *to = anon(_metadata, MIB);
	uint64_t sum = 0;

	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, MIB, 3));
	to = mremap(self->mem, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_NE(MAP_FAILED, to);
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, self->mem, 8, 4));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, to, MIB, &sum));
	EXPECT_EQ(cpu_sum(to, MIB), sum);
	EXPECT_EQ(3, *(uint64_t *)(to + MIB - 8));
	munmap(to, MIB);
}

TEST_F(memory, first_touch_of_a_huge_page_is_one_fault)
{
	char *huge = anon_aligned(_metadata, PMD_SIZE, true);
	struct xgpu_query before = gpu_query(_metadata, self->fd), after;

	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		SKIP(return, "the kernel has no huge pages");
	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, huge, PMD_SIZE, 1));
	after = gpu_query(_metadata, self->fd);
	EXPECT_EQ(before.faults + 1, after.faults);
	EXPECT_EQ(before.mapped_pages + 512, after.mapped_pages);
	gm_note("2 MiB touched: %llu fault(s), %llu DMA mapping(s)", after.faults - before.faults,
		after.mapped_runs - before.mapped_runs);
	/* In a PV domain pages that follow each other often do not in the machine. */
	if (!gm_self_is_pv())
		EXPECT_EQ(before.mapped_runs + 1, after.mapped_runs);
	/* And it is one that goes. */
	EXPECT_EQ(0, munmap(huge, PMD_SIZE));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, huge + 300 * GM_PAGE_SIZE, 8, 2));
}

/* Memory that is not there yet comes when the GPU wants it: from swap, from a file. */
TEST_F(memory, prefetch_saves_faults)
{
	struct xgpu_query before, after;
	uint64_t done = 0;

	EXPECT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, SIZE,
			       XGPU_PREFETCH_WRITE, &done));
	EXPECT_EQ(SIZE, done);
	before = gpu_query(_metadata, self->fd);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 9));
	after = gpu_query(_metadata, self->fd);
	EXPECT_EQ(before.faults, after.faults);
	EXPECT_EQ(9, *(uint64_t *)(self->mem + SIZE - 8));
}

/*
 * What cannot be read cannot be had, and no page tables of the device are made for it: 4 KiB for
 * each 2 MiB, here 64 MiB. The mapping after it can be had.
 */
TEST_F(memory, prefetch_of_a_reservation_makes_nothing)
{
	const size_t reserved = 32UL << 30, some = 16 * GM_PAGE_SIZE;
	uint64_t done = 0;
	long before, after;
	char *p = mmap(NULL, reserved + some, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + reserved, some, PROT_READ | PROT_WRITE));
	before = gm_meminfo("MemFree");
	EXPECT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, p, reserved + some,
			       XGPU_PREFETCH_WRITE, &done));
	after = gm_meminfo("MemFree");
	EXPECT_EQ(some, done);
	EXPECT_LT(before - after, 16 << 10) TH_LOG("free: %ld, then %ld KiB", before, after);
	EXPECT_EQ(0, munmap(p, reserved + some));
}

/* Advice for so much takes a while, and a process that is killed does not wait for its end. */
TEST_F(memory, advice_can_be_killed)
{
	const size_t reserved = 64UL << 40;
	double began;
	int status;
	pid_t pid;
	char *p = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		       0);

	if (p == MAP_FAILED)
		SKIP(return, "no address space");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = open(GPU_0, O_RDWR | O_CLOEXEC);

		_exit(fd < 0 || gpu_range(fd, XGPU_IOCTL_ADVISE, p, reserved, XGPU_ADVICE_GPU,
					  NULL));
	}
	gm_sleep_ms(100);
	/* Unless it has been as fast as that. */
	if (!waitpid(pid, &status, WNOHANG)) {
		began = gm_now();
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		gm_note("it was gone after %.2f s", gm_now() - began);
		EXPECT_GT(5, gm_now() - began);
	}
	EXPECT_EQ(0, munmap(p, reserved));
}

TEST_HARNESS_MAIN
