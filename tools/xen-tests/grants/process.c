// SPDX-License-Identifier: GPL-2.0-only
/*
 * What processes and the mm do to a mapping: fork, exec, exit, kill, protection
 * changes, moves, scans. Only a real loss of the mapping gives grants back; what
 * cannot be supported is refused with an errno and leaves the mapping alive.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "grants.h"

#define SEED		0x66ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

FIXTURE(process) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	int64_t index;
	void *addr;
};

FIXTURE_SETUP(process)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->addr = gm_gntdev_map(self->fd, self->grant,
				   PROT_READ | PROT_WRITE, &self->index);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
}

FIXTURE_TEARDOWN(process)
{
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, SIZE));
	EXPECT_IN_USE(&self->gr, 0);
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* Exit status of a child that touches the mapping: 100 + signal, or 100. */
static int touch_in_child(void *addr)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(100 + gm_touch(addr, false));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* ---- fork and the ends of processes ---- */

TEST_F_TIMEOUT(process, g11_child_of_fork_has_none, GM_TEST_S)
{
	int status = touch_in_child(self->addr);

	EXPECT_TRUE(status == 100 + SIGSEGV || status == 100 + SIGBUS)
		TH_LOG("the child's access ended with %d", status - 100);
	EXPECT_ALIVE();
}

TEST_F_TIMEOUT(process, parent_may_unmap_while_child_lives, GM_TEST_S)
{
	int fds[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	if (!pid) {
		close(fds[1]);
		_exit(read(fds[0], &c, 1) == 0 ? 0 : 1);
	}
	ASSERT_LT(0, pid);
	UNMAP_ALL();
	EXPECT_IN_USE(&self->gr, 0);
	close(fds[1]);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	close(fds[0]);
}

/* The file is shared, so a child may close it or use it without harm. */
TEST_F_TIMEOUT(process, child_closes_the_file, GM_TEST_S)
{
	pid_t pid = fork();

	if (!pid) {
		close(self->fd);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_ALIVE();
}

/* How a mapper that holds everything ends: itself, or by the parent's signal. */
static pid_t start_mapper(const struct gm_grant *grant, bool wait)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		void *addr = gm_gntdev_map(gm_gntdev_open(), grant,
					   PROT_READ | PROT_WRITE, NULL);

		if (addr == MAP_FAILED || gm_check(addr, SEED, 0, PAGES) >= 0 ||
		    write(fds[1], "m", 1) != 1)
			_exit(1);
		while (wait)
			pause();
		_exit(0);
	}
	return child_ready(pid, fds);
}

TEST_F_TIMEOUT(process, killed_while_mapped, GM_TEST_S)
{
	pid_t pid;

	UNMAP_ALL();
	for (int i = 0; i < 5; i++) {
		pid = start_mapper(self->grant, true);
		ASSERT_LT(0, pid);
		EXPECT_IN_USE(&self->gr, PAGES);
		EXPECT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(pid, waitpid(pid, NULL, 0));
		EXPECT_IN_USE(&self->gr, 0);
	}
}

TEST_F_TIMEOUT(process, exit_without_unmap, GM_TEST_S)
{
	pid_t pid;

	UNMAP_ALL();
	pid = start_mapper(self->grant, false);
	ASSERT_LT(0, pid);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(process, exec_ends_the_mapping, GM_TEST_S)
{
	int fds[2], status;
	pid_t pid;

	UNMAP_ALL();
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	if (!pid) {
		void *addr = gm_gntdev_map(gm_gntdev_open(), self->grant,
					   PROT_READ, NULL);

		dup2(fds[0], STDIN_FILENO);
		close(fds[1]);
		if (addr != MAP_FAILED)
			execl("/bin/busybox", "busybox", "head", "-c", "1",
			      NULL);
		_exit(1);
	}
	ASSERT_LT(0, pid);
	close(fds[0]);
	/* The mapper is gone when its successor waits for input. */
	EXPECT_TRUE(gm_wait(kill(pid, 0) == 0, AT_ONCE_MS));
	gm_sleep_ms(500);
	EXPECT_IN_USE(&self->gr, 0);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	close(fds[1]);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* ---- protection ---- */

TEST_F_TIMEOUT(process, no_access_without_permission, GM_TEST_S)
{
	void *none = gm_gntdev_map(self->fd, self->grant, PROT_NONE, NULL);

	ASSERT_NE(MAP_FAILED, none);
	EXPECT_EQ(SIGSEGV, gm_touch(none, false));
	EXPECT_EQ(0, mprotect(self->addr, SIZE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, gm_touch(self->addr, false));
	EXPECT_EQ(0, mprotect(self->addr, SIZE, PROT_READ));
	EXPECT_EQ(0, gm_touch(self->addr, false));
	EXPECT_EQ(SIGSEGV, gm_touch(self->addr, true));
	EXPECT_EQ(0, mprotect(self->addr, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_ALIVE();
	EXPECT_EQ(0, munmap(none, SIZE));
}

TEST_F_TIMEOUT(process, read_only_map_never_becomes_writable, GM_TEST_S)
{
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(-1, mprotect(addr, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(SIGSEGV, gm_touch(addr, true));
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* The late fix of stock: such a page must not be copied on write. */
TEST_F_TIMEOUT(process, g17_private_map_never_becomes_writable, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->grant->domid,
					  self->grant->refs, PAGES);
	void *addr;

	ASSERT_LE(0, index);
	addr = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, self->fd, index);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(-1, mprotect(addr, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno) TH_LOG("%s", strerror(errno));
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* It may be refused; if it is not, it has to work. */
TEST_F_TIMEOUT(process, g04_mprotect_keeps_the_mapping, GM_TEST_S)
{
	int ret = mprotect(self->addr, SIZE, PROT_READ);

	EXPECT_IN_USE(&self->gr, PAGES);
	ASSERT_EQ(0, gm_touch(self->addr, false));
	EXPECT_PATTERN(self->addr, SEED, 0, PAGES);
	if (!ret) {
		EXPECT_EQ(SIGSEGV, gm_touch(self->addr, true));
		EXPECT_EQ(0, mprotect(self->addr, SIZE, PROT_READ | PROT_WRITE));
	}
	EXPECT_ALIVE();
}

TEST_F_TIMEOUT(process, g04_mprotect_of_a_part_keeps_the_mapping, GM_TEST_S)
{
	void *part = page_at(self->addr, 5);
	int ret = mprotect(part, 3 * GM_PAGE_SIZE, PROT_READ);

	if (!ret)
		EXPECT_EQ(0, mprotect(part, 3 * GM_PAGE_SIZE,
				      PROT_READ | PROT_WRITE));
	EXPECT_ALIVE();
}

/* ---- scans ---- */

static int clear_refs(const char *what)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int ret = -1;

	if (fd >= 0) {
		ret = write(fd, what, 1) == 1 ? 0 : -1;
		close(fd);
	}
	return ret;
}

TEST_F_TIMEOUT(process, g04_clearing_soft_dirty_keeps_the_mapping, GM_TEST_S)
{
	if (clear_refs("4"))
		SKIP(return, "no /proc/self/clear_refs: %s", strerror(errno));
	EXPECT_ALIVE();
}

/*
 * What the stock driver does not survive in a PV domain, seen in the lab:
 *
 *   ageing    Linux clears the accessed bit in the page table itself. Xen emulates
 *             that, but not for a frame of another domain: the kernel panics.
 *   fork      after MADV_DOFORK the child gets a copy of the granted PTEs behind
 *             Xen's back: page table updates fail, memory is corrupted.
 */
static bool kills_this_kernel(void)
{
	return gm_self_is_pv() && gm_kernel_is("stock");
}

#define SKIP_WHERE_IT_KILLS() do {					\
	if (kills_this_kernel())					\
		SKIP(return, "the stock driver takes a PV domain down");	\
} while (0)

TEST_F_TIMEOUT(process, clearing_referenced_keeps_the_mapping, GM_TEST_S)
{
	SKIP_WHERE_IT_KILLS();
	if (clear_refs("1"))
		SKIP(return, "no /proc/self/clear_refs: %s", strerror(errno));
	EXPECT_ALIVE();
}

/* Most advice is refused, and that is fine: none may take the pages away. */
TEST_F_TIMEOUT(process, advice_keeps_the_mapping, GM_TEST_S)
{
	static const int advice[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_FREE, MADV_MERGEABLE, MADV_HUGEPAGE,
	};

	for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
		madvise(self->addr, SIZE, advice[i]);
	EXPECT_ALIVE();
}

TEST_F_TIMEOUT(process, ageing_advice_keeps_the_mapping, GM_TEST_S)
{
	SKIP_WHERE_IT_KILLS();
	madvise(self->addr, SIZE, MADV_COLD);
	EXPECT_ALIVE();
	madvise(self->addr, SIZE, MADV_PAGEOUT);
	EXPECT_ALIVE();
}

TEST_F_TIMEOUT(process, mlock_keeps_the_mapping, GM_TEST_S)
{
	if (!mlock(self->addr, SIZE))
		EXPECT_EQ(0, munlock(self->addr, SIZE));
	EXPECT_ALIVE();
}

TEST_F_TIMEOUT(process, g11_child_has_none_after_madv_dofork, GM_TEST_S)
{
	int status;

	SKIP_WHERE_IT_KILLS();
	if (madvise(self->addr, SIZE, MADV_DOFORK)) {
		gm_note("MADV_DOFORK is refused: %s", strerror(errno));
	} else {
		status = touch_in_child(self->addr);
		EXPECT_TRUE(status == 100 + SIGSEGV || status == 100 + SIGBUS)
			TH_LOG("the child's access ended with %d", status - 100);
	}
	EXPECT_ALIVE();
}

/* ---- moves ---- */

/* A free range of the address space, that has to be replaced. */
static void *reserve(size_t size)
{
	return mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST_F_TIMEOUT(process, g04_move_works_or_is_refused, GM_TEST_S)
{
	void *to = reserve(SIZE), *moved;

	moved = mremap(self->addr, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       to);
	if (moved == MAP_FAILED) {
		gm_note("mremap is refused: %s", strerror(errno));
	} else {
		EXPECT_EQ(SIGSEGV, gm_touch(self->addr, false));
		self->addr = moved;
	}
	EXPECT_ALIVE();
}

TEST_F_TIMEOUT(process, g12_move_of_a_part_works_or_is_refused, GM_TEST_S)
{
	void *to = reserve(4 * GM_PAGE_SIZE), *moved;

	moved = mremap(page_at(self->addr, 6), 4 * GM_PAGE_SIZE,
		       4 * GM_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (moved == MAP_FAILED) {
		gm_note("mremap is refused: %s", strerror(errno));
		EXPECT_ALIVE();
		return;
	}
	EXPECT_IN_USE(&self->gr, PAGES);
	ASSERT_EQ(0, gm_touch(moved, true));
	EXPECT_EQ(-1, gm_check(moved, SEED, 6, 4));
	EXPECT_PATTERN(self->addr, SEED, 0, 6);
	EXPECT_PATTERN(self->addr, SEED, 10, PAGES - 10);
	EXPECT_EQ(0, munmap(moved, 4 * GM_PAGE_SIZE));
	EXPECT_IN_USE(&self->gr, PAGES - 4);
}

TEST_F_TIMEOUT(process, growing_is_refused, GM_TEST_S)
{
	EXPECT_EQ(MAP_FAILED, mremap(self->addr, SIZE, 2 * SIZE,
				     MREMAP_MAYMOVE));
	EXPECT_ALIVE();
}

TEST_F_TIMEOUT(process, g11_shrinking_frees_the_tail, GM_TEST_S)
{
	EXPECT_EQ(self->addr, mremap(self->addr, SIZE, 4 * GM_PAGE_SIZE, 0));
	EXPECT_IN_USE(&self->gr, 4);
	ASSERT_EQ(0, gm_touch(self->addr, true));
	EXPECT_PATTERN(self->addr, SEED, 0, 4);
}

/* ---- signals ---- */

static void ignore(int sig)
{
	(void)sig;
}

static void rain(suseconds_t every_us)
{
	struct itimerval it = {
		.it_interval.tv_usec = every_us,
		.it_value.tv_usec = every_us,
	};

	setitimer(ITIMER_REAL, &it, NULL);
}

/* Counts, and lets it stop at last: a slow machine may never get between two. */
static bool again(int *interrupted)
{
	if (++*interrupted == 20)
		rain(0);
	return true;
}

/*
 * In a child that signals rain on: each step works, or is -EINTR and works when it
 * is done again. How often it was -EINTR, or 255.
 */
static int mmap_under_signals(const struct gm_grant *grant)
{
	int fd = gm_gntdev_open(), interrupted = 0;
	void *addr = MAP_FAILED;
	int64_t index;

	signal(SIGALRM, ignore);
	rain(300);
	do {
		index = gm_gntdev_map_ref(fd, grant->domid, grant->refs,
					  grant->count);
	} while (index == -EINTR && again(&interrupted));
	do {
		addr = gm_gntdev_mmap(fd, index, grant->count, PROT_READ);
	} while (addr == MAP_FAILED && errno == EINTR && again(&interrupted));
	if (index < 0 || addr == MAP_FAILED) {
		gm_note("after -EINTR %d times: %s: %s", interrupted,
			index < 0 ? "MAP_GRANT_REF" : "mmap",
			strerror(index < 0 ? -index : errno));
		return 255;
	}
	rain(0);
	return gm_check(addr, SEED, 0, grant->count) < 0 ? interrupted : 255;
}

/* Every child is new to the kernel: the first mapping of an mm is the risky one. */
TEST_F_TIMEOUT(process, g19_signal_pending_at_mmap, GM_TEST_S)
{
	int status, interrupted = 0;

	UNMAP_ALL();
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(mmap_under_signals(self->grant));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status))
			TH_LOG("the child was killed by signal %d",
			       WTERMSIG(status));
		ASSERT_NE(255, WEXITSTATUS(status))
			TH_LOG("mapping failed, or wrong data");
		interrupted += WEXITSTATUS(status);
	}
	gm_note("-EINTR %d times", interrupted);
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_HARNESS_MAIN
