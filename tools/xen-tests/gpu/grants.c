// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it all is for: the GPU works on memory that another domain has granted. The process
 * maps it with gntdev and hands the GPU the pointer; nothing is registered, and nothing is
 * told when the mapping goes.
 *
 * Granter and GPU see each other's bytes while the mapping lasts. Once munmap() has returned
 * the granter has its pages back, and the GPU has none of them: an access ends with a fault of
 * the fence, no translation was used too long, and the IOMMU had nothing to refuse. It would,
 * or the granter's pages would change under it, had the GPU been left with a translation.
 */
#include "../grants/grants.h"
#include "gpu.h"

#define SEED_GUEST	0x66ULL
#define SEED_GPU	0x77ULL
#define SEED_AFTER	0x88ULL
#define PAGES		48U
#define SIZE		(PAGES * GM_PAGE_SIZE)

/* Work that is still to do when memory goes: a second of it, in commands */
#define BUSY_WORKS	XGPU_SUBMIT_MAX
#define BUSY_FENCES	32

FIXTURE(grants)
{
	struct granter gr;
	struct gm_grant *grant;
	int gntdev;
	int64_t index;
	int fd;
	char *addr;
	char *mem;
};

FIXTURE_VARIANT(grants)
{
	bool writable;
};

FIXTURE_VARIANT_ADD(grants, writable) { .writable = true };
FIXTURE_VARIANT_ADD(grants, read_only) { .writable = false };

FIXTURE_SETUP(grants)
{
	if (!getenv("GM_DOMID"))
		SKIP(return, "no granting guest in this lab");
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, variant->writable, SEED_GUEST);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	self->addr = gm_gntdev_map(self->gntdev, self->grant,
				   PROT_READ | (variant->writable ? PROT_WRITE : 0),
				   &self->index);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
	self->fd = gpu_open(_metadata);
	self->mem = anon(_metadata, SIZE);
}

FIXTURE_TEARDOWN(grants)
{
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, SIZE));
	EXPECT_NOTHING_STALE(self->fd);
	close(self->fd);
	close(self->gntdev);
	munmap(self->mem, SIZE);
	granter_teardown(_metadata, &self->gr);
}

/* The granter has its pages back, at once, and nobody writes to them any more. */
#define EXPECT_GIVEN_BACK() do {						\
	EXPECT_IN_USE(&self->gr, 0);						\
	ASSERT_EQ(0, gm_guest_fill(self->gr.g, self->grant, SEED_AFTER));	\
	gm_sleep_ms(100);							\
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_AFTER, 0,	\
				    PAGES));					\
	ASSERT_EQ(0, gm_guest_revoke(self->gr.g, self->grant));			\
	EXPECT_EQ((int)self->gr.base.granted, gm_grants_granted(self->gr.domid)); \
} while (0)

/* All of the mapping has been used by the GPU, which has the translations. */
#define GPU_HAS_ALL() do {							\
	uint64_t __sum = 0;							\
										\
	ASSERT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->addr, SIZE, &__sum));	\
	EXPECT_EQ(cpu_sum(self->addr, SIZE), __sum);				\
	EXPECT_NE(0, gpu_query(_metadata, self->fd).cached);			\
} while (0)

/* Neither to be read nor written by the GPU, though it had it a moment ago. */
#define EXPECT_GONE(addr, len) do {						\
	uint64_t __sum;								\
										\
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_sum(self->fd, addr, 8, &__sum));	\
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_sum(self->fd, (addr) + (len) - 8, 8, &__sum)); \
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, addr, 8, 0));		\
	EXPECT_NOTHING_STALE(self->fd);						\
} while (0)

TEST_F_TIMEOUT(grants, gpu_reads_what_the_granter_wrote, GM_TEST_S)
{
	uint64_t seed = SEED_GUEST, sum;

	for (int round = 0; round < 3; round++) {
		memset(self->mem, 0, SIZE);
		ASSERT_EQ(XGPU_FENCE_OK, gpu_copy(self->fd, self->mem, self->addr, SIZE));
		EXPECT_PATTERN(self->mem, seed, 0, PAGES);
		EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->addr, SIZE, &sum));
		EXPECT_EQ(cpu_sum(self->mem, SIZE), sum);
		EXPECT_EQ(XGPU_FENCE_OK, gpu_do(self->fd, XGPU_WORK_COMPARE, self->addr,
						self->mem, SIZE, 0, NULL));
		ASSERT_EQ(0, gm_guest_fill(self->gr.g, self->grant, ++seed));
	}
}

TEST_F_TIMEOUT(grants, granter_reads_what_the_gpu_wrote, GM_TEST_S)
{
	uint64_t before = 0;

	gm_fill(self->mem, SEED_GPU, 0, PAGES);
	if (!variant->writable) {
		EXPECT_EQ(XGPU_FENCE_FAULT, gpu_copy(self->fd, self->addr, self->mem, SIZE));
		/* Nor once the GPU has translations for reading */
		GPU_HAS_ALL();
		EXPECT_EQ(XGPU_FENCE_FAULT, gpu_copy(self->fd, self->addr, self->mem, SIZE));
		EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, self->addr + SIZE - 8, 8, 1));
		EXPECT_EQ(XGPU_FENCE_FAULT, gpu_do(self->fd, XGPU_WORK_ATOMIC_ADD, self->addr,
						   NULL, 0, 1, NULL));
		EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_GUEST, 0, PAGES));
		return;
	}
	ASSERT_EQ(XGPU_FENCE_OK, gpu_copy(self->fd, self->addr, self->mem, SIZE));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_GPU, 0, PAGES));
	EXPECT_PATTERN(self->addr, SEED_GPU, 0, PAGES);

	/* A byte here and there, next to the granter's */
	ASSERT_EQ(0, gm_guest_poke(self->gr.g, self->grant, 5 * GM_PAGE_SIZE + 99, 0x3c));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->addr + 5 * GM_PAGE_SIZE + 100, 1, 0x5a));
	EXPECT_EQ(0x3c, gm_guest_peek(self->gr.g, self->grant, 5 * GM_PAGE_SIZE + 99));
	EXPECT_EQ(0x5a, gm_guest_peek(self->gr.g, self->grant, 5 * GM_PAGE_SIZE + 100));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_do(self->fd, XGPU_WORK_ATOMIC_ADD, self->addr, NULL, 0, 1,
					&before));
	EXPECT_EQ(gm_pattern(SEED_GPU, 0, 0), before);
	EXPECT_EQ((gm_pattern(SEED_GPU, 0, 0) + 1) & 0xff,
		  (uint64_t)gm_guest_peek(self->gr.g, self->grant, 0));
}

TEST_F_TIMEOUT(grants, gone_after_munmap, GM_TEST_S)
{
	char *addr = self->addr;

	GPU_HAS_ALL();
	if (variant->writable)
		ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, addr, SIZE, 1));
	UNMAP_ALL();
	EXPECT_GONE(addr, SIZE);
	EXPECT_GIVEN_BACK();
}

/* The ioctl alone leaves the mapping as it is; whichever comes second gives back. */
TEST_F_TIMEOUT(grants, gone_after_the_ioctl_and_munmap, GM_TEST_S)
{
	char *addr = self->addr;

	GPU_HAS_ALL();
	ASSERT_EQ(0, gm_gntdev_unmap_ref(self->gntdev, self->index, PAGES));
	GPU_HAS_ALL();
	UNMAP_ALL();
	EXPECT_GONE(addr, SIZE);
	EXPECT_GIVEN_BACK();
}

TEST_F_TIMEOUT(grants, gone_after_munmap_and_the_ioctl, GM_TEST_S)
{
	char *addr = self->addr;

	GPU_HAS_ALL();
	UNMAP_ALL();
	EXPECT_GONE(addr, SIZE);
	ASSERT_EQ(0, gm_gntdev_unmap_ref(self->gntdev, self->index, PAGES));
	EXPECT_GIVEN_BACK();
}

TEST_F_TIMEOUT(grants, unmapped_part_is_gone, GM_TEST_S)
{
	char *hole = page_at(self->addr, 8);
	size_t len = 8 * GM_PAGE_SIZE;
	uint64_t sum = 0;

	GPU_HAS_ALL();
	ASSERT_EQ(0, munmap(hole, len));
	EXPECT_GONE(hole, len);
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_sum(self->fd, self->addr, SIZE, &sum));
	ASSERT_EQ(XGPU_FENCE_OK, gpu_copy(self->fd, self->mem, self->addr, 8 * GM_PAGE_SIZE));
	EXPECT_PATTERN(self->mem, SEED_GUEST, 0, 8);
	ASSERT_EQ(XGPU_FENCE_OK, gpu_copy(self->fd, self->mem, page_at(self->addr, 16),
					  SIZE - 16 * GM_PAGE_SIZE));
	EXPECT_EQ(-1, gm_check(self->mem, SEED_GUEST, 16, PAGES - 16));
}

/* In its place there is something else, which is something else for the GPU, too. */
TEST_F_TIMEOUT(grants, replaced_by_ordinary_memory, GM_TEST_S)
{
	uint64_t sum = 1;

	GPU_HAS_ALL();
	ASSERT_EQ(self->addr, mmap(self->addr, SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->addr, SIZE, &sum));
	EXPECT_EQ(0, sum);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->addr, SIZE, 0x99));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_GUEST, 0, PAGES));
	EXPECT_GIVEN_BACK();
}

/* Granted pages are not this domain's to move: advice to the contrary changes nothing. */
TEST_F_TIMEOUT(grants, stay_where_they_are, GM_TEST_S)
{
	uint64_t done = 0;

	EXPECT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_ADVISE, self->addr, SIZE, XGPU_ADVICE_GPU,
			       NULL));
	EXPECT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->addr, SIZE,
			       XGPU_PREFETCH_VRAM, &done));
	EXPECT_EQ(SIZE, done);
	ASSERT_EQ(0, gm_guest_fill(self->gr.g, self->grant, SEED_AFTER));
	ASSERT_EQ(XGPU_FENCE_OK, gpu_copy(self->fd, self->mem, self->addr, SIZE));
	EXPECT_PATTERN(self->mem, SEED_AFTER, 0, PAGES);
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_IN_USE(&self->gr, PAGES);
}

/* Two GPUs and the CPU have the mapping: all lose it with one munmap(). */
TEST_F_TIMEOUT(grants, two_gpus_lose_it_together, GM_TEST_S)
{
	int other = gpu_open_path(_metadata, GPU_1);
	char *addr = self->addr;
	uint64_t sum = 0;

	GPU_HAS_ALL();
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(other, addr, SIZE, &sum));
	EXPECT_EQ(cpu_sum(addr, SIZE), sum);
	UNMAP_ALL();
	EXPECT_GONE(addr, SIZE);
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_sum(other, addr, 8, &sum));
	EXPECT_NOTHING_STALE(other);
	close(other);
	EXPECT_GIVEN_BACK();
}

/* Much work on the mapping, in a row: the last fence, or a negative errno */
static int64_t submit_much(int fd, bool writable, char *addr, char *mem)
{
	struct xgpu_work work[BUSY_WORKS];
	int64_t fence = 0;
	int i;

	for (i = 0; i < BUSY_WORKS; i++)
		work[i] = (struct xgpu_work){
			.op = writable && i % 2 ? XGPU_WORK_FILL : XGPU_WORK_COPY,
			.dst = P(writable && i % 2 ? addr : mem), .src = P(addr),
			.len = SIZE, .value = i, .flags = XGPU_WORK_FLAG_SKIP,
		};
	for (i = 0; i < BUSY_FENCES && fence >= 0; i++)
		fence = gpu_submit_all(fd, work, BUSY_WORKS);
	return fence;
}

static void *submit_thread(void *arg)
{
	struct { int fd; bool writable; char *addr, *mem; int64_t fence; } *s = arg;

	s->fence = submit_much(s->fd, s->writable, s->addr, s->mem);
	return NULL;
}

/* The GPU is in the middle of it. */
TEST_F_TIMEOUT(grants, unmapped_while_the_gpu_works, GM_TEST_S)
{
	struct { int fd; bool writable; char *addr, *mem; int64_t fence; } s = {
		self->fd, variant->writable, self->addr, self->mem, 0,
	};
	struct xgpu_query before = gpu_query(_metadata, self->fd), middle;
	struct xgpu_wait wait;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, submit_thread, &s));
	ASSERT_TRUE(gm_wait(gpu_query(_metadata, self->fd).bytes_read >
			    before.bytes_read + 4 * SIZE, LATER_MS));
	UNMAP_ALL();
	middle = gpu_query(_metadata, self->fd);
	EXPECT_GIVEN_BACK();
	pthread_join(thread, NULL);
	ASSERT_LT(0, s.fence);
	EXPECT_EQ(0, gpu_wait(self->fd, s.fence, &wait));
	EXPECT_EQ(XGPU_FENCE_FAULT, wait.status);
	EXPECT_LT(middle.completed, (uint64_t)s.fence)
		TH_LOG("all work was done before the mapping went: the test shows nothing");
	gm_note("fence %llu of %lld was complete when the mapping went",
		(unsigned long long)middle.completed, (long long)s.fence);
}

/* Maps and has the GPU work, until it is killed. Says so through @ready. */
static void work_until_killed(const struct gm_grant *grant, bool writable, int ready)
{
	int gntdev = gm_gntdev_open(), fd = open(GPU_0, O_RDWR);
	char *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *addr = gm_gntdev_map(gntdev, grant, PROT_READ | (writable ? PROT_WRITE : 0), NULL);
	uint64_t sum;

	if (fd < 0 || addr == MAP_FAILED || mem == MAP_FAILED || gpu_sum(fd, addr, SIZE, &sum))
		_exit(1);
	if (submit_much(fd, writable, addr, mem) < 0 || write(ready, "r", 1) != 1)
		_exit(2);
	while (submit_much(fd, writable, addr, mem) >= 0)
		;
	_exit(3);
}

TEST_F_TIMEOUT(grants, process_is_killed, GM_TEST_S)
{
	struct xgpu_query query;
	int ready[2], status;
	pid_t pid;

	UNMAP_ALL();
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		if (!pid) {
			close(ready[0]);
			work_until_killed(self->grant, variant->writable, ready[1]);
		}
		ASSERT_LT(0, pid);
		ASSERT_EQ(pid, child_ready(pid, ready)) TH_LOG("the child ended");
		EXPECT_IN_USE(&self->gr, PAGES);
		gm_sleep_ms(20 * round);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("status %#x", status);
		EXPECT_IN_USE(&self->gr, 0);
		EXPECT_NOTHING_STALE(self->fd);
	}
	EXPECT_GIVEN_BACK();
	query = gpu_query(_metadata, self->fd);
	EXPECT_EQ(0, query.resets);
}

TEST_HARNESS_MAIN
