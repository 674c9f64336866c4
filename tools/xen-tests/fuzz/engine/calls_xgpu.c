// SPDX-License-Identifier: GPL-2.0-only
/*
 * Target xgpu: work of two GPUs on memory that changes meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "gm_gpu.h"

#define FILES		4
/* What does not answer is reset after that: a hang is not all of the time. */
#define TIMEOUT_MS	"1000"

static _Atomic int files[FILES] = { -1, -1, -1, -1 };
static _Atomic int64_t fences[FILES];

static const struct fz_value ops[] = {
	{ "nop", XGPU_WORK_NOP }, { "copy", XGPU_WORK_COPY }, { "fill", XGPU_WORK_FILL },
	{ "checksum", XGPU_WORK_CHECKSUM }, { "compare", XGPU_WORK_COMPARE },
	{ "atomic_add", XGPU_WORK_ATOMIC_ADD }, { },
};

static const struct fz_value work_flags[] = { { "skip", XGPU_WORK_FLAG_SKIP }, { } };

static const struct fz_value prefetches[] = {
	{ "write", XGPU_PREFETCH_WRITE }, { "vram", XGPU_PREFETCH_VRAM }, { },
};

static const struct fz_value advices[] = {
	{ "none", XGPU_ADVICE_NONE }, { "gpu", XGPU_ADVICE_GPU },
	{ "system", XGPU_ADVICE_SYSTEM }, { "read_mostly", XGPU_ADVICE_READ_MOSTLY }, { },
};

static const struct fz_value lens[] = {
	{ "word", 8 }, { "page", 4096 }, { "eight", 32768 }, { "huge", 2 * MIB },
	{ "all", ARENA_PAGES * GM_PAGE_SIZE }, { },
};

static const struct fz_value waits[] = { { "look", 0 }, { "ms", 1000000 }, { "long", 100000000 },
					 { } };

static int fd_of(uint64_t slot)
{
	return files[slot % FILES];
}

static long call_open(const uint64_t *a)
{
	int fd = open(a[1] & 1 ? GPU_1 : GPU_0,
		      O_RDWR | O_CLOEXEC | (a[2] & 1 ? O_NONBLOCK : 0));

	return fz_fd_put(&files[a[0] % FILES], fd);
}

static long call_close(const uint64_t *a)
{
	return fz_fd_put(&files[a[0] % FILES], -1);
}

/* @nr works of one kind, each where the one before has ended */
static long call_submit(const uint64_t *a)
{
	struct xgpu_work work[XGPU_SUBMIT_MAX] = { };
	uint64_t len = a[5];
	int64_t fence;

	for (unsigned int i = 0; i < XGPU_SUBMIT_MAX; i++)
		work[i] = (struct xgpu_work){
			.op = a[2],
			.flags = a[6],
			.dst = P(fz_at(a[3])) + i * len,
			.src = P(fz_at(a[4])) + i * len,
			.len = a[2] == XGPU_WORK_ATOMIC_ADD ? 8 : len,
			.value = a[7],
		};
	/* Without end: a device that works on what is in nobody's reach */
	if (work[0].op == XGPU_WORK_NOP)
		work[0].len = work[0].dst = work[0].src = 0;
	fence = gpu_submit_all(fd_of(a[0]), work, a[1]);
	if (fence > 0)
		fences[a[0] % FILES] = fence;
	return fence;
}

static long call_hang(const uint64_t *a)
{
	int64_t fence = gpu_submit(fd_of(a[0]), XGPU_WORK_HANG, NULL, NULL, 0, 0);

	if (fence > 0)
		fences[a[0] % FILES] = fence;
	return fence;
}

static long call_wait(const uint64_t *a)
{
	struct xgpu_wait wait = {
		.size = sizeof(wait),
		.fence = fences[a[0] % FILES] - a[1],
		.timeout_ns = a[2] > 200000000 ? 200000000 : (int64_t)a[2],
	};

	return gpu_ioctl(fd_of(a[0]), XGPU_IOCTL_WAIT, &wait);
}

static long call_poll(const uint64_t *a)
{
	struct pollfd pfd = { .fd = fd_of(a[0]), .events = POLLIN };

	return poll(&pfd, 1, a[1] % 20);
}

static long call_prefetch(const uint64_t *a)
{
	return gpu_range(fd_of(a[0]), XGPU_IOCTL_PREFETCH, fz_at(a[1]), a[2] * GM_PAGE_SIZE, a[3],
			 NULL);
}

static long call_advise(const uint64_t *a)
{
	return gpu_range(fd_of(a[0]), XGPU_IOCTL_ADVISE, fz_at(a[1]), a[2] * GM_PAGE_SIZE, a[3],
			 NULL);
}

static long call_query(const uint64_t *a)
{
	struct xgpu_query query = { .size = a[1] ?: sizeof(query) };

	return gpu_ioctl(fd_of(a[0]), XGPU_IOCTL_QUERY, &query);
}

/* Function-level reset, as anybody with rights may ask for: all work is lost. */
static long call_reset(const uint64_t *a)
{
	return gm_write_file(a[0] & 1 ? "/sys/class/misc/xgpu1/device/reset" :
					"/sys/class/misc/xgpu0/device/reset", "1");
}

/* The driver lets go of the device, with all of its files open, and takes it again. */
static long call_rebind(const uint64_t *a)
{
	const char *dev = a[0] & 1 ? "0000:00:06.0" : "0000:00:05.0";
	long ret = gm_write_file("/sys/bus/pci/drivers/xgpu/unbind", dev);

	return gm_write_file("/sys/bus/pci/drivers/xgpu/bind", dev) ?: ret;
}

static long call_raw(const uint64_t *a)
{
	static const unsigned long known[] = {
		XGPU_IOCTL_SUBMIT, XGPU_IOCTL_WAIT, XGPU_IOCTL_PREFETCH, XGPU_IOCTL_ADVISE,
		XGPU_IOCTL_QUERY, _IOWR('X', 0x65, int), _IO('X', 0x60),
	};

	return ioctl(fd_of(a[0]), known[a[1] % (sizeof(known) / sizeof(known[0]))],
		     (char *)fz_at(a[2]) + a[3] % 4096);
}

#define ARG_FILE	SLOT("file", FILES)

const struct fz_call_type calls_xgpu[] = {
	{ "open", 14, call_open, { ARG_FILE, SLOT("gpu", 2), SLOT("nonblock", 2) } },
	{ "close", 3, call_close, { ARG_FILE } },
	{ "submit", 40, call_submit,
	  { ARG_FILE, NUMBER("nr", 5), CHOICE("op", ops),
	    NUMBER_OR("at", 64, fz_places), NUMBER_OR("to", 64, fz_places),
	    NUMBER_OR("len", 70000, lens), FLAGS("flags", work_flags),
	    NUMBER("value", 256) } },
	{ "hang", 1, call_hang, { ARG_FILE } },
	{ "wait", 16, call_wait,
	  { ARG_FILE, NUMBER("back", 2), CHOICE("ns", waits) } },
	{ "poll", 2, call_poll, { ARG_FILE, NUMBER("ms", 20) } },
	{ "prefetch", 12, call_prefetch,
	  { ARG_FILE, ARG_AT, ARG_PAGES, FLAGS("how", prefetches) } },
	{ "advise", 10, call_advise,
	  { ARG_FILE, ARG_AT, ARG_PAGES, CHOICE("advice", advices) } },
	{ "query", 3, call_query, { ARG_FILE, NUMBER("size", 256) } },
	{ "reset", 1, call_reset, { SLOT("gpu", 2) } },
	{ "rebind", 1, call_rebind, { SLOT("gpu", 2) } },
	{ "raw", 3, call_raw,
	  { ARG_FILE, SLOT("which", 7), ARG_AT, NUMBER("offset", 4096) } },
	{ },
};

const char *xgpu_prepare(void)
{
	if (!gpu_load(GPU_0) || !gpu_load(GPU_1))
		return "there are no two GPUs here";
	if (gm_write_file("/sys/module/xgpu/parameters/timeout_ms", TIMEOUT_MS))
		return "the module xgpu has no parameter timeout_ms";
	mm_prepare();
	return NULL;
}

/* Only this process may ask about its contexts. */
const char *xgpu_finish(void)
{
	static char why[96];

	for (int i = 0; i < FILES; i++) {
		struct xgpu_query query = { .size = sizeof(query) };

		if (gpu_ioctl(files[i], XGPU_IOCTL_QUERY, &query) || query.resets)
			continue;
		if (!query.stale && !query.dma_errors)
			continue;
		snprintf(why, sizeof(why), "GPU: stale translations used: %llu, DMA refused: %llu",
			 query.stale, query.dma_errors);
		return why;
	}
	return NULL;
}
