/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this suite share: the GPU and memory for it to work on.
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

#include "gm_gpu.h"
#include "gm_test.h"

#define PMD_SIZE	(2 * MIB)

/* What ASSERT and EXPECT look for in a function that is not a test. */
#define GPU_META struct __test_metadata *_metadata

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
