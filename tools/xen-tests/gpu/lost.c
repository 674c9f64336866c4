// SPDX-License-Identifier: GPL-2.0-only
/*
 * Video memory that cannot be copied: what was to go there stays, what is there comes when it
 * can, and what goes with the device is lost. Whoever touches that is told (SIGBUS), and
 * never finds anything else in its place. The device fails when it is told to
 * (XGPU_FAIL_PHYS).
 */
#include <setjmp.h>
#include <signal.h>

#include "regs.h"

#define SIZE	(2 * PMD_SIZE)
/* The part that goes to video memory; the rest stays in the system's. */
#define THERE	PMD_SIZE
#define FOR_EVER 0xffffffff

FIXTURE(lost)
{
	int fd;
	char *mem;
	volatile uint32_t *regs;
	char printk[64];
};

/*
 * The kernel has a line for each page that is found lost (of level "error"), hundreds here. In
 * a driver domain they go where the results go, and would tear their lines.
 */
#define PRINTK "/proc/sys/kernel/printk"

FIXTURE_SETUP(lost)
{
	self->fd = gpu_open(_metadata);
	if (!gpu_query(_metadata, self->fd).vram_size)
		SKIP(return, "memory cannot be moved to this GPU (the kernel log says why)");
	ASSERT_LT(0, gm_read_file(PRINTK, self->printk, sizeof(self->printk)));
	ASSERT_EQ(0, gm_write_file(PRINTK, "3"));
	self->regs = regs_map(_metadata, GPU_0);
	self->mem = anon_aligned(_metadata, SIZE, false);
	fill_words(self->mem, SIZE, 1);
}

FIXTURE_TEARDOWN(lost)
{
	if (self->printk[0])
		gm_write_file(PRINTK, self->printk);
	if (self->mem) {
		self->regs[XGPU_FAIL_PHYS / 4] = 0;
		regs_unmap(self->regs);
		munmap(self->mem, SIZE);
	}
	if (self->fd >= 0) {
		EXPECT_NOTHING_STALE(self->fd);
		close(self->fd);
	}
}

static int to_vram(int fd, void *p, size_t size)
{
	return gpu_range(fd, XGPU_IOCTL_PREFETCH, p, size,
			 XGPU_PREFETCH_VRAM | XGPU_PREFETCH_WRITE, NULL);
}

static uint64_t word_of(size_t at)
{
	return (1 + at / 8) * 0x9e3779b97f4a7c15ULL;
}

static sigjmp_buf bus_error;

static void on_bus_error(__attribute__((unused)) int signal)
{
	siglongjmp(bus_error, 1);
}

/* Of the pages from @p on: those that hold what fill_words() wrote, and those that are lost */
static void look(const char *p, size_t at, size_t size, size_t *right, size_t *lost)
{
	struct sigaction action = { .sa_handler = on_bus_error }, before;
	volatile size_t i;

	*right = 0;
	*lost = 0;
	sigaction(SIGBUS, &action, &before);
	for (i = 0; i < size; i += GM_PAGE_SIZE) {
		if (sigsetjmp(bus_error, 1))
			++*lost;
		else
			*right += *(volatile uint64_t *)(p + i) == word_of(at + i);
	}
	sigaction(SIGBUS, &before, NULL);
}

/* All of [at, at + size), which is at @p: lost, or else right */
static bool is_all(const char *p, size_t at, size_t size, bool wanted_lost)
{
	size_t right, lost;

	look(p, at, size, &right, &lost);
	if ((wanted_lost ? lost : right) == size / GM_PAGE_SIZE)
		return true;
	gm_note("of %zu pages %zu are right, %zu lost", size / GM_PAGE_SIZE, right, lost);
	return false;
}

TEST_F_TIMEOUT(lost, copy_there_that_fails_moves_nothing, GM_TEST_S)
{
	uint64_t sum;

	self->regs[XGPU_FAIL_PHYS / 4] = FOR_EVER;
	EXPECT_EQ(0, to_vram(self->fd, self->mem, SIZE));
	EXPECT_GT(FOR_EVER, self->regs[XGPU_FAIL_PHYS / 4]);
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(XGPU_FENCE_OK, gpu_sum(self->fd, self->mem, SIZE, &sum));
	EXPECT_EQ(cpu_sum(self->mem, SIZE), sum);
	EXPECT_TRUE(is_all(self->mem, 0, SIZE, false));
}

/* The CPU cannot have it now; nothing is lost. */
TEST_F_TIMEOUT(lost, copy_back_that_fails_is_tried_again, GM_TEST_S)
{
	ASSERT_EQ(0, to_vram(self->fd, self->mem, THERE));
	ASSERT_EQ(THERE, gpu_query(_metadata, self->fd).vram_used);
	self->regs[XGPU_FAIL_PHYS / 4] = FOR_EVER;
	EXPECT_TRUE(is_all(self->mem, 0, 4 * GM_PAGE_SIZE, true));
	self->regs[XGPU_FAIL_PHYS / 4] = 0;
	EXPECT_TRUE(is_all(self->mem, 0, SIZE, false));
}

/* Takes the driver away from the device, with all copies failing. */
static void lose_device(GPU_META, volatile uint32_t *regs, const char *name)
{
	regs[XGPU_FAIL_PHYS / 4] = FOR_EVER;
	ASSERT_EQ(0, gm_write_file(XGPU_DRIVER "unbind", name));
}

/* A child that looks when it is told to, or at once: 0 if all of the first part is lost for it */
static pid_t looker(const char *mem, int go)
{
	pid_t pid = fork();
	char c;

	if (pid)
		return pid;
	if (go >= 0 && read(go, &c, 1) != 1)
		_exit(2);
	_exit(!is_all(mem, 0, THERE, true) || !is_all(mem + THERE, THERE, SIZE - THERE, false));
}

/*
 * For the process, for a child that shared the pages, and for one that comes later; where
 * mremap() has moved them; for system calls; for the GPU that comes next. Until it is thrown
 * away.
 */
TEST_F_TIMEOUT(lost, what_goes_with_the_device_is_a_bus_error, GM_TEST_S)
{
	char path[PATH_MAX], *name, *other;
	int go[2], out[2], status;
	pid_t before, after;

	ASSERT_TRUE(regs_device(GPU_0, path));
	name = basename(path);
	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(out));
	ASSERT_EQ(0, to_vram(self->fd, self->mem, THERE));
	before = looker(self->mem, go[0]);
	ASSERT_LT(0, before);
	ASSERT_EQ(THERE, gpu_query(_metadata, self->fd).vram_used);

	lose_device(_metadata, self->regs, name);
	EXPECT_EQ(1, write(go[1], "g", 1));
	EXPECT_TRUE(is_all(self->mem, 0, THERE, true));
	EXPECT_TRUE(is_all(self->mem + THERE, THERE, SIZE - THERE, false));
	EXPECT_EQ(before, waitpid(before, &status, 0));
	EXPECT_EQ(0, status);
	after = looker(self->mem, -1);
	EXPECT_EQ(after, waitpid(after, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-1, write(out[1], self->mem, 8));
	EXPECT_EQ(EFAULT, errno);

	ASSERT_EQ(0, gm_write_file(XGPU_DRIVER "bind", name));
	close(self->fd);
	self->fd = gpu_open(_metadata);
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, self->mem, 8, 1));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + THERE, 8, 1));

	other = anon(_metadata, MIB);
	ASSERT_EQ(other, mremap(self->mem, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, other));
	EXPECT_TRUE(is_all(other, 0, MIB, true));
	EXPECT_EQ(0, mprotect(other, MIB, PROT_READ));
	EXPECT_TRUE(is_all(other, 0, MIB, true));
	EXPECT_EQ(0, munmap(other, MIB));
	EXPECT_EQ(0, madvise(self->mem + MIB, MIB, MADV_DONTNEED));
	fill_words(self->mem + MIB, MIB, 1 + MIB / 8);
	EXPECT_TRUE(is_all(self->mem + MIB, MIB, MIB, false));
	EXPECT_EQ(0, to_vram(self->fd, self->mem + MIB, MIB));
	EXPECT_EQ(MIB, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_TRUE(is_all(self->mem + MIB, MIB, MIB, false));
	close(go[0]);
	close(go[1]);
	close(out[0]);
	close(out[1]);
}

/* The file that resets the function when it is written to. Returns why there is none, or NULL. */
static const char *reset_file(char file[PATH_MAX + 16])
{
	char path[PATH_MAX], method[64] = "";

	if (!regs_device(GPU_0, path))
		return "no such device";
	snprintf(file, PATH_MAX + 16, "%s/reset_method", path);
	if (gm_read_file(file, method, sizeof(method)) < 0 || !strstr(method, "flr"))
		return "no reset of the function from here: it is another domain's";
	/* Xen restores MSI for dom0 alone; xen-pciback does not know that it was lost. */
	if (gm_self_is_pv() && gm_self_domid() > 0)
		return "a PV domain's device has no interrupts after that";
	snprintf(file, PATH_MAX + 16, "%s/reset", path);
	return NULL;
}

/* Video memory does not survive a reset of the function: it moves out first, or is lost. */
TEST_F_TIMEOUT(lost, reset_of_the_function, GM_TEST_S)
{
	char file[PATH_MAX + 16];
	const char *why = reset_file(file);

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, to_vram(self->fd, self->mem, THERE));
	ASSERT_EQ(0, gm_write_file(file, "1"));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_TRUE(is_all(self->mem, 0, SIZE, false));

	ASSERT_EQ(0, to_vram(self->fd, self->mem, THERE));
	EXPECT_EQ(THERE, gpu_query(_metadata, self->fd).vram_used);
	self->regs[XGPU_FAIL_PHYS / 4] = FOR_EVER;
	ASSERT_EQ(0, gm_write_file(file, "1"));
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_TRUE(is_all(self->mem, 0, THERE, true));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + THERE, SIZE - THERE, 3));
	EXPECT_EQ(3, *(uint64_t *)(self->mem + SIZE - 8));
}

/* A device that has not answered for a while is as good as any other, once it is reset. */
TEST_F_TIMEOUT(lost, silent_until_the_function_is_reset, GM_TEST_S)
{
	char file[PATH_MAX + 16];
	const char *why = reset_file(file);
	long timeout;

	if (why)
		SKIP(return, "%s", why);
	timeout = regs_param("timeout_ms", 300);
	ASSERT_EQ(0, to_vram(self->fd, self->mem, THERE));
	self->regs[XGPU_FAIL_SILENT / 4] = 1;
	EXPECT_EQ(0xffffffff, self->regs[XGPU_ID / 4]);
	EXPECT_TRUE(is_all(self->mem, 0, THERE, true));
	EXPECT_TRUE(is_all(self->mem + THERE, THERE, SIZE - THERE, false));

	ASSERT_EQ(0, gm_write_file(file, "1"));
	EXPECT_EQ(XGPU_ID_MAGIC, self->regs[XGPU_ID / 4]);
	EXPECT_EQ(0, gpu_query(_metadata, self->fd).vram_used);
	ASSERT_EQ(0, to_vram(self->fd, self->mem + THERE, SIZE - THERE));
	EXPECT_EQ(SIZE - THERE, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_TRUE(is_all(self->mem + THERE, THERE, SIZE - THERE, false));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, self->mem + THERE, SIZE - THERE, 3));
	EXPECT_EQ(3, *(uint64_t *)(self->mem + SIZE - 8));
	regs_param("timeout_ms", timeout);
}

/*
 * A silent device cannot be told that pages have gone: what it has begun must not end in them
 * when they are somebody else's (here: another mapping's).
 */
TEST_F_TIMEOUT(lost, silent_device_writes_no_more, GM_TEST_S)
{
	/* The page is written 2 s after the command has begun. */
	const uint32_t slow = 500000000;
	volatile uint64_t *gone, *there;
	char file[PATH_MAX + 16];
	const char *why = reset_file(file);
	long timeout;
	int memory;

	if (why)
		SKIP(return, "%s", why);
	memory = memfd_create("pages", MFD_CLOEXEC);
	ASSERT_EQ(0, ftruncate(memory, GM_PAGE_SIZE));
	gone = mmap(NULL, GM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	there = mmap(NULL, GM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	ASSERT_TRUE(gone != MAP_FAILED && there != MAP_FAILED);
	ASSERT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, (void *)gone, GM_PAGE_SIZE, 1));
	ASSERT_EQ(1, *there);

	self->regs[XGPU_LAT_KIB / 4] = slow;
	ASSERT_LT(0, gpu_submit(self->fd, XGPU_WORK_FILL, (void *)gone, NULL, GM_PAGE_SIZE, 2));
	gm_sleep_ms(100);
	self->regs[XGPU_FAIL_SILENT / 4] = 1;
	timeout = regs_param("timeout_ms", 300);
	ASSERT_EQ(0, munmap((void *)gone, GM_PAGE_SIZE));
	*there = 3;
	gm_sleep_ms(3000);
	EXPECT_EQ(3, *there);
	EXPECT_EQ(1, there[1]);

	ASSERT_EQ(0, gm_write_file(file, "1"));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(self->fd, (void *)there, GM_PAGE_SIZE, 4));
	EXPECT_EQ(4, *there);
	regs_param("timeout_ms", timeout);
	munmap((void *)there, GM_PAGE_SIZE);
	close(memory);
}

/* Nor is it asked, and waited for, again and again. */
TEST_F_TIMEOUT(lost, silent_device_is_waited_for_once, GM_TEST_S)
{
	const unsigned int pages = 40;
	char file[PATH_MAX + 16];
	const char *why = reset_file(file);
	unsigned int i;
	int64_t begun;
	long timeout;

	if (why)
		SKIP(return, "%s", why);
	timeout = regs_param("timeout_ms", 1000);
	ASSERT_EQ(0, gpu_range(self->fd, XGPU_IOCTL_PREFETCH, self->mem, pages * GM_PAGE_SIZE, 0, NULL));
	self->regs[XGPU_FAIL_SILENT / 4] = 1;
	begun = now_ns();
	for (i = 0; i < pages; i++)
		ASSERT_EQ(0, madvise(self->mem + i * GM_PAGE_SIZE, GM_PAGE_SIZE, MADV_DONTNEED));
	gm_note("%u pages given back in %ld ms, the limit is 1000", pages, (now_ns() - begun) / 1000000);
	/* Each for itself would take 40 s. */
	EXPECT_GT(20000, (now_ns() - begun) / 1000000);
	ASSERT_EQ(0, gm_write_file(file, "1"));
	regs_param("timeout_ms", timeout);
}

/*
 * Somebody else resets the device, and says nothing (as xl does to a PV domain that it takes the
 * device from): what was in video memory must not come back as what the reset has left.
 */
TEST_F_TIMEOUT(lost, reset_behind_the_drivers_back, GM_TEST_S)
{
	long timeout = regs_param("timeout_ms", 300);

	ASSERT_EQ(0, to_vram(self->fd, self->mem, THERE));
	ASSERT_EQ(THERE, gpu_query(_metadata, self->fd).vram_used);
	self->regs[XGPU_RESET / 4] = XGPU_RESET_DEVICE | XGPU_RESET_CLEAR_VRAM;
	EXPECT_TRUE(is_all(self->mem, 0, THERE, true));
	EXPECT_TRUE(is_all(self->mem + THERE, THERE, SIZE - THERE, false));
	EXPECT_TRUE(gm_wait(!gpu_query(_metadata, self->fd).vram_used, GM_TIMEOUT_MS));
	/* Work that comes before the driver is done with that is lost, and said to be. */
	EXPECT_TRUE(gm_wait(!gpu_fill(self->fd, self->mem + THERE, PMD_SIZE, 3), GM_TIMEOUT_MS));
	EXPECT_EQ(3, *(uint64_t *)(self->mem + SIZE - 8));
	EXPECT_EQ(XGPU_FENCE_FAULT, gpu_fill(self->fd, self->mem, 8, 3));
	EXPECT_TRUE(is_all(self->mem, 0, THERE, true));
	EXPECT_EQ(0, to_vram(self->fd, self->mem + THERE, PMD_SIZE));
	EXPECT_EQ(PMD_SIZE, gpu_query(_metadata, self->fd).vram_used);
	EXPECT_EQ(3, *(uint64_t *)(self->mem + THERE));
	regs_param("timeout_ms", timeout);
}

/* The GPU finds it first: its work is lost, and what comes after does not see cleared memory. */
TEST_F_TIMEOUT(lost, reset_that_the_gpu_finds_first, GM_TEST_S)
{
	long timeout = regs_param("timeout_ms", 300);
	struct xgpu_wait wait;
	uint64_t sum;
	int64_t fence;
	int ret;

	ASSERT_EQ(0, to_vram(self->fd, self->mem, THERE));
	self->regs[XGPU_RESET / 4] = XGPU_RESET_DEVICE | XGPU_RESET_CLEAR_VRAM;
	fence = gpu_submit(self->fd, XGPU_WORK_FILL, self->mem + THERE, NULL, 8, 1);
	EXPECT_EQ(0, gpu_wait(self->fd, fence, &wait));
	EXPECT_NE(XGPU_FENCE_OK, wait.status);
	ret = gpu_sum(self->fd, self->mem, THERE, &sum);
	EXPECT_NE(XGPU_FENCE_OK, ret);
	EXPECT_TRUE(is_all(self->mem, 0, THERE, true));
	regs_param("timeout_ms", timeout);
}

/* A GPU without video memory to give works; advice that needs some is refused. */
TEST_F_TIMEOUT(lost, driver_that_moves_nothing, GM_TEST_S)
{
	int fd = -1;

	regs_unmap(self->regs);
	close(self->fd);
	ASSERT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -r xgpu && modprobe xgpu vram=0"));
	fd = open(GPU_0, O_RDWR | O_CLOEXEC);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, gpu_query(_metadata, fd).vram_size);
	EXPECT_EQ(-EOPNOTSUPP, gpu_range(fd, XGPU_IOCTL_ADVISE, self->mem, SIZE,
					 XGPU_ADVICE_GPU, NULL));
	EXPECT_EQ(0, gpu_range(fd, XGPU_IOCTL_ADVISE, self->mem, SIZE, XGPU_ADVICE_READ_MOSTLY,
			       NULL));
	EXPECT_EQ(0, to_vram(fd, self->mem, SIZE));
	EXPECT_EQ(XGPU_FENCE_OK, gpu_fill(fd, self->mem, 8, 3));
	EXPECT_EQ(3, *(uint64_t *)self->mem);
	close(fd);
	ASSERT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -r xgpu && modprobe xgpu"));
	self->fd = gpu_open(_metadata);
	EXPECT_LT(0, gpu_query(_metadata, self->fd).vram_size);
	self->regs = regs_map(_metadata, GPU_0);
}

TEST_HARNESS_MAIN
