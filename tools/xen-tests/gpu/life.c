// SPDX-License-Identifier: GPL-2.0-only
/*
 * How work, processes, and the device itself end: work that hangs, a device that does not
 * answer, a process that is killed, a driver that is taken away while all of this goes on.
 */
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/syscall.h>

#include "regs.h"

FIXTURE(life)
{
	int fd;
	char *mem;
	volatile uint32_t *regs;
	long timeout;
};

#define SIZE (4 * MIB)
#define SOON_MS 30000

FIXTURE_SETUP(life)
{
	self->fd = gpu_open(_metadata);
	self->mem = anon_aligned(_metadata, SIZE, false);
	self->regs = regs_map(_metadata, GPU_0);
	self->timeout = regs_param("timeout_ms", 1000);
	ASSERT_LT(0, self->timeout);
}

FIXTURE_TEARDOWN(life)
{
	regs_param("timeout_ms", self->timeout);
	regs_unmap(self->regs);
	munmap(self->mem, SIZE);
	if (self->fd >= 0) {
		EXPECT_NOTHING_STALE(self->fd);
		close(self->fd);
	}
}

/* It is ended, the fence says so, and so do those of what waited behind it; then it works. */
TEST_F(life, work_that_hangs_is_ended)
{
	int64_t hangs = gpu_submit(self->fd, XGPU_WORK_HANG, NULL, NULL, 0, 0);
	int64_t behind = gpu_submit(self->fd, XGPU_WORK_FILL, self->mem, NULL, 8, 1);
	int other = gpu_open(_metadata);
	struct xgpu_wait wait;

	/* Another context goes on. */
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(other, self->mem + MIB, 8, 1));
	EXPECT_EQ(0, gpu_wait(self->fd, hangs, &wait));
	EXPECT_EQ(XGPU_FENCE_HUNG, wait.status);
	EXPECT_EQ(0, gpu_wait(self->fd, behind, &wait));
	EXPECT_EQ(XGPU_FENCE_HUNG, wait.status);
	EXPECT_EQ(0, *(uint64_t *)self->mem);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 2));
	EXPECT_EQ(2, *(uint64_t *)(self->mem + SIZE - 8));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(other, self->mem + MIB, 8, 3));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).resets);
	close(other);
}

/* Memory whose pages somebody else has to provide, who never does */
static int missing_for_ever(GPU_META, void *mem, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = P(mem), .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	/* poll() of one that blocks says POLLERR, at once. */
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	ASSERT_LE(0, uffd) TH_LOG("userfaultfd: %s", strerror(errno));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	return uffd;
}

/* The GPU has asked for the page: the handler is told. */
static bool is_asked_for(int uffd)
{
	struct pollfd pfd = { .fd = uffd, .events = POLLIN };

	return poll(&pfd, 1, SOON_MS) == 1 && pfd.revents == POLLIN;
}

/*
 * A fault that is served for ever: the file can be closed all the same, by the very task that
 * should provide the page, and the process can be killed.
 */
TEST_F(life, page_that_never_comes)
{
	int fd = gpu_open(_metadata), uffd, status;
	pid_t pid;
	char c;
	int ready[2];

	uffd = missing_for_ever(_metadata, self->mem + MIB, MIB);
	ASSERT_LT(0, gpu_submit(fd, XGPU_WORK_FILL, self->mem + MIB, NULL, 8, 1));
	EXPECT_TRUE(is_asked_for(uffd));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, close(uffd));

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		fd = gpu_open(_metadata);
		uffd = missing_for_ever(_metadata, self->mem + MIB, MIB);
		gpu_submit(fd, XGPU_WORK_FILL, self->mem + MIB, NULL, 8, 1);
		c = is_asked_for(uffd);
		_exit(write(ready[1], &c, 1) != 1 || pause());
	}
	ASSERT_LT(0, pid);
	EXPECT_EQ(1, read(ready[0], &c, 1));
	EXPECT_EQ(1, c);
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	close(ready[0]);
	close(ready[1]);
}

/* Long work is not hung: it makes progress. 2 ms for each KiB are 8 s. */
TEST_F(life, slow_work_is_no_hang)
{
	self->regs[XGPU_LAT_KIB / 4] = 2000000;
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE / 2, 4));
	self->regs[XGPU_LAT_KIB / 4] = 0;
	EXPECT_EQ(4, *(uint64_t *)(self->mem + SIZE / 2 - 8));
}

#define MANY 70

/*
 * Whoever waits is woken when his work is done, whatever his context's number: the time limit,
 * at which the driver looks for itself, is too far away to help.
 */
TEST_F(life, waiters_of_many_contexts_are_woken)
{
	struct xgpu_wait wait;
	int fd[MANY], i;

	regs_param("timeout_ms", 3600000);
	for (i = 0; i < MANY; i++)
		fd[i] = gpu_open(_metadata);
	/* 1 ms for each KiB: it is not done before somebody waits for it. */
	self->regs[XGPU_LAT_KIB / 4] = 1000000;
	for (i = MANY - 4; i < MANY; i++) {
		EXPECT_EQ(0, gpu_wait(fd[i], gpu_submit(fd[i], XGPU_WORK_FILL, self->mem, NULL,
							64 * KIB, i), &wait));
		EXPECT_EQ(XGPU_FENCE_OK, wait.status);
		EXPECT_EQ(i, *(uint64_t *)(self->mem + 64 * KIB - 8));
	}
	self->regs[XGPU_LAT_KIB / 4] = 0;
	for (i = 0; i < MANY; i++)
		close(fd[i]);
}

/*
 * Nor is work that waits for a page: whoever has to provide it (userfaultfd here, a disk, a
 * file server) may take longer than the driver waits for the GPU.
 */
TEST_F(life, page_that_comes_late_is_no_hang)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { P(self->mem), GM_PAGE_SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_zeropage zero = { .range = reg.range };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct xgpu_wait wait;
	int64_t fence;

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	regs_param("timeout_ms", 200);
	fence = gpu_submit(self->fd, XGPU_WORK_FILL, self->mem, NULL, GM_PAGE_SIZE, 11);
	EXPECT_TRUE(is_asked_for(uffd));
	usleep(1500000);
	EXPECT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	EXPECT_EQ(0, gpu_wait(self->fd, fence, &wait));
	EXPECT_EQ(XGPU_FENCE_OK, wait.status);
	EXPECT_EQ(11, *(uint64_t *)self->mem);
	close(uffd);
}

/*
 * A shootdown that takes longer than the driver waits: it resets the device, because the
 * memory must not go before the device has let go. What was in video memory survives.
 */
TEST_F(life, device_that_does_not_answer_is_reset)
{
	bool vram = gpu_query(_metadata, self->fd).vram_size;
	unsigned long resets = gpu_query(_metadata, self->fd).resets;
	int64_t hangs, began, took;
	struct xgpu_wait wait;

	fill_words(self->mem, SIZE, 3);
	if (vram)
		ASSERT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, PMD_SIZE,
				       XGPU_PREFETCH_VRAM, NULL));
	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + PMD_SIZE, PMD_SIZE, 6));
	hangs = gpu_submit(self->fd, XGPU_WORK_HANG, NULL, NULL, 0, 0);
	regs_param("timeout_ms", 300);
	self->regs[XGPU_LAT_SHOOTDOWN / 4] = 4000000000U;
	began = now_ns();
	ASSERT_EQ(0, munmap(self->mem + 3 * MIB, MIB));
	took = now_ns() - began;
	gm_note("munmap took %ld ms, shootdown would take 4000, the limit is 300", took / 1000000);
	EXPECT_LE(300000000, took);
	EXPECT_EQ(0, gpu_wait(self->fd, hangs, &wait));
	EXPECT_EQ(XGPU_FENCE_LOST, wait.status);
	EXPECT_EQ(resets + 1, gpu_query(_metadata, self->fd).resets);
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, self->mem + 3 * MIB, 8, 1));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + PMD_SIZE, MIB, 7));
	EXPECT_EQ(7, *(uint64_t *)(self->mem + PMD_SIZE));
	if (vram)
		EXPECT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(3 * 0x9e3779b97f4a7c15ULL, *(uint64_t *)self->mem);
}

/* The child works, and is killed; nothing of it is left, and the GPU works for others. */
TEST_F(life, process_killed_in_the_middle)
{
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < 5; i++) {
		int ready[2];
		char c;

		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		if (!pid) {
			int fd = open(GPU_0, O_RDWR | O_CLOEXEC);
			struct xgpu_work work = {
				.op = XGPU_WORK_FILL, .dst = P(self->mem), .len = SIZE, .value = 1,
			};

			gpu_range(fd, XGPU_IOCTL_PREFETCH, self->mem, PMD_SIZE, XGPU_PREFETCH_VRAM,
				  NULL);
			if (write(ready[1], "r", 1) != 1)
				_exit(1);
			for (;;)
				gpu_submit_all(fd, &work, 1);
		}
		ASSERT_LT(0, pid);
		close(ready[1]);
		EXPECT_EQ(1, read(ready[0], &c, 1));
		close(ready[0]);
		usleep(20000 * i);
		EXPECT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	EXPECT_TRUE(gm_wait(!gpu_query(_metadata, self->fd).vram_used, SOON_MS));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 2));
}

static void *unbind(void *name)
{
	return (void *)(long)!gm_write_file(XGPU_DRIVER "unbind", name);
}

/*
 * The driver goes (module, hotplug, xl pci-detach are the same to it) while work is under
 * way, somebody waits, and memory is in video memory: that comes back first.
 */
TEST_F(life, device_taken_away_with_work_in_flight)
{
	char path[PATH_MAX], *name;
	struct pollfd pfd = { .fd = self->fd, .events = POLLIN };
	struct xgpu_wait wait;
	int64_t hangs;
	pthread_t thread;
	void *done;
	int ret;

	ASSERT_TRUE(regs_device(GPU_0, path));
	name = basename(path);
	fill_words(self->mem, SIZE, 5);
	EXPECT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, SIZE, XGPU_PREFETCH_VRAM,
			       NULL));
	hangs = gpu_submit(self->fd, XGPU_WORK_HANG, NULL, NULL, 0, 0);
	ASSERT_LT(0, hangs);
	regs_param("timeout_ms", 60000);
	ASSERT_EQ(0, pthread_create(&thread, NULL, unbind, name));
	ret = gpu_wait(self->fd, hangs, &wait);
	EXPECT_TRUE(ret == -ENODEV || (!ret && wait.status == XGPU_FENCE_LOST))
		TH_LOG("wait: %d, status %u", ret, wait.status);
	ASSERT_EQ(0, pthread_join(thread, &done));
	EXPECT_TRUE(done);
	EXPECT_EQ(-ENODEV, gpu_fill(self->fd, self->mem, 8, 1));
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_TRUE(pfd.revents & POLLHUP);
	EXPECT_EQ(5 * 0x9e3779b97f4a7c15ULL, *(uint64_t *)self->mem);
	EXPECT_EQ((5 + SIZE / 8 - 1) * 0x9e3779b97f4a7c15ULL, *(uint64_t *)(self->mem + SIZE - 8));

	/* And comes again, while the old file is still open. */
	ASSERT_EQ(0, gm_write_file(XGPU_DRIVER "bind", name));
	EXPECT_EQ(-ENODEV, gpu_fill(self->fd, self->mem, 8, 1));
	close(self->fd);
	self->fd = gpu_open(_metadata);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 8));
}

/* Video memory is cleared when the driver goes: the next owner may be anybody. */
TEST_F(life, nothing_is_left_in_video_memory)
{
	char path[PATH_MAX], file[PATH_MAX + 16], *name;
	uint64_t size = gpu_query(_metadata, self->fd).vram_size;
	volatile uint64_t *vram;
	uint64_t at, secret = 0;
	int fd;

	if (!size)
		SKIP(return, "memory cannot be moved to this GPU (the kernel log says why)");
	ASSERT_TRUE(regs_device(GPU_0, path));
	snprintf(file, sizeof(file), "%s/resource2", path);
	ASSERT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, SIZE, XGPU_PREFETCH_VRAM,
			       NULL));
	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem, SIZE, 0x5ec3e7));
	fd = open(file, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	vram = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	ASSERT_NE(MAP_FAILED, vram);
	for (at = 0; at < size / 8; at += 512)
		secret += vram[at] == 0x5ec3e7;
	EXPECT_LE(SIZE / GM_PAGE_SIZE, secret);
	close(self->fd);
	self->fd = -1;
	name = basename(path);
	ASSERT_EQ(0, gm_write_file(XGPU_DRIVER "unbind", name));
	secret = 0;
	for (at = 0; at < size / 8; at += 512)
		secret += !!vram[at];
	EXPECT_EQ(0, secret);
	munmap((void *)vram, size);
	ASSERT_EQ(0, gm_write_file(XGPU_DRIVER "bind", name));
}

TEST_HARNESS_MAIN
