/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The GPU (/dev/xgpuN) and work for it, for tests and for programs of guests: its ABI,
 * include/uapi/xen/xgpu.h, as functions. They return a negative errno where they fail.
 */
#ifndef GM_GPU_H
#define GM_GPU_H

#include <errno.h>
#include <unistd.h>
#include <xen/xgpu.h>

#include "gm.h"

#define GPU_0		"/dev/xgpu0"
#define GPU_1		"/dev/xgpu1"
#define KIB		1024UL
#define MIB		(1024UL * KIB)

#define P(p)		((uint64_t)(uintptr_t)(p))

static inline bool gpu_load(const char *path)
{
	if (access(path, F_OK))
		gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe xgpu");
	return !access(path, F_OK);
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
		.op = op,
		.dst = P(dst),
		.src = P(src),
		.len = len,
		.value = value,
	};

	return gpu_submit_all(fd, &work, 1);
}

static inline int gpu_wait(int fd, int64_t fence, struct xgpu_wait *wait)
{
	*wait = (struct xgpu_wait){
		.size = sizeof(*wait),
		.fence = fence,
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
		.size = sizeof(range),
		.what = what,
		.start = P(start),
		.len = len,
	};
	int ret = gpu_ioctl(fd, request, &range);

	if (done)
		*done = range.done;
	return ret;
}

#endif /* GM_GPU_H */
