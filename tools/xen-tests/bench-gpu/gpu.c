// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures of device mirrors, with the GPU: what a first touch, a fault, a loss, a move costs.
 * On a kernel without them only what the kernel's test device does is measured.
 */
#include "../bench/bench.h"
#include "../gpu/regs.h"
#include "test_hmm_uapi.h"

#define SAMPLES		(bench_is_full() ? 20 : 3) /* at most 64 */
#define SHOOTDOWN_NS	1000000U
#define MAX_CONTEXTS	8
#define PAGES		(PMD_SIZE / GM_PAGE_SIZE)

FIXTURE(bench)
{
	int fd[2];
	volatile uint32_t *regs[2];
};

FIXTURE_SETUP(bench)
{
	const char *const gpus[] = { GPU_0, GPU_1 };
	int i;

	for (i = 0; i < 2; i++) {
		if (!gpu_load(gpus[i]))
			SKIP(return, "no GPU, or no driver for it in this kernel");
		self->fd[i] = gpu_open_path(_metadata, gpus[i]);
		self->regs[i] = regs_map(_metadata, gpus[i]);
	}
}

FIXTURE_TEARDOWN(bench)
{
	int i;

	for (i = 0; i < 2 && self->regs[i]; i++) {
		self->regs[i][XGPU_LAT_SHOOTDOWN / 4] = 0;
		regs_unmap(self->regs[i]);
		close(self->fd[i]);
	}
}

TEST_F(bench, first_touch)
{
	char *huge = anon_aligned(_metadata, PMD_SIZE, true);
	struct xgpu_query before = gpu_query(_metadata, self->fd[0]), after;

	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd[0], huge, PMD_SIZE, 1));
	after = gpu_query(_metadata, self->fd[0]);
	bench_print_one("gpu.touch.faults", "times", after.faults - before.faults);
	bench_print_one("gpu.touch.runs", "times", after.mapped_runs - before.mapped_runs);
	munmap(huge, PMD_SIZE);
}

/* Memory of 2 MiB is taken from the first @nr of the GPUs, whose shootdown takes 1 ms. */
static void loss_of(GPU_META, int fd[2], int nr, const char *name)
{
	uint64_t samples[64];
	int i, k, n = SAMPLES;

	for (k = 0; k < n; k++) {
		char *mem = anon_aligned(_metadata, PMD_SIZE, true);
		int64_t began;

		for (i = 0; i < nr; i++)
			ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(fd[i], mem, PMD_SIZE, 1));
		began = now_ns();
		ASSERT_EQ(0, munmap(mem, PMD_SIZE));
		samples[k] = now_ns() - began;
	}
	bench_print(name, "ns", samples, n, "");
}

TEST_F(bench, loss)
{
	loss_of(_metadata, self->fd, 1, "gpu.munmap.at_once");
	bench_print_one("gpu.shootdown", "ns", SHOOTDOWN_NS);
	self->regs[0][XGPU_LAT_SHOOTDOWN / 4] = SHOOTDOWN_NS;
	self->regs[1][XGPU_LAT_SHOOTDOWN / 4] = SHOOTDOWN_NS;
	loss_of(_metadata, self->fd, 1, "gpu.munmap.one");
	loss_of(_metadata, self->fd, 2, "gpu.munmap.two");
}

TEST_F(bench, migrate)
{
	uint64_t there[64], back[64];
	int k, n = SAMPLES;

	if (!gpu_query(_metadata, self->fd[0]).vram_size)
		SKIP(return, "memory cannot be moved to this GPU");
	for (k = 0; k < n; k++) {
		char *mem = anon_aligned(_metadata, PMD_SIZE, false);
		int64_t began;

		fill_words(mem, PMD_SIZE, k);
		began = now_ns();
		ASSERT_EQ(0, gpu_range(self->fd[0], XGPU_IOCTL_PREFETCH, mem, PMD_SIZE,
				       XGPU_PREFETCH_VRAM | XGPU_PREFETCH_WRITE, NULL));
		there[k] = (now_ns() - began) / PAGES;
		ASSERT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd[0]).vram_used);
		began = now_ns();
		*(volatile char *)mem = 1;
		back[k] = (now_ns() - began) / PAGES;
		ASSERT_EQ(0, gpu_query(_metadata, self->fd[0]).vram_used);
		munmap(mem, PMD_SIZE);
	}
	bench_print("gpu.migrate.there", "ns/page", there, n, "");
	bench_print("gpu.migrate.back", "ns/page", back, n, "");
}

/* The kernel's test device, whose memory is ordinary pages that the CPU copies */
TEST(bench_test_hmm)
{
	uint64_t there[64], back[64];
	int k, fd, n = SAMPLES;

	gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe test_hmm");
	fd = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	for (k = 0; k < n; k++) {
		char *mem = anon_aligned(_metadata, PMD_SIZE, false);
		char *copy = malloc(PMD_SIZE);
		struct hmm_dmirror_cmd cmd = {
			.addr = P(mem), .ptr = P(copy), .npages = PAGES,
		};
		int64_t began;

		fill_words(mem, PMD_SIZE, k);
		memset(copy, 0, PMD_SIZE);
		began = now_ns();
		ASSERT_EQ(0, ioctl(fd, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd));
		there[k] = (now_ns() - began) / PAGES;
		began = now_ns();
		ASSERT_EQ(0, ioctl(fd, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd));
		back[k] = (now_ns() - began) / PAGES;
		free(copy);
		munmap(mem, PMD_SIZE);
	}
	bench_print("gpu.test_hmm.there", "ns/page", there, n, "");
	bench_print("gpu.test_hmm.back", "ns/page", back, n, "");
	close(fd);
	gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -r test_hmm");
}

/* -- faults at the same time --------------------------------------------------- */

struct toucher {
	pthread_t thread;
	unsigned long faults;
	bool ok;
};

/* A context of its own, that faults once in each chunk of memory that is there */
static void *toucher(void *arg)
{
	struct toucher *t = arg;
	int fd = open(GPU_0, O_RDWR | O_CLOEXEC);
	size_t size = (bench_is_full() ? 64 : 8) * PMD_SIZE, at;
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	t->ok = fd >= 0 && mem != MAP_FAILED;
	for (at = 0; t->ok && at < size; at += PMD_SIZE)
		t->ok = gpu_fill(fd, mem + at, 8, 1) == XGPU_FENCE_OK;
	t->faults = size / PMD_SIZE;
	munmap(mem, size);
	close(fd);
	return NULL;
}

static void faults_of(GPU_META, unsigned int nr, const char *name)
{
	struct toucher t[MAX_CONTEXTS] = {};
	unsigned long faults = 0;
	unsigned int i;
	int64_t began = now_ns();

	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, toucher, &t[i]));
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(0, pthread_join(t[i].thread, NULL));
		EXPECT_TRUE(t[i].ok);
		faults += t[i].faults;
	}
	bench_print_one(name, "ops/s", faults * 1000000000ULL / (now_ns() - began));
}

TEST_F(bench, faults)
{
	faults_of(_metadata, 1, "gpu.faults.1");
	faults_of(_metadata, 2, "gpu.faults.2");
	faults_of(_metadata, 8, "gpu.faults.8");
}

TEST_HARNESS_MAIN
