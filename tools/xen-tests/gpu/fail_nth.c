// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way of a chain of calls fails once: the first, then the second, and
 * so on, until the whole chain succeeds. Each failure is an errno of the call that it hits, or
 * nobody notices; nothing is left behind, the kernel has not complained, and the same chain
 * works right after.
 *
 * What the driver does in a thread of its own (a fault of the GPU, a reset) is not reached by
 * this: failures are of the calling thread. Nor is its probe: the PCI core runs it in another
 * thread in a PV guest; in lab gpu-bare it does not, and the kernel's ACPI code, which is asked
 * for the interrupt there, panics some time after one of its allocations has failed.
 */
#include "gpu.h"
#include "gm_fault.h"

#define SIZE		(1 * MIB)
/* More than any chain here has */
#define MAX_NTH		4000

struct scene {
	char *mem;
	int nth;		/* this thread's failures */
};

/* 0, or the first failure as a negative errno. Leaves nothing open, whatever failed. */
typedef int (*chain_fn)(struct scene *s);

static int open_gpu(void)
{
	int fd = open(GPU_0, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int chain_open(struct scene *s)
{
	int fd = open_gpu();

	(void)s;
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Memory that the mirror knows nothing of, mapped for the GPU, moved there, and back */
static int chain_mirror(struct scene *s)
{
	uint32_t what[] = { XGPU_PREFETCH_WRITE, XGPU_PREFETCH_VRAM };
	int ret, n, fd = open_gpu();

	if (fd < 0)
		return fd;
	ret = gpu_range(fd, XGPU_IOCTL_ADVISE, s->mem, SIZE / 2, XGPU_ADVICE_SYSTEM, NULL);
	if (!ret)
		ret = gpu_range(fd, XGPU_IOCTL_ADVISE, s->mem + SIZE / 4, SIZE / 4,
				XGPU_ADVICE_NONE, NULL);
	for (int i = 0; i < 2 && !ret; i++)
		ret = gpu_range(fd, XGPU_IOCTL_PREFETCH, s->mem, SIZE, what[i], NULL);
	/* A page that cannot come back for want of memory ends the process: not that one. */
	n = gm_fail_left(s->nth);
	gm_fail_arm(s->nth, 0);
	for (size_t at = 0; at < SIZE; at += GM_PAGE_SIZE)
		*(volatile char *)(s->mem + at) = 1;
	close(fd);
	if (madvise(s->mem, SIZE, MADV_DONTNEED))
		gm_broken();
	gm_fail_arm(s->nth, n);
	return ret;
}

static int chain_work(struct scene *s)
{
	struct xgpu_wait wait;
	int64_t fence;
	int ret = 0, fd = open_gpu();

	if (fd < 0)
		return fd;
	fence = gpu_submit(fd, XGPU_WORK_FILL, s->mem, NULL, SIZE, 3);
	if (fence < 0)
		ret = fence;
	else
		ret = gpu_wait(fd, fence, &wait);
	if (!ret && wait.status != XGPU_FENCE_OK)
		gm_broken();
	close(fd);
	return ret;
}

FIXTURE(fail_nth)
{
	struct scene scene;
	int kmsg;
};

FIXTURE_VARIANT(fail_nth)
{
	chain_fn chain;
	int at_least;		/* so many failures are reported */
};

#define CHAIN(name, least)						\
	FIXTURE_VARIANT_ADD(fail_nth, name) {				\
		.chain = chain_ ## name, .at_least = least,		\
	}

CHAIN(open, 5);
CHAIN(mirror, 10);
CHAIN(work, 5);

FIXTURE_SETUP(fail_nth)
{
	struct scene *s = &self->scene;

	gpu_load(GPU_0);
	s->mem = anon_aligned(_metadata, SIZE, false);
	self->kmsg = gm_kmsg_open();
	ASSERT_LE(0, self->kmsg);
	s->nth = gm_fail_open();
	if (s->nth < 0)
		SKIP(return, "this kernel has no fault injection");
	ASSERT_EQ(0, gm_fail_allocations(true));
}

FIXTURE_TEARDOWN(fail_nth)
{
	gm_fail_allocations(false);
	if (self->scene.nth >= 0)
		close(self->scene.nth);
	close(self->kmsg);
	munmap(self->scene.mem, SIZE);
}

TEST_F_TIMEOUT(fail_nth, each_failure_in_turn, GM_LONG_TEST_S)
{
	struct scene *s = &self->scene;
	int n, reported = 0, unnoticed = 0;

	/* What is allocated once, and kept */
	ASSERT_EQ(0, variant->chain(s));
	for (n = 1; n <= MAX_NTH; n++) {
		bool hit;
		int ret;

		gm_fail_arm(s->nth, n);
		ret = variant->chain(s);
		hit = !gm_fail_left(s->nth);
		gm_fail_arm(s->nth, 0);
		if (!hit) {
			ASSERT_EQ(0, ret) TH_LOG("failed, and nothing had made it fail");
			break;
		}
		if (ret)
			reported++;
		else
			unnoticed++;
		ASSERT_TRUE(!ret || ret == -ENOMEM || ret == -EAGAIN || ret == -EBUSY)
			TH_LOG("failure %d: %s", n, strerror(-ret));
		EXPECT_NO_COMPLAINT(self->kmsg);
		/* A sign of life */
		if (n % 100 == 0)
			gm_note("%d failures so far", n);
		ASSERT_EQ(0, variant->chain(s)) TH_LOG("that was after failure %d", n);
	}
	EXPECT_GT(MAX_NTH, n);
	EXPECT_LE(variant->at_least, reported);
	gm_note("%d failures, of which %d were reported", reported + unnoticed, reported);

	n = gpu_open(_metadata);
	EXPECT_TRUE(gm_wait(!gpu_query(_metadata, n).vram_used, GM_TIMEOUT_MS));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(n, s->mem, SIZE, 4));
	EXPECT_NOTHING_STALE(n);
	close(n);
}

TEST_HARNESS_MAIN
