/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this suite share: the GPU, work for it, memory for it to work on.
 */
#ifndef GPU_H
#define GPU_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xen/xgpu.h>

#include "gm_test.h"

#define GPU_0		"/dev/xgpu0"
#define GPU_1		"/dev/xgpu1"
#define KIB		1024UL
#define MIB		(1024UL * KIB)
#define PMD_SIZE	(2 * MIB)

/* What ASSERT and EXPECT look for in a function that is not a test. */
#define GPU_META struct __test_metadata *_metadata

#define P(p)		((uint64_t)(uintptr_t)(p))

static inline bool gpu_load(const char *path)
{
	if (access(path, F_OK))
		gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe xgpu");
	return !access(path, F_OK);
}

static inline int gpu_open_path(GPU_META, const char *path)
{
	int fd;

	gpu_load(path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd) TH_LOG("%s: %s (is the module xgpu there?)", path, strerror(errno));
	return fd;
}

static inline int gpu_open(GPU_META)
{
	return gpu_open_path(_metadata, GPU_0);
}

static inline int gpu_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

/* The fence, or a negative errno */
static inline int64_t gpu_submit_all(int fd, const struct xgpu_work *work, unsigned int nr)
{
	struct xgpu_submit submit = { .size = sizeof(submit), .nr = nr, .work = P(work) };
	int ret = gpu_ioctl(fd, XGPU_IOCTL_SUBMIT, &submit);

	return ret ?: (int64_t)submit.fence;
}

static inline int64_t gpu_submit(int fd, unsigned int op, const void *dst, const void *src,
				 uint64_t len, uint64_t value)
{
	struct xgpu_work work = {
		.op = op, .dst = P(dst), .src = P(src), .len = len, .value = value,
	};

	return gpu_submit_all(fd, &work, 1);
}

static inline int gpu_wait(int fd, int64_t fence, struct xgpu_wait *wait)
{
	*wait = (struct xgpu_wait){
		.size = sizeof(*wait), .fence = fence,
		.timeout_ns = GM_TIMEOUT_MS * 1000000LL,
	};
	return fence < 0 ? (int)fence : gpu_ioctl(fd, XGPU_IOCTL_WAIT, wait);
}

/* Submits and waits. XGPU_FENCE_*, or a negative errno; *result of the work */
static inline int gpu_do(int fd, unsigned int op, const void *dst, const void *src, uint64_t len,
			 uint64_t value, uint64_t *result)
{
	struct xgpu_wait wait;
	int ret = gpu_wait(fd, gpu_submit(fd, op, dst, src, len, value), &wait);

	if (result)
		*result = wait.result;
	return ret ?: (int)wait.status;
}

static inline int gpu_fill(int fd, void *dst, uint64_t len, uint64_t value)
{
	return gpu_do(fd, XGPU_WORK_FILL, dst, NULL, len, value, NULL);
}

static inline int gpu_copy(int fd, void *dst, const void *src, uint64_t len)
{
	return gpu_do(fd, XGPU_WORK_COPY, dst, src, len, 0, NULL);
}

static inline int gpu_sum(int fd, const void *src, uint64_t len, uint64_t *sum)
{
	return gpu_do(fd, XGPU_WORK_CHECKSUM, NULL, src, len, 0, sum);
}

/* What XGPU_WORK_CHECKSUM is defined to be; @len a multiple of 8 */
static inline uint64_t cpu_sum(const void *src, uint64_t len)
{
	const uint64_t *word = src;
	uint64_t sum = 0, i;

	for (i = 0; i < len / 8; i++)
		sum += word[i] * (2 * i + 1);
	return sum;
}

static inline int gpu_range(int fd, unsigned long request, void *start, uint64_t len,
			    uint32_t what, uint64_t *done)
{
	struct xgpu_range range = {
		.size = sizeof(range), .what = what, .start = P(start), .len = len,
	};
	int ret = gpu_ioctl(fd, request, &range);

	if (done)
		*done = range.done;
	return ret;
}

static inline struct xgpu_query gpu_query(GPU_META, int fd)
{
	struct xgpu_query query = { .size = sizeof(query) };

	EXPECT_EQ(0, gpu_ioctl(fd, XGPU_IOCTL_QUERY, &query));
	return query;
}

/* Nothing of the device was ever used too long. */
#define EXPECT_NOTHING_STALE(fd) do {						\
	struct xgpu_query __q = gpu_query(_metadata, fd);			\
										\
	EXPECT_EQ(0, __q.stale);						\
	EXPECT_EQ(0, __q.stale_cached);						\
	EXPECT_EQ(0, __q.dma_errors);						\
} while (0)

static inline char *anon(GPU_META, size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	return p;
}

/* Aligned to huge pages, with one where @huge says so */
static inline char *anon_aligned(GPU_META, size_t size, bool huge)
{
	char *p = anon(_metadata, size + PMD_SIZE);
	char *q = (char *)((P(p) + PMD_SIZE - 1) & ~(PMD_SIZE - 1));

	if (q > p)
		munmap(p, q - p);
	munmap(q + size, p + PMD_SIZE - q);
	madvise(q, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return q;
}

static inline void fill_words(void *p, size_t size, uint64_t seed)
{
	uint64_t *word = p;
	size_t i;

	for (i = 0; i < size / 8; i++)
		word[i] = (seed + i) * 0x9e3779b97f4a7c15ULL;
}

static inline int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

#endif /* GPU_H */
